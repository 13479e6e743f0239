"""What happened: pages of the journal, and a stream that follows it."""

from starlette.responses import Response

from icn.http.bodies import EventsQuery
from icn.http.following import STREAM, Feed, streamed
from icn.http.moments import instant_of
from icn.http.operations import Call, Operation, paged
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did, JobId
from icn.services.queries import events
from icn.services.queries.events import BEGINNING, EventFilter, EventView, Position
from icn.services.queries.paging import Page
from icn.stores.kv import Reader


async def listed(call: Call) -> Response:
    """A page, or with `Accept: text/event-stream` everything from there on."""
    query = call.query(EventsQuery)
    if query.tail is not None and not query.model_fields_set.isdisjoint(("cursor", "limit")):
        raise Invalid("tail", "the newest so many are asked for without a cursor and a limit")
    wanted = EventFilter(
        types=None if query.type is None else events.types_named(query.type),
        since=None if query.since is None else instant_of("since", query.since),
        until=None if query.until is None else instant_of("until", query.until),
        actor=None if query.actor is None else Did.parse(query.actor),
        job=None if query.job is None else JobId.parse(query.job),
        correlation=query.correlation,
    )
    if STREAM in call.request.headers.get("accept", ""):
        return await _stream(call, query, wanted)
    after = BEGINNING if query.cursor is None else events.position(query.cursor)

    def read(reader: Reader) -> Page[EventView]:
        if query.tail is not None and query.cursor is None:
            return events.tail(reader, wanted, count=query.tail)
        return events.events(reader, wanted, after=events.known(reader, after), limit=query.limit)

    return paged(await call.read_aside(read))


async def _stream(call: Call, query: EventsQuery, wanted: EventFilter) -> Response:
    """Whoever names a place gets everything behind it; who names none gets what happens from now on."""
    named = call.request.headers.get("last-event-id") or query.cursor
    after = None if named is None else events.position(named)

    def start(reader: Reader) -> tuple[Position, tuple[EventView, ...]]:
        """The place named; with `tail`, or `since`, there; or now."""
        if after is not None:
            return events.known(reader, after), ()
        if query.tail is not None:
            return events.end(reader), events.tail(reader, wanted, count=query.tail).items
        return (BEGINNING if query.since is not None else events.end(reader)), ()

    return await streamed(call, Feed(wanted, start, lambda _: None))


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
