"""`sqlite`: the storage port on one SQLite file in WAL mode with `synchronous=FULL`.

An answer means it is on disk: COMMIT returns after the log was synced. One connection writes. Reads on the store go
through a second one, so that they neither wait for a sync nor see an open transaction; each snapshot has a connection
of its own with a read transaction open, from a pool, since opening one costs more than most reads.

After a COMMIT that failed in a way that leaves its fate open (a failed sync, say), this object takes no further commit:
the kernel may have dropped the pages it could not write, and a later sync that succeeds would prove nothing about them.
Opening the file again lets SQLite decide what the log holds.

Not here: the layout of the file (`sqlite_format`), whether the log is whole and when it is copied back (`sqlite_log`),
the names of errors (`sqlite_faults`), the lock between processes (`process_lock`).
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import apsw

from icn.adapters.files import PRIVATE_FILE, make_private_folders, sync_folder
from icn.adapters.storage.process_lock import ProcessLock
from icn.adapters.storage.ranges import ascending, descending
from icn.adapters.storage.sqlite_faults import Edge
from icn.adapters.storage.sqlite_format import CACHE_KIB, SNAPSHOT_CACHE_KIB, open_reader, open_unchanging, open_writer
from icn.adapters.storage.sqlite_log import LogKeeper
from icn.stores.kv import (
    KEY_BYTES_MAX,
    SNAPSHOTS_OPEN_MAX,
    Batch,
    CommitUncertain,
    Fence,
    FenceLost,
    Properties,
    Reader,
    Snapshot,
    StoreUnavailable,
)

PAGE_ROWS_FIRST = 16
PAGE_ROWS_MAX = 256
PAGE_BYTES_MAX = 1024 * 1024
"""A page of a scan ends after the row that reaches this."""
READERS_IDLE_MAX = 8
"""Connections kept for the next snapshot."""

_PROPERTIES = Properties(name="sqlite", durable=True, shared=False)
_ABOVE_ALL_KEYS = b"\xff" * (KEY_BYTES_MAX + 1)

GET = "SELECT v FROM kv WHERE k = ?"
_ASCENDING = "SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
_DESCENDING = "SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"
PUT = "INSERT INTO kv (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
DELETE = "DELETE FROM kv WHERE k = ?"
_EPOCH = "SELECT epoch FROM author"
_NEXT_EPOCH = "UPDATE author SET epoch = epoch + 1 RETURNING epoch"


def _get_many(count: int) -> str:
    return f"SELECT k, v FROM kv WHERE k IN ({','.join('?' * count)})"  # noqa: S608 - signs, no values


class _Reading:
    """The ways to read, over one connection that is used by one thread at a time."""

    def __init__(self, connection: apsw.Connection, edge: Edge) -> None:
        self._connection: apsw.Connection | None = connection
        self._edge = edge
        self._using = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        with self._using, self._edge:
            value: bytes | None = self._open().execute(GET, (key,)).get
        if value is not None:
            self._require_bytes((value,))
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._using, self._edge:
            found: dict[bytes, bytes] = dict(self._open().execute(_get_many(len(keys)), tuple(keys)))
        self._require_bytes((*found, *found.values()))
        return [found.get(key) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        low, high = ascending(prefix, after)
        for rows_max in _page_sizes():
            rows, is_last = self._page(_ASCENDING, low, high, rows_max)
            yield from rows
            if is_last:
                return
            low = rows[-1][0] + b"\x00"

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        low, high = descending(prefix, before)
        for rows_max in _page_sizes():
            rows, is_last = self._page(_DESCENDING, low, high, rows_max)
            yield from rows
            if is_last:
                return
            high = rows[-1][0]

    def _page(
        self, statement: str, low: bytes, high: bytes | None, rows_max: int
    ) -> tuple[list[tuple[bytes, bytes]], bool]:
        """The next rows, and whether they are the last."""
        rows = []
        bytes_read = 0
        is_full = False
        with self._using, self._edge:
            cursor = self._open().execute(statement, (low, _ABOVE_ALL_KEYS if high is None else high, rows_max))
            for row in cursor:
                rows.append(row)
                bytes_read += len(row[1]) if type(row[1]) is bytes else 0
                if bytes_read >= PAGE_BYTES_MAX:
                    cursor.close()  # or its unfinished statement would keep a read transaction open
                    is_full = True
                    break
        keys = [row[0] for row in rows]
        self._require_bytes([*keys, *(row[1] for row in rows)])
        self._require_order(keys if statement is _ASCENDING else keys[::-1], low, high)
        return rows, not is_full and len(rows) < rows_max

    def _require_bytes(self, read: Sequence[object]) -> None:
        """Raise `StoreCorrupt` for what is no bytes: SQLite reads the type of each value from its page alone."""
        if not {*map(type, read)} <= {bytes}:
            raise self._edge.corrupt("a key or value is not of the type that was written")

    def _require_order(self, keys: list[bytes], low: bytes, high: bytes | None) -> None:
        """Raise `StoreCorrupt` for a key that is not where it belongs.

        SQLite has no checksums here, and walks through a damaged index as it finds it: a key that is not what it was
        would be given out under another one, and not be found under its own.
        """
        if keys and (keys[0] < low or (high is not None and keys[-1] >= high) or keys != sorted(keys)):
            raise self._edge.corrupt("a key is not where it belongs in the index")

    def detach(self) -> apsw.Connection:
        """Stop reading; the connection is the caller's again."""
        with self._using:
            connection = self._open()
            self._connection = None
            return connection

    def _open(self) -> apsw.Connection:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable("closed")
        return connection


class _Snapshot(_Reading):
    """A connection whose read transaction shows one commit."""

    def __init__(self, connection: apsw.Connection, edge: Edge, give_back: Callable[[apsw.Connection], None]) -> None:
        super().__init__(connection, edge)
        self._give_back = give_back

    def close(self) -> None:
        """End the transaction and return the connection."""
        self._give_back(self.detach())


class SqliteStore:
    """See the module's docstring. Made by `open`."""

    def __init__(
        self, path: Path, lock: ProcessLock, writer: apsw.Connection, log: LogKeeper, reader: apsw.Connection
    ) -> None:
        self._path = path
        self._edge = Edge(path)
        self._lock = lock
        self._writer = writer
        self._log = log
        self._reading = _Reading(reader, self._edge)
        self._is_closed = False
        self._lost_a_commit = False
        self._pooling = threading.Lock()
        """Guards the three below."""
        self._idle: list[apsw.Connection] = []
        self._lent_count = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the store in the file `path`, creating it and the folders above it.

        Raises `StoreInUse`, `StoreCorrupt` (also for a file that is not ours), `StoreNewer`, `StoreUnavailable`, and
        `StoreFull` when there is not even room to make what the log holds durable.
        """
        with Edge(path, opening=True):
            path = path.resolve()  # or two links to one file would have a lock each
            make_private_folders(path.parent)
            lock = ProcessLock.take(path)
            try:
                _create_private(path)
                writer = open_writer(path)
                try:
                    log = LogKeeper(writer, path)
                    try:
                        return cls(path, lock, writer, log, open_reader(path, cache_kib=CACHE_KIB))
                    except BaseException:
                        log.close()
                        raise
                except BaseException:
                    writer.close()
                    raise
            except BaseException:
                lock.close()
                raise

    @property
    def properties(self) -> Properties:
        """What may differ between engines."""
        return _PROPERTIES

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` in the newest commit, or None."""
        return self._reading.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys` in the newest commit."""
        return self._reading.get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return self._reading.scan(prefix, after=after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return self._reading.scan_down(prefix, before=before)

    def snapshot(self) -> Snapshot:
        """A view of the newest commit. From any thread."""
        with self._pooling:
            self._require_open()
            if self._lent_count == SNAPSHOTS_OPEN_MAX:
                raise StoreUnavailable(f"{self._path}: {SNAPSHOTS_OPEN_MAX} snapshots are open, which is the most")
            self._lent_count += 1
            connection = self._idle.pop() if self._idle else None
        try:
            with self._edge:
                if connection is None:
                    connection = open_reader(self._path, cache_kib=SNAPSHOT_CACHE_KIB)
                connection.execute("BEGIN")
                connection.execute(_EPOCH).get  # noqa: B018 - the first read, not BEGIN, fixes what is seen
        except BaseException:
            with self._pooling:
                self._lent_count -= 1
            if connection is not None:
                connection.close()
            raise
        return _Snapshot(connection, self._edge, self._give_back)

    def claim(self) -> Fence:
        """Become the author: raise the epoch durably and return it."""
        with self._edge:
            self._begin()
            try:
                epoch = Fence(self._writer.execute(_NEXT_EPOCH).get)
            except BaseException:
                self._roll_back()
                raise
            self._end()
            return epoch

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole and durably, if `fence` is the newest."""
        puts = [(key, value) for key, value in batch.operations.items() if value is not None]
        deletes = [(key,) for key, value in batch.operations.items() if value is None]
        with self._edge:
            self._begin()
            try:
                epoch = self._writer.execute(_EPOCH).get
                if fence != epoch or fence == 0:  # 0: nobody has claimed the store yet
                    raise FenceLost(f"epoch {fence} is over; the author is now that of epoch {epoch}")
                if puts:
                    self._writer.executemany(PUT, puts)
                if deletes:
                    self._writer.executemany(DELETE, deletes)
            except BaseException:
                self._roll_back()
                raise
            self._end()

    def close(self) -> None:
        """Release everything. Called once, after every snapshot is closed."""
        with self._pooling:
            self._require_open()
        try:
            self.close_files()
        finally:
            self._lock.close()

    def close_files(self) -> ProcessLock:
        """Close all but the lock, which is the caller's from here on. Instead of `close`."""
        with self._pooling:
            self._require_open()
            self._is_closed = True
            connections = [*self._idle, self._reading.detach(), self._writer]
            self._idle.clear()
        with self._edge:
            try:
                for connection in connections:  # the writer last: the last one out folds the log into the database
                    connection.close()
            finally:
                self._log.close()
        return self._lock

    def _begin(self) -> None:
        self._require_open()
        if self._lost_a_commit:
            raise StoreUnavailable(f"{self._path}: the fate of an earlier commit is open: close and reopen the store")
        self._writer.execute("BEGIN IMMEDIATE")

    def _end(self) -> None:
        """COMMIT, or say exactly how far we know it failed."""
        try:
            self._writer.execute("COMMIT")
        except (apsw.FullError, apsw.BusyError):
            # The log's frame that makes the commit valid was never written whole.
            self._roll_back()
            raise
        except apsw.Error as error:
            self._lost_a_commit = True
            self._roll_back()
            raise CommitUncertain(f"{self._path}: {error}") from error
        self._log.committed()

    def _roll_back(self) -> None:
        if self._writer.in_transaction:  # SQLite has already rolled back after some errors
            self._writer.execute("ROLLBACK")

    def _give_back(self, connection: apsw.Connection) -> None:
        with self._pooling, self._edge:
            self._lent_count -= 1
            connection.execute("ROLLBACK")
            if self._is_closed or len(self._idle) >= READERS_IDLE_MAX:
                connection.close()
            else:
                self._idle.append(connection)

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")


@contextlib.contextmanager
def open_aside(path: Path) -> Iterator[Reader]:
    """The store in a file that nobody changes meanwhile, whoever has it open; from any process.

    Raises `StoreCorrupt`, `StoreUnavailable`.
    """
    edge = Edge(path)
    with edge:
        connection = open_unchanging(path, cache_kib=SNAPSHOT_CACHE_KIB)
    try:
        yield _Reading(connection, edge)
    finally:
        connection.close()


def _page_sizes() -> Iterator[int]:
    """Rows per page: few at first, for callers who want only the beginning."""
    size = PAGE_ROWS_FIRST
    while True:
        yield size
        size = min(size * 4, PAGE_ROWS_MAX)


def _create_private(path: Path) -> None:
    """Make sure that the file exists. SQLite itself would make it readable by all; log and index copy its mode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    except FileExistsError:
        return
    os.close(descriptor)
    sync_folder(path.parent)
