"""From the storage settings to an open store, now or when its holder has let go of it.

Each backend is one case in `_open`; there is no registry. An engine's library is imported when its store is opened:
nobody waits for, or has to install, an engine that is not asked for.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from icn.kernel.errors import ConfigError
from icn.stores.kv import KeyValueStore, StoreInUse

if TYPE_CHECKING:
    from icn.adapters.storage.filling import Filling

BACKENDS = ("memory", "sqlite", "sled", "rocksdb", "postgresql")
STANDBY_POLL_SECS = 0.25
"""How often a standby looks whether the store is free."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the node keeps its data."""

    backend: str
    """One of `BACKENDS`."""
    path: Path | None = None
    """The store's file or directory; `memory` and `postgresql` have none and ignore it."""
    url: str | None = field(default=None, repr=False)
    """How `postgresql` is reached: a connection string. May contain a password."""
    connections_max: int = 20
    """Most connections that this process keeps to a database server."""
    connection_timeout_ms: int = 10_000
    """Until an attempt to connect to a database server is given up."""


@overload
def open_store(settings: StorageSettings) -> KeyValueStore: ...
@overload
def open_store(settings: StorageSettings, *, wait: threading.Event) -> KeyValueStore | None: ...
def open_store(settings: StorageSettings, *, wait: threading.Event | None = None) -> KeyValueStore | None:
    """The open store.

    Without `wait`, raises `StoreInUse` at once when another process holds it. With `wait`, blocks until the holder lets
    go of it, or until the event is set: then there is no store and the answer is None. Raises `ConfigError` for a
    backend that does not exist or lacks its place, and the faults of the backend. A database server that several
    processes reach is held by lease: it comes free by itself some seconds after its holder was last heard of.
    """
    while wait is None or not wait.is_set():
        try:
            return _open(settings, wait)
        except StoreInUse:
            if wait is None:
                raise
            wait.wait(STANDBY_POLL_SECS)
    return None


def _open(settings: StorageSettings, wait: threading.Event | None) -> KeyValueStore | None:
    match settings.backend:
        case "memory":
            from icn.adapters.storage.memory import MemoryStore

            return MemoryStore()
        case "sqlite":
            from icn.adapters.storage.sqlite import SqliteStore

            return SqliteStore.open(_path(settings))
        case "sled" | "lmdb":  # the guide's name, and that of the engine behind it
            from icn.adapters.storage.lmdb_store import LmdbStore

            return LmdbStore.open(_path(settings))
        case "rocksdb":
            try:
                from icn.adapters.storage.rocksdb_store import RocksdbStore
            except ModuleNotFoundError as missing:
                if missing.name != "rocksdict":
                    raise
                raise ConfigError(
                    "[storage] backend = rocksdb needs a library that is not installed: pip install 'icn[rocksdb]'"
                ) from missing
            return RocksdbStore.open(_path(settings))
        case "postgresql":
            from icn.adapters.storage.postgres import PostgresStore

            return PostgresStore.open_as_author(
                _url(settings),
                connections_max=settings.connections_max,
                connection_timeout_ms=settings.connection_timeout_ms,
                wait=wait,
            )
        case _:
            names = ", ".join(BACKENDS)
            raise ConfigError(f"[storage] backend = {settings.backend!r} does not exist; there are: {names}")


def is_there(settings: StorageSettings) -> bool:
    """Whether there is a store, or something in its place, that `open_store` would not have to make. Makes nothing.

    Raises `ConfigError` for a backend that lacks its place, and faults of a database server.
    """
    match settings.backend:
        case "memory":
            return False
        case "postgresql":
            from icn.adapters.storage.postgres import PostgresStore

            return PostgresStore.is_there(_url(settings), connection_timeout_ms=settings.connection_timeout_ms)
        case _:
            path = _path(settings)
            if path.is_dir():
                return any(path.iterdir())
            return path.exists() and path.stat().st_size > 0


def open_filling(settings: StorageSettings) -> "Filling":
    """An empty store, to be filled before anybody sees it. What an earlier attempt left behind is thrown away.

    Raises `TargetInUse` when it holds something, and what `open_store` raises.
    """
    from icn.adapters.storage.filling import FillingBeside, FillingInPlace

    match settings.backend:
        case "sqlite":
            from icn.adapters.storage.sqlite import SqliteStore, open_aside
            from icn.adapters.storage.sqlite_bulk import SqliteBulk

            return FillingBeside(_path(settings), SqliteStore.open, SqliteBulk, open_aside)
        case "sled" | "lmdb":
            from icn.adapters.storage.lmdb_bulk import LmdbBulk
            from icn.adapters.storage.lmdb_store import LmdbStore

            return FillingBeside(_path(settings), LmdbStore.open, LmdbBulk)
        case "rocksdb":
            store = open_store(settings)  # says so when the library is not installed
            store.close()
            from icn.adapters.storage.rocksdb_bulk import RocksdbBulk
            from icn.adapters.storage.rocksdb_store import RocksdbStore

            return FillingBeside(_path(settings), RocksdbStore.open, RocksdbBulk)
        case _:
            return FillingInPlace(open_store(settings))


def _path(settings: StorageSettings) -> Path:
    if settings.path is None:
        raise ConfigError(f"[storage] backend = {settings.backend} needs a path: set [storage] path or --storage-path")
    return settings.path


def _url(settings: StorageSettings) -> str:
    if settings.url is None:
        raise ConfigError(
            "[storage] backend = postgresql needs a database: set [storage] connection_string or --db-url"
        )
    return settings.url
