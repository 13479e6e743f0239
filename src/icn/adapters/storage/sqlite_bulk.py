"""A new SQLite store taken full: no log, so that every page is written once, and its own promise of being synced at the
end alone. The disk is made to have what is there all the while, on a thread beside: at the end little is left to do.

Until `close` a crash may leave anything. Afterwards it is a store like any other.
"""

import contextlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import apsw

from icn.adapters.storage.sqlite import DELETE, GET, PUT
from icn.adapters.storage.sqlite_faults import Edge
from icn.services.beginning import Views
from icn.stores.kv import Batch

CACHE_KIB = 4 * 1024
"""Pages are written as they fill; a larger cache only writes them later."""
SYNC_BYTES = 32 * 1024 * 1024
"""After so many loaded the disk is made to have them, when it has those before."""


class SqliteBulk:
    """Satisfies `filling.Bulk`."""

    def __init__(self, path: Path) -> None:
        self._edge = Edge(path)
        self._unsynced = 0
        self._pool = ThreadPoolExecutor(1)
        self._syncing: Future[None] | None = None
        with self._edge:
            # Open as long as the connection is: closing a descriptor of the file ends SQLite's locks on it.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with self._edge:
            self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                self._connection.pragma("cache_size", -CACHE_KIB)
                self._connection.pragma("synchronous", "OFF")
                self._connection.pragma("journal_mode", "off")
            except BaseException:
                self._connection.close()
                os.close(self._descriptor)
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
            if self._unsynced >= SYNC_BYTES and (self._syncing is None or self._syncing.done()):
                self._wait()
                self._syncing, self._unsynced = self._pool.submit(os.fsync, self._descriptor), 0

    def get(self, key: bytes) -> bytes | None:
        """See `filling.Bulk`."""
        with self._edge:
            value: bytes | None = self._connection.execute(GET, (key,)).get
            return value

    def close(self) -> None:
        """See `filling.Bulk`."""
        with self._edge, contextlib.ExitStack() as last:
            last.callback(os.close, self._descriptor)
            last.callback(self._pool.shutdown)
            try:
                if not self._connection.in_transaction:
                    self._connection.pragma("journal_mode", "wal")
            finally:
                self._connection.close()
            self._wait()
            os.fsync(self._descriptor)

    def _wait(self) -> None:
        """For the disk to have what it was told to write; raises what kept it from that, which it says once only."""
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            syncing.result()
