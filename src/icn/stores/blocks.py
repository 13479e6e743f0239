"""Signed blocks by name, feeds by author and sequence, the journal in order of arrival.

Reads go through any `Reader`; writes are added to the batch of the commit they belong to. Content blocks, with their
pins and lifetimes, are in `contents`; the bytes of both stand under their names (`get_bytes`).
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from icn.domain.dag.block import Block, Place, parse_block
from icn.domain.dag.feeds import Clock
from icn.kernel import cbor_items
from icn.kernel.encoding import decode_own
from icn.kernel.errors import Invalid, require
from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid, Did
from icn.kernel.making import maker
from icn.stores import keyspace, many
from icn.stores.kv import Batch, Reader

ENTRIES_REMEMBERED_MAX = 4096
"""Of clocks, encoded: a block's has most in common with those of its parents, and it is written twice."""


@dataclass(frozen=True, slots=True)
class ClockEntry:
    """One component of a clock."""

    author: Did
    count: int


@dataclass(frozen=True, slots=True)
class BlockMeta:
    """What this store knows of a signed block beyond its bytes."""

    arrival: int
    place: Place
    clock: tuple[ClockEntry, ...]


def clock_entries(clock: Clock) -> tuple[ClockEntry, ...]:
    """A clock in stored form, sorted."""
    return tuple([_entry(author, clock[author]) for author in sorted(clock, key=_TEXT)])


def clock_of_entries(entries: tuple[ClockEntry, ...]) -> dict[Did, int]:
    """Inverse of `clock_entries`."""
    return {entry.author: entry.count for entry in entries}


def put_block(
    batch: Batch, block: Block, arrival: int, clock: Clock, event_names: tuple[str, ...], *, is_side: bool = False
) -> None:
    """Add a signed block with everything that finds it again. `is_side`: it is in no feed, for its author forked."""
    header = block.header
    batch.put(keyspace.block(block.cid), block.data)
    put_meta(batch, block, arrival, clock)
    if not is_side:
        batch.put(keyspace.feed_entry(header.author, header.sequence), block.cid.data)
    batch.put(keyspace.journal_entry(arrival), block.cid.data)
    for name in sorted(dict.fromkeys(event_names)):
        batch.put(keyspace.event_type(name) + keyspace.u64(arrival), b"")


def put_meta(batch: Batch, block: Block, arrival: int, clock: Clock) -> None:
    """Note where a block stands, and what is behind it."""
    encoded = _META.encode(BlockMeta(arrival, block.place, ()))
    batch.put(keyspace.block_meta(block.cid), with_clock(encoded, len(_META_BEGINS), clock))


def with_clock(encoded: bytes, place: int, clock: Clock) -> bytes:
    """A row that was encoded with an empty clock, with this one: its entries are written once for all rows.

    `place`: where the clock stands in the row.
    """
    entries = [_entry_bytes(author, clock[author]) for author in sorted(clock, key=_TEXT)]
    return encoded[:place] + cbor_items.list_of(entries) + encoded[place + len(cbor_items.EMPTY_LIST) :]


@lru_cache(maxsize=ENTRIES_REMEMBERED_MAX)
def _entry_bytes(author: Did, count: int) -> bytes:
    return _ENTRY.encode(ClockEntry(author, count))


def put_evidence(batch: Batch, block: Block) -> None:
    """Keep a block that proves a fork and is in no feed."""
    batch.put(keyspace.block(block.cid), block.data)
    batch.put(keyspace.evidence(block.cid), b"")


def evidence(reader: Reader) -> Iterator[Cid]:
    """The blocks that prove forks, in order of name."""
    for key, _ in reader.scan(keyspace.EVIDENCE):
        yield Cid(key[len(keyspace.EVIDENCE) :])


def is_evidence(reader: Reader, cid: Cid) -> bool:
    """Whether a block is kept because it proves a fork, in no feed."""
    return reader.get(keyspace.evidence(cid)) is not None


def get_bytes(reader: Reader, cid: Cid) -> bytes | None:
    """The bytes of a block of either kind."""
    return reader.get(keyspace.block(cid))


def get_block(reader: Reader, cid: Cid) -> Block | None:
    """A signed block, read; None where it is not here, or what is here is none."""
    data = get_bytes(reader, cid)
    try:
        return None if data is None else parse_block(data)
    except Invalid:
        return None


def get_meta(reader: Reader, cid: Cid) -> BlockMeta | None:
    """Arrival, place and clock of a signed block, or None."""
    data = reader.get(keyspace.block_meta(cid))
    return None if data is None else read_meta(data)


def read_meta(data: bytes) -> BlockMeta:
    """The meta that stands under a key of `keyspace.block_meta`."""
    return _META.decode_own(data)


def cid_at(reader: Reader, author: Did, sequence: int) -> Cid | None:
    """The block (author, sequence)."""
    data = reader.get(keyspace.feed_entry(author, sequence))
    return None if data is None else Cid(data)


def clock_at(reader: Reader, author: Did, sequence: int) -> Clock:
    """The clock of the block (author, sequence), which must be in its feed."""
    cid = cid_at(reader, author, sequence)
    require(cid is not None, "a block in an ancestry is stored")
    return clock_of(reader, cid) if cid is not None else {}


def clock_of(reader: Reader, cid: Cid) -> Clock:
    """The clock of a signed block, which must be here."""
    meta = get_meta(reader, cid)
    require(meta is not None, "a stored block has its clock beside it")
    return clock_of_entries(meta.clock) if meta is not None else {}


def arrival_of(reader: Reader, cid: Cid) -> int:
    """As which number of the journal a signed block came; it must be here."""
    data = reader.get(keyspace.block_meta(cid))
    require(data is not None, "a block in an ancestry is stored")
    return _arrival_of(data or b"")


def last_arrival(reader: Reader) -> int:
    """The highest arrival number, or -1 in an empty store."""
    for key, _ in reader.scan_down(keyspace.JOURNAL):
        return int.from_bytes(key[1:], "big")
    return -1


def journal(reader: Reader, after: int = -1) -> Iterator[tuple[int, Cid]]:
    """(arrival, cid) of every signed block that came after number `after`, in order."""
    start = keyspace.journal_entry(after) if after >= 0 else None
    for key, value in reader.scan(keyspace.JOURNAL, after=start):
        yield int.from_bytes(key[1:], "big"), Cid(value)


def journal_blocks(reader: Reader, after: int = -1) -> Iterator[tuple[tuple[int, Cid], bytes | None, bytes | None]]:
    """The journal with what is kept of each block (see `read_meta`) and its bytes; a few of them are read together."""
    for entries in many.groups(journal(reader, after), many.BLOCKS_AT_ONCE):
        keys = [key_of(cid) for key_of in (keyspace.block_meta, keyspace.block) for _, cid in entries]
        values = reader.get_many(keys)
        metas, found = values[: len(entries)], values[len(entries) :]
        yield from zip(entries, metas, found, strict=True)


def missing_from(reader: Reader, have: Clock, authors: list[Did]) -> Iterator[Cid]:
    """The blocks of `authors` beyond what `have` covers, in an order in which ancestors come first.

    Arrival numbers are such an order, so the feeds are merged by them.
    """

    def rest(author: Did) -> Iterator[tuple[int, Cid]]:
        count = have.get(author, 0)
        start = keyspace.feed_entry(author, count - 1) if count else None
        for _, value in reader.scan(keyspace.feed(author), after=start):
            meta = reader.get(keyspace.BLOCK_META + value)
            require(meta is not None, "a stored block has its arrival beside it")
            yield (_arrival_of(meta) if meta is not None else 0), Cid(value)

    for _, cid in heapq.merge(*(rest(author) for author in sorted(authors))):
        yield cid


def _arrival_of(meta: bytes) -> int:
    """The number alone: who asks what it lacks has this looked up for every block, and the clock for none.

    Its name is the longest and stands last; the number behind it has no room for such a name.
    """
    at = meta.rfind(_ARRIVAL)
    arrival = decode_own(meta[at + len(_ARRIVAL) :]) if at >= 0 else None
    if type(arrival) is not int:
        raise Invalid("dag-cbor", "a stored block has its arrival beside it")
    return arrival


_TEXT = attrgetter("text")
_ARRIVAL = cbor_items.text("arrival")
_META = shape_of(BlockMeta)
_META_BEGINS = cbor_items.head(cbor_items.MAP, 3) + cbor_items.text("clock")
_ENTRY = shape_of(ClockEntry)
_entry = maker(ClockEntry)
