"""What every engine that keeps files does when the world fails it: no room, no right, damage, a write cut short."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from icn.adapters.storage.opening import open_filling
from icn.stores.kv import CommitUncertain, StoreCorrupt, StoreFull, StoreUnavailable
from support.stores import BACKENDS, Backend, batch, child_environment, fill, settings_in

FILES = [backend for backend in BACKENDS if backend.durable and not backend.shared]
ROOM_MIB = 24


@pytest.fixture(params=FILES, ids=str)
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


def run(script: str, backend: Backend, folder: Path) -> list[str]:
    """The lines that a child process prints; damage may end it, which fails the test and not the run."""
    child = subprocess.run(
        [sys.executable, "-c", script, backend.name, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=child_environment(),
    )
    assert child.returncode == 0, (child.returncode, child.stdout, child.stderr)
    return child.stdout.splitlines()


# No room.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MIB}m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.strip()}")
    yield folder
    # Lazily: a test that failed has its store still open, and a disk left mounted here fails every later run of pytest.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("value_bytes", [3_000, 1_500_000])
def test_a_full_disk_refuses_the_commit_whole_and_room_mends_it(backend, small_disk, value_bytes):
    value = random.Random(1).randbytes(value_bytes)
    rows = max(1, 1_000_000 // value_bytes)
    store = backend.open(small_disk)
    fence = store.claim()
    written = 0

    def fill_up() -> None:
        nonlocal written
        for written in range(4 * ROOM_MIB):
            store.commit(batch({b"%03d/%04d" % (written, row): value for row in range(rows)}), fence)

    with pytest.raises(StoreFull, match="make room"):
        fill_up()
    assert written > 3
    expected = [b"%03d/%04d" % (number, row) for number in range(written) for row in range(rows)]
    assert [key for key, _ in store.scan(b"")] == expected
    with pytest.raises(StoreFull):
        store.commit(batch({b"more%d" % row: value for row in range(rows)}), fence)
    store.close()
    subprocess.run(["mount", "-o", f"remount,size={20 * ROOM_MIB}m", str(small_disk)], check=True)
    store = backend.open(small_disk)
    assert [key for key, _ in store.scan(b"")] == expected
    assert store.get(expected[-1]) == value
    fill(store, {b"more": value})
    assert store.get(b"more") == value
    store.close()


@pytest.mark.slow
def test_a_restore_that_has_filled_the_disk_leaves_it_as_it_was(backend, small_disk):
    """The node may live on it."""
    filling = open_filling(settings_in(backend, small_disk))
    free = shutil.disk_usage(small_disk).free

    def fill_up() -> None:
        for number in range(4 * ROOM_MIB):
            filling.load(batch({b"%03d" % number: random.Random(number).randbytes(1_000_000)}))
        with filling.seal():
            pass

    with pytest.raises(StoreFull):
        fill_up()
    filling.discard()
    filling.close()
    assert not [path for path in small_disk.iterdir() if "filling" in path.name]
    assert shutil.disk_usage(small_disk).free > free - 1_000_000
    store = backend.open(small_disk)
    assert list(store.scan(b"")) == []
    store.close()


# No right.

OPEN_AS_NOBODY = """
import os, sys
from pathlib import Path
from icn.stores.kv import Fault
from support.stores import backend_named
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    backend_named(sys.argv[1]).open(Path(sys.argv[2])).close()
    print("opened")
except Fault as fault:
    print(fault.code)
"""


@pytest.mark.slow
def test_a_store_of_somebody_else_is_a_fault_and_no_crash(backend, tmp_path):
    store = backend.open(tmp_path)
    store.close()
    for folder in [tmp_path, *(entry for entry in tmp_path.iterdir() if entry.is_dir())]:
        folder.chmod(0o500)
    try:
        assert run(OPEN_AS_NOBODY, backend, tmp_path) == [StoreUnavailable.code]
    finally:
        tmp_path.chmod(0o700)


# Damage.

READ_ALL = """
import sys
from pathlib import Path
from icn.stores.kv import Fault
from support.stores import backend_named
try:
    store = backend_named(sys.argv[1]).open(Path(sys.argv[2]))
    print(sum(1 for _ in store.scan(b"")))
    print(sum(1 for _ in store.scan_down(b"")))
    store.close()
except Fault as fault:
    print(fault.code)
"""
ROWS = 4000


def data_file(backend: Backend, folder: Path) -> Path:
    match backend.name:
        case "sqlite":
            return folder / "store.sqlite"
        case "sled":
            return folder / "node.sled" / "data.mdb"
        case _:
            return max((folder / "node.rocksdb").glob("*.sst"), key=lambda file: file.stat().st_size)


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "emptied": lambda path: cut(path, 0),
    "cut to a tenth": lambda path: cut(path, 0.1),
    "cut in half": lambda path: cut(path, 0.5),
    "its last tenth gone": lambda path: cut(path, 0.9),
    "replaced by noise": lambda path: path.write_bytes(random.Random(1).randbytes(100_000)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_as_such_and_ends_no_process(backend, tmp_path, damage):
    made = backend.open(tmp_path)
    fill(made, {b"k%05d" % number: random.Random(number).randbytes(300) for number in range(ROWS)})
    made.close()
    DAMAGE[damage](data_file(backend, tmp_path))
    if damage in {"emptied", "gone"} and backend.name == "sqlite":
        return  # one file only: without it there is no store, and an empty one is a new one
    assert run(READ_ALL, backend, tmp_path)[-1] == StoreCorrupt.code


@pytest.mark.slow
def test_a_zeroed_first_page_is_named_as_such(backend, tmp_path):
    made = backend.open(tmp_path)
    fill(made, {b"k%05d" % number: random.Random(number).randbytes(300) for number in range(ROWS)})
    made.close()
    overwrite(data_file(backend, tmp_path), 0, bytes(4096))
    assert run(READ_ALL, backend, tmp_path)[-1] == StoreCorrupt.code


@pytest.mark.slow
def test_all_that_was_not_damaged_is_read_again(backend, tmp_path):
    """The tests above would also pass if nothing could be read at all."""
    made = backend.open(tmp_path)
    fill(made, {b"k%05d" % number: random.Random(number).randbytes(300) for number in range(ROWS)})
    made.close()
    assert run(READ_ALL, backend, tmp_path) == [str(ROWS), str(ROWS)]


# A log that breaks off.

WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from support.stores import backend_named, batch
store = backend_named(sys.argv[1]).open(Path(sys.argv[2]))
fence = store.claim()
for number in range(50):
    if number == 49:
        (witness,) = Path(sys.argv[2]).rglob("*witness")
        print(witness.read_bytes().hex(), flush=True)
    store.commit(batch({b"k%03d" % number: b"v" * 500}), fence)
os._exit(0)
"""


def log_file(backend: Backend, folder: Path) -> Path:
    if backend.name == "sqlite":
        return folder / "store.sqlite-wal"
    return max((folder / "node.rocksdb").glob("*.log"), key=lambda file: file.stat().st_size)


@pytest.mark.slow
@pytest.mark.parametrize("backend", [backend for backend in FILES if backend.name != "sled"], ids=str)
@pytest.mark.parametrize("tail", ["zeros", "half a record"])
def test_a_log_whose_end_was_never_acknowledged_costs_nothing_that_was(backend, tmp_path, tail):
    (witness_before,) = run(WRITE_AND_DIE, backend, tmp_path)
    log = log_file(backend, tmp_path)
    if tail == "zeros":
        with log.open("ab") as file:
            file.write(bytes(10_000))
        kept = 50
    else:
        os.truncate(log, log.stat().st_size - 100)
        (witness,) = tmp_path.rglob("*witness")
        witness.write_bytes(bytes.fromhex(witness_before))
        kept = 49
    store = backend.open(tmp_path)
    assert [key for key, _ in store.scan(b"")] == [b"k%03d" % number for number in range(kept)]
    fill(store, {b"new": b"1"})
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("backend", [backend for backend in FILES if backend.name != "sled"], ids=str)
def test_a_log_that_lost_what_was_acknowledged_is_refused_until_the_operator_decides(backend, tmp_path):
    run(WRITE_AND_DIE, backend, tmp_path)
    log = log_file(backend, tmp_path)
    os.truncate(log, log.stat().st_size - 100)
    (witness,) = tmp_path.rglob("*witness")
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=f"restore a backup.*remove {witness} and start again"):
            backend.open(tmp_path)
    witness.unlink()
    store = backend.open(tmp_path)
    assert [key for key, _ in store.scan(b"")] == [b"k%03d" % number for number in range(49)]
    store.close()


# A write that breaks off.

FAIL_IN_COMMIT = """
import resource, sys
from pathlib import Path
from icn.stores.kv import Fault
from support.stores import backend_named, batch
store = backend_named(sys.argv[1]).open(Path(sys.argv[2]))
fence = store.claim()
store.commit(batch({b"before": b"1", b"k": b"old"}), fence)
largest = max(file.stat().st_size for file in Path(sys.argv[2]).rglob("*") if "lock" not in file.name)
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 100_000, resource.RLIM_INFINITY))
def attempt(what):
    try:
        print(what() or "done")
    except Fault as fault:
        print(fault.code)
attempt(lambda: store.commit(batch({b"big": bytes(3_000_000), b"k": b"new"}), fence))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
attempt(lambda: store.commit(batch({b"late": b"1"}), fence))
attempt(store.claim)
print(store.get(b"before"))
store.close()
"""


@pytest.mark.slow
def test_a_commit_that_the_disk_fails_is_uncertain_and_closes_the_store_for_writing(backend, tmp_path):
    """The kernel refuses to let a file grow, in the middle of a commit."""
    lines = run(FAIL_IN_COMMIT, backend, tmp_path)
    assert lines == [CommitUncertain.code, StoreUnavailable.code, StoreUnavailable.code, "b'1'"]
    store = backend.open(tmp_path)
    assert store.get(b"k") in {b"old", b"new"}
    assert (store.get(b"k") == b"new") == (store.get(b"big") is not None)
    assert store.get(b"late") is None
    fill(store, {b"after": b"1"})
    store.close()
