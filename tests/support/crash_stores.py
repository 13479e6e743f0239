"""The engines that keep what they answer, each as the node opens it, and each with its promise taken away.

The weak ones answer before the write is safe, by the very setting an operator might wish for. They prove the harness: a
test that does not see them lose writes would not see ours lose them.

An engine is imported when it is opened, for a client is started a thousand times.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from icn.stores.kv import KeyValueStore

URL_NOTE = "postgresql.url"
"""The file in a store's folder that says where on the server it is."""


def _sqlite(folder: Path) -> KeyValueStore:
    from icn.adapters.storage.sqlite import SqliteStore

    return SqliteStore.open(folder / "store.sqlite")


def _sqlite_weak(folder: Path) -> KeyValueStore:
    store: Any = _sqlite(folder)
    store._writer.pragma("synchronous", "NORMAL")
    weak: KeyValueStore = store
    return weak


def _sled(folder: Path) -> KeyValueStore:
    from icn.adapters.storage.lmdb_store import LmdbStore

    return LmdbStore.open(folder / "store.sled")


def _sled_weak(folder: Path) -> KeyValueStore:
    import lmdb

    if not any(folder.iterdir()):
        _sled(folder).close()  # a whole empty store, so that what is lost is answers and not everything
    strict = lmdb.open

    def careless(*places: Any, **options: Any) -> lmdb.Environment:
        return strict(*places, **{**options, "sync": False})  # whatever was asked for

    lmdb.open = careless  # type: ignore[assignment] # the client is a program of its own
    return _sled(folder)


def _rocksdb(folder: Path) -> KeyValueStore:
    from icn.adapters.storage.rocksdb_store import RocksdbStore

    return RocksdbStore.open(folder / "store.rocksdb")


class _NeverFlushed:
    """An engine whose log is not synced when it is asked to be."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def flush_wal(self, sync: bool) -> None:
        self._engine.flush_wal(False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def _rocksdb_weak(folder: Path) -> KeyValueStore:
    store: Any = _rocksdb(folder)
    store._engine = _NeverFlushed(store._engine)
    weak: KeyValueStore = store
    return weak


def _postgresql(folder: Path) -> KeyValueStore:
    from icn.adapters.storage.postgres import CONNECTIONS_MIN, PostgresStore

    # Without the lease: it would have every client wait for the end of its killed predecessor's.
    url = (folder / URL_NOTE).read_text()
    return PostgresStore.open(url, connections_max=CONNECTIONS_MIN, connection_timeout_ms=10_000)


def _postgresql_weak(folder: Path) -> KeyValueStore:
    store: Any = _postgresql(folder)
    store._writer.get()[0].execute("SET synchronous_commit = off")
    weak: KeyValueStore = store
    return weak


def on_unsynced_server(folder: Path) -> KeyValueStore:
    """On a server without fsync, which a store refuses."""
    from icn.adapters.storage import postgres_format

    def believe(connection: Any, shown: str) -> None:
        """What it says of itself."""

    postgres_format._require_durable = believe
    return _postgresql(folder)


Open = Callable[[Path], KeyValueStore]

STRONG: dict[str, Open] = {"rocksdb": _rocksdb, "sled": _sled, "sqlite": _sqlite, "postgresql": _postgresql}
WEAK: dict[str, Open] = {
    "rocksdb": _rocksdb_weak,
    "sled": _sled_weak,
    "sqlite": _sqlite_weak,
    "postgresql": _postgresql_weak,
}
