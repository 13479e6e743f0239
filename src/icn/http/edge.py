"""What every request passes, as one plain ASGI layer: correlation id, key, body within bounds, access log, counting.

```
 id ─> key (but for probes) ─> the whole body, within bytes and seconds ─> route ─> answer bears the id; logged; counted
```

The body is read here, whole, before any route sees it: a request that is too long is refused before it is held, and one
without a key before it is read. `/api/v1` is taken off the path here, so that there is one route table.
"""

import asyncio
import hashlib
import hmac
import os
import time
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from icn.http.browsers import check_page
from icn.http.ports import NodeApi
from icn.http.problems import BodyOverdue, BodyTooLarge, Disconnected, KeyNeeded, Unparsable, answering
from icn.http.settings import HttpSettings

log = structlog.get_logger("icn.http")

PREFIX = "/api/v1"
OPEN_PATHS = frozenset(("/health", "/ready"))
"""Probes bear no key."""
CONTENT_PATHS = frozenset(("/dag/put",))
"""Whose bodies carry content."""
STREAMED_PATHS = frozenset(("/dag/import", "/admin/restore"))
"""Whose bodies are not held: their handlers read them piece by piece, within bounds."""
CORRELATION_CHARS_MAX = 128
_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/")
NO_ROUTE = "(none)"
"""The route of requests that met none, in logs and metrics."""
SINGLE_HEADERS = (
    b"x-api-key",
    b"authorization",
    b"idempotency-key",
    b"content-type",
    b"content-length",
    b"host",
    b"origin",
)
"""Headers that mean nothing when they are given twice."""


@dataclass(slots=True)
class Edge:
    """The layer. One per application."""

    app: ASGIApp
    node: NodeApi
    settings: HttpSettings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        begun = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        correlation = correlation_of(headers.get(b"x-correlation-id", b""))
        scope["state"] = {"correlation": correlation}
        path = scope["path"]
        if path.startswith(PREFIX + "/"):
            scope["path"] = path = path[len(PREFIX) :]
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [*message["headers"], (b"x-correlation-id", correlation.encode())]
            await send(message)

        async def serving(scope: Scope, receive: Receive, send: Send) -> None:
            check_single(scope)
            if path not in OPEN_PATHS:
                check_key(headers, self.settings)
                if not self.settings.require_auth:
                    check_page(headers)
            given: Receive
            if path in STREAMED_PATHS:
                given = _Pieces(receive, self.settings.import_body_bytes_max, self.settings.body_seconds_max).receive
            else:
                given = _given(await self._body(path, headers, receive), receive)
            await self.app(scope, given, send)

        try:
            await answering(serving, scope, receive, sending, correlation=correlation)
        except Disconnected:
            status = 0
        finally:
            self._note(scope, correlation, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, correlation: str, status: int, seconds: float) -> None:
        route = scope["state"].get("route", NO_ROUTE)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self.node.metrics.observe_request(route=route, method=method, status=status, seconds=seconds)
        client = scope.get("client")
        tell = log.debug if route in OPEN_PATHS else log.info
        tell(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            client=client[0] if client else None,
            correlation_id=correlation,
        )

    async def _body(self, path: str, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length")
        if length is None and b"transfer-encoding" not in headers:
            return b""
        most = self.settings.content_body_bytes_max if path in CONTENT_PATHS else self.settings.body_bytes_max
        if length is not None and length.isdigit() and int(length[:20]) > most:
            raise BodyTooLarge(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.settings.body_seconds_max):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Disconnected
                    part = message.get("body", b"")
                    size += len(part)
                    if size > most:
                        raise BodyTooLarge(most)
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError as error:
            raise BodyOverdue(self.settings.body_seconds_max) from error


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def correlation_of(given: bytes) -> str:
    """The caller's correlation id where it is short and harmless, else a new one."""
    if 0 < len(given) <= CORRELATION_CHARS_MAX and _SAFE.issuperset(given):
        return given.decode("ascii")
    return os.urandom(12).hex()


def check_key(headers: dict[bytes, bytes], settings: HttpSettings) -> None:
    """Raise `KeyNeeded` unless the request bears the operator's key. Takes as long whatever the key is."""
    if not settings.require_auth:
        return
    given = headers.get(b"x-api-key")
    if given is None:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = token.strip() if scheme.lower() == b"bearer" else b""
    expected = settings.api_key_sha256
    # Digests are compared, so that neither length nor prefix of the key shows in the time it takes.
    if expected is None or not given or not hmac.compare_digest(hashlib.sha256(given).digest(), expected):
        raise KeyNeeded


def check_single(scope: Scope) -> None:
    """Raise `Unparsable` when a header that says one thing is there twice."""
    names = [name for name, _ in scope["headers"]]
    for name in SINGLE_HEADERS:
        if names.count(name) > 1:
            raise Unparsable(f"the header {name.decode()} is given more than once")


@dataclass(slots=True)
class _Pieces:
    """A body as it comes: bounded in bytes, and each piece in seconds."""

    source: Receive
    bytes_max: int
    seconds_max: int
    size: int = 0

    async def receive(self) -> Message:
        """The next piece. Raises `BodyTooLarge`, `BodyOverdue`, `Disconnected`."""
        try:
            async with asyncio.timeout(self.seconds_max):
                message = await self.source()
        except TimeoutError as error:
            raise BodyOverdue(self.seconds_max) from error
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.size += len(message.get("body", b""))
        if self.size > self.bytes_max:
            raise BodyTooLarge(self.bytes_max)
        return message


def _given(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, then whatever comes."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receiving
