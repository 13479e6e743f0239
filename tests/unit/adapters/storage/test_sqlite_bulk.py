"""The disk is made to have what was loaded while more is, and what keeps it from that is told."""

import errno
import os
import threading
from pathlib import Path

import pytest

from icn.adapters.storage import sqlite_bulk
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.adapters.storage.sqlite_bulk import SqliteBulk
from icn.services.beginning import NO_VIEWS
from icn.stores.kv import Batch, StoreFull

ROWS = {b"k%d" % number: b"value" * number for number in range(20)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sqlite_bulk, "SYNC_BYTES", 1)
    path = tmp_path / "s.sqlite"
    open_store(StorageSettings("sqlite", path)).close()
    return path


def load(bulk: SqliteBulk) -> None:
    for key, value in ROWS.items():
        batch = Batch()
        batch.put(key, value)
        bulk.load(batch, NO_VIEWS)


def test_it_is_loaded_while_the_disk_writes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_loaded, sync, waited = threading.Event(), os.fsync, list[bool]()

    def slow(descriptor: int) -> None:
        waited.append(is_loaded.wait(10))
        sync(descriptor)

    bulk = SqliteBulk(place)
    monkeypatch.setattr(os, "fsync", slow)
    load(bulk)
    is_loaded.set()
    bulk.close()
    assert len(waited) > 1
    assert all(waited)
    store = open_store(StorageSettings("sqlite", place))
    assert dict(store.scan(b"k")) == ROWS
    store.close()


def test_a_disk_that_failed_meanwhile_is_told_of_in_the_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who syncs once more may be told that all is well: the pages that could not be written are forgotten."""
    sync, failed = os.fsync, list[int]()

    def failing_once(descriptor: int) -> None:
        if not failed:
            failed.append(descriptor)
            raise OSError(errno.ENOSPC, "no space")
        sync(descriptor)

    bulk = SqliteBulk(place)
    monkeypatch.setattr(os, "fsync", failing_once)
    batch = Batch()
    batch.put(b"k", b"value")
    bulk.load(batch, NO_VIEWS)
    with pytest.raises(StoreFull):
        bulk.close()
    assert len(failed) == 1


def test_nothing_stays_open(place: Path) -> None:
    def open_files() -> list[str]:
        return sorted(str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink())

    before = [name for name in open_files() if str(place) in name]
    bulk = SqliteBulk(place)
    load(bulk)
    bulk.close()
    assert [name for name in open_files() if str(place) in name] == before == []
