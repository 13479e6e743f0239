"""The journal as events, in the order blocks came to this node (semantics §9).

An event is named `<arrival>-<index>`: the number of its block in the journal and its place in the block. Arrival is
this store's own order, so a name means something on this node only; cursors and `Last-Event-ID` are such names.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from icn.domain.dag.block import parse_block
from icn.domain.records import EVENT_NAMES, Envelope, Event, Record, encode_record, read_record
from icn.kernel.errors import Invalid, Kind, Refusal, require
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB, RECORDS_PER_BLOCK_MAX
from icn.services import rows
from icn.services.queries.paging import Page
from icn.stores import blocks, job_index, keyspace
from icn.stores.kv import Reader

BLOCKS_SCANNED_MAX = 500
"""Blocks looked at for one page: a filter that few match gives a short page and a cursor, not a long wait."""
PAGE_BYTES = 4 * MIB
"""A page ends with the event that reaches this: a record may fill a block, and a page of such a gigabyte."""
DIGITS_MAX = 18
"""Of a number in a cursor; every such number fits the eight bytes of a key."""


class EventUnknown(Refusal):
    """A place behind the end of this store's journal: who goes on from there would be told nothing, for long."""

    code: ClassVar[str] = "events.unknown"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, after: "Position") -> None:
        self.event = str(after)
        super().__init__(
            f"event {after} was never here: the node's store was put back or began anew since, or it is another node; "
            "begin without a cursor"
        )


@dataclass(frozen=True, slots=True)
class EventView:
    """One record with where it stands."""

    id: str
    type: str
    time: Instant
    author: Did
    principal: Did | None
    cause: str
    correlation_id: str
    block: Cid
    event: Event
    void: bool = False
    """It has no effect, because its author, or one that it leaned on, signed two histories."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are asked for; all that is set must hold."""

    types: tuple[str, ...] | None = None
    """Full names; none for all."""
    since: Instant | None = None
    until: Instant | None = None
    actor: Did | None = None
    """The node that recorded it, or the principal that asked for it."""
    job: JobId | None = None
    """The job it tells of."""
    correlation: str | None = None
    """Of the request that caused it, on whatever node."""

    def takes(self, event: EventView) -> bool:
        """Whether `event` is asked for."""
        return (
            (self.types is None or event.type in self.types)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time <= self.until)
            and (self.actor is None or self.actor in {event.author, event.principal})
            and (self.job is None or self.job == job_index.job_of(event.event))
            and (self.correlation is None or self.correlation == event.correlation_id)
        )


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Behind which event to go on. (-1, 0) is before everything."""

    arrival: int
    index: int

    def __str__(self) -> str:
        return f"{self.arrival}-{self.index}"


BEGINNING = Position(-1, 0)
_NOBODY = Envelope(None, None, "", "", None)


def types_named(name: str) -> tuple[str, ...]:
    """The events called so, by full name, its last part or its first, or the first word of the last: `mesh.rollback`,
    `rollback`, `mesh`, `dispute` for `mesh.dispute_raised`.

    Raises `Invalid`.
    """
    known = sorted(EVENT_NAMES.values())
    found = tuple(full for full in known if name in {full, full.partition(".")[0], full.partition(".")[2]})
    found = found or tuple(full for full in known if name == full.partition(".")[2].partition("_")[0])
    if not found:
        raise Invalid("type", f"{name[:80]!r} is no event's name: {', '.join(known)}")
    return found


def position(text: str) -> Position:
    """The position a cursor or `Last-Event-ID` stands for. Raises `Invalid`."""
    arrival, dash, index = text.partition("-")
    if not (dash and _is_number(arrival) and _is_number(index)):
        raise Invalid("cursor", f"{text[:80]!r} is not an event's id, like 12-0")
    return Position(int(arrival), int(index))


def end(reader: Reader) -> Position:
    """Behind everything that is committed."""
    return _behind(blocks.last_arrival(reader))


def known(reader: Reader, after: Position) -> Position:
    """A caller's position. Raises `EventUnknown` for one that this store has not come to."""
    if after > end(reader):
        raise EventUnknown(after)
    return after


def events(reader: Reader, wanted: EventFilter, *, after: Position, limit: int) -> Page[EventView]:
    """A page of events behind `after`, oldest first."""
    found: list[EventView] = []
    size = 0
    scanned: list[int] = []
    has_forks = _has_forks(reader)
    for arrival, cid in _journal(reader, wanted, after.arrival):
        if len(scanned) == BLOCKS_SCANNED_MAX:
            return Page(tuple(found), str(_behind(scanned[-1])))
        scanned.append(arrival)
        for event in _events_of(reader, arrival, cid, wanted.job, has_forks=has_forks):
            if position(event.id) <= after or not wanted.takes(event):
                continue
            if len(found) == limit or size >= PAGE_BYTES:
                return Page(tuple(found), found[-1].id)
            found.append(event)
            size += _size(event)
    return Page(tuple(found), None)


def tail(reader: Reader, wanted: EventFilter, *, count: int) -> Page[EventView]:
    """The last `count` events, oldest first, or as many as a page holds; the cursor leads on to what comes later."""
    newest: list[EventView] = []
    size = 0
    for event in _newest(reader, wanted):
        newest.append(event)
        size += _size(event)
        if len(newest) == count or size >= PAGE_BYTES:
            break
    return Page(tuple(reversed(newest)), str(end(reader)) if newest else None)


def with_receipt(reader: Reader, receipt: Cid) -> Iterator[EventView]:
    """The events that carry this receipt, in the order of their blocks."""
    has_forks = _has_forks(reader)
    for arrival, cid in _named(reader, job_index.arrivals_of_receipt(reader, receipt)):
        of_block = _events_of(reader, arrival, cid, has_forks=has_forks)
        yield from (event for event in of_block if job_index.receipt_of(event.event) == receipt)


def _newest(reader: Reader, wanted: EventFilter) -> Iterator[EventView]:
    """The events asked for, newest first, of as many blocks as are looked at for a page."""
    has_forks = _has_forks(reader)
    for arrival, cid in islice(_journal_down(reader, wanted), BLOCKS_SCANNED_MAX):
        of_block = list(_events_of(reader, arrival, cid, wanted.job, has_forks=has_forks))
        yield from (event for event in reversed(of_block) if wanted.takes(event))


def _size(event: EventView) -> int:
    """The bytes of the record, but for who asked for it and why, which are few."""
    return len(encode_record(Record(_NOBODY, event.event)))


def _behind(arrival: int) -> Position:
    """Behind all records of that block."""
    return Position(arrival, RECORDS_PER_BLOCK_MAX) if arrival >= 0 else BEGINNING


def _journal(reader: Reader, wanted: EventFilter, start: int) -> Iterator[tuple[int, Cid]]:
    """Blocks from number `start` on; only those that an index knows to have what is wanted, by job or by type."""
    types = wanted.types
    if wanted.job is not None:
        yield from _named(reader, job_index.arrivals_of_job(reader, wanted.job, start=start))
        return
    if types is None:
        yield from blocks.journal(reader, start - 1)
        return

    def of_type(name: str) -> Iterator[int]:
        prefix = keyspace.event_type(name)
        after = None if start <= 0 else prefix + keyspace.u64(start - 1)
        for key, _ in reader.scan(prefix, after=after):
            yield int.from_bytes(key[-keyspace.U64_BYTES :], "big")

    yield from _named(reader, heapq.merge(*(of_type(name) for name in types)))


def _journal_down(reader: Reader, wanted: EventFilter) -> Iterator[tuple[int, Cid]]:
    """The same from the newest block back."""
    types = wanted.types
    if wanted.job is not None:
        yield from _named(reader, job_index.arrivals_of_job_down(reader, wanted.job))
        return
    if types is None:
        for key, value in reader.scan_down(keyspace.JOURNAL):
            yield int.from_bytes(key[1:], "big"), Cid(value)
        return

    def of_type(name: str) -> Iterator[int]:
        for key, _ in reader.scan_down(keyspace.event_type(name)):
            yield int.from_bytes(key[-keyspace.U64_BYTES :], "big")

    yield from _named(reader, heapq.merge(*(of_type(name) for name in types), reverse=True))


def _named(reader: Reader, arrivals: Iterator[int]) -> Iterator[tuple[int, Cid]]:
    """The blocks of these numbers, each once though several types may name it in a row."""
    last = None
    for arrival in arrivals:
        if arrival == last:
            continue
        last = arrival
        cid = reader.get(keyspace.journal_entry(arrival))
        require(cid is not None, "the index of events points into the journal")
        if cid is not None:
            yield arrival, Cid(cid)


def _has_forks(reader: Reader) -> bool:
    """Whether any record can be void."""
    return next(iter(rows.CUTS.rows(reader)), None) is not None


def _events_of(
    reader: Reader, arrival: int, cid: Cid, job: JobId | None = None, *, has_forks: bool
) -> Iterator[EventView]:
    """The events of a block; with `job`, those of it alone: others are not read, and a block may have thousands."""
    data = blocks.get_bytes(reader, cid)
    require(data is not None, "the journal's blocks are stored")
    block = parse_block(data or b"")
    for index, data_of_record in enumerate(block.records):
        if job is not None and data_of_record["event"].get("job") != job.data:
            continue
        record = read_record(data_of_record)
        envelope = record.envelope
        yield EventView(
            id=str(Position(arrival, index)),
            type=record.name,
            time=block.header.time,
            author=block.header.author,
            principal=envelope.principal,
            cause=envelope.cause,
            correlation_id=envelope.correlation,
            block=cid,
            event=record.event,
            void=has_forks and rows.is_void(reader, block, index),
        )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
