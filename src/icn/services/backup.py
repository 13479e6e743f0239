"""A backup as a stream: what the archive of a store holds, in order, read from one snapshot of it.

```
draft (what it will be) ─> blocks … ─> content … ─> evidence ─> local rows ─> whoever writes adds the parts' hashes
```

It never sees a backend: blocks in order of arrival and content in order of change are scans of the storage port.
Memory holds one part at a time.

An incremental archive carries what arrived or changed from a position on, and of content that only changed its pin or
lifetime the line without the bytes. What pruning removed meanwhile is not mentioned: a restore brings back the expired,
and pruning removes them again.

Not here: the form of an archive (stores.archive), writing files (adapters.archive).
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from icn.domain.ledger.model import Supply
from icn.kernel.encoding import encode_ordered
from icn.kernel.errors import InvariantBroken, Kind, Refusal, require
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB
from icn.services import rows
from icn.services.closure import StoredBlockDamaged
from icn.services.queries import dag
from icn.stores import archive, archive_parts, backups, blocks, contents, keyspace, many, schema
from icn.stores.archive import (
    BEGINNING,
    PART_BYTES,
    PART_ITEMS_MAX,
    ArchiveKind,
    Counts,
    Entry,
    FederationName,
    ForkName,
    HeadName,
    LedgerDigest,
    Manifest,
    Position,
    Reached,
    RemovalName,
    part_name,
)
from icn.stores.archive_parts import ContentLine
from icn.stores.blocks import clock_entries
from icn.stores.kv import Reader
from icn.stores.schema import owner_of

TOGETHER_BYTES = 2 * MIB
"""Of content that is read together; one block more, at most."""


class NothingToBackUp(Refusal):
    """The store is empty."""

    code: ClassVar[str] = "backup.nothing"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("the store is empty: there is nothing to back up")


class NoBackupBefore(Refusal):
    """An incremental backup since the last one, where the store knows of none."""

    code: ClassVar[str] = "backup.none_before"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "no backup of this store was finished yet: make a full one first, or say since when with --since DATE"
        )


@dataclass(frozen=True, slots=True)
class BackupOrder:
    """What is to be backed up."""

    kind: ArchiveKind
    since: Instant | None
    """Of an incremental one: from when on; None: from where the last backup ended."""
    created: str
    """Now, in RFC 3339."""
    program: str
    backend: str


def draft(reader: Reader, order: BackupOrder) -> Manifest:
    """The manifest, without parts and without the counts that only writing brings.

    Raises:
        NothingToBackUp: the store is empty.
        NoBackupBefore: since the last, and there was none.
        StoreOlder: the store has an earlier format.
    """
    schema.require_current(reader)
    owner, store_id = owner_of(reader), schema.store_id(reader)
    if owner is None or store_id is None:
        raise NothingToBackUp
    since, parent = _since(reader, order)
    to = Position(blocks.last_arrival(reader) + 1, contents.next_change(reader.get))
    root = dag.root(reader)
    federation = rows.load_federation(reader)
    known = None
    if federation is not None and federation.id is not None:
        known = FederationName(str(federation.id), federation.name)
    clock = {head.author: head.sequence + 1 for head in root.heads}
    return Manifest(
        format=archive.FORMAT_VERSION,
        kind=order.kind,
        node=Did.parse(owner),
        federation=known,
        program=order.program,
        backend=order.backend,
        created=order.created,
        store=store_id.hex(),
        since=since,
        to=to,
        clock_since=clock_entries(_clock_before(reader, clock, since.arrival)),
        clock_to=clock_entries(clock),
        heads=tuple(HeadName(head.author, head.sequence, str(head.cid)) for head in root.heads),
        root=root.root,
        counts=Counts(to.arrival - since.arrival, sum(1 for _ in blocks.evidence(reader)), 0, 0),
        ledger=ledger_digest(reader),
        parent=parent,
        parts=(),
        forks=tuple(_forks(reader)),
        removals=tuple(
            RemovalName(member.node, one.accepted, one.by, one.sequence)
            for _, member in rows.MEMBERS.rows(reader)
            for one in member.removals
        ),
    )


def _forks(reader: Reader) -> Iterator[ForkName]:
    for _, cut in rows.CUTS.rows(reader):
        if cut.forked_at is None:
            continue
        kept = (blocks.cid_at(reader, cut.author, cut.sequence + offset) for offset in range(cut.kept))
        yield ForkName(cut.author, cut.forked_at, tuple(str(cid) for cid in kept if cid is not None))


def entries(reader: Reader, manifest: Manifest, reached: Reached) -> Iterator[Entry]:
    """The parts that `manifest` (the draft of this very snapshot) is about, from where an earlier attempt ended.

    Raises:
        StoredBlockDamaged: a block's bytes are not those of its name, or gone. What was given by then is no archive.
    """
    yield from _blocks(reader, reached.next.arrival, manifest.to.arrival, reached.block_parts)
    yield from _content(reader, manifest.since.change, reached.next.change, reached.content_parts)
    yield from _evidence(reader)
    yield from _local(reader)


def ledger_digest(reader: Reader) -> LedgerDigest:
    """What a replay of the journal must lead to."""
    supply = rows.load_supply(reader)
    return digest_of(supply, reader.scan(keyspace.projection(ACCOUNTS)))


def digest_of(supply: Supply, accounts: Iterator[tuple[bytes, bytes]]) -> LedgerDigest:
    """The same, of rows from elsewhere, in order of key."""
    hashed = hashlib.sha256()
    for key, value in accounts:
        hashed.update(encode_ordered([key, value]))
    return LedgerDigest(supply.minted, supply.burned, hashed.hexdigest())


ACCOUNTS = "account"
"""The table of `rows.ACCOUNTS`."""


def _since(reader: Reader, order: BackupOrder) -> tuple[Position, str | None]:
    if order.kind is ArchiveKind.FULL:
        return BEGINNING, None
    if order.since is not None:
        mark = contents.time_mark_before(reader, order.since)
        return Position(mark.arrival, mark.change), None
    finished = backups.finished_backups(reader)
    if not finished:
        raise NoBackupBefore
    return finished[-1].to, finished[-1].manifest


def _clock_before(reader: Reader, clock: dict[Did, int], arrival: int) -> dict[Did, int]:
    """How many blocks of each author had come before that number."""
    if not arrival:
        return {}
    before = dict(clock)
    for _, cid in blocks.journal(reader, arrival - 1):
        meta = blocks.get_meta(reader, cid)
        require(meta is not None, "a block in the journal has its place beside it")
        if meta is not None and meta.place.author in before:  # it has no feed where nothing of it counts
            before[meta.place.author] = min(before[meta.place.author], meta.place.sequence)
    return {author: count for author, count in before.items() if count}


def _blocks(reader: Reader, begin: int, end: int, parts: int) -> Iterator[Entry]:
    part = _Part()
    journal = itertools.takewhile(lambda entry: entry[0] < end, blocks.journal(reader, begin - 1))
    signed = many.values(reader, journal, lambda entry: keyspace.block(entry[1]), at_once=many.BLOCKS_AT_ONCE)
    for (_, cid), data in signed:
        part.add(cid, _found(cid, data))
        if part.is_full:
            parts += 1
            yield Entry(part_name("blocks", parts, "car"), part.car())
            part = _Part()
    if part.blocks:
        yield Entry(part_name("blocks", parts + 1, "car"), part.car())


def _evidence(reader: Reader) -> Iterator[Entry]:
    part, parts = _Part(), 1
    for cid in blocks.evidence(reader):
        part.add(cid, _bytes(reader, cid))
        if part.is_full:
            yield Entry(part_name("evidence", parts, "car"), part.car())
            part, parts = _Part(), parts + 1
    if part.blocks:
        yield Entry(part_name("evidence", parts, "car"), part.car())


def _content(reader: Reader, since: int, begin: int, parts: int) -> Iterator[Entry]:
    part = _Part()
    for line, data in _content_with_bytes(reader, since, begin):
        if data is not None:
            part.add(line.cid, data)
        part.say(archive_parts.write_content_line(line))
        if part.is_full:
            parts += 1
            yield from part.content(parts)
            part = _Part()
    if part.lines:
        yield from part.content(parts + 1)


def _content_with_bytes(reader: Reader, since: int, begin: int) -> Iterator[tuple[ContentLine, bytes | None]]:
    """Each content block of which there is something to say, with its bytes where those are due."""
    read_together: list[ContentLine] = []
    size = 0
    for line in _content_lines(reader, since, begin):
        read_together.append(line)
        size += line.size if line.has_bytes else 0
        if size >= TOGETHER_BYTES or len(read_together) == many.SMALL_AT_ONCE:
            yield from _with_bytes(reader, read_together)
            read_together, size = [], 0
    yield from _with_bytes(reader, read_together)


def _content_lines(reader: Reader, since: int, begin: int) -> Iterator[ContentLine]:
    changed = (cid for _, cid in contents.changes(reader, begin - 1))
    for cid, data in many.values(reader, changed, keyspace.content_meta, at_once=many.SMALL_AT_ONCE):
        if data is None:
            raise InvariantBroken(f"content {cid} is in the index of changes and not here: run dag verify")
        meta = contents.read_content_meta(data)
        has_bytes = meta.arrival >= since
        yield ContentLine(cid, meta.size, meta.stored_at, meta.pinned, meta.expires_at, meta.changed, has_bytes)


def _with_bytes(reader: Reader, lines: list[ContentLine]) -> Iterator[tuple[ContentLine, bytes | None]]:
    cids = [line.cid for line in lines if line.has_bytes]
    found = iter(reader.get_many([keyspace.block(cid) for cid in cids]) if cids else ())
    for line in lines:
        yield line, _found(line.cid, next(found)) if line.has_bytes else None


def _local(reader: Reader) -> Iterator[Entry]:
    part, parts = _Part(), 1
    for table, prefix in archive_parts.LOCAL_TABLES.items():
        for key, value in reader.scan(prefix):
            part.say(archive_parts.write_local_line(table, key[len(prefix) :], value))
            if part.is_full:
                yield Entry(part_name("local", parts, "jsonl"), b"".join(part.lines))
                part, parts = _Part(), parts + 1
    if part.lines:
        yield Entry(part_name("local", parts, "jsonl"), b"".join(part.lines))


def _bytes(reader: Reader, cid: Cid) -> bytes:
    return _found(cid, blocks.get_bytes(reader, cid))


def _found(cid: Cid, data: bytes | None) -> bytes:
    """The bytes, if they are those of the name: an archive with others in it is refused whole when it is needed."""
    if data is None or not cid.names(data):
        raise StoredBlockDamaged(cid)
    return data


class _Part:
    """What gathers until it is large enough."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Cid, bytes]] = []
        self.lines: list[bytes] = []
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size >= PART_BYTES or max(len(self.blocks), len(self.lines)) >= PART_ITEMS_MAX

    def add(self, cid: Cid, data: bytes) -> None:
        self.blocks.append((cid, data))
        self._size += len(data)

    def say(self, line: bytes) -> None:
        self.lines.append(line)
        self._size += len(line)

    def car(self) -> bytes:
        return archive_parts.write_car(self.blocks)

    def content(self, number: int) -> Iterator[Entry]:
        yield Entry(part_name("content", number, "jsonl"), b"".join(self.lines))
        if self.blocks:
            yield Entry(part_name("content", number, "car"), self.car())
