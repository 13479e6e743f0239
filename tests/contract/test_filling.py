"""A store that is filled before anybody sees it: whole or not there, on every engine, also when it is killed."""

import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from icn.adapters.storage.filling import FillingInPlace
from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.opening import open_filling
from icn.stores import moving, schema
from icn.stores.copying import TargetInUse
from icn.stores.kv import Batch, Fence, StoreFull, StoreInUse
from icn.stores.moving import StoreIncomplete
from support.archives import assert_whole, back_up, fill_from, held, history
from support.processes import CLI, run
from support.stores import BACKENDS, Backend, batch, child_environment, fill, settings_in

PERSISTENT = [backend for backend in BACKENDS if backend.durable]
EMBEDDED = [backend for backend in PERSISTENT if not backend.shared]
ROWS = {b"b%03d" % number: b"value" * number for number in range(200)}


@pytest.fixture(params=PERSISTENT, ids=str)
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


def loaded(backend: Backend, folder: Path):
    filling = open_filling(settings_in(backend, folder))
    filling.load(batch(dict(ROWS)))
    filling.load(batch({b"b001": None, b"b002": b"another"}), {b"b003": memoryview(b"<looked at>")[1:-1]})
    return filling


def expected() -> dict[bytes, bytes]:
    return {**{key: ROWS[key] for key in ROWS if key != b"b001"}, b"b002": b"another", b"b003": b"looked at"}


def names_in(folder: Path) -> set[str]:
    """Of everything but locks, which stay."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_what_was_loaded_is_the_store_once_it_takes_its_place(backend: Backend, tmp_path: Path) -> None:
    filling = loaded(backend, tmp_path)
    assert filling.get(b"b002") == b"another"
    assert filling.get(b"b001") is None
    with filling.seal() as reader:
        read = dict(reader.scan(b"b"))
    assert read == expected()
    filling.take_place()
    filling.close()
    store = backend.open(tmp_path)
    assert dict(store.scan(b"")) == expected()
    fill(store, {b"more": b""})
    store.close()
    again = backend.open(tmp_path)
    assert again.get(b"more") == b""
    again.close()


_ASIDE = """
import pickle, sys
with pickle.loads(bytes.fromhex(sys.argv[1]))() as reader:
    rows = dict(reader.scan(b""))
    assert reader.get_many(list(rows)) == list(rows.values())
sys.stdout.buffer.write(pickle.dumps(rows))
"""


def test_what_is_sealed_is_read_by_another_process_where_the_engine_can(backend: Backend, tmp_path: Path) -> None:
    filling = loaded(backend, tmp_path)
    with filling.seal() as reader:
        aside = filling.aside()
        assert (aside is not None) == (backend.name == "sqlite")
        if aside is not None:
            names = names_in(tmp_path)
            program = [sys.executable, "-c", _ASIDE, pickle.dumps(aside).hex()]
            there = subprocess.run(program, stdout=subprocess.PIPE, check=True)
            assert pickle.loads(there.stdout) == dict(reader.scan(b"")) == expected()
            assert names_in(tmp_path) == names  # it makes nothing
    filling.take_place()
    filling.close()
    store = backend.open(tmp_path)
    assert dict(store.scan(b"")) == expected()
    store.close()


def test_what_is_thrown_away_leaves_an_empty_store(backend: Backend, tmp_path: Path) -> None:
    before = None if backend.shared else names_in(tmp_path)
    filling = loaded(backend, tmp_path)
    filling.discard()
    filling.close()
    store = backend.open(tmp_path)
    assert dict(store.scan(b"")) == {}
    store.close()
    if before is not None:
        assert not [name for name in names_in(tmp_path) if "filling" in name]


def test_a_store_that_holds_something_is_not_filled(backend: Backend, tmp_path: Path) -> None:
    store = backend.open(tmp_path)
    fill(store, {b"mine": b"kept"})
    store.close()
    with pytest.raises(TargetInUse):
        open_filling(settings_in(backend, tmp_path))
    store = backend.open(tmp_path)
    assert dict(store.scan(b"")) == {b"mine": b"kept"}
    store.close()


@pytest.mark.parametrize("embedded", EMBEDDED, ids=str)
def test_nobody_opens_the_store_meanwhile(embedded: Backend, tmp_path: Path) -> None:
    filling = loaded(embedded, tmp_path)
    with pytest.raises(StoreInUse):
        embedded.open(tmp_path)
    with pytest.raises(StoreInUse):
        open_filling(settings_in(embedded, tmp_path))
    filling.discard()
    filling.close()


def test_where_it_is_filled_in_place_no_node_opens_what_is_left(tmp_path: Path) -> None:
    """PostgreSQL: the mark is what keeps a replica out while another process fills the database."""
    postgresql = next(backend for backend in BACKENDS if backend.shared)
    filling = loaded(postgresql, tmp_path)
    filling.get(b"b002")
    store = postgresql.open(tmp_path)
    with pytest.raises(StoreIncomplete, match="dag restore"):
        schema.format_of(store)
    filling.close()  # as if the process had ended: nothing is thrown away
    assert moving.is_filling(store)
    store.close()
    again = loaded(postgresql, tmp_path)
    with again.seal():
        pass
    again.take_place()
    again.close()
    store = postgresql.open(tmp_path)
    assert dict(store.scan(b"")) == expected()
    store.close()


_CHILD = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from icn.adapters.storage.opening import open_filling
from support.stores import backend_named, batch, settings_in

backend, folder, killed_at = backend_named(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
filling = open_filling(settings_in(backend, folder))
for number in range(4):
    filling.load(batch({b"b%d %03d" % (number, key): b"left over" * key for key in range(300)}))
    filling.get(b"b")
    if killed_at == "loading":
        os.kill(os.getpid(), signal.SIGKILL)
with filling.seal():
    if killed_at == "sealed":
        os.kill(os.getpid(), signal.SIGKILL)
filling.take_place()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", ["loading", "sealed", "in place"])
def test_a_killed_restore_leaves_nothing_or_everything(backend: Backend, killed_at: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    world = history()
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    environment = child_environment()
    if backend.shared:
        settings_in(backend, folder)  # its server is ours, and the child's from here on
    command = [sys.executable, "-c", _CHILD, backend.name, str(folder), killed_at]
    child = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    if killed_at == "in place":
        store = backend.open(folder)
        assert sum(1 for _ in store.scan(b"b")) == 1200
        store.close()
        return
    if not backend.shared:
        store = backend.open(folder)
        assert dict(store.scan(b"")) == {}
        store.close()
    # The lease of the killed process lapses in its own time: not what is tried here.
    again = FillingInPlace(backend.open(folder)) if backend.shared else open_filling(settings_in(backend, folder))
    fill_from(again, tmp_path / "a.tar.gz")
    store = backend.open(folder)
    assert held(store) == held(world["a"].store)
    assert_whole(store, world["a"].did)
    store.close()
    assert not [name for name in names_in(folder) if ".filling" in name]


def test_what_a_broken_restore_has_left_in_a_database_is_not_moved_elsewhere(tmp_path: Path) -> None:
    postgresql = next(backend for backend in BACKENDS if backend.shared)
    filling = loaded(postgresql, tmp_path)
    filling.get(b"b002")
    filling.close()
    url = str(settings_in(postgresql, tmp_path).url)
    moved = run(
        *(CLI, "storage", "migrate", "--storage-backend", "postgresql", "--db-url", url, "--to", "sqlite"),
        *("--to-path", str(tmp_path / "to.sqlite"), "--data-dir", str(tmp_path / "data")),
    )
    assert moved.code != 0
    assert "dag restore" in moved.err


@pytest.mark.slow
def test_nothing_is_written_while_another_thread_reads() -> None:
    """Two fill one store, each from a thread of its own, and no engine need bear both at the same time."""
    reads, written = threading.Event(), threading.Event()

    class Watched(MemoryStore):
        def get(self, key: bytes) -> bytes | None:
            if key == b"b":
                reads.set()
                assert not written.wait(0.3)
            return super().get(key)

        def commit(self, changes: Batch, fence: Fence) -> None:
            super().commit(changes, fence)
            if b"b" in changes.operations:
                written.set()

    filling = FillingInPlace(Watched())
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(filling.get, b"b")
        assert reads.wait(30)
        filling.load(batch({b"b": b"value"}))
        assert asked.result() is None
    assert written.wait(30)
    filling.close()


def test_each_who_fills_the_store_is_told_of_a_batch_that_could_not_be_written() -> None:
    """Who was not told would go on, and wait for room in which the rows stand that nobody has let go."""

    class Full(MemoryStore):
        def commit(self, changes: Batch, fence: Fence) -> None:
            if b"b" in changes.operations:
                raise StoreFull("no space")
            super().commit(changes, fence)

    filling = FillingInPlace(Full())
    filling.load(batch({b"b": b"value"}))
    with pytest.raises(StoreFull):
        filling.load(batch({b"one": b"of the two"}))
    with pytest.raises(StoreFull):
        filling.get(b"the other")
    with pytest.raises(StoreFull):
        filling.load(batch({b"the": b"other"}))
    filling.discard()
    filling.close()
