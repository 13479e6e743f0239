"""Records as server-sent events: everything behind a place, then what is committed, until there is a reason to end.

A stream reads pages from the store and waits for the next commit; what it is told by the node only wakes it. So nothing
is sent twice or missed, however slow the client is, and a client that comes back with `Last-Event-ID` goes on where it
was. Streams share the node's bound on followers.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse

from icn.http.operations import Call
from icn.http.rendering import rendered
from icn.kernel.limits import PAGE_ROWS_MAX
from icn.services.effects import Committed
from icn.services.queries import events
from icn.services.queries.events import EventFilter, EventView, Position
from icn.stores.kv import Reader

STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Feed:
    """What a stream tells."""

    wanted: EventFilter
    start: Callable[[Reader], tuple[Position, tuple[EventView, ...]]]
    """Behind which place it begins, and what comes before that."""
    end: Callable[[Reader], Any | None]
    """Whether nothing more will come: a view that is told as the event `end`, or None. Asked behind the last page."""


@dataclass(frozen=True, slots=True)
class _Read:
    events: tuple[EventView, ...]
    goes_on: Position | None
    """Where the next page begins."""
    end: Any | None


async def streamed(call: Call, feed: Feed) -> Response:
    """The stream as an answer."""
    following = _follow(call, feed)
    first = await anext(following)  # so that a refusal to follow is an answer, not a broken stream
    return StreamingResponse(_with_first(first, following), media_type=STREAM, headers={"cache-control": "no-store"})


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


async def _follow(call: Call, feed: Feed) -> AsyncIterator[bytes]:
    async with call.node.follow() as news:
        # Following began before the first page is read: what is committed in between is in the page or wakes us.
        position, backlog = await call.read_aside(feed.start)
        yield b": following\n\n"
        for event in backlog:
            yield _written(event)
        while True:
            read = await call.read_aside(_reading(feed, position))
            for event in read.events:
                yield _written(event)
                position = events.position(event.id)
            if read.goes_on is not None:
                position = read.goes_on
                continue
            if read.end is not None:
                yield f"event: end\ndata: {_json(read.end)}\n\n".encode()
                return
            while not (woken := await _next_news(news, call.settings.heartbeat_seconds)):
                if woken is None:
                    return
                yield b": here\n\n"


def _reading(feed: Feed, after: Position) -> Callable[[Reader], _Read]:
    def read(reader: Reader) -> _Read:
        page = events.events(reader, feed.wanted, after=after, limit=PAGE_ROWS_MAX)
        if page.next_cursor is not None:
            return _Read(page.items, events.position(page.next_cursor), None)
        return _Read(page.items, None, feed.end(reader))  # of the same commit as the page

    return read


async def _next_news(news: "asyncio.Queue[Committed | None]", patience: int) -> bool | None:
    """True when something was committed, False when nothing was for a while, None when the stream is to end."""
    try:
        async with asyncio.timeout(patience):
            item = await news.get()
    except TimeoutError:
        return False
    while item is not None and not news.empty():
        item = news.get_nowait()
    return None if item is None else True


def _written(event: EventView) -> bytes:
    return f"id: {event.id}\nevent: {event.type}\ndata: {_json(event)}\n\n".encode()


def _json(view: Any) -> str:
    return json.dumps(rendered(view), ensure_ascii=False, separators=(",", ":"))
