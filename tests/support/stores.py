"""The storage engines that the contract suite runs against. A backend joins by adding one entry to `BACKENDS`."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from icn.adapters.storage.lmdb_store import LmdbStore
from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.opening import StorageSettings
from icn.adapters.storage.postgres import CONNECTIONS_MIN, PostgresStore
from icn.adapters.storage.rocksdb_store import RocksdbStore
from icn.adapters.storage.sqlite import SqliteStore
from icn.stores.kv import SNAPSHOTS_OPEN_MAX, Batch, KeyValueStore
from support import postgres


@dataclass(frozen=True, slots=True)
class Backend:
    name: str
    open: Callable[[Path], KeyValueStore]
    """Opens the store that lives in a folder, creating it when there is none."""
    durable: bool
    shared: bool

    def __str__(self) -> str:
        return self.name


BACKENDS = (
    Backend("memory", lambda _folder: MemoryStore(), durable=False, shared=False),
    Backend("rocksdb", lambda folder: RocksdbStore.open(folder / "node.rocksdb"), durable=True, shared=False),
    Backend("sled", lambda folder: LmdbStore.open(folder / "node.sled"), durable=True, shared=False),
    Backend("sqlite", lambda folder: SqliteStore.open(folder / "store.sqlite"), durable=True, shared=False),
    Backend("postgresql", lambda folder: open_postgres(postgres.url_in(folder)), durable=True, shared=True),
)


def settings_in(backend: Backend, folder: Path) -> StorageSettings:
    """How a node would be told of the store that `backend.open(folder)` opens."""
    if backend.name == "postgresql":
        return StorageSettings(backend.name, url=postgres.url_in(folder))
    names = {"rocksdb": "node.rocksdb", "sled": "node.sled", "sqlite": "store.sqlite"}
    return StorageSettings(backend.name, folder / names.get(backend.name, "none"))


def open_postgres(url: str) -> PostgresStore:
    """With a connection for each snapshot that the contract promises."""
    connections = SNAPSHOTS_OPEN_MAX + CONNECTIONS_MIN - 1
    return PostgresStore.open(url, connections_max=connections, connection_timeout_ms=10_000)


def backend_named(name: str) -> Backend:
    return next(backend for backend in BACKENDS if backend.name == name)


def batch(operations: dict[bytes, bytes | None]) -> Batch:
    """A batch from a dict, through the checks of the port."""
    made = Batch()
    for key, value in operations.items():
        if value is None:
            made.delete(key)
        else:
            made.put(key, value)
    return made


def fill(store: KeyValueStore, pairs: dict[bytes, bytes]) -> None:
    """Commit `pairs` as a new author."""
    store.commit(batch(dict(pairs)), store.claim())


def child_environment() -> dict[str, str]:
    """For a child process that imports what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
