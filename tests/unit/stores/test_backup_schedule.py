from icn.adapters.storage.memory import MemoryStore
from icn.kernel.instant import Duration, Instant
from icn.stores.backup_schedule import (
    MadeBackup,
    ProvenBackup,
    Schedule,
    put_finding,
    put_made,
    put_proven,
    schedule_in,
    wants_full,
    went_to,
)
from icn.stores.kv import Batch

MADE = MadeBackup("a.tar.gz", Instant(1_000), 5, Duration(7))
PLACE = "/mnt/disk"
PROVEN = ProvenBackup("a.tar.gz", Instant(2_000), Duration(9))


def test_a_store_without_backups_records_none():
    assert schedule_in(MemoryStore().get) == Schedule(None, None)
    assert not went_to(MemoryStore().get, PLACE)


def test_success_and_proof_are_kept_beside_each_other():
    store = MemoryStore()
    fence = store.claim()
    batch = Batch()
    put_made(store.get, batch, MADE, PLACE, is_full=True)
    store.commit(batch, fence)
    batch = Batch()
    put_proven(store.get, batch, PROVEN)
    store.commit(batch, fence)
    assert schedule_in(store.get) == Schedule(MADE, PROVEN)
    assert went_to(store.get, PLACE)
    assert not went_to(store.get, "/mnt")


def test_a_newer_one_takes_the_place_of_the_last_and_leaves_the_other():
    store = MemoryStore()
    batch = Batch()
    put_made(store.get, batch, MADE, PLACE, is_full=True)

    def get(key: bytes) -> bytes | None:
        return batch.operations.get(key, store.get(key))

    put_proven(get, batch, PROVEN)
    newer = MadeBackup("b.tar.gz", Instant(3_000), 6, Duration(8))
    put_made(get, batch, newer, "elsewhere", is_full=False)
    store.commit(batch, store.claim())
    assert schedule_in(store.get) == Schedule(newer, PROVEN)
    assert [place for place in (PLACE, "elsewhere") if went_to(store.get, place)] == ["elsewhere"]


def test_after_a_finding_a_full_backup_is_wanted_until_there_is_one():
    store, batch = MemoryStore(), Batch()

    def get(key: bytes) -> bytes | None:
        return batch.operations.get(key, store.get(key))

    assert not wants_full(get)
    put_finding(batch)
    assert wants_full(get)
    put_made(get, batch, MADE, PLACE, is_full=False)
    put_proven(get, batch, PROVEN)
    assert wants_full(get)
    put_made(get, batch, MADE, PLACE, is_full=True)
    assert not wants_full(get)
