"""A TCP relay before a server, which can cut a connection at a chosen sign of the client's."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Relays every connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sign = b""
        self._forwarded = False
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._sockets:
            _close(end)
        for thread in self._threads:
            thread.join(10)

    def cut_at(self, sign: bytes, *, forwarded: bool) -> None:
        """End the next connection that sends `sign`: before the server sees it, or after it has answered, unheard."""
        self._forwarded = forwarded
        self._sign = sign

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            muted = threading.Event()
            for relay in (self._to_server, self._to_client):
                thread = threading.Thread(target=relay, args=(client, server, muted), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _to_server(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK_BYTES):
                if self._sign and self._sign in data:
                    self._sign = b""
                    muted.set()
                    if self._forwarded:
                        server.sendall(data)
                        return  # the other direction ends both when the server has answered
                    break
                server.sendall(data)
        _close(server)
        _close(client)

    def _to_client(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK_BYTES):
                if muted.is_set():
                    break
                client.sendall(data)
        _close(client)
        _close(server)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
