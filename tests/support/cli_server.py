"""A small real HTTP server that answers as told and remembers what it was asked, and a command line to run at it."""

import io
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from icn.cli.endings import Exit
from icn.cli.main import run
from icn.cli.world import World

SILENCE_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Reply:
    """What to answer, or in which way not to."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False
    """Close the connection instead."""
    silent: bool = False
    """Say nothing until the server is closed."""
    missing_bytes: int = 0
    """Announce so many bytes more than are sent."""
    raw: bytes = b""
    """Send this in place of HTTP."""


def answer(document: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def problem(status: int, code: str, detail: str, **headers: str) -> Reply:
    document = {
        "type": "about:blank",
        "title": "Problem",
        "status": status,
        "detail": detail,
        "code": code,
        "correlation_id": "corr-7",
        "error": detail,
    }
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/problem+json", **named})


def stream(*parts: str) -> Reply:
    """A stream of events that ends behind the parts."""
    return Reply(200, "".join(parts).encode(), {"Content-Type": "text/event-stream"})


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class NodeDouble:
    """Answers from a list per route; the last answer of a list is given again and again."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self.closing = threading.Event()
        self._replies: dict[tuple[str, str], list[Reply]] = {}

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self._replies[method, path] = list(replies)

    def reply_to(self, asked: Asked) -> Reply:
        if asked.path == "/health" and ("GET", "/health") not in self._replies:
            return answer({"status": "ok"})  # whether a node is there is asked before; it is not what was asked for
        self.asked.append(asked)
        replies = self._replies.get((asked.method, asked.path))
        if not replies:
            return problem(404, "http.no_route", f"the double knows no {asked.method} {asked.path}")
        return replies.pop(0) if len(replies) > 1 else replies[0]

    @property
    def requests(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[NodeDouble]:
    """A server on a port of the system's choice, gone afterwards. `tls`: its side, where it speaks TLS."""
    node = NodeDouble()

    class Answering(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = node.reply_to(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
            self.close_connection = True
            if reply.silent:
                node.closing.wait(SILENCE_SECONDS_MAX)
            if reply.hang_up or reply.silent:
                return
            if reply.raw:
                self.wfile.write(reply.raw)
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.headers.get("Content-Type") != "text/event-stream":
                self.send_header("Content-Length", str(len(reply.body) + reply.missing_bytes))
            self.end_headers()
            self.wfile.write(reply.body)

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    if tls is not None:  # an accepted connection shakes hands first; one that fails to is dropped
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    node.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    try:
        yield node
    finally:
        node.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Ran:
    """What a command line left behind."""

    status: Exit
    out: bytes
    err: str
    pauses: list[float]

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


class CommandLine:
    """Runs `icn-cli` in this process, in a world where nothing waits and chance counts up."""

    def __init__(self, url: str = "http://127.0.0.1:1") -> None:
        self.environ: dict[str, str] = {"ICN_NODE_URL": url}
        self.draws = False
        self.interrupt_after: int | None = None
        """Ctrl-C in the so-manieth pause."""
        self.chance: Callable[[int], bytes] | None = None
        """In place of the one that counts up."""

    def __call__(self, *argv: object, stdin: bytes = b"") -> Ran:
        out, err = io.BytesIO(), io.BytesIO()
        pauses: list[float] = []
        drawn = iter(range(256))

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if self.interrupt_after is not None and len(pauses) >= self.interrupt_after:
                raise KeyboardInterrupt

        world = World(
            environ=lambda: self.environ,
            stdin=io.BytesIO(stdin),
            stdout=out,
            stderr=err,
            pause=pause,
            random=self.chance or (lambda count: bytes([next(drawn)]) * count),
            terminal_columns=80 if self.draws else None,
        )
        status = run([str(word) for word in argv], world)
        return Ran(status, out.getvalue(), err.getvalue().decode(), pauses)
