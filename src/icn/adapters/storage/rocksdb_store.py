"""`rocksdb`: the storage port on RocksDB, through `rocksdict` (the extra `icn[rocksdb]`).

A commit is one batch, written to the log and then synced (`flush_wal`; asking the write itself to sync would hold the
interpreter's lock during it). RocksDB shows a batch as soon as it is written. So that nobody sees, and tells, what a
loss of power could still undo, reads go through a view of the database that is replaced when the log was synced.

After a commit whose fate is open this object takes no further commit, and its readers stay at the last one that is
known to be on disk. Opening the store again lets RocksDB read what its log holds.

RocksDB keeps its own lock until the last object that refers to the database is gone: `close` drops the view first.

Not here: the settings (`rocksdb_engine`), the folder (`folder_layout`), the names of errors (`rocksdb_faults`), the
lock between processes (`process_lock`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import rocksdict

from icn.adapters.files import make_private_folders, sync_folder
from icn.adapters.storage.folder_layout import FolderLayout
from icn.adapters.storage.paging import EPOCH_BYTES, EPOCH_KEY, PAGE_BYTES_MAX, Row, scan_down, scan_up
from icn.adapters.storage.process_lock import ProcessLock
from icn.adapters.storage.rocksdb_engine import THE_LOG, WITNESS, open_engine
from icn.adapters.storage.rocksdb_faults import Absent, Edge, Quiet, is_for_want_of_room, is_of_the_engine
from icn.adapters.storage.witness import Witness
from icn.stores.kv import (
    SNAPSHOTS_OPEN_MAX,
    Batch,
    CommitUncertain,
    Fence,
    FenceLost,
    Properties,
    Snapshot,
    StoreCorrupt,
    StoreUnavailable,
)

LAYOUT = FolderLayout("rocksdb", 1)
_ABSENT = Absent()
_QUIET = Quiet()

_PROPERTIES = Properties(name="rocksdb", durable=True, shared=False)


class _View:
    """The database as one commit left it. Made by the writing thread, between two commits.

    The library's snapshots give single values only: their iterators show the newest state whatever came since. An
    iterator of the database itself stays at the state in which it was made, so one is made for each commit and kept.
    """

    __slots__ = ("_rows", "_using", "_values")

    def __init__(self, engine: rocksdict.Rdict) -> None:
        self._values = engine.snapshot()
        self._rows = engine.iter()
        self._using = threading.Lock()
        """The iterator is used by one thread at a time."""

    def get(self, key: bytes) -> bytes | None:
        with _ABSENT:
            value: bytes = self._values[key]
            return value
        return None

    def page_up(self, low: bytes, high: bytes, rows_max: int) -> tuple[list[Row], bool]:
        with self._using:
            rows = self._rows
            rows.seek(low)
            page: list[Row] = []
            bytes_read = 0
            while rows.valid():
                key: bytes = rows.key()
                if key >= high:
                    return page, True
                value: bytes = rows.value()
                page.append((key, value))
                bytes_read += len(value)
                if len(page) == rows_max or bytes_read >= PAGE_BYTES_MAX:
                    return page, False
                rows.next()
            rows.status()  # the end, or a damaged block
            return page, True

    def page_down(self, low: bytes, high: bytes, rows_max: int) -> tuple[list[Row], bool]:
        with self._using:
            rows = self._rows
            rows.seek_for_prev(high)
            page: list[Row] = []
            bytes_read = 0
            while rows.valid():
                key: bytes = rows.key()
                if key < low:
                    return page, True
                if key < high:  # seeking stops at `high` itself, too
                    value: bytes = rows.value()
                    page.append((key, value))
                    bytes_read += len(value)
                    if len(page) == rows_max or bytes_read >= PAGE_BYTES_MAX:
                        return page, False
                rows.prev()
            rows.status()  # as above
            return page, True


class _Reading:
    """The ways to read, over one view."""

    def __init__(self, view: _View, edge: Edge) -> None:
        self._view: _View | None = view
        self._edge = edge

    def get(self, key: bytes) -> bytes | None:
        with self._edge:
            return self.view().get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._edge:
            view = self.view()
            return [view.get(key) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[Row]:
        return scan_up(self._page_up, prefix, after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[Row]:
        return scan_down(self._page_down, prefix, before)

    def view(self) -> _View:
        """What is read. Raises `StoreUnavailable` when it is nothing any more."""
        view = self._view
        if view is None:
            raise StoreUnavailable("closed")
        return view

    def replace(self, view: _View | None) -> None:
        """Read on in another view, or no more. Raises `StoreUnavailable` when it was no more already."""
        self.view()
        self._view = view

    def _page_up(self, low: bytes, high: bytes, rows_max: int) -> tuple[list[Row], bool]:
        with self._edge:
            return self.view().page_up(low, high, rows_max)

    def _page_down(self, low: bytes, high: bytes, rows_max: int) -> tuple[list[Row], bool]:
        with self._edge:
            return self.view().page_down(low, high, rows_max)


class _Snapshot(_Reading):
    """A view that is not replaced."""

    def __init__(self, view: _View, edge: Edge, ended: Callable[[], None]) -> None:
        super().__init__(view, edge)
        self._ended = ended

    def close(self) -> None:
        """Let the engine forget what only this snapshot still showed."""
        self.replace(None)
        self._ended()


class RocksdbStore:
    """See the module's docstring. Made by `open`."""

    def __init__(self, path: Path, lock: ProcessLock, engine: rocksdict.Rdict, witness: Witness) -> None:
        self._path = path
        self._edge = Edge(path)
        self._lock = lock
        self._engine = engine
        self._witness = witness
        self._reading = _Reading(_View(engine), self._edge)
        self._epoch = self._stored_epoch()
        """Ours alone to change while we hold the lock."""
        self._lost_a_commit = False
        self._counting = threading.Lock()
        """Guards the two below."""
        self._is_closed = False
        self._lent_count = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the store in the folder `path`, creating it and the folders above it.

        Raises `StoreInUse`, `StoreCorrupt` (also for a folder that is not ours), `StoreNewer`, `StoreUnavailable`,
        `StoreFull`.
        """
        with Edge(path, opening=True):
            path = path.resolve()  # or two links to one folder would have a lock each
            make_private_folders(path.parent)
            lock = ProcessLock.take(path)
            try:
                is_complete = LAYOUT.prepare(path)
                engine = open_engine(path, create=not is_complete)
                try:
                    if not is_complete:
                        engine.put(EPOCH_KEY, bytes(EPOCH_BYTES))
                        engine.flush_wal(True)
                        sync_folder(path)
                        LAYOUT.complete(path)
                    # What a predecessor left in the log may be in the system's cache only, if its last sync failed.
                    engine.flush_wal(True)
                    witness = Witness.open(path / WITNESS)
                    try:
                        return cls(path, lock, engine, witness)
                    except BaseException:
                        witness.close()
                        raise
                except BaseException:
                    engine.close()
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

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[Row]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return self._reading.scan(prefix, after=after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[Row]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return self._reading.scan_down(prefix, before=before)

    def snapshot(self) -> Snapshot:
        """A view of the newest commit. From any thread."""
        with self._counting:
            self._require_open()
            if self._lent_count == SNAPSHOTS_OPEN_MAX:
                raise StoreUnavailable(f"{self._path}: {SNAPSHOTS_OPEN_MAX} snapshots are open, which is the most")
            self._lent_count += 1
            # The one that the store reads through is of the newest commit, and never changes.
            return _Snapshot(self._reading.view(), self._edge, self._snapshot_ended)

    def claim(self) -> Fence:
        """Become the author: raise the epoch durably and return it."""
        raised = Fence(self._epoch + 1)
        changes = rocksdict.WriteBatch(raw_mode=True)
        changes.put(EPOCH_KEY, raised.to_bytes(EPOCH_BYTES))
        self._write(changes)
        self._epoch = raised
        return raised

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole and durably, if `fence` is the newest."""
        self._require_writable()
        if fence != self._epoch or fence == 0:  # 0: nobody has claimed the store yet
            raise FenceLost(f"epoch {fence} is over; the author is now that of epoch {self._epoch}")
        changes = rocksdict.WriteBatch(raw_mode=True)
        for key, value in batch.operations.items():
            if value is None:
                changes.delete(key)
            else:
                changes.put(key, value)
        self._write(changes)

    def close(self) -> None:
        """Release everything. Called once, after every snapshot is closed."""
        with self._counting:
            self._require_open()
        try:
            self.close_files()
        finally:
            self._lock.close()

    def close_files(self) -> ProcessLock:
        """Close all but the lock, which is the caller's from here on. Instead of `close`."""
        with self._counting:
            self._require_open()
            self._is_closed = True
        self._reading.replace(None)
        try:
            # RocksDB tidies up. If it cannot, nothing is lost: what was acknowledged is on disk, in the log at least.
            with _QUIET:
                self._engine.close()
        finally:
            del self._engine  # or it would keep its lock when closing failed
            self._witness.close()
        return self._lock

    def _write(self, changes: rocksdict.WriteBatch) -> None:
        """Write and sync, or say exactly how far we know it failed."""
        self._require_writable()
        with self._edge:
            if changes.is_empty():
                return
            # What the disk had no room for was never written whole, and RocksDB drops a record that breaks off.
            with _Ending(self, unless=is_for_want_of_room):
                self._engine.write(changes)
            with _Ending(self):
                self._engine.flush_wal(True)
                self._reading.replace(_View(self._engine))
            self._witness.claim(THE_LOG, self._engine.latest_sequence_number())

    def lost_a_commit(self, error: BaseException) -> CommitUncertain:
        """The fault for a commit that ended with `error`; there will be no further one."""
        self._lost_a_commit = True
        return CommitUncertain(f"{self._path}: {error}")

    def _stored_epoch(self) -> Fence:
        value = self._reading.get(EPOCH_KEY)
        if value is None or len(value) != EPOCH_BYTES:
            raise StoreCorrupt(f"{self._path} has no epoch: restore a backup, or start with an empty store")
        return Fence(int.from_bytes(value))

    def _snapshot_ended(self) -> None:
        with self._counting:
            self._lent_count -= 1

    def _require_writable(self) -> None:
        self._require_open()
        if self._lost_a_commit:
            raise StoreUnavailable(f"{self._path}: the fate of an earlier commit is open: close and reopen the store")

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")


class _Ending:
    """A context manager: an error of the engine leaves the fate of a commit open, unless it is one of those named."""

    def __init__(self, store: RocksdbStore, *, unless: Callable[[BaseException], bool] | None = None) -> None:
        self._store = store
        self._unless = unless

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and is_of_the_engine(error) and not (self._unless and self._unless(error)):
            raise self._store.lost_a_commit(error) from error
