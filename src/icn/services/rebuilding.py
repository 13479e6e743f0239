"""Everything in a store that follows from its blocks, made again from them: what differs, for one commit.

```
 journal ─> who forked, raw ancestries ─> contest (recutting) ─> replay ─┬─> rows of the state
                                                                        ├─> feeds, places and clocks, index of events
                                                                        ├─> index of jobs, references of records
 content as it is kept ─────────────────────────────────────────────────┴─> order of its changes, references
```

Believed, because nothing else tells it: the journal's order, the bytes of blocks, how content is kept, evidence, the
rows of this node's own dealings. Nothing of that is changed; so pins, lifetimes, answers, the outbox and the store's id
stay what they are. A reference too many only keeps something, and is left.

The batch holds the differences alone, mostly few, and puts nothing but what the blocks give. Memory is that of a deep
verification, and an entry for each row and index entry besides.

Not here: whether the result is whole (`verify`, over `stores.overlay`), blocks that are damaged (`mending`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from icn.domain.context import EventRefused
from icn.domain.dag.block import Block, Place, parse_block
from icn.domain.dag.feeds import Clock
from icn.domain.dag.forks import Contest, ForksShown
from icn.domain.records import Record
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation
from icn.kernel.ids import RAW, Cid, Did
from icn.services import acceptance, rows
from icn.services.recutting import contest_of, cut_state
from icn.services.replay import Replay
from icn.services.state import State
from icn.stores import blocks, contents, job_index, keyspace, references
from icn.stores.kv import Batch, Reader, StoreCorrupt
from icn.stores.overlay import Overlay

_INDEXES = (
    *(keyspace.BLOCK_META, keyspace.FEED, keyspace.EVENT_TYPE),
    *(keyspace.JOB_EVENT, keyspace.RECEIPT, keyspace.JOB_CORRELATION),
)
"""Prefixes under which nothing stands but what the journal gives."""


def changes(reader: Reader) -> Batch:
    """What to commit so that rows and indexes are those that the blocks give; empty when they are.

    Raises:
        StoreCorrupt: the journal has a gap, or a block of it is missing, damaged or against the rules.
    """
    journal = _Journal(reader)
    due = _Due()
    replay = journal.replay()
    for arrival, block in journal.blocks():
        is_side, header = replay.is_side(block), block.header
        try:
            is_branch = is_side and replay.state.is_branch(header.author, header.sequence)
            clock = journal.clock(block, is_branch=is_branch)
            records = replay.take(block, clock, arrival)
        except (PeerViolation, EventRefused, InvariantBroken, Invalid) as error:
            raise _unusable(arrival, block.cid, f"cannot be taken: {error}") from error
        due.take(block, arrival, clock, records, is_side=is_side)
    changed = Batch()
    for prefix in _INDEXES:
        _make_equal(reader, changed, reader.scan(prefix), due.index.pop(prefix, {}))
    replayed = replay.rows().operations
    expected = {key: value for key, value in replayed.items() if value is not None}
    stored = ((key, value) for key, value in reader.scan(keyspace.PROJECTION) if not keyspace.is_local(key))
    _make_equal(reader, changed, stored, expected)
    _add_missing(reader, changed, due.references)
    _order_content(reader, changed)
    return changed


@dataclass(slots=True)
class _Due:
    """What the journal gives beside the rows of the state."""

    index: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    """By prefix."""
    references: dict[bytes, None] = field(default_factory=dict)

    def take(self, block: Block, arrival: int, clock: Clock, records: list[Record], *, is_side: bool) -> None:
        """The next block."""
        batch = Batch()
        blocks.put_meta(batch, block, arrival, clock)
        header = block.header
        if not is_side:
            batch.put(keyspace.feed_entry(header.author, header.sequence), block.cid.data)
        for name in acceptance.event_names(block):
            batch.put(keyspace.event_type(name) + keyspace.u64(arrival), b"")
        job_index.put_records(batch, arrival, records)
        for key, value in batch.operations.items():
            if value is not None:
                self.index.setdefault(key[:1], {})[key] = value
        named = Batch()
        references.put_records(named, records)
        self.references.update(dict.fromkeys(named.operations))


class _Journal:
    """The blocks in the order in which they came, and where each stands: from their bytes and that order alone."""

    def __init__(self, reader: Reader) -> None:
        """Raises `StoreCorrupt` for a journal with a gap, or with a block that is not there as it was."""
        self._reader = reader
        self._places: dict[Cid, Place] = {}
        self._clocks: dict[Cid, Clock] = {}
        self._unforked: dict[tuple[Did, int], Cid] = {}
        """Blocks that clocks count: all but branches."""
        shown = ForksShown()
        self._forks = shown.found
        self._has_removals = False
        for _, block in self.blocks():
            shown.take(block.header.author, block.header.sequence, acceptance.proofs_of(block))
            self._has_removals |= bool(acceptance.removals_of(block))

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """All of them. Raises `StoreCorrupt`."""
        for expected, (arrival, cid) in enumerate(blocks.journal(self._reader)):
            if arrival != expected:
                raise StoreCorrupt(f"numbers {expected} to {arrival - 1} of the journal are missing")
            data = blocks.get_bytes(self._reader, cid)
            if data is None or not cid.names(data):
                raise _unusable(arrival, cid, "is missing" if data is None else "is damaged")
            try:
                block = parse_block(data)
            except Invalid as error:
                raise _unusable(arrival, cid, f"cannot be read: {error}") from error
            yield arrival, block

    def replay(self) -> Replay:
        """One that begins before the first block, with what counts of who forked or was removed."""
        contest = self._contest() if self._forks or self._has_removals else None
        self._clocks.clear()
        self._unforked.clear()
        state, kept = (State(), frozenset[Cid]()) if contest is None else cut_state(contest)
        genesis = next((cid for _, cid in blocks.journal(self._reader)), None)
        return Replay(state, genesis, self._clock_at, kept)

    def clock(self, block: Block, *, is_branch: bool) -> Clock:
        """What the block's links make its clock. Raises `PeerViolation` for links that cannot be."""
        clock = acceptance.clock_from_links(block, self._ancestor_of, is_branch=is_branch)
        header = block.header
        self._places[block.cid] = block.place
        self._clocks[block.cid] = clock
        if not is_branch:
            self._unforked[header.author, header.sequence] = block.cid
        return clock

    def _contest(self) -> Contest:
        """What counts, by ancestries as the links have them.

        Whoever forked is put aside from there on: what is kept in spite of it is not known yet, and who asks for all of
        an ancestry gets the same either way.
        """
        index: dict[bytes, dict[bytes, bytes]] = {prefix: {} for prefix in _INDEXES[:3]}
        sides = Batch()
        for arrival, block in self.blocks():
            author, sequence = block.header.author, block.header.sequence
            is_branch = author in self._forks and sequence >= self._forks[author]
            try:
                clock = self.clock(block, is_branch=is_branch)
            except PeerViolation as error:
                raise _unusable(arrival, block.cid, f"cannot be taken: {error}") from error
            batch = Batch()
            blocks.put_block(batch, block, arrival, clock, acceptance.event_names(block), is_side=is_branch)
            for key, value in batch.operations.items():
                if value is not None and key[:1] in index:
                    index[key[:1]][key] = value
            if is_branch:
                rows.save_side(sides, block)
        raw = Batch()
        for prefix, due in index.items():
            _make_equal(self._reader, raw, self._reader.scan(prefix), due)
        aside = {key: value for key, value in sides.operations.items() if value is not None}
        _make_equal(self._reader, raw, self._reader.scan(rows.SIDES.prefix), aside)
        try:
            return contest_of(Overlay(self._reader, raw), self._forks)
        except (Invalid, InvariantBroken) as error:
            raise StoreCorrupt(f"who forked or was removed cannot be told from the journal: {error}") from error

    def _ancestor_of(self, cid: Cid) -> tuple[Place, Clock]:
        place = self._places.get(cid)
        if place is None or cid not in self._clocks:
            raise PeerViolation(f"it names {cid}, which did not come before it")
        return place, self._clocks[cid]

    def _clock_at(self, author: Did, sequence: int) -> Clock:
        cid = self._unforked.get((author, sequence))
        return {} if cid is None else self._clocks[cid]


def _order_content(reader: Reader, changed: Batch) -> None:
    """Content stands among the changes where it says that it does, and what it links to is known."""
    due: dict[bytes, bytes] = {}
    linked: dict[bytes, None] = {}
    last = -1
    for key, value in reader.scan(keyspace.CONTENT_META):
        try:
            cid, meta = Cid.from_bytes(key[len(keyspace.CONTENT_META) :]), contents.read_content_meta(value)
        except Invalid:
            continue  # nothing else tells how it is kept: for verification to find
        due[keyspace.content_change(meta.changed)] = cid.data
        last = max(last, meta.changed)
        data = None if cid.codec == RAW else blocks.get_bytes(reader, cid)
        if data is not None and cid.names(data):
            links = Batch()
            references.put_links(links, cid, data)
            linked.update(dict.fromkeys(links.operations))
    _make_equal(reader, changed, reader.scan(keyspace.CONTENT_CHANGE), due)
    _add_missing(reader, changed, linked)
    if contents.next_change(reader.get) <= last:
        contents.set_next_change(changed, last + 1)


def _make_equal(
    reader: Reader, changed: Batch, stored: Iterable[tuple[bytes, bytes]], due: Mapping[bytes, bytes]
) -> None:
    """Add what makes `stored` what is `due`."""
    found: dict[bytes, None] = {}
    for key, value in stored:
        found[key] = None
        if key not in due:
            changed.delete(key)
        elif due[key] != value:
            changed.put(key, due[key])
    for key, value in due.items():
        if key not in found or reader.get(key) is None:  # what a walk shows and a look-up does not is put again
            changed.put(key, value)


def _add_missing(reader: Reader, changed: Batch, entries: Iterable[bytes]) -> None:
    for key in entries:
        if reader.get(key) != b"":
            changed.put(key, b"")


def _unusable(arrival: int, cid: Cid, why: str) -> StoreCorrupt:
    return StoreCorrupt(f"block {cid}, number {arrival} of the journal, {why}")
