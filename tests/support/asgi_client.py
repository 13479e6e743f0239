"""An HTTP client that calls an ASGI application in this process: no sockets, no threads, nothing to wait for.

It sends exactly the bytes and headers it is given, so that a test can also send what no proper client would.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.types import ASGIApp, Message, Scope

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_problem(self) -> bool:
        return self.headers.get("content-type") == "application/problem+json"


def scope_of(method: str, target: str, headers: Headers) -> Scope:
    parts = urlsplit(target)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": parts.path,
        "raw_path": quote(parts.path).encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
    }


@dataclass(slots=True)
class Client:
    app: ASGIApp
    key: str | None = None

    def headers(self, extra: dict[str, str] | None = None) -> Headers:
        found = {"host": "testing"}
        if self.key is not None:
            found["x-api-key"] = self.key
        found |= {name.lower(): value for name, value in (extra or {}).items()}
        return [(name.encode(), value.encode()) for name, value in found.items()]

    async def get(self, target: str, **headers: str) -> Answer:
        return await self.send("GET", target, headers=self.headers(_dashed(headers)))

    async def post(self, target: str, body: Any = None, **headers: str) -> Answer:
        if body is None:
            return await self.send("POST", target, headers=self.headers(_dashed(headers)))
        data = json.dumps(body).encode()
        extra = {"content-type": "application/json", "content-length": str(len(data))} | _dashed(headers)
        return await self.send("POST", target, headers=self.headers(extra), body=data)

    async def send(self, method: str, target: str, *, headers: Headers, body: bytes | list[bytes] = b"") -> Answer:
        parts = list(body) if isinstance(body, list) else [body]
        sent: list[Message] = []

        async def receive() -> Message:
            if parts:
                return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope_of(method, target, headers), receive, send)
        start = sent[0]
        data = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(start["status"], {k.decode(): v.decode() for k, v in start["headers"]}, data)

    @asynccontextmanager
    async def stream(self, target: str, **headers: str) -> AsyncIterator["Stream"]:
        """A GET whose answer has no end; leaving disconnects."""
        stream = Stream()

        async def serve() -> None:
            await self.app(scope_of("GET", target, self.headers(_dashed(headers))), stream.receive, stream.send)

        task = asyncio.create_task(serve())
        try:
            yield stream
        finally:
            stream.gone.set()
            await asyncio.wait_for(task, 5)


class Stream:
    """What arrives of an answer while it is being sent."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.arrived: asyncio.Queue[Message] = asyncio.Queue(maxsize=10_000)
        self._rest = b""

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.arrived.put(message)

    async def status(self) -> int:
        message = await asyncio.wait_for(self.arrived.get(), 5)
        status: int = message["status"]
        return status

    async def event(self) -> dict[str, str] | None:
        """The next server-sent event; comments are passed over; None when the answer has ended."""
        while True:
            while b"\n\n" not in self._rest:
                message = await asyncio.wait_for(self.arrived.get(), 5)
                self._rest += message.get("body", b"")
                if not message.get("more_body", False):
                    return None
            part, _, self._rest = self._rest.partition(b"\n\n")
            if not part.startswith(b":"):
                lines = (line.partition(": ") for line in part.decode().split("\n"))
                return {name: value for name, _, value in lines}


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
