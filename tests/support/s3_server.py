"""An S3 service in a process of its own, and a line to it that can be cut."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from icn.adapters.backup.settings import S3Settings
from icn.protocol.backoff import RetrySettings
from icn.protocol.breaker import BreakerSettings

BUCKET = "backups"
SERVING = Path(__file__).with_name("s3_serving.py")
STOP_SECS_MAX = 10.0
BUSY = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running service with one empty bucket."""

    port: int
    key: str
    secret: str
    process: "subprocess.Popen[str]"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(
        self, *, prefix: str = "", bucket: str = BUCKET, secret: str | None = None, endpoint: str | None = None
    ) -> S3Settings:
        """What a target needs to use the service."""
        return S3Settings(
            bucket=bucket,
            prefix=prefix,
            endpoint=endpoint or self.endpoint,
            region="us-east-1",
            access_key_id=self.key,
            secret_access_key=self.secret if secret is None else secret,
            retry=RetrySettings(3, 20, 100),
            breaker=BreakerSettings(3, 500),
        )

    def kill(self) -> None:
        """It is gone, without a word."""
        self.process.kill()
        self.process.wait()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A service for the length of a `with`."""
    process = subprocess.Popen(
        [sys.executable, str(SERVING), BUCKET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        stdout = process.stdout
        assert stdout is not None
        said = json.loads(stdout.readline())
        yield S3Server(said["port"], said["key"], said["secret"], process)
    finally:
        process.kill()
        process.wait(STOP_SECS_MAX)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


class Line:
    """A TCP line to a server: it can answer "busy" for a while, and break for good after so many bytes upwards."""

    def __init__(self, port: int, *, busy_first: int = 0, breaks_after: int | None = None) -> None:
        self._to = port
        self._busy = busy_first
        self._left = breaks_after
        self._guard = threading.Lock()
        self._open: list[socket.socket] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Nobody gets through any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._guard:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with self._guard:
            busy, self._busy = self._busy > 0, max(0, self._busy - 1)
        with suppress(OSError):
            if busy:
                near.recv(65536)
                near.sendall(BUSY)
                near.close()
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            with self._guard:
                self._open += [near, far]
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()
            self._carry(near, far, True)

    def _carry(self, source: socket.socket, sink: socket.socket, upwards: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if upwards and self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        self.close()
                        return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
