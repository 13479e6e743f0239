"""The state, built anew from the journal: the blocks of the store, taken in the order in which they came.

Verification compares what a replay gives with the rows that are stored. The step to a format whose rows are others
writes them anew (`rebuild`), because rows hold nothing that the journal does not tell.
"""

from collections.abc import Collection, Iterator

from icn.domain.context import Context, EventRefused
from icn.domain.dag.block import Block, parse_block
from icn.domain.dag.feeds import Clock, ClockOf
from icn.domain.records import Record
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import Cid
from icn.services import acceptance, rows
from icn.services.ancestry import BlockAncestry, stored_clock
from icn.services.state import State
from icn.stores import blocks, job_index
from icn.stores.kv import Batch, Reader, StoreCorrupt

REPLAYED_BYTES_PER_BATCH = 4 * 2**20
"""Blocks, in bytes, whose rows are written in one commit, and those of one block more: rows are about as large."""


class Replay:
    """Takes one block after the other, as replication did when it came; whether it is genuine is not asked again."""

    def __init__(
        self, state: State, genesis: Cid | None, clock_of: ClockOf, kept: Collection[Cid] = frozenset()
    ) -> None:
        """`state`: with the cuts of the whole journal. `kept`: the blocks of cut authors that count nevertheless."""
        self.state = state
        self._genesis = genesis
        self._clock_of = clock_of
        self._kept = kept
        self._aside: list[Block] = []
        """Side blocks since the rows were last asked for."""

    def is_side(self, block: Block) -> bool:
        """Whether the block is in no feed."""
        return self.state.is_side(block.header.author, block.header.sequence) and block.cid not in self._kept

    def take(self, block: Block, clock: Clock, arrival: int) -> list[Record]:
        """Apply the block; gives its records. When it raises, the state is half changed.

        Raises:
            PeerViolation, EventRefused: it could not have been accepted.
        """
        header, state = block.header, self.state
        acceptance.check_federation(block, self._genesis)
        ancestry = BlockAncestry(clock, state.federation, self._clock_of)
        context = Context(header.author, header.sequence, header.time, ancestry)
        is_side = self.is_side(block)
        if not is_side:
            acceptance.check_follows(block, state.feeds)
        records = acceptance.records_of(block, state.federation, is_lenient=bool(state.cuts), is_side=is_side)
        if is_side:
            state.feeds.put_aside(block, is_branch=state.is_branch(header.author, header.sequence))
            self._aside.append(block)
        else:
            apply = acceptance.apply_what_fits if state.cuts else acceptance.apply_records
            apply(state, block, records, context)
            state.feeds.advance(block, clock)
        state.last_arrival = arrival
        return records

    def rows(self) -> Batch:
        """The rows that changed since the last call, as the commit that led to the state would have written them."""
        batch = Batch()
        for author in self.state.feeds.heads:
            rows.save_head(self.state, batch, author)
        for block in self._aside:
            rows.save_side(batch, block)
        self._aside.clear()
        if self.state.feeds.heads:
            rows.save_cuts(self.state, batch)
            rows.save(self.state, batch)
        return batch


def rebuild(reader: Reader) -> Iterator[Batch]:
    """Batches that bring the rows of the state from where they are to the end of the journal.

    Each leaves the rows as they were at some block, so whoever is interrupted calls again and goes on there. The last
    may be empty.

    Raises:
        StoreCorrupt: a block is missing, damaged or against the rules: the rows cannot be had from this journal.
    """
    genesis = next((cid for _, cid in blocks.journal(reader)), None)  # nothing is accepted before it
    state = rows.load_as_far_as_they_go(reader)
    replay = Replay(state, genesis, lambda who, number: stored_clock(reader, state.feeds, who, number))
    pending = 0
    index = Batch()
    for (arrival, cid), meta, data in blocks.journal_blocks(reader, after=replay.state.last_arrival):
        try:
            pending += _take_stored(replay, arrival, cid, meta, data, index)
        except (Invalid, PeerViolation, EventRefused) as error:
            raise StoreCorrupt(f"block {cid}, number {arrival} of the journal, cannot be taken: {error}") from error
        if pending >= REPLAYED_BYTES_PER_BATCH:
            yield _with(index, replay.rows())
            pending, index = 0, Batch()
    yield _with(index, replay.rows())


def _with(index: Batch, changed: Batch) -> Batch:
    """Both in one commit: the rows say how far they go, and the index goes as far."""
    for key, value in index.operations.items():
        changed.operations[key] = value
    return changed


def _take_stored(replay: Replay, arrival: int, cid: Cid, meta: bytes | None, data: bytes | None, index: Batch) -> int:
    """Take a block of the journal with the clock the store keeps beside it, into the index of jobs too; its length."""
    if meta is None or data is None:
        raise StoreCorrupt(f"block {cid}, number {arrival} of the journal, is missing: restore a backup")
    records = replay.take(parse_block(data), blocks.clock_of_entries(blocks.read_meta(meta).clock), arrival)
    job_index.put_records(index, arrival, records)
    return len(data)
