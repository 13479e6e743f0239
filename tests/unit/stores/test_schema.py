"""A store belongs to one key and one format, is never guessed at, and is brought up from an earlier format."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.services.replay import rebuild
from icn.stores import keyspace
from icn.stores.kv import Batch, StoreCorrupt, StoreNewer
from icn.stores.schema import (
    FORMAT_VERSION,
    STORE_ID_BYTES,
    ForeignStore,
    StoreOlder,
    check_or_claim,
    format_of,
    owner_of,
    require_current,
    store_id,
    upgrades,
)
from support import builders

ALICE = builders.did(1)
ID = bytes(range(STORE_ID_BYTES))
OTHER_ID = bytes(STORE_ID_BYTES)


def _claimed() -> MemoryStore:
    store = MemoryStore()
    store.commit(check_or_claim(store, ALICE, ID), store.claim())
    return store


def _with_format(version: bytes) -> MemoryStore:
    store, batch = _claimed(), Batch()
    batch.put(keyspace.about("format"), version)
    store.commit(batch, store.claim())
    return store


def test_an_empty_store_is_claimed_once_and_keeps_owner_and_id() -> None:
    store = _claimed()
    assert not check_or_claim(store, ALICE, OTHER_ID).operations
    assert (owner_of(store), store_id(store), format_of(store)) == (ALICE.text, ID, FORMAT_VERSION)
    assert list(upgrades(store, OTHER_ID, rebuild)) == []
    require_current(store)


def test_an_empty_store_has_neither() -> None:
    store = MemoryStore()
    assert (owner_of(store), store_id(store), format_of(store)) == (None, None, None)
    require_current(store)


def test_another_key_is_refused_by_name() -> None:
    with pytest.raises(ForeignStore, match=str(ALICE)):
        check_or_claim(_claimed(), builders.did(2), ID)


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(StoreNewer, match="newer"):
        check_or_claim(_with_format(str(FORMAT_VERSION + 1).encode()), ALICE, ID)


def test_a_format_that_is_no_number_is_damage() -> None:
    with pytest.raises(StoreCorrupt, match="no number"):
        check_or_claim(_with_format(b"\xff2"), ALICE, ID)


def test_who_only_reads_is_told_that_a_start_brings_the_store_up() -> None:
    with pytest.raises(StoreOlder, match="start icn-node"):
        require_current(_with_format(b"1"))
    with pytest.raises(StoreOlder, match="start icn-node"):
        require_current(_with_format(str(FORMAT_VERSION - 1).encode()))
