"""What happened: pages of the journal, and a stream that follows it.

A stream reads the same pages from the store and waits for the next commit; what it is told by the node only wakes it.
So nothing is sent twice or missed, however slow the client is, and a client that comes back with `Last-Event-ID` goes
on where it was.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

from starlette.responses import Response, StreamingResponse

from icn.http.bodies import EventsQuery
from icn.http.moments import instant_of
from icn.http.operations import Call, Operation, paged
from icn.http.rendering import rendered
from icn.kernel.ids import Did
from icn.kernel.limits import PAGE_ROWS_MAX
from icn.services.effects import Committed
from icn.services.queries import events
from icn.services.queries.events import BEGINNING, EventFilter, EventView, Position
from icn.services.queries.paging import Page
from icn.stores.kv import Reader

STREAM = "text/event-stream"


async def listed(call: Call) -> Response:
    """A page, or with `Accept: text/event-stream` everything from there on."""
    query = call.query(EventsQuery)
    wanted = EventFilter(
        types=None if query.type is None else events.types_named(query.type),
        since=None if query.since is None else instant_of("since", query.since),
        until=None if query.until is None else instant_of("until", query.until),
        actor=None if query.actor is None else Did.parse(query.actor),
    )
    if STREAM in call.request.headers.get("accept", ""):
        return await _stream(call, query, wanted)
    after = BEGINNING if query.cursor is None else events.position(query.cursor)

    def read(reader: Reader) -> Page[EventView]:
        if query.tail is not None and query.cursor is None:
            return events.tail(reader, wanted, count=query.tail)
        return events.events(reader, wanted, after=after, limit=query.limit)

    return paged(await call.read_aside(read))


async def _stream(call: Call, query: EventsQuery, wanted: EventFilter) -> Response:
    """Whoever names a place gets everything behind it; who names none gets what happens from now on."""
    named = call.request.headers.get("last-event-id") or query.cursor
    after = None if named is None else events.position(named)
    following = _follow(call, query, wanted, after)
    first = await anext(following)  # so that a refusal to follow is an answer, not a broken stream
    return StreamingResponse(_with_first(first, following), media_type=STREAM, headers={"cache-control": "no-store"})


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


async def _follow(call: Call, query: EventsQuery, wanted: EventFilter, after: Position | None) -> AsyncIterator[bytes]:
    async with call.node.follow() as news:
        # Following began before the first page is read: what is committed in between is in the page or wakes us.
        position, backlog = await call.read_aside(lambda reader: _start(reader, query, wanted, after))
        yield b": following\n\n"
        for event in backlog:
            yield _written(event)
        while True:
            page = await call.read_aside(partial(_page, wanted, position))
            for event in page.items:
                yield _written(event)
                position = events.position(event.id)
            if page.next_cursor is not None:
                position = events.position(page.next_cursor)
                continue
            while not (woken := await _next_news(news, call.settings.heartbeat_seconds)):
                if woken is None:
                    return
                yield b": here\n\n"


def _page(wanted: EventFilter, after: Position, reader: Reader) -> Page[EventView]:
    return events.events(reader, wanted, after=after, limit=PAGE_ROWS_MAX)


def _start(
    reader: Reader, query: EventsQuery, wanted: EventFilter, after: Position | None
) -> tuple[Position, tuple[EventView, ...]]:
    """Where the stream begins, and what comes before that: the place named; with `tail`, or `since`, there; or now."""
    if after is not None:
        return after, ()
    if query.tail is not None:
        return events.end(reader), events.tail(reader, wanted, count=query.tail).items
    return (BEGINNING if query.since is not None else events.end(reader)), ()


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
    data = json.dumps(rendered(event), ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n".encode()


OPERATIONS = (
    Operation(
        "GET",
        "/events",
        listed,
        "What happened, oldest first; follows as server-sent events by Accept",
        EventView,
        query=EventsQuery,
    ),
)
