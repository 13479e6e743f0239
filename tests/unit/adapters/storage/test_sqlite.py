"""What the SQLite adapter promises beyond the contract: its files, its faults, and what it refuses to open."""

import stat
import threading
from pathlib import Path

import apsw
import pytest

from icn.adapters.storage import sqlite
from icn.adapters.storage.sqlite import SqliteStore
from icn.adapters.storage.sqlite_format import APPLICATION_ID, FORMAT, PAGE_BYTES
from icn.kernel.errors import InvariantBroken
from icn.stores.kv import (
    SNAPSHOTS_OPEN_MAX,
    StoreCorrupt,
    StoreFull,
    StoreInUse,
    StoreNewer,
    StoreUnavailable,
)
from support.stores import batch, fill


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "dag.sqlite"


@pytest.fixture
def store(path):
    opened = SqliteStore.open(path)
    yield opened
    opened.close()


def changed_by_hand(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


# Its files.


def test_files_are_for_the_owner_and_the_settings_those_that_make_answers_durable(store, path):
    fill(store, {b"k": b"v"})
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    names = ["dag.sqlite", "dag.sqlite-shm", "dag.sqlite-wal", "dag.sqlite.lock", "dag.sqlite.witness"]
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    settings = {name: store._writer.pragma(name) for name in ("journal_mode", "synchronous", "page_size")}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "page_size": PAGE_BYTES}


def test_a_closed_store_is_one_file_without_a_log(path):
    store = SqliteStore.open(path)
    fill(store, {b"k": b"v"})
    store.close()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["dag.sqlite", "dag.sqlite.lock"]


def test_a_start_that_broke_off_before_the_tables_were_made_is_taken_up_again(path):
    path.parent.mkdir()
    path.touch()
    SqliteStore.open(path).close()
    path.unlink()
    changed_by_hand(path, "PRAGMA journal_mode = wal", "BEGIN IMMEDIATE", "COMMIT")
    store = SqliteStore.open(path)
    fill(store, {b"k": b"v"})
    store.close()


# What it refuses to open.


def test_another_program_s_database_is_refused_and_left_as_it_was(path):
    path.parent.mkdir()
    changed_by_hand(path, "CREATE TABLE photos (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="not a store of icn-node"):
        SqliteStore.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 30, bytes(5000)])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="not a SQLite database"):
        SqliteStore.open(path)
    assert path.read_bytes() == content


def test_a_newer_format_says_what_to_do(path):
    SqliteStore.open(path).close()
    changed_by_hand(path, f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(StoreNewer, match=r"start the newer release .* or restore a backup"):
        SqliteStore.open(path)


def test_a_store_without_its_tables_is_refused(path):
    path.parent.mkdir()
    changed_by_hand(path, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {FORMAT}")
    with pytest.raises(StoreCorrupt, match="tables are missing"):
        SqliteStore.open(path)


def test_a_refused_store_is_not_left_locked(path):
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    for _ in range(2):
        with pytest.raises(StoreCorrupt):
            SqliteStore.open(path)
    path.unlink()
    SqliteStore.open(path).close()


def test_a_path_that_is_a_folder_or_under_a_file_is_a_fault(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file" / "dag.sqlite"):
        with pytest.raises((StoreUnavailable, StoreCorrupt)):
            SqliteStore.open(path)


def test_a_store_cannot_be_opened_twice_by_two_names(store, path, tmp_path):
    (tmp_path / "link.sqlite").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    for name in (tmp_path / "link.sqlite", tmp_path / "folder" / path.name):
        with pytest.raises(StoreInUse):
            SqliteStore.open(name)


# Faults while it runs.


def test_damage_is_named_as_such(path):
    store = SqliteStore.open(path)
    fill(store, {b"k%05d" % number: bytes(300) for number in range(5000)})
    store.close()
    with path.open("r+b") as file:
        for page in range(5, 40):
            file.seek(page * PAGE_BYTES)
            file.write(b"\xa5" * 64)
    store = SqliteStore.open(path)
    with pytest.raises(StoreCorrupt, match="restore a backup"):
        list(store.scan(b""))
    store.close()


def test_a_full_store_writes_nothing_and_can_go_on_when_there_is_room(store):
    fence = store.claim()
    store.commit(batch({b"k": b"old"}), fence)
    pages = store._writer.pragma("page_count")
    store._writer.pragma("max_page_count", pages + 2)
    with pytest.raises(StoreFull):
        store.commit(batch({b"k": b"new", b"big": bytes(1_000_000)}), fence)
    assert list(store.scan(b"")) == [(b"k", b"old")]
    store._writer.pragma("max_page_count", 1_000_000)
    store.commit(batch({b"k": b"new"}), fence)
    assert store.get(b"k") == b"new"


def test_a_writer_from_outside_delays_us_and_then_is_a_fault_that_may_be_retried(store, path):
    fence = store.claim()
    store._writer.set_busy_timeout(1)
    outside = apsw.Connection(str(path))
    outside.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        store.commit(batch({b"k": b"v"}), fence)
    assert caught.value.retryable
    outside.execute("ROLLBACK")
    outside.close()
    store.commit(batch({b"k": b"v"}), fence)
    assert store.get(b"k") == b"v"


def test_a_program_that_holds_the_file_at_the_start_is_named(path, monkeypatch):
    monkeypatch.setattr("icn.adapters.storage.sqlite_format.BUSY_TIMEOUT_MS", 1)
    SqliteStore.open(path).close()
    outside = apsw.Connection(str(path))
    outside.pragma("locking_mode", "exclusive")
    outside.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreInUse, match="not an icn-node"):
        SqliteStore.open(path)
    outside.close()


def test_one_snapshot_too_many_is_refused_and_the_store_goes_on(store):
    fill(store, {b"k": b"v"})
    snapshots = [store.snapshot() for _ in range(SNAPSHOTS_OPEN_MAX)]
    with pytest.raises(StoreUnavailable, match="snapshots are open"):
        store.snapshot()
    assert store.get(b"k") == b"v"
    for snapshot in snapshots:
        snapshot.close()
    assert len(store._idle) == sqlite.READERS_IDLE_MAX
    store.snapshot().close()


def test_a_scan_over_large_values_reads_a_bounded_page(store):
    fill(store, {b"k%02d" % number: bytes(700_000) for number in range(12)})
    rows, is_last = store._reading._page(sqlite._ASCENDING, b"k", None, 256)
    assert (len(rows), is_last) == (2, False)
    assert [key for key, _ in store.scan(b"k")] == [b"k%02d" % number for number in range(12)]
    assert [key for key, _ in store.scan_down(b"k")] == [b"k%02d" % number for number in reversed(range(12))]


def test_a_snapshot_does_not_hold_up_the_writer_and_the_log_is_reused_after_it(store, path):
    store._log.checkpoint_frames = 100
    fence = store.claim()
    log = path.with_name("dag.sqlite-wal")
    snapshot = store.snapshot()
    for number in range(40):
        store.commit(batch({b"k": bytes((number,)) * 1_000_000}), fence)
    grown = log.stat().st_size
    assert snapshot.get(b"k") is None
    snapshot.close()
    for number in range(40):
        store.commit(batch({b"k": bytes((number,)) * 1_000_000}), fence)
    assert log.stat().st_size <= grown * 1.5


def test_reads_are_answered_while_a_commit_is_under_way(store):
    fill(store, {b"k": b"old"})
    store._writer.execute("BEGIN IMMEDIATE")
    store._writer.execute("UPDATE kv SET v = x'00'")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(store.get(b"k")))
    thread.start()
    thread.join(timeout=10)
    store._writer.execute("ROLLBACK")
    assert seen == [b"old"]


def test_a_statement_that_sqlite_refuses_is_a_bug_of_ours(store):
    fence = store.claim()
    store._writer.execute("ALTER TABLE kv RENAME COLUMN v TO w")
    with pytest.raises(InvariantBroken):
        store.commit(batch({b"k": b"v"}), fence)


@pytest.mark.parametrize("bit", range(8))
def test_a_key_that_a_disk_has_changed_is_never_given_out_under_another_prefix(path, bit):
    pairs = {b"b%02d-the-key" % number: b"value %d" % number for number in range(40)}
    store = SqliteStore.open(path)
    fill(store, pairs)
    store.close()
    whole, key = path.read_bytes(), b"b20-the-key"
    places = [at for at in range(len(whole)) if whole.startswith(key, at)]
    assert len(places) == 2  # of the row, and in the index
    told = []
    for at in places:
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1 << bit,)) + whole[at + 1 :])
        opened = SqliteStore.open(path)
        for scan in (opened.scan, opened.scan_down):
            try:
                found = dict(scan(b"b"))
            except StoreCorrupt as fault:
                told.append(str(fault))
            else:
                assert all(pairs[name] == value for name, value in found.items())
        opened.close()
    assert len(told) <= 2
    assert all("index" in line for line in told)


@pytest.mark.parametrize("bit", range(8))
def test_what_a_disk_has_made_of_the_types_of_keys_and_values_is_corrupt_or_bytes(path, bit):
    pairs = {b"b%02d-the-key" % number: b"value %d" % number for number in range(40)}
    store = SqliteStore.open(path)
    fill(store, pairs)
    store.close()
    whole, key = path.read_bytes(), b"b20-the-key"
    places = [at for at in range(len(whole)) if whole.startswith(key, at)]
    told = 0
    for at in [place - back for place in places for back in range(1, 6)]:  # where the types stand
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1 << bit,)) + whole[at + 1 :])
        opened = SqliteStore.open(path)
        for read in (
            lambda of=opened: [value for row in of.scan(b"") for value in row],
            lambda of=opened: [of.get(name) for name in pairs],
            lambda of=opened: of.get_many(list(pairs)),
        ):
            try:
                found = read()
            except StoreCorrupt:
                told += 1
            else:
                assert {*map(type, found)} <= {bytes, type(None)}
        opened.close()
    assert told
