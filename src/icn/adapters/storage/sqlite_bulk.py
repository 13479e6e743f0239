"""A new SQLite store taken full: no log, so that every page is written once, and its own promise of being synced at the
end alone, which begins early, so that the disk writes while the next batches are made.

Until `close` a crash may leave anything. Afterwards it is a store like any other.
"""

import os
from pathlib import Path

import apsw

from icn.adapters.storage.sqlite import DELETE, GET, PUT
from icn.adapters.storage.sqlite_faults import Edge
from icn.services.beginning import Views
from icn.stores.kv import Batch

CACHE_KIB = 4 * 1024
"""Pages are written as they fill; a larger cache only writes them later."""


SYNC_BYTES = 64 * 1024 * 1024
"""After so many loaded the disk is made to have them."""


class SqliteBulk:
    """Satisfies `filling.Bulk`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._edge = Edge(path)
        self._unsynced = 0
        with self._edge:
            self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                self._connection.pragma("cache_size", -CACHE_KIB)
                self._connection.pragma("synchronous", "OFF")
                self._connection.pragma("journal_mode", "off")
            except BaseException:
                self._connection.close()
                raise

    def load(self, batch: Batch, views: Views) -> None:
        """See `filling.Bulk`."""
        puts = [(key, value) for key, value in batch.operations.items() if value is not None]
        deletes = [(key,) for key, value in batch.operations.items() if value is None]
        with self._edge:
            self._connection.execute("BEGIN EXCLUSIVE")
            if puts:
                self._connection.executemany(PUT, puts)
            if views:
                self._connection.executemany(PUT, views.items())
            if deletes:
                self._connection.executemany(DELETE, deletes)
            self._connection.execute("COMMIT")
            self._unsynced += sum(len(value) for _, value in puts) + sum(map(len, views.values()))
            if self._unsynced >= SYNC_BYTES:
                self._sync()

    def get(self, key: bytes) -> bytes | None:
        """See `filling.Bulk`."""
        with self._edge:
            value: bytes | None = self._connection.execute(GET, (key,)).get
            return value

    def close(self) -> None:
        """See `filling.Bulk`."""
        with self._edge:
            try:
                if not self._connection.in_transaction:
                    self._connection.pragma("journal_mode", "wal")
            finally:
                self._connection.close()
            self._sync()

    def _sync(self) -> None:
        # Closing a descriptor of the file ends SQLite's locks on it: between two transactions it holds none.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._unsynced = 0
