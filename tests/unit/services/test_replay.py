"""The rows of a store, made anew from its journal: the same as before, from wherever the making was interrupted."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.services import replay
from icn.services.replay import rebuild
from icn.services.verify import verify
from icn.stores import blocks, format_2, keyspace
from icn.stores.kv import StoreCorrupt
from support.sample_stores import busy_node, index_of, pairs_of, pour
from support.stores import batch


def kept_by(pairs: MemoryStore | dict[bytes, bytes]) -> dict[bytes, bytes]:
    """All but what a store says about itself."""
    found = pairs if isinstance(pairs, dict) else pairs_of(pairs)
    return {key: value for key, value in found.items() if not key.startswith(keyspace.ABOUT)}


@pytest.fixture
def cleared(monkeypatch: pytest.MonkeyPatch) -> tuple[MemoryStore, dict[bytes, bytes]]:
    """A store without its rows and its index of jobs, and all that it held with them."""
    monkeypatch.setattr(replay, "REPLAYED_BYTES_PER_BATCH", 600)
    node = busy_node()
    before = pairs_of(node.store)
    store = MemoryStore()
    pour(node.store, store)
    for step in format_2.clear_rows(store):
        store.commit(step, store.claim())
    store.commit(batch(dict.fromkeys(index_of(store))), store.claim())
    assert [key for key, _ in store.scan(keyspace.PROJECTION) if not keyspace.is_local(key)] == []
    return store, before


def test_what_is_rebuilt_is_what_was_there(cleared) -> None:
    store, before = cleared
    steps = 0
    for step in rebuild(store):
        store.commit(step, store.claim())
        steps += 1
    assert steps > 3, "it was not done in one commit"
    assert kept_by(store) == kept_by(before)


def test_whoever_is_interrupted_goes_on_where_it_was(cleared) -> None:
    store, before = cleared
    positions = []
    for _ in range(100):
        steps = list(rebuild(store))
        store.commit(steps[0], store.claim())
        positions.append(replay.rows.load_position(store).arrival)
        if len(steps) == 1:
            break
    newest = max(dict(blocks.journal(store)))
    assert positions == [*range(newest + 1), newest], "every call got further, and the last had nothing to do"
    assert kept_by(store) == kept_by(before)
    assert verify(store, deep=True).ok


def test_a_journal_that_breaks_the_rules_gives_no_rows(cleared) -> None:
    store, _ = cleared
    journal = dict(blocks.journal(store))
    # A later block in an earlier one's place: it is genuine, and does not follow.
    store.commit(batch({keyspace.journal_entry(2): journal[3].data}), store.claim())
    with pytest.raises(StoreCorrupt, match="number 2 of the journal"):
        list(rebuild(store))
