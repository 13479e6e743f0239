from icn.adapters.storage.memory import MemoryStore
from icn.stores import backups
from icn.stores.archive import ArchiveKind, Position
from icn.stores.backups import BACKUPS_KEPT_MAX, FinishedBackup, Origin
from icn.stores.kv import Batch


def noted(store: MemoryStore, number: int) -> None:
    batch = Batch()
    finished = FinishedBackup(f"{number:064x}", "then", ArchiveKind.FULL, Position(number, 0))
    backups.note_finished(batch, backups.finished_backups(store), finished)
    store.commit(batch, store.claim())


def test_finished_backups_are_remembered_once_each_and_the_newest_only() -> None:
    store = MemoryStore()
    assert backups.finished_backups(store) == ()
    for number in range(BACKUPS_KEPT_MAX + 8):
        noted(store, number)
        noted(store, number)
    known = [item.to.arrival for item in backups.finished_backups(store)]
    assert known == list(range(8, BACKUPS_KEPT_MAX + 8))


def test_where_a_store_comes_from_is_remembered() -> None:
    store = MemoryStore()
    assert backups.origin_of(store) is None
    origin = Origin("00" * 16, "aa" * 32, Position(1, 2), Position(3, 4))
    batch = Batch()
    backups.put_origin(batch, origin)
    store.commit(batch, store.claim())
    assert backups.origin_of(store) == origin
