"""Damage to SQLite's log is told from a torn end: the first is refused and left as it is, the second opens."""

import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from icn.adapters.storage.sqlite import SqliteStore
from icn.adapters.storage.sqlite_format import PAGE_BYTES
from icn.adapters.storage.witness import read
from icn.stores.kv import StoreCorrupt, StoreFull
from support.stores import batch

NAME = "dag.sqlite"
HEADER, FRAME = 32, 24 + PAGE_BYTES
COMMITS = 6
VALUE = bytes(range(256)) * 200  # several pages
TORN_PAGE = 4096


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore.open(tmp_path / "open" / NAME)
    yield opened
    opened.close()


@pytest.fixture
def crashed(store, tmp_path):
    """The files of a store with some commits, as a crash of its process leaves them."""
    fill(store, range(COMMITS))
    return taken(store, tmp_path / "crashed")


def fill(store: SqliteStore, numbers: range) -> None:
    fence = store.claim()
    for number in numbers:
        store.commit(batch({b"k": b"%d" % number, b"big%d" % number: VALUE}), fence)


def taken(store: SqliteStore, folder: Path, *names: str) -> Path:
    """A copy of the files of an open store, or of those named by how they end."""
    folder.mkdir(exist_ok=True)
    for name in names or ("", "-wal", ".witness"):
        shutil.copyfile(store._path.with_name(NAME + name), folder / (NAME + name))
    return folder / NAME


def log_of(path: Path) -> Path:
    return path.with_name(NAME + "-wal")


def witness_of(path: Path) -> Path:
    return path.with_name(NAME + ".witness")


def frames_of(path: Path) -> int:
    return (log_of(path).stat().st_size - HEADER) // FRAME


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def newest(path: Path) -> bytes | None:
    """What the store's last commit said; it can be opened and written to."""
    store = SqliteStore.open(path)
    found = store.get(b"k")
    fence = store.claim()
    store.commit(batch({b"after": b""}), fence)
    store.close()
    return found


def assert_refused(path: Path) -> None:
    files = {each: each.read_bytes() for each in (path, log_of(path))}
    for _ in range(2):  # not left locked, and not changed by being refused
        with pytest.raises(StoreCorrupt, match=r"acknowledged; nothing was changed: restore a backup, or let"):
            SqliteStore.open(path)
        assert {each: each.read_bytes() for each in files} == files


# With a witness


def test_the_witness_names_every_frame_of_each_commit(store, tmp_path):
    fence = store.claim()
    for number in range(8):
        store.commit(batch({b"k%d" % number: VALUE * number}), fence)
        claim = read(witness_of(store._path))
        frames, _ = store._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        assert claim is not None
        assert claim.reach == frames
        assert claim.log == log_of(store._path).read_bytes()[16:24]


@pytest.mark.slow
def test_damage_in_any_frame_is_refused(crashed):
    log = log_of(crashed).read_bytes()
    frames = frames_of(crashed)
    assert frames > COMMITS
    for frame in range(frames):
        for place in (0, 4, 9, 17, 24, FRAME - 1):  # page, size, salt, checksum, the first and the last byte
            flip(log_of(crashed), HEADER + frame * FRAME + place)
            assert_refused(crashed)
            log_of(crashed).write_bytes(log)
    assert newest(crashed) == b"%d" % (COMMITS - 1)


@pytest.mark.parametrize("place", range(0, HEADER, 3))
def test_damage_in_the_header_is_refused(crashed, place):
    flip(log_of(crashed), place)
    assert_refused(crashed)


def test_damage_in_the_header_of_a_log_with_one_transaction_is_refused(store, tmp_path):
    store.claim()
    path = taken(store, tmp_path / "crashed")
    log_of(path).write_bytes(log_of(path).read_bytes()[: HEADER + FRAME])
    flip(log_of(path), 5)
    assert_refused(path)


def test_a_log_that_lost_its_end_is_refused(crashed):
    log = log_of(crashed).read_bytes()
    log_of(crashed).write_bytes(log[:-FRAME])
    assert_refused(crashed)


def test_a_log_of_a_later_run_of_the_file_is_not_held_against_the_witness_of_an_earlier(store, tmp_path):
    fill(store, range(COMMITS))
    taken(store, tmp_path / "crashed", ".witness")
    store._log.checkpoint_frames = 1
    fill(store, range(1))  # copied back
    store._log.checkpoint_frames = 1000
    fill(store, range(1))
    path = taken(store, tmp_path / "crashed", "", "-wal")
    assert newest(path) == b"0"


def test_a_log_begun_anew_is_noted_as_that(store, tmp_path):
    store._log.checkpoint_frames = 1
    fill(store, range(COMMITS))
    store._log.checkpoint_frames = 1000
    fill(store, range(3))
    path = taken(store, tmp_path / "crashed")
    claim = read(witness_of(path))
    assert claim is not None
    assert 0 < claim.reach <= frames_of(path)
    flip(log_of(path), HEADER + (claim.reach - 1) * FRAME + 100)
    assert_refused(path)


@pytest.mark.slow
def test_a_damaged_witness_does_not_keep_a_sound_store_from_opening(crashed, tmp_path):
    sound = witness_of(crashed).read_bytes()
    for place in range(len(sound)):
        folder = tmp_path / f"copy{place}"
        shutil.copytree(crashed.parent, folder)
        flip(folder / witness_of(crashed).name, place)
        assert newest(folder / NAME) == b"%d" % (COMMITS - 1)


# Without one, or with one that is behind


@pytest.mark.slow
def test_without_a_witness_damage_before_the_last_transaction_is_refused(crashed):
    witness_of(crashed).unlink()
    log = log_of(crashed).read_bytes()
    ends = [
        number for number in range(frames_of(crashed)) if any(log[HEADER + number * FRAME + 4 :][:4])
    ]  # of transactions
    for frame in range(ends[-2] + 1):
        for place in (0, 9, 17, 24):
            flip(log_of(crashed), HEADER + frame * FRAME + place)
            assert_refused(crashed)
            log_of(crashed).write_bytes(log)
    flip(log_of(crashed), 20)
    assert_refused(crashed)


def test_without_a_witness_damage_to_the_last_transaction_looks_like_its_torn_end(crashed):
    witness_of(crashed).unlink()
    flip(log_of(crashed), HEADER + frames_of(crashed) * FRAME - 5)
    assert newest(crashed) == b"%d" % (COMMITS - 2)


@pytest.mark.slow
@pytest.mark.parametrize("witness", [True, False])
def test_a_hole_or_a_cut_in_the_transaction_under_way_opens(store, tmp_path, witness):
    fill(store, range(COMMITS))
    sound = log_of(store._path).stat().st_size
    before = taken(store, tmp_path / "crashed", "", ".witness")
    store.commit(batch({b"k": b"lost", b"big": VALUE * 4}), store_fence(store))
    log = log_of(store._path).read_bytes()
    if not witness:
        witness_of(before).unlink()
    kept = (before.read_bytes(), witness_of(before).read_bytes() if witness else b"")
    for place in range(sound // TORN_PAGE + 1, len(log) // TORN_PAGE, 3):
        begin = place * TORN_PAGE
        hole = log[:begin] + bytes(TORN_PAGE) + log[begin + TORN_PAGE :]
        for torn in {hole, log[:begin]} - {log}:
            before.write_bytes(kept[0])
            if witness:
                witness_of(before).write_bytes(kept[1])
            log_of(before).write_bytes(torn)
            assert newest(before) == b"%d" % (COMMITS - 1)


def store_fence(store: SqliteStore) -> int:
    return store._writer.execute("SELECT epoch FROM author").get


@pytest.mark.parametrize("witness", [True, False])
def test_what_a_transaction_that_was_given_up_left_in_the_log_is_no_later_one(store, tmp_path, witness):
    fill(store, range(COMMITS))
    store._writer.pragma("cache_size", 5)  # so that a transaction writes to the log before its end
    store._writer.pragma("max_page_count", store._writer.pragma("page_count") + 60)
    with pytest.raises(StoreFull):
        store.commit(batch({b"big": VALUE * 100}), store_fence(store))
    size = log_of(store._path).stat().st_size
    store.commit(batch({b"k": b"small"}), store_fence(store))
    assert log_of(store._path).stat().st_size == size
    path = taken(store, tmp_path / "crashed")
    if not witness:
        witness_of(path).unlink()
    assert newest(path) == b"small"


def test_a_torn_transaction_in_front_of_one_that_was_given_up_opens(store, tmp_path):
    fill(store, range(COMMITS))
    sound = frames_of(store._path)
    witness = witness_of(store._path).read_bytes()
    store._writer.pragma("cache_size", 5)
    store._writer.pragma("max_page_count", store._writer.pragma("page_count") + 60)
    with pytest.raises(StoreFull):
        store.commit(batch({b"big": VALUE * 100}), store_fence(store))
    store.commit(batch({b"k": b"small"}), store_fence(store))
    path = taken(store, tmp_path / "crashed")
    witness_of(path).write_bytes(witness)
    flip(log_of(path), HEADER + sound * FRAME + FRAME - 1)
    assert newest(path) == b"%d" % (COMMITS - 1)


# Files that do not belong together


def test_a_copy_that_was_taken_while_a_node_wrote_is_refused_and_opens_without_its_witness(store, tmp_path):
    fill(store, range(COMMITS))
    path = taken(store, tmp_path / "crashed", "", "-wal")
    fill(store, range(COMMITS, COMMITS + 1))
    taken(store, tmp_path / "crashed", ".witness")
    with pytest.raises(StoreCorrupt, match=r"different copies: remove .*dag\.sqlite\.witness and start again"):
        SqliteStore.open(path)
    witness_of(path).unlink()
    assert newest(path) == b"%d" % (COMMITS - 1)


@pytest.mark.parametrize("log", [None, b"", b"\x00" * 20, bytes(HEADER + 3 * FRAME)])
def test_a_log_that_is_missing_or_has_nothing_in_it_is_no_damage(crashed, tmp_path, log):
    """A program that closes the database last has copied the log back and removed it, and left our witness."""
    shell = apsw.Connection(str(crashed))
    shell.execute("SELECT count(*) FROM kv").get  # noqa: B018 - the first read takes the log in
    shell.close()
    assert not log_of(crashed).exists()
    if log is not None:
        log_of(crashed).write_bytes(log)
    assert newest(crashed) == b"%d" % (COMMITS - 1)


def test_what_another_program_appended_to_the_log_is_no_damage(store, tmp_path):
    fill(store, range(COMMITS))
    shell = apsw.Connection(str(store._path))
    shell.execute("UPDATE kv SET v = x'30' WHERE k = x'6b'")
    path = taken(store, tmp_path / "crashed")
    shell.close()
    assert newest(path) == b"0"


def test_a_commit_without_changes_says_nothing_new(store):
    fill(store, range(COMMITS))
    before = witness_of(store._path).read_bytes()
    store.commit(batch({}), store_fence(store))
    assert witness_of(store._path).read_bytes() == before


def test_a_witness_that_cannot_be_written_does_not_fail_a_commit(store):
    fill(store, range(1))
    store._log._witness.close()
    store._log._witness._descriptor = store._log._log  # it is open for reading
    fill(store, range(COMMITS))
    assert store.get(b"k") == b"%d" % (COMMITS - 1)
    store._log._witness = type(store._log._witness).open(witness_of(store._path))


def test_a_log_that_cannot_be_copied_back_is_no_secret(store):
    """It grows meanwhile, until the disk is full; what was committed is in it."""

    class Failing:
        failing = True

        def wal_checkpoint(self, **_options: object) -> None:
            if self.failing:
                raise apsw.IOError("disk I/O error")

    keeper = store._log
    keeper.checkpoint_frames, keeper._writer = 1, (failing := Failing())
    with capture_logs() as told:
        fill(store, range(3))
        assert [line["event"] for line in told] == ["the log of the store cannot be copied back"], "once"
        failing.failing = False
        fill(store, range(3, 5))
        failing.failing = True
        fill(store, range(5, 7))
    assert len(told) == 2
    assert store.get(b"k") == b"6"


def test_a_store_is_opened_without_what_only_a_warning_needs() -> None:
    """It is as much as all else that is imported for that."""
    told = "import sys, icn.adapters.storage.sqlite; sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0
