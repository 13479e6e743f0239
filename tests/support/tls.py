"""TLS before a server that has none: a server's side made of PEM, and a proxy such as an operator would run."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HANDSHAKE_SECS_MAX = 10.0
PIECE_BYTES = 64 * 1024


def server_side(folder: Path, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """A server that proves itself by this; both are left in `folder` as `server.pem` and `server.key`."""
    (folder / "server.pem").write_bytes(certificate)
    (folder / "server.key").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


@contextmanager
def tls_before(address: str, tls: ssl.SSLContext) -> Iterator[str]:
    """A proxy before the server at `address`, `host:port`; where it listens, the same way. Gone afterwards."""
    host, _, port = address.rpartition(":")
    open_sockets: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            raw.settimeout(HANDSHAKE_SECS_MAX)
            with (
                tls.wrap_socket(raw, server_side=True) as client,
                socket.create_connection((host, int(port))) as server,
            ):
                open_sockets.extend((client, server))
                client.settimeout(None)
                back = threading.Thread(target=_carry, args=(server, client), daemon=True)
                back.start()
                _carry(client, server)
                back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for one in open_sockets:
            _hang_up(one)


def _carry(source: socket.socket, to: socket.socket) -> None:
    """Until one of both ends; then neither has more to say."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            to.sendall(piece)
    _hang_up(to)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
