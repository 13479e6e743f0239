"""Content blocks with their pins and lifetimes, numbered in the order in which this store got or changed them.

Each change of a content block, its arrival or another pin or lifetime, takes the next change number; numbers only grow
and are never used again, also not after pruning. So "everything since" is one scan, which is what incremental backups
and cursors rest on. A content block has exactly one row in that index, under its newest change.

Writes are added to the batch of the commit they belong to. They read through a `get` that sees that batch, so that
several changes of one batch get numbers of their own.

Not here: what may be stored or removed, and when (services.content).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from icn.kernel.errors import InvariantBroken
from icn.kernel.fields import shape_of
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Duration, Instant
from icn.stores import keyspace, references
from icn.stores.kv import Batch, Reader

Get = Callable[[bytes], bytes | None]
"""Reads one key as it will be after the commit under way."""

TIME_MARK_EVERY = Duration(600_000)
"""At most one mark in this time: `--since DATE` then takes up to so much more than was asked for, never less."""
_CHANGES = keyspace.about("content_changes")


@dataclass(frozen=True, slots=True)
class ContentMeta:
    """How long a content block is kept, and when this store got and last changed it."""

    size: int
    stored_at: Instant
    pinned: bool
    expires_at: Instant | None
    arrival: int
    """The change number at which the bytes came."""
    changed: int
    """The newest change number: bytes, pin or lifetime."""


@dataclass(frozen=True, slots=True)
class TimeMark:
    """Which numbers were the next ones at some time of the wall clock."""

    arrival: int
    """In the journal of signed blocks."""
    change: int
    """Among the changes of content."""


def put_content(
    get: Get, batch: Batch, cid: Cid, data: bytes, *, stored_at: Instant, pinned: bool, expires_at: Instant | None
) -> ContentMeta:
    """Add a content block that is not here yet, with its pin and lifetime, in one transaction."""
    batch.put(keyspace.block(cid), data)
    references.put_links(batch, cid, data)
    return put_meta(get, batch, cid, len(data), stored_at=stored_at, pinned=pinned, expires_at=expires_at)


def put_meta(
    get: Get, batch: Batch, cid: Cid, size: int, *, stored_at: Instant, pinned: bool, expires_at: Instant | None
) -> ContentMeta:
    """What `put_content` adds beside the bytes and their links, which are the caller's to add."""
    number = _take_change(get, batch)
    meta = ContentMeta(size, stored_at, pinned, expires_at, number, number)
    write_meta(batch, cid, meta)
    return meta


def change_content(get: Get, batch: Batch, cid: Cid, *, pinned: bool, expires_at: Instant | None) -> ContentMeta:
    """Set pin and lifetime of a content block that is here; takes a change number. Raises `InvariantBroken`."""
    old = _known(get, cid)
    batch.delete(keyspace.content_change(old.changed))
    meta = replace(old, pinned=pinned, expires_at=expires_at, changed=_take_change(get, batch))
    write_meta(batch, cid, meta)
    return meta


def remove_content(get: Get, batch: Batch, cid: Cid) -> tuple[Cid, ...]:
    """Remove a content block that is here, with everything that finds it; gives what it linked to.

    Raises:
        InvariantBroken: it is not here.
    """
    old = _known(get, cid)
    data = None if cid.codec == RAW else get(keyspace.block(cid))
    targets = () if data is None else references.remove_links(batch, cid, data)
    batch.delete(keyspace.block(cid))
    batch.delete(keyspace.content_meta(cid))
    batch.delete(keyspace.content_change(old.changed))
    return targets


def write_meta(batch: Batch, cid: Cid, meta: ContentMeta) -> None:
    """Write the meta and its row in the index of changes."""
    batch.put(keyspace.content_meta(cid), _CONTENT.encode(meta))
    batch.put(keyspace.content_change(meta.changed), cid.data)


def get_content_meta(reader: Reader, cid: Cid) -> ContentMeta | None:
    """Pin, lifetime and numbers of a content block, or None."""
    data = reader.get(keyspace.content_meta(cid))
    return None if data is None else read_content_meta(data)


def read_content_meta(data: bytes) -> ContentMeta:
    """The meta that stands under a key of `keyspace.content_meta`."""
    return _CONTENT.decode_own(data)


def next_change(get: Get) -> int:
    """The number that the next change of content will take."""
    data = get(_CHANGES)
    return 0 if data is None else int.from_bytes(data, "big")


def set_next_change(batch: Batch, number: int) -> None:
    """Let numbering go on at `number`: for upgrades, and for a store that is filled from elsewhere."""
    batch.put(_CHANGES, keyspace.u64(number))


def changes(reader: Reader, after: int = -1) -> Iterator[tuple[int, Cid]]:
    """(number, cid) of the content that came or changed after number `after`, in order."""
    start = keyspace.content_change(after) if after >= 0 else None
    for key, value in reader.scan(keyspace.CONTENT_CHANGE, after=start):
        yield int.from_bytes(key[1:], "big"), Cid(value)


def last_time_mark(reader: Reader) -> Instant | None:
    """When the newest mark was made; None before the first."""
    for key, _ in reader.scan_down(keyspace.TIME_MARK):
        return Instant(int.from_bytes(key[1:], "big"))
    return None


def put_time_mark(batch: Batch, wall: Instant, mark: TimeMark) -> None:
    """Note that at `wall` these were the next numbers."""
    batch.put(keyspace.time_mark(wall), _MARK.encode(mark))


def time_mark_before(reader: Reader, wall: Instant) -> TimeMark:
    """Numbers from which on everything lies that this store got or changed at `wall` or later; zeros: everything."""
    for _, value in reader.scan_down(keyspace.TIME_MARK, before=keyspace.time_mark(Instant(wall + 1))):
        return _MARK.decode_own(value)
    return TimeMark(0, 0)


def _take_change(get: Get, batch: Batch) -> int:
    pending = batch.operations.get(_CHANGES)
    number = next_change(get) if pending is None else int.from_bytes(pending, "big")
    set_next_change(batch, number + 1)
    return number


def _known(get: Get, cid: Cid) -> ContentMeta:
    data = get(keyspace.content_meta(cid))
    if data is None:
        raise InvariantBroken(f"content {cid} is changed, and is not here")
    return read_content_meta(data)


_CONTENT = shape_of(ContentMeta)
_MARK = shape_of(TimeMark)
