import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.stores import moving
from icn.stores.kv import Batch
from icn.stores.moving import StoreIncomplete, StoreMoved
from icn.stores.schema import check_or_claim, require_current
from support import builders


def committed(change):
    store, batch = MemoryStore(), Batch()
    change(batch)
    store.commit(batch, store.claim())
    return store


def test_a_copy_that_was_not_finished_is_opened_by_nobody():
    store = committed(lambda batch: moving.begin(batch, b"id"))
    assert moving.migration_of(store) == b"id"
    for check in (moving.require_here, require_current):
        with pytest.raises(StoreIncomplete, match="storage migrate again"):
            check(store)
    with pytest.raises(StoreIncomplete):
        check_or_claim(store, builders.did(1), bytes(16))


def test_a_store_that_was_moved_away_is_opened_by_nobody():
    store = committed(lambda batch: moving.mark_moved(batch, "rocksdb at /ü"))
    assert moving.moved_to(store) == "rocksdb at /ü"
    with pytest.raises(StoreMoved, match="moved to rocksdb at /ü: configure that one"):
        check_or_claim(store, builders.did(1), bytes(16))


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (lambda batch: moving.begin(batch, b"id"), moving.finish),
        (lambda batch: moving.mark_moved(batch, "/x"), moving.take_back_move),
    ],
)
def test_either_note_can_be_taken_back(begin, end):
    store = committed(begin)
    batch = Batch()
    end(batch)
    store.commit(batch, store.claim())
    moving.require_here(store)
    assert not list(store.scan(b""))


def test_an_ordinary_store_bears_neither_note():
    store = MemoryStore()
    moving.require_here(store)
    assert moving.moved_to(store) is None
    assert moving.migration_of(store) is None
