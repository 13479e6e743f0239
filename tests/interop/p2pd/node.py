"""A go-libp2p node that obeys, where no Go toolchain is there to build ours: p2pd, the daemon in hivemind's wheel.

One command per line of standard input, one answer or event per line of standard output, both JSON, as
tests/interop/js/node.mjs has them. This program says it to p2pd's control socket and carries what goes through its
streams; libp2p is spoken by p2pd alone. What the control socket does not tell, this cannot tell either: what p2pd
learnt by identify, who came and went (but a stream that is held ends), and what a connection was agreed to be (it is
started so that it speaks Noise and Yamux only).

p2pd ends when this program does, however that ends. Its socket is in the working directory.
"""

import asyncio
import ctypes
import json
import re
import signal
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from icn.kernel import varint
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import Host, Multiaddr
from icn.protocol.libp2p.protobuf import Message, bytes_field, number_field

HERE = Path(__file__).resolve().parent
ECHO, PING = "/icn/test/echo/1", "/ipfs/ping/1.0.0"
PING_BYTES = 32
CHUNK_BYTES = 1 << 16
PATIENCE_S = 30
LOOPBACK = "127.0.0.1"
DEATH_OF_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""

OPTIONS = (
    *("-hostAddrs", f"/ip4/{LOOPBACK}/tcp/0"),
    *("-noise=true", "-tls=false", "-quic=false", "-muxer=yamux", "-relay=false", "-relayDiscovery=false"),
    *("-dhtServer", "-pubsub", "-pubsubSign=true", "-pubsubSignStrict=true", "-pubsubRouter=gossipsub"),
)

# Requests by type, and the field in which each has its parameters.
IDENTIFY, CONNECT, STREAM_OPEN, STREAM_HANDLER, DHT, PUBSUB = 0, 1, 2, 3, 4, 8
PARAMETERS = {CONNECT: 2, STREAM_OPEN: 3, STREAM_HANDLER: 4, DHT: 5, PUBSUB: 8}
PS_LIST_PEERS, PS_PUBLISH, PS_SUBSCRIBE = 1, 2, 3
DHT_FIND_PEER = 0


def tell(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def version() -> str:
    """Of the wheel. It does not say which go-libp2p is in it."""
    found = re.search(r"^hivemind==(\S+)", (HERE / "requirements.lock").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError("the lock names no version")
    return found[1]


async def read_delimited(reader: StreamReader) -> Message:
    length = shift = 0
    while True:
        [byte] = await reader.readexactly(1)
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return Message(await reader.readexactly(length))


async def given(reader: StreamReader) -> Message:
    """The answer to a request, which must be a good one."""
    answer = await read_delimited(reader)
    if answer.number(1):
        raise RuntimeError((Message(answer.byte_string(2) or b"").byte_string(1) or b"").decode())
    return answer


def delimited(message: bytes) -> bytes:
    return varint.encode(len(message)) + message


class Node:
    """p2pd, as its control socket has it."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._tasks: set[asyncio.Task[None]] = set()
        self._here = Multiaddr.make(Host.IP4, LOOPBACK, 1)
        self._serving: dict[str, Callable[[StreamReader, StreamWriter], Coroutine[Any, Any, None]]] = {}

    async def start(self) -> None:
        server = await asyncio.start_server(self._streamed, LOOPBACK, 0)
        self._here = Multiaddr.make(Host.IP4, LOOPBACK, server.sockets[0].getsockname()[1])
        await self._serve(ECHO, echo)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def asked(self, kind: int, parameters: bytes = b"") -> tuple[Message, StreamReader, StreamWriter]:
        """Ask, over a connection of its own, which goes on as the stream or the subscription that was asked for."""
        reader, writer = await asyncio.open_unix_connection(self._control)
        field = PARAMETERS.get(kind)
        request = number_field(1, kind) + (bytes_field(field, parameters) if field else b"")
        writer.write(delimited(request))
        return await given(reader), reader, writer

    async def told(self, kind: int, parameters: bytes = b"") -> Message:
        answer, _, writer = await self.asked(kind, parameters)
        writer.close()
        return answer

    async def own(self) -> tuple[str, str]:
        """Its peer id, and one address."""
        said = Message((await self.told(IDENTIFY)).byte_string(4) or b"")
        peer = PeerId.from_multihash(said.byte_string(1) or b"")
        return str(peer), str(Multiaddr.from_bytes(said.byte_strings(2)[0]).with_peer(peer))

    async def _streamed(self, reader: StreamReader, writer: StreamWriter) -> None:
        """p2pd calls here for each stream that somebody opened to a protocol that is served."""
        info = await read_delimited(reader)
        await self._serving[(info.byte_string(3) or b"").decode()](reader, writer)
        writer.close()

    async def _serve(self, protocol: str, serve: Callable[[StreamReader, StreamWriter], Any]) -> None:
        self._serving[protocol] = serve
        handler = bytes_field(1, self._here.to_bytes()) + bytes_field(2, protocol.encode()) + number_field(3, 0)
        await self.told(STREAM_HANDLER, handler)

    async def _reach(self, address: str) -> PeerId:
        to = Multiaddr.parse(address)
        if to.peer is None:
            raise RuntimeError("the address names no peer")
        where = bytes_field(1, to.peer.multihash) + bytes_field(2, to.without_peer().to_bytes())
        await self.told(CONNECT, where)
        return to.peer

    async def _opened(self, to: PeerId, protocol: str) -> tuple[StreamReader, StreamWriter]:
        wanted = bytes_field(1, to.multihash) + bytes_field(2, protocol.encode())
        _, reader, writer = await self.asked(STREAM_OPEN, wanted)
        return reader, writer

    async def _exchanged(self, to: PeerId, protocol: str, sent: bytes) -> bytes:
        """What comes back for what is sent, as much of it."""
        reader, writer = await self._opened(to, protocol)

        async def write() -> None:
            for at in range(0, len(sent), CHUNK_BYTES):
                writer.write(sent[at : at + CHUNK_BYTES])
                await writer.drain()

        writing = asyncio.create_task(write())
        got = await reader.readexactly(len(sent))
        await writing
        writer.close()
        return got

    async def _echoed(self, to: PeerId, count: int) -> bool:
        sent = (bytes(at * 31 & 255 for at in range(256)) * (count // 256 + 1))[:count]
        return await self._exchanged(to, ECHO, sent) == sent

    async def dial(self, address: str) -> dict[str, Any]:
        await self._reach(address)
        return {}

    async def ping(self, address: str) -> dict[str, Any]:
        to, clock = await self._reach(address), asyncio.get_running_loop().time
        sent, began = bytes(range(PING_BYTES)), clock()
        if await self._exchanged(to, PING, sent) != sent:
            raise RuntimeError("another ping came back")
        return {"ms": (clock() - began) * 1000}

    async def echo(self, address: str, count: int) -> dict[str, Any]:
        return {"same": await self._echoed(await self._reach(address), count)}

    async def echoes(self, address: str, streams: int) -> dict[str, Any]:
        to = await self._reach(address)
        return {"same": all(await asyncio.gather(*(self._echoed(to, 200) for _ in range(streams))))}

    async def hold(self, address: str) -> dict[str, Any]:
        """A stream, whose end tells that the other is gone: nothing else does."""
        to = await self._reach(address)
        reader, writer = await self._opened(to, ECHO)

        async def held() -> None:
            await reader.read()
            writer.close()
            tell({"event": "disconnect", "peer": str(to)})

        self.begin(held())
        return {}

    async def serve(self, protocol: str) -> dict[str, Any]:
        await self._serve(protocol, nothing)
        return {}

    async def subscribe(self, topic: str) -> dict[str, Any]:
        _, reader, writer = await self.asked(PUBSUB, pubsub(PS_SUBSCRIBE, topic))

        async def read() -> None:
            while not reader.at_eof():
                message = await read_delimited(reader)
                author, data = message.byte_string(1) or b"", message.byte_string(2) or b""
                heard = {"topic": (message.byte_string(4) or b"").decode(), "data": data.decode()}
                tell({"event": "message", "from": str(PeerId.from_multihash(author))} | heard)
            writer.close()

        self.begin(read())
        return {}

    async def publish(self, topic: str, data: str) -> dict[str, Any]:
        await self.told(PUBSUB, pubsub(PS_PUBLISH, topic) + bytes_field(3, data.encode()))
        return {}

    async def listening(self, topic: str) -> dict[str, Any]:
        said = Message((await self.told(PUBSUB, pubsub(PS_LIST_PEERS, topic))).byte_string(7) or b"")
        return {"peers": [str(PeerId.from_multihash(one)) for one in said.byte_strings(2)]}

    async def find(self, peer: str) -> dict[str, Any]:
        wanted = number_field(1, DHT_FIND_PEER) + bytes_field(2, PeerId.parse(peer).multihash)
        said = Message((await self.told(DHT, wanted)).byte_string(5) or b"")
        found = Message(said.byte_string(2) or b"")
        return {"addresses": [str(Multiaddr.from_bytes(one)) for one in found.byte_strings(2)]}

    async def obey(self, command: dict[str, Any]) -> None:
        number, name = command.pop("number"), command.pop("name")
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await getattr(self, name)(**command)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test that asked is told
            tell({"answer": number, "ok": False, "error": repr(error)})
        else:
            tell({"answer": number, "ok": True, **answer})


def pubsub(kind: int, topic: str) -> bytes:
    return number_field(1, kind) + bytes_field(2, topic.encode())


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def nothing(_reader: StreamReader, _writer: StreamWriter) -> None:
    """A protocol that ends each stream at once."""


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGKILL)


async def main() -> None:
    control = Path.cwd() / "control"
    program = (str(HERE / "unpacked" / "p2pd"), "-listen", f"/unix{control}", *OPTIONS)
    daemon = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE, preexec_fn=die_with_parent)
    if daemon.stdout is None or not await daemon.stdout.readline():  # it speaks when the socket is there
        raise RuntimeError("p2pd did not start")
    node = Node(control)
    await node.start()
    peer, address = await node.own()
    tell({"event": "ready", "peer": peer, "addresses": [address], "version": version()})
    commands = StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async for line in commands:
        node.begin(node.obey(json.loads(line)))
    await node.stop()
    daemon.kill()
    await daemon.wait()


if __name__ == "__main__":
    asyncio.run(main())
