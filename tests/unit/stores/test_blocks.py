"""Blocks are found by name, by feed, by arrival and by what they tell of; answers to a peer come ancestors first."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.domain.dag.block import Block
from icn.domain.dag.feeds import Feeds, Head
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.state import State
from icn.stores import blocks, keyspace
from icn.stores.blocks import BlockMeta
from icn.stores.kv import Batch
from support import builders

A, B = builders.did(1), builders.did(2)


def _stored() -> tuple[MemoryStore, list[Block]]:
    """Two feeds, woven: a0 b0 a1 b1."""
    store, batch = MemoryStore(), Batch()
    a0 = builders.block(1)
    b0 = builders.block(2, federation=a0.cid, parents=(a0.cid,))
    a1 = builders.block(1, federation=a0.cid, sequence=1, previous=a0.cid, parents=(b0.cid,))
    b1 = builders.block(2, federation=a0.cid, sequence=1, previous=b0.cid, parents=(a1.cid,))
    clocks = ({A: 1}, {A: 1, B: 1}, {A: 2, B: 1}, {A: 2, B: 2})
    made = [a0, b0, a1, b1]
    for arrival, (block, clock) in enumerate(zip(made, clocks, strict=True)):
        blocks.put_block(batch, block, arrival, clock, ("ledger.x", "ledger.x", f"mesh.{arrival}"))
    store.commit(batch, store.claim())
    return store, made


def test_a_block_is_found_every_way() -> None:
    store, (a0, b0, a1, b1) = _stored()
    assert blocks.get_bytes(store, b0.cid) == b0.data
    assert blocks.cid_at(store, A, 1) == a1.cid
    assert blocks.cid_at(store, A, 2) is None
    assert blocks.clock_at(store, B, 1) == {A: 2, B: 2}
    assert list(blocks.journal(store)) == list(enumerate((a0.cid, b0.cid, a1.cid, b1.cid)))
    assert list(blocks.journal(store, after=2)) == [(3, b1.cid)]
    assert blocks.last_arrival(store) == 3
    assert blocks.last_arrival(MemoryStore()) == -1
    found = [key for key, _ in store.scan(keyspace.event_type("ledger.x"))]
    assert [int.from_bytes(key[-8:], "big") for key in found] == [0, 1, 2, 3]
    assert len(list(store.scan(keyspace.event_type("mesh.2")))) == 1


def test_what_a_peer_lacks_comes_ancestors_first() -> None:
    store, (a0, b0, a1, b1) = _stored()
    assert list(blocks.missing_from(store, {}, [B, A])) == [a0.cid, b0.cid, a1.cid, b1.cid]
    assert list(blocks.missing_from(store, {A: 1}, [A, B])) == [b0.cid, a1.cid, b1.cid]
    assert list(blocks.missing_from(store, {A: 2, B: 2}, [A, B])) == []
    assert list(blocks.missing_from(store, {A: 9, B: 1}, [A, B])) == [b1.cid]


def test_a_number_of_any_length_is_found_and_none_is_made_up() -> None:
    arrivals = (0, 23, 24, 255, 65_535, 2**32, 2**63)
    made = [builders.block(1, sequence=number) for number in range(len(arrivals))]
    store, batch = MemoryStore(), Batch()
    for block, arrival in zip(made, arrivals, strict=True):
        blocks.put_meta(batch, block, arrival, {A: 300, B: 1})
    damaged = builders.block(2)
    batch.put(keyspace.block_meta(damaged.cid), b"\xa0")
    store.commit(batch, store.claim())
    assert tuple(blocks.arrival_of(store, block.cid) for block in made) == arrivals
    with pytest.raises(Invalid, match="arrival"):
        blocks.arrival_of(store, damaged.cid)


@pytest.mark.parametrize("count", [0, 1, 23, 24, 200])
def test_what_is_written_piece_by_piece_is_what_its_shape_writes(count: int) -> None:
    clock = {builders.did(number): number * 11 for number in range(count, 0, -1)}
    batch, feeds = Batch(), Feeds()
    for time in (0, 24, 256, 70_000, 2**33):
        block = builders.block(1, time=Instant(time))
        blocks.put_meta(batch, block, time, clock)
        meta = BlockMeta(time, block.place, blocks.clock_entries(clock))
        assert batch.operations[keyspace.block_meta(block.cid)] == shape_of(BlockMeta).encode(meta)
        feeds.heads[A] = Head(block.cid, time, Instant(time), clock, count)
        rows.save_head(State(feeds=feeds), batch, A)
        row = rows.HeadRow(A, block.cid, time, Instant(time), meta.clock, count)
        assert batch.operations[rows.HEADS.prefix + A.public_key] == shape_of(rows.HeadRow).encode(row)


def test_a_clock_reads_as_it_was_written() -> None:
    clock = {B: 3, A: 1}
    assert blocks.clock_of_entries(blocks.clock_entries(clock)) == clock
