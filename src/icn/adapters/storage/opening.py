"""From the name of a backend and a place to an open store, now or when its holder has let go of it.

Each backend is one case in `open_store`; there is no registry.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.sqlite import SqliteStore
from icn.kernel.errors import ConfigError
from icn.stores.kv import KeyValueStore, StoreInUse

BACKENDS = ("memory", "sqlite")
LOCK_POLL_SECS = 0.25
"""How often a standby looks whether the store is free."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where the node keeps its data."""

    backend: str
    """One of `BACKENDS`."""
    path: Path | None
    """The store's file; `memory` has none and ignores it."""


@overload
def open_store(backend: str, path: Path | None) -> KeyValueStore: ...
@overload
def open_store(backend: str, path: Path | None, *, wait: threading.Event) -> KeyValueStore | None: ...
def open_store(backend: str, path: Path | None, *, wait: threading.Event | None = None) -> KeyValueStore | None:
    """The open store.

    Without `wait`, raises `StoreInUse` at once when another process holds it. With `wait`, blocks until the holder lets
    go of it, or until the event is set: then there is no store and the answer is None. Raises `ConfigError` for a
    backend that does not exist or lacks its path, and the faults of the backend.
    """
    while wait is None or not wait.is_set():
        try:
            return _open(backend, path)
        except StoreInUse:
            if wait is None:
                raise
            wait.wait(LOCK_POLL_SECS)
    return None


def _open(backend: str, path: Path | None) -> KeyValueStore:
    match backend:
        case "memory":
            return MemoryStore()
        case "sqlite":
            if path is None:
                raise ConfigError("[storage] backend = sqlite needs a path: set [storage] path or --storage-path")
            return SqliteStore.open(path)
        case _:
            raise ConfigError(f"[storage] backend = {backend!r} does not exist; there are: {', '.join(BACKENDS)}")
