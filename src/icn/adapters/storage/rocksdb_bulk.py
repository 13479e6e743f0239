"""A new RocksDB store taken full: nothing goes through its log.

Until `close` a crash may leave anything. Afterwards it is a store like any other.
"""

from pathlib import Path

import rocksdict

from icn.adapters.storage.rocksdb_engine import open_engine
from icn.adapters.storage.rocksdb_faults import Edge
from icn.services.beginning import Views
from icn.stores.kv import Batch


class RocksdbBulk:
    """Satisfies `filling.Bulk`."""

    def __init__(self, path: Path) -> None:
        self._edge = Edge(path)
        self._without_log = rocksdict.WriteOptions()
        self._without_log.disable_wal = True  # type: ignore[method-assign,assignment]  # the stub takes a property for a method
        with self._edge:
            self._engine = open_engine(path, create=False)

    def load(self, batch: Batch, views: Views) -> None:
        """See `filling.Bulk`."""
        changes = rocksdict.WriteBatch(raw_mode=True)
        for key, value in batch.operations.items():
            if value is None:
                changes.delete(key)
            else:
                changes.put(key, value)
        for key, view in views.items():
            changes.put(key, bytes(view))
        with self._edge:
            self._engine.write(changes, self._without_log)

    def get(self, key: bytes) -> bytes | None:
        """See `filling.Bulk`."""
        with self._edge:
            value: bytes | None = self._engine.get(key)
            return value

    def close(self) -> None:
        """See `filling.Bulk`."""
        with self._edge:
            try:
                self._engine.flush()  # tables are synced as they are made
            finally:
                self._engine.close()
