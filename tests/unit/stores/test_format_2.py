"""The step from format 2 to 3, whole, interrupted, and refused. Whole stores of that format: tests/upgrade."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.services import replay, rows
from icn.services.replay import rebuild
from icn.services.verify import verify
from icn.stores import blocks, format_2, keyspace
from icn.stores.kv import StoreCorrupt
from icn.stores.schema import STORE_ID_BYTES, StoreOlder, format_of, require_current, upgrades
from support.sample_stores import busy_node, index_of, pairs_of, pour
from support.stores import batch

ID = bytes(STORE_ID_BYTES)
SOMETHING_ELSE = keyspace.projection("of_another_format") + b"row"


def _of_format_2() -> MemoryStore:
    """The rows are nearly those of today: one more, which the journal does not give, shows that they went.

    There was no index of jobs.
    """
    store = MemoryStore()
    pour(busy_node().store, store)
    old = {keyspace.about("format"): b"2", SOMETHING_ELSE: b"of old", **dict.fromkeys(index_of(store))}
    store.commit(batch(old), store.claim())
    assert not index_of(store)
    return store


@pytest.mark.parametrize("dies_after", range(12))
def test_all_rows_are_made_anew_and_nothing_else_is_touched(dies_after, monkeypatch) -> None:
    monkeypatch.setattr(format_2, "ROWS_PER_BATCH", 3)
    monkeypatch.setattr(replay, "REPLAYED_BYTES_PER_BATCH", 900)
    store = _of_format_2()
    before = pairs_of(store)
    for count, step in enumerate(upgrades(store, ID, rebuild)):
        if count == dies_after:
            break
        store.commit(step, store.claim())
        assert len(step) < 40
        assert format_of(store) == 3 or rows.load_position(store).arrival < max(dict(blocks.journal(store))), (
            "a release of format 2 must not take half the rows for all of them"
        )
    assert dies_after > 10 or format_of(store) == 2
    if format_of(store) == 2:
        with pytest.raises(StoreOlder):
            require_current(store)
    for step in upgrades(store, ID, rebuild):
        store.commit(step, store.claim())
    del before[SOMETHING_ELSE]
    index = index_of(busy_node().store)
    assert {key[:1] for key in index} == {keyspace.JOB_EVENT, keyspace.RECEIPT, keyspace.JOB_CORRELATION}
    assert pairs_of(store) == before | {keyspace.about("format"): b"3"} | index
    assert verify(store, deep=True).ok


@pytest.mark.parametrize("damage", [None, b"no block"])
def test_a_store_with_a_damaged_block_keeps_its_format_and_all_it_has(damage) -> None:
    store = _of_format_2()
    cid = dict(blocks.journal(store))[2]
    store.commit(batch({keyspace.block(cid): damage}), store.claim())
    before = pairs_of(store)
    with pytest.raises(StoreCorrupt, match=f"{cid}.*nothing was changed"):
        next(upgrades(store, ID, rebuild))
    assert pairs_of(store) == before
