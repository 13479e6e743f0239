"""What an attacker has: a bare socket, and below the rules of our machines, the ciphers of a finished handshake."""

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner, Signer
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.multistream import HEADER as MULTISTREAM
from icn.protocol.libp2p.multistream import line
from icn.protocol.libp2p.noise import Role
from icn.protocol.libp2p.ping import PING
from icn.protocol.libp2p.secure_channel import Keys, SecureChannel
from icn.protocol.libp2p.upgrade import Upgrade
from icn.protocol.libp2p.yamux import HEADER

PATIENCE_S = 10
TESTS = Path(__file__).resolve().parents[1]
"""For `socket.settimeout`: a node that neither answers nor closes by then has failed."""


class Victim:
    """A node under attack, in a process of its own."""

    def __init__(self, address: Multiaddr, pid: int) -> None:
        self.address = address
        self.pid = pid

    @property
    def peer(self) -> PeerId:
        assert self.address.peer
        return self.address.peer

    def rss(self) -> int:
        """Bytes of memory it has now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def files(self) -> int:
        """Open file descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def connect(self) -> socket.socket:
        return socket.create_connection((self.address.host, self.address.port), timeout=PATIENCE_S)


class Server(Victim):
    """The network of a node and nothing else, started for the test."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.libp2p_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS,
        )
        assert self.process.stdout
        super().__init__(Multiaddr.parse(self.process.stdout.readline().strip()), self.process.pid)

    def state(self) -> dict[str, Any]:
        """See `libp2p_server.state`."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("state\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert "FAULT" not in line, line
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> str:
        """End it, as its operator would; gives what it printed."""
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        return said


def closed_by_peer(sock: socket.socket) -> bool:
    """Read until the other side closes; False when it does not within `PATIENCE_S`."""
    try:
        while sock.recv(65_536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


class Session:
    """A connection past its handshake, whose frames are whatever the test wants."""

    def __init__(self, server: Victim, signer: Signer | None = None) -> None:
        self.sock = server.connect()
        keys = Keys(signer or SeedSigner(os.urandom(32)), os.urandom(32), os.urandom(32))
        upgrade = Upgrade(Role.INITIATOR, keys, ConnectionLimits(), expected=server.peer, early_muxer=True)
        self.sock.sendall(upgrade.start())
        while upgrade.result is None:
            data = self.sock.recv(65_536)
            if not data:
                raise ConnectionError("closed during the handshake")
            self.sock.sendall(upgrade.receive(data))
        self.channel: SecureChannel = upgrade.result.channel
        self.plain = b"".join(upgrade.result.rest)
        self.next_stream = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, plaintext: bytes) -> None:
        self.sock.sendall(self.channel.encrypt(plaintext))

    def frame(self, kind: int, flags: int, stream: int, length: int, body: bytes = b"", version: int = 0) -> None:
        self.send(HEADER.pack(version, kind, flags, stream, length) + body)

    def data(self, stream: int, body: bytes, flags: int = 0) -> None:
        self.frame(0, flags, stream, len(body), body)

    def open(self, protocol: str) -> int:
        """A stream with its proposal sent; the answer is not waited for."""
        stream = self.next_stream
        self.next_stream += 2
        self.frame(1, 1, stream, 0)
        self.data(stream, line(MULTISTREAM) + line(protocol.encode()))
        return stream

    def read(self) -> bool:
        """Take what has come; False at the end of the connection."""
        data = self.sock.recv(65_536)
        self.plain += b"".join(self.channel.decrypt(data))
        return bool(data)

    def frames(self) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Frames of the server: type, flags, stream, length, body. Ends with the connection."""
        while True:
            while len(self.plain) < HEADER.size:
                if not self.read():
                    return
            _, kind, flags, stream, length = HEADER.unpack_from(self.plain)
            self.plain = self.plain[HEADER.size :]
            body = b""
            if kind == 0:
                while len(self.plain) < length:
                    if not self.read():
                        return
                body, self.plain = self.plain[:length], self.plain[length:]
            yield kind, flags, stream, length, body

    def until_reset(self, stream: int) -> bool:
        """Whether the server resets the stream before it closes the connection."""
        return any(number == stream and flags & 8 for _, flags, number, _, _ in self.frames())

    def body_of(self, stream: int, count: int) -> bytes:
        """The first `count` bytes on the stream."""
        got = b""
        for kind, _, number, _, body in self.frames():
            if kind == 0 and number == stream:
                got += body
                if len(got) >= count:
                    return got[:count]
        return got

    def closed(self) -> bool:
        return closed_by_peer(self.sock)


def honest_ping(server: Victim) -> bool:
    """A fresh peer connects, agrees on ping and gets its echo."""
    with Session(server) as session:
        stream = session.open(PING)
        agreed = line(MULTISTREAM) + line(PING.encode())
        payload = os.urandom(32)
        session.data(stream, payload)
        return session.body_of(stream, len(agreed) + 32) == agreed + payload


def reset_hard(sock: socket.socket) -> None:
    """Close with RST, so that repeated reconnects leave no TIME_WAIT behind."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextmanager
def attacked(server: Server) -> Iterator[None]:
    """Whatever happens inside, afterwards the node lives and serves an honest peer."""
    yield
    assert server.process.poll() is None, "the node died"
    assert honest_ping(server), "the node is deaf"


@contextmanager
def watched(server: Server, growth_max: int) -> Iterator[None]:
    """Over all that happens inside the node's memory grows by no more than `growth_max` bytes, it holds no files more
    than before, and no bug reaches its event loop. It is ended."""
    memory, files = server.rss(), server.files()
    yield
    assert honest_ping(server)
    grown, left = server.rss() - memory, server.files() - files
    said = server.stop()
    print(f"\nmemory grew by {grown / 1e6:.1f} MB, to {(memory + grown) / 1e6:.1f} MB; {left} files more than before")
    assert "FAULT" not in said
    assert server.process.returncode == 0
    assert grown < growth_max
    assert left <= 2, "connections leak"
