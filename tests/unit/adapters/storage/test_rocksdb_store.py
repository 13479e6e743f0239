"""What the RocksDB adapter promises beyond the contract: its files, its views, its faults, and what it refuses."""

import stat
import subprocess
import sys

import pytest
import rocksdict

from icn.adapters.storage.rocksdb_faults import Edge
from icn.adapters.storage.rocksdb_store import RocksdbStore
from icn.kernel.errors import InvariantBroken
from icn.stores.kv import (
    SNAPSHOTS_OPEN_MAX,
    StoreCorrupt,
    StoreFull,
    StoreInUse,
    StoreNewer,
    StoreUnavailable,
)
from support.stores import batch, child_environment, fill


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "node.rocksdb"


@pytest.fixture
def store(path):
    opened = RocksdbStore.open(path)
    yield opened
    opened.close()


def test_nobody_else_can_enter_its_folder(store, path):
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path, path.parent)} == {0o700}


WITHOUT_THE_LIBRARY = """
import sys
from pathlib import Path
sys.modules["rocksdict"] = None
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.kernel.errors import ConfigError
try:
    open_store(StorageSettings("rocksdb", Path(sys.argv[1])))
except ConfigError as error:
    print(error)
"""


@pytest.mark.slow
def test_without_the_library_the_operator_is_told_how_to_get_it(path):
    child = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_LIBRARY, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=child_environment(),
    )
    assert "pip install 'icn[rocksdb]'" in child.stdout
    assert not path.exists()


def test_what_is_not_yet_synced_is_not_seen(store):
    fence = store.claim()
    store.commit(batch({b"k": b"old"}), fence)
    changes = rocksdict.WriteBatch(raw_mode=True)
    changes.put(b"k", b"new")
    changes.put(b"l", b"new")
    store._engine.write(changes)
    snapshot = store.snapshot()
    for reader in (store, snapshot):
        assert reader.get(b"k") == b"old"
        assert reader.get(b"l") is None
        assert list(reader.scan(b"")) == list(reader.scan_down(b"")) == [(b"k", b"old")]
    snapshot.close()


def test_after_an_uncertain_commit_readers_stay_at_the_last_that_is_known(store):
    fence = store.claim()
    store.commit(batch({b"k": b"old"}), fence)
    store.lost_a_commit(OSError("no answer"))
    for call in (lambda: store.commit(batch({b"k": b"new"}), fence), store.claim):
        with pytest.raises(StoreUnavailable, match="close and reopen"):
            call()
    assert store.get(b"k") == b"old"


def test_one_snapshot_too_many_is_refused_and_the_store_goes_on(store):
    snapshots = [store.snapshot() for _ in range(SNAPSHOTS_OPEN_MAX)]
    with pytest.raises(StoreUnavailable, match="snapshots are open"):
        store.snapshot()
    fill(store, {b"k": b"v"})
    assert store.get(b"k") == b"v"
    for snapshot in snapshots:
        snapshot.close()
    store.snapshot().close()


def test_a_scan_over_large_values_reads_a_bounded_page(store):
    fill(store, {b"k%02d" % number: bytes(700_000) for number in range(12)})
    for page in (store._reading._page_up, store._reading._page_down):
        rows, is_last = page(b"k", b"l", 256)
        assert (len(rows), is_last) == (2, False)


def table_of(path):
    return max(path.glob("*.sst"), key=lambda file: file.stat().st_size)


@pytest.mark.slow
def test_a_scan_that_meets_damage_says_so_and_does_not_just_end(path):
    store = RocksdbStore.open(path)
    fill(store, {b"k%05d" % number: bytes((number % 251,)) * 100 for number in range(20_000)})
    store._engine.flush()
    store.close()
    table = table_of(path)
    with table.open("r+b") as file:
        file.seek(table.stat().st_size // 2)
        file.write(b"\xa5" * 64)
    store = RocksdbStore.open(path)
    assert store.get(b"k00000") is not None
    for scan in (store.scan, store.scan_down):
        with pytest.raises(StoreCorrupt, match="restore a backup"):
            list(scan(b""))
    store.close()


@pytest.mark.slow
def test_a_log_with_damage_before_its_end_is_refused(path):
    """RocksDB's default would drop what follows the damage, acknowledged or not, and say nothing."""
    script = "import os, sys; from pathlib import Path; from icn.adapters.storage.rocksdb_store import RocksdbStore; "
    script += "from support.stores import batch; s = RocksdbStore.open(Path(sys.argv[1])); f = s.claim(); "
    script += "[s.commit(batch({b'k%03d' % n: b'v' * 2000}), f) for n in range(100)]; os._exit(0)"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60, env=child_environment())
    (log,) = path.glob("*.log")
    with log.open("r+b") as file:
        file.seek(100_000)
        file.write(b"\xa5" * 64)
    with pytest.raises(StoreCorrupt):
        RocksdbStore.open(path)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*"])
def test_a_store_whose_files_are_gone_is_refused_and_not_made_anew(path, name):
    RocksdbStore.open(path).close()
    for file in path.glob(name):
        file.unlink()
    for _ in range(2):
        with pytest.raises(StoreCorrupt):
            RocksdbStore.open(path)


def test_a_tool_that_holds_the_database_is_named(path):
    RocksdbStore.open(path).close()
    tool = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
    with pytest.raises(StoreInUse, match="not an icn-node"):
        RocksdbStore.open(path)
    tool.close()
    del tool
    RocksdbStore.open(path).close()


def test_a_store_cannot_be_opened_twice_by_two_names(store, path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(StoreInUse):
        RocksdbStore.open(tmp_path / "link")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("IO error: No space left on device: While appending to file: x.log: No space left on device", StoreFull),
        ("IO error: While fsync: x: Disk quota exceeded", StoreFull),
        ("IO error: While pread offset 0 len 10: x.sst: Input/output error", StoreUnavailable),
        ("Corruption: block checksum mismatch", StoreCorrupt),
        ("Corruption: unknown format_version 9 in file x.sst", StoreNewer),
        ("Invalid argument: Column families not opened: x", InvariantBroken),
    ],
)
def test_what_the_engine_says_becomes_one_of_our_faults(path, text, fault):
    with pytest.raises(fault), Edge(path):
        raise Exception(text)  # noqa: TRY002 - as the library does


def test_an_error_that_is_not_the_engine_s_passes_as_it_is(path):
    with pytest.raises(ZeroDivisionError), Edge(path):
        raise ZeroDivisionError
