"""A hole in the record that was under way does not keep RocksDB from starting; any other damage is refused."""

import shutil
import zlib
from pathlib import Path

import pytest

from icn.adapters.storage import rocksdb_log
from icn.adapters.storage.rocksdb_engine import WITNESS
from icn.adapters.storage.rocksdb_log import BLOCK_BYTES, crc32c
from icn.adapters.storage.rocksdb_store import RocksdbStore
from icn.adapters.storage.witness import read
from icn.kernel.limits import MIB
from icn.stores.kv import Fence, StoreCorrupt
from support.stores import batch

NAME = "node.rocksdb"
PAGE = 4096
BIG = b"".join(zlib.crc32(number.to_bytes(4)).to_bytes(4) for number in range(40_000))
"""It takes five blocks, and no page of it is zeros."""


@pytest.fixture
def store(tmp_path):
    opened = RocksdbStore.open(tmp_path / "open" / NAME)
    yield opened
    opened.close()


@pytest.fixture
def fence(store):
    return store.claim()


def taken(store: RocksdbStore, folder: Path) -> Path:
    """A copy of the files of an open store, as a crash leaves them."""
    shutil.copytree(store._path, folder / NAME)
    return folder / NAME


def log_of(path: Path) -> Path:
    (log,) = path.glob("*.log")
    return log


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


def newest(path: Path) -> bytes | None:
    """What the store's last commit said; it can be opened, written to and opened again."""
    store = RocksdbStore.open(path)
    found = store.get(b"k")
    store.commit(batch({b"after": b"1"}), store.claim())
    store.close()
    store = RocksdbStore.open(path)
    assert store.get(b"after") == b"1"
    assert store.get(b"k") == found
    store.close()
    return found


def assert_refused(path: Path) -> None:
    log = log_of(path).read_bytes()
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match="restore a backup, or let the federation refill"):
            RocksdbStore.open(path)
        assert log_of(path).read_bytes() == log


def under_way(store: RocksdbStore, fence: Fence, tmp_path: Path) -> tuple[Path, int]:
    """A store whose last record was under way, and where that begins in the log."""
    store.commit(batch({b"k": b"kept"}), fence)
    begin = log_of(store._path).stat().st_size
    witness = (store._path / WITNESS).read_bytes()
    store.commit(batch({b"k": b"lost", b"big": BIG}), fence)
    path = taken(store, tmp_path / "crashed")
    (path / WITNESS).write_bytes(witness)
    return path, begin


@pytest.mark.slow
@pytest.mark.parametrize("witness", [True, False])
def test_a_hole_in_the_record_that_was_under_way_is_dropped_with_it(store, fence, tmp_path, witness):
    path, begin = under_way(store, fence, tmp_path)
    if not witness:
        (path / WITNESS).unlink()
    end = log_of(path).stat().st_size
    for page in range(begin // PAGE + 1, end // PAGE, 8):
        copy = tmp_path / f"copy{page}"
        shutil.copytree(path, copy)
        overwrite(log_of(copy), page * PAGE, bytes(PAGE))
        assert newest(copy) == b"kept"
        shutil.rmtree(copy)


@pytest.mark.slow
def test_a_hole_where_the_record_begins_is_dropped_with_it(store, fence, tmp_path):
    path, begin = under_way(store, fence, tmp_path)
    overwrite(log_of(path), begin, bytes(PAGE - begin % PAGE))
    assert newest(path) == b"kept"


@pytest.mark.slow
def test_the_same_hole_in_a_record_that_was_acknowledged_is_refused(store, fence, tmp_path):
    store.commit(batch({b"k": b"kept", b"big": BIG}), fence)
    path = taken(store, tmp_path / "crashed")
    overwrite(log_of(path), 2 * BLOCK_BYTES, bytes(PAGE))
    assert_refused(path)


@pytest.mark.parametrize("where", [0, 4, 5, 6, 7, 20])
def test_without_a_witness_damage_before_a_later_record_is_refused(store, fence, tmp_path, where):
    """In each field of the head of a record; the later one may be in the same block."""
    store.commit(batch({b"k": b"1"}), fence)
    begin = log_of(store._path).stat().st_size
    for number in range(3):
        store.commit(batch({b"k": b"%d" % number}), fence)
    path = taken(store, tmp_path / "crashed")
    (path / WITNESS).unlink()
    byte = log_of(path).read_bytes()[begin + where]
    overwrite(log_of(path), begin + where, bytes([byte ^ 0x41]))
    assert_refused(path)


@pytest.mark.slow
def test_without_a_witness_a_hole_before_a_record_in_a_later_block_is_refused(store, fence, tmp_path):
    path, _ = under_way(store, fence, tmp_path)
    store.commit(batch({b"k": b"later"}), fence)
    path = taken(store, tmp_path / "later")
    (path / WITNESS).unlink()
    overwrite(log_of(path), 2 * BLOCK_BYTES, bytes(PAGE))
    assert_refused(path)


@pytest.mark.slow
def test_a_record_in_a_later_log_is_a_later_record(store, fence, tmp_path):
    path, _ = under_way(store, fence, tmp_path)
    first = log_of(path).read_bytes()
    overwrite(log_of(path), 2 * BLOCK_BYTES, bytes(PAGE))
    later = path / "900000.log"
    later.write_bytes(b"")
    rocksdb_log.require_torn_end(path, "Corruption")
    later.write_bytes(first)
    with pytest.raises(StoreCorrupt, match="acknowledged"):
        rocksdb_log.require_torn_end(path, "Corruption")


def test_logs_without_damage_do_not_explain_a_complaint(store, fence, tmp_path):
    store.commit(batch({b"k": b"v"}), fence)
    with pytest.raises(StoreCorrupt, match="Corruption: in the tables: restore a backup"):
        rocksdb_log.require_torn_end(store._path, "Corruption: in the tables")


def test_damage_that_is_not_in_the_logs_keeps_the_engine_s_own_words(store, fence, tmp_path):
    store.commit(batch({b"k": b"v"}), fence)
    path = taken(store, tmp_path / "crashed")
    (manifest,) = path.glob("MANIFEST-*")
    overwrite(manifest, 20, b"\xa5" * 8)
    with pytest.raises(StoreCorrupt, match=r"Corruption: .*: restore a backup"):
        RocksdbStore.open(path)


@pytest.mark.slow
def test_a_search_that_takes_too_long_is_a_refusal(store, fence, tmp_path, monkeypatch):
    monkeypatch.setattr(rocksdb_log, "SEARCHED_BYTES_MAX", 1000)
    store.commit(batch({b"k": b"kept"}), fence)
    path = taken(store, tmp_path / "crashed")
    log = log_of(path)
    log.write_bytes(log.read_bytes() + b"\x01" * BLOCK_BYTES)
    with pytest.raises(StoreCorrupt):
        rocksdb_log.require_torn_end(path, "Corruption")
    monkeypatch.setattr(rocksdb_log, "SEARCHED_BYTES_MAX", 64 * MIB)
    rocksdb_log.require_torn_end(path, "Corruption")


def test_a_damaged_witness_does_not_keep_a_sound_store_from_opening(store, fence, tmp_path):
    store.commit(batch({b"k": b"v"}), fence)
    path = taken(store, tmp_path / "crashed")
    overwrite(path / WITNESS, 20, b"\xff\xff\xff")
    assert newest(path) == b"v"


def test_the_witness_names_the_last_change_of_each_commit(store, fence, tmp_path):
    for number in range(1, 5):
        store.commit(batch({b"k%d" % place: b"v" for place in range(number)}), fence)
        claim = rocksdb_claim(store)
        assert claim == store._engine.latest_sequence_number()
    store.commit(batch({}), fence)
    assert rocksdb_claim(store) == claim


def rocksdb_claim(store: RocksdbStore) -> int:
    found = read(store._path / WITNESS)
    assert found is not None
    return found.reach


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_the_checksum_is_that_of_rfc_3720(data, checksum):
    assert crc32c(data) == checksum
