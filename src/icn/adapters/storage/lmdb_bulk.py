"""A new LMDB store taken full: its pages are synced once, at the end.

Until `close` a crash may leave anything. Afterwards it is a store like any other.
"""

from pathlib import Path

import lmdb

from icn.adapters.storage.lmdb_faults import Edge, is_for_want_of_room
from icn.adapters.storage.lmdb_store import MAP_GROWTH, open_environment
from icn.services.beginning import Views
from icn.stores.kv import Batch, StoreFull


class LmdbBulk:
    """Satisfies `filling.Bulk`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._edge = Edge(path)
        with self._edge:
            self._environment = open_environment(path, sync=False)

    def load(self, batch: Batch, views: Views) -> None:
        """See `filling.Bulk`."""
        with self._edge:
            while True:
                try:
                    self._write(batch, views)
                except lmdb.MapFullError:
                    self._environment.set_mapsize(self._environment.info()["map_size"] * MAP_GROWTH)
                except lmdb.Error as error:
                    if is_for_want_of_room(error, self._path, _size_of(batch, views)):
                        raise StoreFull(f"{self._path}: {error}: make room on the disk; nothing was written") from error
                    raise
                else:
                    return

    def get(self, key: bytes) -> bytes | None:
        """See `filling.Bulk`."""
        with self._edge, self._environment.begin() as transaction:
            value: bytes | None = transaction.get(key)
            return value

    def close(self) -> None:
        """See `filling.Bulk`."""
        with self._edge:
            try:
                self._environment.sync(True)
            finally:
                self._environment.close()

    def _write(self, batch: Batch, views: Views) -> None:
        with self._environment.begin(write=True) as transaction:
            for key, value in batch.operations.items():
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)
            for key, view in views.items():
                transaction.put(key, view)


def _size_of(batch: Batch, views: Views) -> int:
    values = (value for value in batch.operations.values() if value is not None)
    return sum(map(len, values)) + sum(map(len, views.values()))
