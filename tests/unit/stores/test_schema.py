"""A store belongs to one key and one format, and is never guessed at."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.stores import keyspace
from icn.stores.kv import Batch, StoreNewer
from icn.stores.schema import FORMAT_VERSION, ForeignStore, check_or_claim
from support import builders

ALICE = builders.did(1)


def _claimed() -> MemoryStore:
    store = MemoryStore()
    store.commit(check_or_claim(store, ALICE), store.claim())
    return store


def test_an_empty_store_is_claimed_and_its_owner_comes_back() -> None:
    assert not check_or_claim(_claimed(), ALICE).operations


def test_another_key_is_refused_by_name() -> None:
    with pytest.raises(ForeignStore, match=str(ALICE)):
        check_or_claim(_claimed(), builders.did(2))


def test_a_newer_format_is_refused() -> None:
    store = _claimed()
    batch = Batch()
    batch.put(keyspace.about("format"), str(FORMAT_VERSION + 1).encode())
    store.commit(batch, store.claim())
    with pytest.raises(StoreNewer, match="newer"):
        check_or_claim(store, ALICE)
