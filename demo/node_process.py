"""One real icn-node process: started, found, asked, killed, stopped. Shared by the demo and the tests of processes."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from pathlib import Path
from typing import Any

from icn.cli.devnet.announcements import Announced
from icn.cli.devnet.launching import loopback_flags

NODE = Path(sys.executable).with_name("icn-node")
START_SECS_MAX = 30.0
LOG_LINES_KEPT = 2000


class NodeError(Exception):
    """The process did not do what it should; the message ends with what it last said."""


class NodeProcess:
    """A node on loopback with SQLite in a folder of its own. Ports are the system's choice, and kept over restarts."""

    def __init__(self, name: str, folder: Path, *flags: str, api_key: str = "demonstration-key") -> None:
        self.name = name
        self.folder = folder
        self.flags = flags
        self.api_key = api_key
        self.cwd: Path | None = None
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[str] | None = None
        self.http = ""
        self.p2p = ""
        self.did = ""
        self.log: deque[str] = deque(maxlen=LOG_LINES_KEPT)
        self._announced = Announced()
        self._ready = threading.Event()
        self._ended = threading.Event()

    def start(self, *more_flags: str) -> "NodeProcess":
        """Start, and wait until it says that it is ready."""
        self.launch(*more_flags)
        self._ready.wait(START_SECS_MAX)
        if self._ended.is_set() or not self._ready.is_set():
            self.kill()
            raise NodeError(f"{self.name} did not become ready:\n{self.last_words()}")
        return self

    def command(self) -> list[str]:
        """The command line, but for the flags of this start."""
        key_file = self.folder / "api-key"
        key_file.write_text(self.api_key)
        key_file.chmod(0o600)
        flags = loopback_flags(self.folder, key_file, backend="sqlite", http=self.http, p2p=self.p2p)
        return [str(NODE), *flags, *self.flags]

    def launch(self, *more_flags: str) -> None:
        """Start, and wait for nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ICN_")}
        self._announced = Announced()
        self._ready.clear()
        self._ended.clear()
        self.process = subprocess.Popen(  # noqa: S603 - our own program, our own flags
            [*self.command(), *more_flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | self.environment,
            cwd=self.cwd,
        )
        threading.Thread(target=self._read_log, args=(self.process,), daemon=True).start()

    @property
    def is_ready(self) -> bool:
        """Whether it has said so since its start."""
        return self._ready.is_set() and not self._ended.is_set()

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        stderr = process.stderr
        if stderr is not None:
            with stderr:
                for line in stderr:
                    self._hear(line)
        self._ended.set()
        self._ready.set()

    def _hear(self, line: str) -> None:
        self.log.append(line.rstrip("\n"))
        said = self._announced
        said.hear(line)
        self.http, self.did, self.p2p = said.http or self.http, said.did or self.did, said.p2p or self.p2p
        if said.is_ready:
            self._ready.set()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(list(self.log)[-15:])

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> Any:
        """One API call. Raises `NodeError` for anything but success."""
        status, answer = self.call(method, path, body, key=key)
        if status >= 300:
            raise NodeError(f"{self.name}: {method} {path} answered {status}: {answer}")
        return answer

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> tuple[int, Any]:
        """Status and decoded answer. Raises `OSError` when the node cannot be reached."""
        headers = {"x-api-key": self.api_key, "content-type": "application/json"}
        if key:
            headers["idempotency-key"] = key
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.http}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - loopback
                return response.status, _decoded(response.read(), response.headers.get("content-type", ""))
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read(), error.headers.get("content-type", ""))

    def kill(self) -> None:
        """SIGKILL: no time for anything."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self._ended.wait(5)

    def stop(self, within: float = 10.0) -> tuple[int, float]:
        """SIGTERM. Exit code and seconds it took; a node that does not stop is killed, and the code says so."""
        if self.process is None:
            return 0, 0.0
        begun = time.monotonic()
        self.process.terminate()
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._ended.wait(5)
        return code, time.monotonic() - begun


def _decoded(data: bytes, content_type: str) -> Any:
    return json.loads(data) if "json" in content_type else data


def base64_of(data: bytes) -> str:
    """Bytes as the API takes them."""
    return base64.b64encode(data).decode()


def wait_until(what: str, condition: Any, within: float = 30.0) -> Any:
    """The first true value `condition()` gives. Raises `NodeError` when there is none in time."""
    until = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise NodeError(f"{what}: not within {within:.0f} s")
        time.sleep(0.02)
