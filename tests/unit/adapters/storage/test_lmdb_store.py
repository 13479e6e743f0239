"""What the LMDB adapter promises beyond the contract: its files, its map, and what it refuses to open."""

import errno
import random
import stat
import subprocess
import sys
import threading

import lmdb
import pytest

from icn.adapters.storage import lmdb_store
from icn.adapters.storage.lmdb_faults import is_for_want_of_room
from icn.adapters.storage.lmdb_store import LmdbStore
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.stores.kv import (
    SNAPSHOTS_OPEN_MAX,
    StoreCorrupt,
    StoreInUse,
    StoreNewer,
    StoreUnavailable,
)
from support.stores import batch, child_environment, fill


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "node.sled"


@pytest.fixture
def store(path):
    opened = LmdbStore.open(path)
    yield opened
    opened.close()


# Its files.


def test_files_are_for_the_owner_and_the_settings_those_that_make_answers_durable(store, path):
    fill(store, {b"k": b"v"})
    assert {entry.name for entry in path.iterdir()} == {"icn-store", "data.mdb", "lock.mdb"}
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in path.iterdir()} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path, path.parent)} == {0o700}
    flags = store._environment.flags()
    assert (flags["sync"], flags["metasync"], flags["writemap"], flags["lock"]) == (True, True, False, True)


def test_the_engine_s_own_name_opens_it_too(path):
    store = open_store(StorageSettings("lmdb", path))
    assert store.properties.name == "sled"
    store.close()


def test_what_a_start_left_half_made_is_made_again(path):
    path.mkdir(parents=True)
    (path / "icn-store").write_text("icn-store sled 1 unfinished\n")
    (path / "data.mdb").write_bytes(b"half a page")
    store = LmdbStore.open(path)
    fill(store, {b"k": b"v"})
    store.close()


# Its map.


def test_a_batch_larger_than_the_map_is_committed_whole_and_reads_go_on(path, monkeypatch):
    monkeypatch.setattr(lmdb_store, "MAP_BYTES_FIRST", 1024 * 1024)
    store = LmdbStore.open(path)
    fence = store.claim()
    small = {b"a%02d" % number: b"1" for number in range(40)}
    store.commit(batch(dict(small)), fence)
    pairs = store.scan(b"")
    assert next(pairs) == (b"a00", b"1")
    large = {b"k%d" % number: bytes((number,)) * 1_000_000 for number in range(7)}
    store.commit(batch(dict(large)), fence)
    assert store._environment.info()["map_size"] == 8 * 1024 * 1024
    assert [key for key, _ in pairs] == [*list(small)[1:], *large]
    assert store.get(b"a00") == b"1"
    store.close()
    monkeypatch.undo()
    store = LmdbStore.open(path)
    assert dict(store.scan(b"k")) == large
    store.close()


def test_readers_never_notice_that_the_map_grows(path, monkeypatch):
    monkeypatch.setattr(lmdb_store, "MAP_BYTES_FIRST", 256 * 1024)
    store = LmdbStore.open(path)
    fill(store, {b"a%03d" % number: b"v" for number in range(300)})
    done = threading.Event()
    looks = []

    def look() -> None:
        while not done.is_set():
            looks.append((store.get(b"a000"), sum(1 for _ in store.scan(b"a"))))

    reader = threading.Thread(target=look)
    reader.start()
    fence = store.claim()
    for number in range(40):
        store.commit(batch({b"k%d" % number: bytes(200_000)}), fence)
    done.set()
    reader.join()
    assert set(looks) == {(b"v", 300)}
    assert store._environment.info()["map_size"] >= 8_000_000
    store.close()


def test_a_map_that_cannot_grow_under_a_snapshot_refuses_the_commit_until_it_is_closed(path, monkeypatch):
    monkeypatch.setattr(lmdb_store, "MAP_BYTES_FIRST", 1024 * 1024)
    store = LmdbStore.open(path)
    fill(store, {b"k": b"old"})
    fence = store.claim()
    snapshot = store.snapshot()
    with pytest.raises(StoreUnavailable, match="snapshots are open") as caught:
        store.commit(batch({b"k": b"new", b"big": bytes(2_000_000)}), fence)
    assert caught.value.retryable
    assert (snapshot.get(b"k"), store.get(b"k"), store.get(b"big")) == (b"old", b"old", None)
    snapshot.close()
    store.commit(batch({b"k": b"new", b"big": bytes(2_000_000)}), fence)
    assert store.get(b"k") == b"new"
    store.close()


GROW_WITHOUT_ADDRESS_SPACE = """
import resource, sys
from pathlib import Path
from icn.adapters.storage import lmdb_store
from icn.stores.kv import Fault
from support.stores import batch
lmdb_store.MAP_BYTES_FIRST = 1024 * 1024
lmdb_store.MAP_GROWTH = 1024 * 1024
store = lmdb_store.LmdbStore.open(Path(sys.argv[1]))
fence = store.claim()
store.commit(batch({b"k": b"old"}), fence)
resource.setrlimit(resource.RLIMIT_AS, (8 * 1024**3, resource.RLIM_INFINITY))
for call in (
    lambda: store.commit(batch({b"k": b"new", b"big": bytes(2_000_000)}), fence),
    lambda: store.commit(batch({b"late": b"1"}), fence),
    lambda: store.get(b"k"),
    lambda: list(store.scan(b"")),
    store.snapshot,
    store.claim,
):
    try:
        print(call())
    except Fault as fault:
        print(fault.code)
store.close()
"""


@pytest.mark.slow
def test_a_map_that_the_system_refuses_ends_the_store_and_not_the_process(path):
    child = subprocess.run(
        [sys.executable, "-c", GROW_WITHOUT_ADDRESS_SPACE, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=child_environment(),
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout.split() == [StoreUnavailable.code] * 6
    store = LmdbStore.open(path)
    assert list(store.scan(b"")) == [(b"k", b"old")]
    store.close()


def test_pages_are_used_again_so_the_file_does_not_grow_with_what_is_replaced(store, path):
    fence = store.claim()
    for turn in range(60):
        store.commit(batch({b"k%d" % number: bytes((turn,)) * 50_000 for number in range(10)}), fence)
    assert (path / "data.mdb").stat().st_size < 4_000_000


# What it refuses to open.


def test_a_folder_of_the_rust_library_is_refused_with_what_to_do_and_left_as_it_was(path):
    path.mkdir(parents=True)
    (path / "blobs").mkdir()
    for name in ("conf", "db", "snap.0000000000000E10"):
        (path / name).write_bytes(b"sled")
    with pytest.raises(StoreCorrupt, match=r"Rust library sled.*set \[storage\] path to a new folder"):
        LmdbStore.open(path)
    assert sorted(entry.name for entry in path.iterdir()) == ["blobs", "conf", "db", "snap.0000000000000E10"]
    assert [entry.name for entry in path.parent.iterdir()] == ["node.sled"]


def test_an_lmdb_folder_of_another_program_is_refused(path):
    path.mkdir(parents=True)
    lmdb.open(str(path)).close()
    before = (path / "data.mdb").read_bytes()
    with pytest.raises(StoreCorrupt, match="not a store of icn-node"):
        LmdbStore.open(path)
    assert (path / "data.mdb").read_bytes() == before


def test_a_file_of_a_later_lmdb_says_what_to_do(path, tmp_path):
    LmdbStore.open(path).close()
    lmdb.open(str(tmp_path / "later"), lib_version=1).close()
    (path / "data.mdb").write_bytes((tmp_path / "later" / "data.mdb").read_bytes())
    with pytest.raises((StoreNewer, StoreCorrupt)):
        LmdbStore.open(path)


def test_a_store_without_its_epoch_is_refused_and_not_left_locked(path):
    LmdbStore.open(path).close()
    (path / "data.mdb").unlink()
    lmdb.open(str(path)).close()
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match="no epoch"):
            LmdbStore.open(path)


def test_a_store_cannot_be_opened_twice_by_two_names(store, path, tmp_path):
    (tmp_path / "link.sled").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    for name in (tmp_path / "link.sled", tmp_path / "folder" / path.name):
        with pytest.raises(StoreInUse):
            LmdbStore.open(name)


# While it runs.


def test_one_snapshot_too_many_is_refused_and_the_store_goes_on(store):
    fill(store, {b"k": b"v"})
    snapshots = [store.snapshot() for _ in range(SNAPSHOTS_OPEN_MAX)]
    with pytest.raises(StoreUnavailable, match="snapshots are open"):
        store.snapshot()
    fill(store, {b"k": b"w"})
    assert store.get(b"k") == b"w"
    for snapshot in snapshots:
        snapshot.close()
    store.snapshot().close()


HOLD_FROM_OUTSIDE = """
import lmdb, sys
environment = lmdb.open(sys.argv[1], readonly=True)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_readers_of_a_killed_process_do_not_hold_pages_for_ever(path):
    LmdbStore.open(path).close()
    script = "import sys, os; from pathlib import Path; from icn.adapters.storage.lmdb_store import LmdbStore; "
    script += "s = LmdbStore.open(Path(sys.argv[1])); k = [s.snapshot() for _ in range(60)]; os.kill(os.getpid(), 9)"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_FROM_OUTSIDE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "open\n"  # a tool of the operator's: while it runs, the reader table stays
        subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60, env=child_environment())
        store = LmdbStore.open(path)
        assert store._environment.readers().count("\n") < 10
        store.close()
        holder.stdin.close()


def test_a_scan_over_large_values_reads_a_bounded_page(store):
    fill(store, {b"k%02d" % number: bytes(700_000) for number in range(12)})
    for page in (store._reading._page_up, store._reading._page_down):
        rows, is_last = page(b"k", b"l", 256)
        assert (len(rows), is_last) == (2, False)


def test_reads_are_answered_while_a_commit_is_under_way(store):
    fill(store, {b"k": b"old"})
    seen = []
    with store._environment.begin(write=True) as transaction:
        transaction.put(b"k", b"new")
        thread = threading.Thread(target=lambda: seen.append(store.get(b"k")))
        thread.start()
        thread.join(timeout=10)
        transaction.abort()
    assert seen == [b"old"]


# A file that is shorter than LMDB says, which is normal after some commits.


def short_store(path):
    """A store whose process ended between a commit that leaves the file short and the making up of its length."""
    store = LmdbStore.open(path)
    fence = store.claim()
    store.commit(batch({b"k%04d" % number: random.Random(number).randbytes(300) for number in range(500)}), fence)
    store.close()
    environment = lmdb.open(str(path), map_size=1024**3)
    with environment.begin(write=True) as transaction:
        transaction.put(b"large", bytes(300_000))
        transaction.delete(b"large")
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    environment.close()
    return needed


def test_a_sound_file_that_is_short_is_opened_and_made_up_in_length(path):
    needed = short_store(path)
    assert (path / "data.mdb").stat().st_size < needed
    store = LmdbStore.open(path)
    assert sum(1 for _ in store.scan(b"")) == 500
    store.close()
    assert (path / "data.mdb").stat().st_size == needed


def test_a_short_file_with_something_missing_is_refused(path):
    short_store(path)
    size = (path / "data.mdb").stat().st_size
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(size // 2)
    with pytest.raises(StoreCorrupt, match="too short or damaged"):
        LmdbStore.open(path)


def test_a_write_that_broke_off_is_put_down_to_a_full_disk_only_when_it_is_full(store, tmp_path):
    """LMDB says EIO for both; with room on the disk it is the disk that is at fault, and what it did is not known."""
    broke_off = lmdb.Error("mdb_txn_commit")
    broke_off.code = errno.EIO
    assert not is_for_want_of_room(broke_off, tmp_path, 1000)
    assert is_for_want_of_room(broke_off, tmp_path, 2**60)
    assert not store._panics()


def test_a_short_file_that_lacks_only_the_end_of_a_large_value_is_refused(path):
    """The trees are all there; made up in length, the file would show zeros in place of what was stored."""
    store = LmdbStore.open(path)
    for _ in range(10):  # frees pages for the trees, so that nothing but the value is put behind the end
        fill(store, {b"k": random.Random(1).randbytes(1000)})
    store.close()
    environment = lmdb.open(str(path), map_size=1024**3)
    with environment.begin(write=True) as transaction:
        transaction.put(b"l", bytes(9 * 1_000_000))  # behind everything else
    environment.close()
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 4 * 1_000_000)
    with pytest.raises(StoreCorrupt, match="too short or damaged"):
        LmdbStore.open(path)
