"""One operation of the API: how it is asked, what runs, how it is answered; and what a handler has in hand.

Bodies and queries are read by pydantic, strictly, from the very bytes: unknown fields, wrong types and anything that is
not JSON are refused before a handler sees them.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from icn.http.homes import home_addresses
from icn.http.ports import NodeApi
from icn.http.problems import NotJson, Unparsable, of_refused
from icn.http.rendering import rendered
from icn.http.settings import HttpSettings
from icn.kernel.ids import Did
from icn.kernel.limits import KIB, REQUEST_KEY_CHARS_MAX
from icn.services.answers import Done, Refused
from icn.services.commands import NodeCommand
from icn.services.queries.paging import Page
from icn.stores.kv import Reader

SLICE_BYTES = 64 * KIB

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


@dataclass(slots=True)
class Streams:
    """Answers that are read for long, each from a snapshot: how many there are now."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as a handler has it."""

    node: NodeApi
    settings: HttpSettings
    request: Request
    raw: bytes
    """The body."""
    streams: Streams
    """Those of this application."""

    @property
    def principal(self) -> Did:
        """Who asks. Whoever has the key is the operator, and the operator's principal is the node itself."""
        return self.node.did

    @property
    def correlation(self) -> str:
        """Ties together what this request causes."""
        text: str = self.request.scope["state"]["correlation"]
        return text

    def path(self, name: str) -> str:
        """A part of the path."""
        text: str = self.request.path_params[name]
        return text

    def body(self, model: type[Model]) -> Model:
        """The body as `model`.

        Raises `NotJson`, `Unparsable` for a name given twice, or pydantic's `ValidationError`.
        """
        content_type = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json" and not content_type.endswith("+json"):
            raise NotJson
        body = model.model_validate_json(self.raw)
        # Only now, when it is as flat as the model. The parser takes the last of several; whoever looked at the request
        # before it came here may have gone by the first.
        json.loads(self.raw, object_pairs_hook=_names_once)
        return body

    def query(self, model: type[Model]) -> Model:
        """The query as `model`. Raises `Unparsable` for a name given twice, or pydantic's `ValidationError`."""
        pairs = self.request.query_params.multi_items()
        query = dict(pairs)
        if len(query) != len(pairs):
            raise Unparsable("a query parameter is given more than once")
        return model.model_validate(query)

    @contextmanager
    def committed(self) -> Iterator[Reader]:
        """Committed data, for the length of a `with`."""
        snapshot = self.node.snapshot()
        try:
            yield snapshot
        finally:
            snapshot.close()

    async def read_aside(self, read: Callable[[Reader], Result]) -> Result:
        """What `read` makes of committed data, on another thread: for reads of many rows."""

        def reading() -> Result:
            with self.committed() as reader:
                return read(reader)

        return await asyncio.to_thread(reading)

    async def submit(self, command: NodeCommand, status: int = HTTPStatus.OK) -> Response:
        """Have the engine decide, and answer with what it said."""
        key = self._request_key()
        digest = b""
        if key:
            asked = f"{self.request.method} {self.request.url.path}\n".encode() + self.raw
            digest = hashlib.sha256(asked).digest()
        answer = await self.node.submit(
            command, principal=self.principal, key=key, digest=digest, correlation=self.correlation
        )
        return answered(answer.body, status) if isinstance(answer, Done) else self.refuse(answer)

    def refuse(self, answer: Refused) -> Response:
        """The engine's refusal as an answer."""
        return of_refused(answer, self.correlation, beside=home_addresses(answer, self.node.peers()))

    def _request_key(self) -> str:
        key = self.request.headers.get("idempotency-key", "")
        if key and (len(key) > REQUEST_KEY_CHARS_MAX or not all("!" <= char <= "~" for char in key)):
            raise Unparsable(f"an Idempotency-Key has 1 to {REQUEST_KEY_CHARS_MAX} visible ASCII characters")
        return key


def _names_once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(dict.fromkeys(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Unparsable(f"the body gives {twice!r} more than once")


@dataclass(frozen=True, slots=True)
class Operation:
    """A line of the route table."""

    method: str
    path: str
    run: Callable[[Call], Awaitable[Response]]
    summary: str
    answer: type | dict[str, Any]
    """The dataclass that is rendered, or a JSON Schema."""
    status: int = HTTPStatus.OK
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    writes: bool = False
    """Takes an `Idempotency-Key`."""
    media_type: str = "application/json"
    is_open: bool = False
    body_media_type: str = "application/json"
    streams: bool = False
    """Whether the handler reads the body itself, piece by piece; `http.edge` knows such paths as well."""
    also: dict[int, str] = field(default_factory=dict)
    """Other statuses with their meaning, beyond those every route has."""


def answered(body: Any, status: int = HTTPStatus.OK) -> Response:
    """A JSON answer."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(data, status_code=status, media_type="application/json")


def sliced(data: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """Bytes of a content block, sent in slices: a slow client does not get all of them into its socket's buffer."""

    async def slices() -> AsyncIterator[memoryview]:
        whole = memoryview(data)
        for start in range(0, len(data), SLICE_BYTES):
            yield whole[start : start + SLICE_BYTES]

    length = {"content-length": str(len(data))}
    return StreamingResponse(slices(), media_type=media_type, headers={**headers, **length})


def shown(value: Any) -> Response:
    """A view as JSON."""
    return answered(rendered(value))


def paged(page: Page[Any]) -> Response:
    """A page as JSON."""
    return answered({"items": [rendered(item) for item in page.items], "next_cursor": page.next_cursor})
