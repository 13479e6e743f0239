"""`sled`: the storage port on LMDB, which stands behind the guide's name (ADR 8 says why).

A commit is copy-on-write and needs no log: changed pages are written to free places and synced, then one meta page,
synced too, makes them the store. Reads go through a read transaction that is renewed after each commit, so they neither
wait for a sync nor see what is not yet on disk; a snapshot has a read transaction of its own. While one is open the
pages that later commits free are not used again: the file grows by what is written meanwhile.

The file is mapped whole, in a map that is larger than it; address space is all that costs. When the map is full it is
made anew, twice as large, which no open transaction survives: with a snapshot open the commit is refused, to be tried
again.

Not here: what the file must look like before LMDB may map it (`lmdb_file`), the folder (`folder_layout`), the names of
errors (`lmdb_faults`), the lock between processes (`process_lock`).
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import lmdb

from icn.adapters.files import PRIVATE_FILE, make_private_folders, sync_folder
from icn.adapters.storage import lmdb_file
from icn.adapters.storage.folder_layout import MARKER, FolderLayout
from icn.adapters.storage.lmdb_faults import Edge, is_for_want_of_room
from icn.adapters.storage.paging import EPOCH_BYTES, EPOCH_KEY, PAGE_BYTES_MAX, Row, scan_down, scan_up
from icn.adapters.storage.process_lock import ProcessLock
from icn.stores.kv import (
    SNAPSHOTS_OPEN_MAX,
    Batch,
    CommitUncertain,
    Fence,
    FenceLost,
    Properties,
    Snapshot,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)

LAYOUT = FolderLayout("sled", 1)
MAP_BYTES_FIRST = 64 * 1024**3
"""Small enough for the address space of a 64-bit ARM with 39 bits, large enough to grow seldom."""
MAP_GROWTH = 2
READERS_MAX = SNAPSHOTS_OPEN_MAX + 16
"""Slots for read transactions: snapshots, the store's own, and tools of the operator's (`mdb_copy`)."""

_T = TypeVar("_T")
_Transaction: TypeAlias = "lmdb.Transaction[bytes]"
_PROPERTIES = Properties(name="sled", durable=True, shared=False)


class _Reading:
    """The ways to read, over one transaction that is used by one thread at a time."""

    def __init__(self, transaction: _Transaction, edge: Edge) -> None:
        self._transaction: _Transaction | None = transaction
        self._edge = edge
        self._using = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        with self._using, self._edge:
            return self._open().get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._using, self._edge:
            get = self._open().get
            return [get(key) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[Row]:
        return scan_up(self._page_up, prefix, after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[Row]:
        return scan_down(self._page_down, prefix, before)

    def renew(self, begin: Callable[[], _Transaction]) -> None:
        """Read on in the transaction that `begin` gives after the one until now has ended. Readers wait."""
        with self._using:
            self._end()
            self._transaction = begin()

    def end(self) -> None:
        """Read no more. Raises `StoreUnavailable` the second time."""
        with self._using:
            self._open()
            self._end()

    def _end(self) -> None:
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None

    def _page_up(self, low: bytes, high: bytes, rows_max: int) -> tuple[list[Row], bool]:
        with self._using, self._edge, self._open().cursor() as cursor:
            if not (cursor.set_range(low) if low else cursor.first()):
                return [], True
            rows: list[Row] = []
            bytes_read = 0
            for row in cursor.iternext():
                if row[0] >= high:
                    return rows, True
                rows.append(row)
                bytes_read += len(row[1])
                if len(rows) == rows_max or bytes_read >= PAGE_BYTES_MAX:
                    return rows, False
            return rows, True

    def _page_down(self, low: bytes, high: bytes, rows_max: int) -> tuple[list[Row], bool]:
        with self._using, self._edge, self._open().cursor() as cursor:
            # To the first key that is not below `high`, and one back; there is always one, the epoch's.
            if not cursor.set_range(high) or not cursor.prev():
                return [], True
            rows: list[Row] = []
            bytes_read = 0
            for row in cursor.iterprev():
                if row[0] < low:
                    return rows, True
                rows.append(row)
                bytes_read += len(row[1])
                if len(rows) == rows_max or bytes_read >= PAGE_BYTES_MAX:
                    return rows, False
            return rows, True

    def _open(self) -> _Transaction:
        transaction = self._transaction
        if transaction is None:
            raise StoreUnavailable("closed")
        return transaction


class _Snapshot(_Reading):
    """A read transaction, which shows one commit."""

    def __init__(self, transaction: _Transaction, edge: Edge, ended: Callable[[], None]) -> None:
        super().__init__(transaction, edge)
        self._ended = ended

    def close(self) -> None:
        """End the transaction."""
        self.end()
        self._ended()


class LmdbStore:
    """See the module's docstring. Made by `open`."""

    def __init__(self, path: Path, lock: ProcessLock, environment: lmdb.Environment, data_file: int) -> None:
        self._path = path
        self._edge = Edge(path)
        self._lock = lock
        self._environment = environment
        self._data_file = data_file
        """A descriptor of the data file, to make up its length."""
        self._page_bytes = environment.stat()["psize"]
        self._reading = _Reading(environment.begin(), self._edge)
        self._is_closed = False
        self._must_reopen = False
        """A commit's fate is open, or the map is gone: no further commit."""
        self._mapping = threading.Lock()
        """Guards the count, and keeps the map in place while a snapshot is begun or ended."""
        self._lent_count = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the store in the folder `path`, creating it and the folders above it.

        Raises `StoreInUse`, `StoreCorrupt` (also for a folder that is not ours), `StoreNewer`, `StoreUnavailable`,
        `StoreFull`.
        """
        with Edge(path):
            path = path.resolve()  # or two links to one folder would have a lock each
            _refuse_rust_sled(path)
            make_private_folders(path.parent)
            lock = ProcessLock.take(path)
            try:
                is_complete = LAYOUT.prepare(path)
                if is_complete:
                    lmdb_file.check(path)
                environment = open_environment(path)
                try:
                    if not is_complete:
                        _create(environment, path)
                    data_file = os.open(path / lmdb_file.DATA_FILE, os.O_RDWR | os.O_CLOEXEC)
                    try:
                        store = cls(path, lock, environment, data_file)
                        store._make_up_length()
                        store._epoch_in(store._reading)  # a store without one is damaged
                    except BaseException:
                        os.close(data_file)
                        raise
                except BaseException:
                    environment.close()
                    raise
            except BaseException:
                lock.close()
                raise
            return store

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

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[Row]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return self._reading.scan(prefix, after=after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[Row]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return self._reading.scan_down(prefix, before=before)

    def snapshot(self) -> Snapshot:
        """A view of the newest commit. From any thread."""
        with self._mapping, self._edge:
            self._require_open()
            if self._lent_count == SNAPSHOTS_OPEN_MAX:
                raise StoreUnavailable(f"{self._path}: {SNAPSHOTS_OPEN_MAX} snapshots are open, which is the most")
            snapshot = _Snapshot(self._environment.begin(), self._edge, self._snapshot_ended)
            self._lent_count += 1
            return snapshot

    def claim(self) -> Fence:
        """Become the author: raise the epoch durably and return it."""

        def raise_epoch(transaction: _Transaction) -> Fence:
            epoch = Fence(self._epoch_in(transaction) + 1)
            transaction.put(EPOCH_KEY, epoch.to_bytes(EPOCH_BYTES))
            return epoch

        return self._write(raise_epoch, EPOCH_BYTES)

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole and durably, if `fence` is the newest."""

        def apply(transaction: _Transaction) -> None:
            epoch = self._epoch_in(transaction)
            if fence != epoch or fence == 0:  # 0: nobody has claimed the store yet
                raise FenceLost(f"epoch {fence} is over; the author is now that of epoch {epoch}")
            for key, value in batch.operations.items():
                if value is None:
                    transaction.delete(key)
                else:
                    transaction.put(key, value)

        self._write(apply, sum(len(value) for value in batch.operations.values() if value is not None))

    def close(self) -> None:
        """Release everything. Called once, after every snapshot is closed."""
        with self._mapping:
            self._require_open()
        try:
            self.close_files()
        finally:
            self._lock.close()

    def close_files(self) -> ProcessLock:
        """Close all but the lock, which is the caller's from here on. Instead of `close`."""
        with self._mapping:
            self._require_open()
            self._is_closed = True
        with self._edge:
            try:
                if not self._must_reopen:
                    self._make_up_length()
                    self._reading.end()
                self._environment.close()
            finally:
                os.close(self._data_file)
        return self._lock

    def _write(self, change: Callable[[_Transaction], _T], bytes_wanted: int) -> _T:
        """Make `change` in a transaction of its own, as often as the map must grow for it."""
        with self._edge:
            self._require_open()
            if self._must_reopen:
                raise StoreUnavailable(f"{self._path}: an earlier commit failed half-way: close and reopen the store")
            while True:
                transaction = self._environment.begin(write=True)
                try:
                    result = change(transaction)
                    self._end(transaction, bytes_wanted)
                except lmdb.MapFullError:
                    transaction.abort()
                    self._grow()
                except BaseException:
                    transaction.abort()
                    raise
                else:
                    return result

    def _end(self, transaction: _Transaction, bytes_wanted: int) -> None:
        """Commit, or say exactly how far we know it failed."""
        try:
            transaction.commit()
            self._reading.renew(self._environment.begin)
        except lmdb.MapFullError:
            raise  # found before anything was written
        except lmdb.Error as error:
            if is_for_want_of_room(error, self._path, bytes_wanted) and not self._panics():
                raise StoreFull(f"{self._path}: {error}: make room on the disk; nothing was written") from error
            self._must_reopen = True
            raise CommitUncertain(f"{self._path}: {error}") from error
        with suppress(OSError):  # it is on disk already; all that is lost is a faster start after a crash just now
            self._make_up_length()

    def _panics(self) -> bool:
        """Whether the commit failed as late as in the meta page. Before, nothing on disk refers to what it wrote."""
        try:
            self._environment.begin(write=True).abort()
        except lmdb.PanicError:
            return True
        return False

    def _grow(self) -> None:
        """A larger map, when nothing looks into the present one."""
        with self._mapping:
            size = self._environment.info()["map_size"] * MAP_GROWTH
            if self._lent_count:
                raise StoreUnavailable(
                    f"{self._path}: the map must grow to {size} bytes, which it cannot while {self._lent_count} "
                    "snapshots are open; retry when they are closed"
                )

            def remapped() -> _Transaction:
                self._environment.set_mapsize(size)
                return self._environment.begin()

            try:
                self._reading.renew(remapped)
            except lmdb.Error as error:
                # The old map is gone, and a new one was refused: whatever looked into it now would crash.
                self._must_reopen = True
                self._environment.close()
                raise StoreUnavailable(f"{self._path}: no address space for a map of {size} bytes") from error

    def _make_up_length(self) -> None:
        lmdb_file.extend(self._data_file, self._environment.info()["last_pgno"] + 1, self._page_bytes)

    def _epoch_in(self, reader: "_Transaction | _Reading") -> Fence:
        value = reader.get(EPOCH_KEY)
        if value is None or len(value) != EPOCH_BYTES:
            raise StoreCorrupt(f"{self._path} has no epoch: restore a backup, or start with an empty store")
        return Fence(int.from_bytes(value))

    def _snapshot_ended(self) -> None:
        with self._mapping:
            self._lent_count -= 1

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")


def open_environment(path: Path, *, sync: bool = True) -> lmdb.Environment:
    """LMDB's view of the data file. `sync`: a commit returns when it is on disk."""
    data_file = path / lmdb_file.DATA_FILE
    used = data_file.stat().st_size if data_file.exists() else 0
    map_bytes = MAP_BYTES_FIRST
    while map_bytes < used * MAP_GROWTH:  # so that it need not grow soon, with a snapshot in the way
        map_bytes *= MAP_GROWTH
    environment = lmdb.open(
        str(path),
        map_size=map_bytes,
        mode=PRIVATE_FILE,
        create=False,
        max_readers=READERS_MAX,
        max_spare_txns=1,
        sync=sync,
        readahead=False,  # reads are of single keys more often than of neighbours
        lib_version=0,  # LMDB 0.9, whose files every tool reads
    )
    environment.reader_check()  # slots of processes that were killed while another one had the store open
    return environment


def _create(environment: lmdb.Environment, path: Path) -> None:
    with environment.begin(write=True) as transaction:
        transaction.put(EPOCH_KEY, bytes(EPOCH_BYTES))
    sync_folder(path)
    LAYOUT.complete(path)


def _refuse_rust_sled(path: Path) -> None:
    """A folder of the Rust library that the guide's name is from: there is no reading it from here."""
    if (path / "conf").is_file() and (path / "db").is_file() and not (path / MARKER).exists():
        raise StoreCorrupt(
            f"{path} was written by the Rust library sled, whose files this node cannot read (its backend `sled` is "
            "LMDB): set [storage] path to a new folder and let the federation refill it; nothing was changed in "
            f"{path}, keep it until you need it no more"
        )
