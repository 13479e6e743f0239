"""From a backend's name to a store, now or when its holder lets go."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.opening import BACKENDS, StorageSettings, open_store
from icn.kernel.errors import ConfigError
from icn.stores.kv import StoreCorrupt, StoreInUse
from support import postgres
from support.stores import child_environment, fill


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_name_opens_the_backend_that_says_it_is_the_one(backend, tmp_path):
    url = postgres.url_in(tmp_path) if backend == "postgresql" else None
    store = open_store(StorageSettings(backend, tmp_path / "store", url))
    assert store.properties.name == backend
    store.close()


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(ConfigError, match=r"'sqlit' does not exist; there are: memory, sqlite"):
        open_store(StorageSettings("sqlit", Path("x")))


def test_a_backend_that_needs_a_path_says_so_and_memory_needs_none():
    with pytest.raises(ConfigError, match="needs a path"):
        open_store(StorageSettings("sqlite", None))
    assert isinstance(open_store(StorageSettings("memory", None)), MemoryStore)


def test_a_database_without_a_url_says_so():
    with pytest.raises(ConfigError, match=r"needs a database: set .* connection_string"):
        open_store(StorageSettings("postgresql", Path("x")))


def test_without_waiting_a_store_in_use_is_refused_at_once(tmp_path):
    holder = open_store(StorageSettings("sqlite", tmp_path / "store"))
    with pytest.raises(StoreInUse):
        open_store(StorageSettings("sqlite", tmp_path / "store"))
    holder.close()


def test_a_standby_waits_until_the_holder_closes(tmp_path, monkeypatch):
    monkeypatch.setattr("icn.adapters.storage.opening.STANDBY_POLL_SECS", 0.001)
    path = tmp_path / "store"
    holder = open_store(StorageSettings("sqlite", path))
    fill(holder, {b"k": b"v"})
    looked = threading.Event()

    class Watched(threading.Event):
        def wait(self, timeout=None):
            looked.set()
            return super().wait(timeout)

    got = []
    standby = threading.Thread(target=lambda: got.append(open_store(StorageSettings("sqlite", path), wait=Watched())))
    standby.start()
    assert looked.wait(10)
    assert not got
    holder.close()
    standby.join(timeout=10)
    assert got[0].get(b"k") == b"v"
    assert got[0].claim() == 2
    got[0].close()


def test_a_standby_that_is_told_to_stop_returns_without_a_store(tmp_path):
    holder = open_store(StorageSettings("sqlite", tmp_path / "store"))
    stop = threading.Event()
    got = []
    standby = threading.Thread(
        target=lambda: got.append(open_store(StorageSettings("sqlite", tmp_path / "store"), wait=stop))
    )
    standby.start()
    stop.set()
    standby.join(timeout=10)
    assert got == [None]
    holder.close()


def test_a_standby_does_not_wait_for_what_time_will_not_mend(tmp_path):
    (tmp_path / "store").write_bytes(b"x" * 5000)
    with pytest.raises(StoreCorrupt):
        open_store(StorageSettings("sqlite", tmp_path / "store"), wait=threading.Event())


STAND_BY = """
import sys, threading
from pathlib import Path
from icn.adapters.storage.opening import StorageSettings, open_store
from support.stores import fill
print("waiting", flush=True)
store = open_store(StorageSettings("sqlite", Path(sys.argv[1])), wait=threading.Event())
print(store.get(b"k"), store.claim(), flush=True)
"""
HOLD = """
import sys
from pathlib import Path
from icn.adapters.storage.opening import StorageSettings, open_store
from support.stores import fill
fill(open_store(StorageSettings("sqlite", Path(sys.argv[1]))), {b"k": b"v"})
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_second_process_takes_over_when_the_first_is_killed(tmp_path):
    with start(HOLD, tmp_path / "store") as holder:
        assert holder.stdout.readline() == "holding\n"
        with start(STAND_BY, tmp_path / "store") as standby:
            assert standby.stdout.readline() == "waiting\n"
            holder.kill()
            assert standby.stdout.readline() == "b'v' 2\n"


def start(script: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
