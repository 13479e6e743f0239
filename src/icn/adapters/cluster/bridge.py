"""The bridge: the one process that is a driver of Ray, between the node and the cluster.

It is a process of its own because of what Ray does to the process that it is loaded into: it takes its settings from
the environment, starts threads and servers, opens whatever objects others send, and ends the process when the cluster's
head is gone for long. The node's process has the node's key, and must go on.

Started by `bridge_process` with Ray's settings as its whole environment, and one descriptor: a socket on standard
input. It ends when the node closes that or ends.
"""

import asyncio
import socket
import sys
from collections.abc import Callable

import ray

from icn.adapters.cluster import bounds, messages
from icn.adapters.cluster.foreman import Foreman
from icn.adapters.cluster.knocking import knock
from icn.adapters.cluster.messages import Alive, Begin, Hello, Reached, Stop, ToNode, Unreachable
from icn.adapters.cluster.ray_cluster import RayCluster
from icn.adapters.cluster.settings import address_of
from icn.adapters.wasm import hardening
from icn.kernel.errors import Invalid


def main() -> int:
    """Serve the socket on standard input."""
    hardening.die_with_parent()
    channel = socket.socket(fileno=0)
    hello = _first_message(channel)
    if why := knock(hello.host, hello.port, hello.tls):
        channel.sendall(messages.framed(Unreachable(why)))
        return 1
    try:
        ray.init(
            address_of(hello.host, hello.port), log_to_driver=False, configure_logging=False, logging_level="error"
        )
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        channel.sendall(messages.framed(Unreachable(f"{type(error).__name__}: {error}"[: bounds.WHY_CHARS_MAX])))
        return 1
    channel.sendall(messages.framed(Reached()))
    try:
        asyncio.run(_serve(channel, hello))
    finally:
        ray.shutdown()
    return 0


async def _serve(channel: socket.socket, hello: Hello) -> None:
    channel.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=channel)

    def tell(message: ToNode) -> None:
        writer.write(messages.framed(message))

    foreman = Foreman(RayCluster(hello.terms), hello.terms, tell)
    living = asyncio.ensure_future(foreman.live())
    breathing = asyncio.ensure_future(_breathe(tell))
    hearing = asyncio.ensure_future(_hear(reader, foreman))
    await asyncio.wait((living, breathing, hearing), return_when=asyncio.FIRST_COMPLETED)
    if hearing.done() and not hearing.cancelled() and hearing.exception() is None:
        await foreman.end()  # the node has hung up
    for task in (hearing, breathing, living):
        task.cancel()
    ended = await asyncio.gather(living, breathing, hearing, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result


async def _breathe(tell: Callable[[ToNode], None]) -> None:
    while True:
        tell(Alive())
        await asyncio.sleep(bounds.ALIVE_EVERY_S)


async def _hear(reader: asyncio.StreamReader, foreman: Foreman) -> None:
    """Do what the node says, until it hangs up."""
    while True:
        try:
            size, number = messages.header(await reader.readexactly(messages.HEADER_BYTES))
            message = messages.message_of(number, await reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        match message:
            case Begin():
                foreman.begin(message)
            case Stop(execution):
                foreman.stop(execution)
            case _:
                raise Invalid("message", f"{type(message).__name__} is not the node's to say")


def _first_message(channel: socket.socket) -> Hello:
    size, number = messages.header(_exactly(channel, messages.HEADER_BYTES))
    message = messages.message_of(number, _exactly(channel, size))
    if not isinstance(message, Hello):
        raise Invalid("message", f"{type(message).__name__} instead of Hello")
    return message


def _exactly(channel: socket.socket, size: int) -> bytes:
    return channel.recv(size, socket.MSG_WAITALL)


if __name__ == "__main__":
    sys.exit(main())
