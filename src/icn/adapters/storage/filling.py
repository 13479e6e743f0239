"""Stores that are filled before anybody sees them: for a restore, which checks as it writes.

```
 engines with files   <path>.filling: filled without a log or a sync ─> synced ─> read back ─> renamed to <path>
 others               the store itself, which says that nothing in it counts ─> filled ─> read back ─> says so no more
```

Where an engine can have its files read by a process beside the one that has it open, `aside` says how.

Killed at any moment, there is no store, an empty one, or the whole one; or one that no node opens (`stores.moving`).
The store's lock is held all the while. What an attempt leaves behind is thrown away by the next.

Batches are written on a thread of their own, while the caller makes the next one.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Protocol

from icn.adapters.files import sync_folder
from icn.adapters.storage.process_lock import ProcessLock
from icn.kernel.errors import IcnError
from icn.services.beginning import NO_VIEWS, Views, with_views
from icn.services.block_names import Aside
from icn.stores import moving
from icn.stores.copying import TargetInUse
from icn.stores.kv import Batch, KeyValueStore, Reader

SUFFIX = ".filling"
"""Behind the name of a store that is filled beside its place."""
FILE_SUFFIXES = ("", "-wal", "-shm", "-journal", ".witness")
"""Of the files that make up a store which is no folder."""
DELETES_PER_BATCH = 20_000


class Filling(Protocol):
    """A store being filled. Either `take_place` or `discard` ends it; `close` comes last.

    `load` and `get` may be called from any thread, the others from one.
    """

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        """Take both over, to be written in the order of the calls. Raises faults, also of earlier ones."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, with everything loaded so far."""

    def seal(self) -> contextlib.AbstractContextManager[Reader]:
        """Nothing more is loaded; what was is on disk, to be read back."""

    def aside(self) -> Aside | None:
        """What opens it in another process, too, while it is sealed; None where the engine is for one process only."""

    def take_place(self) -> None:
        """It is the store from now on, durably. After `seal`."""

    def discard(self) -> None:
        """Throw away what was loaded."""

    def close(self) -> None:
        """Let others open the store. What neither took its place nor was thrown away, the next one finds."""


class Bulk(Protocol):
    """An engine that takes batches as fast as it can, at the price of its promises: durable when it is closed."""

    def load(self, batch: Batch, views: Views) -> None:
        """Write both."""

    def get(self, key: bytes) -> bytes | None:
        """One value."""

    def close(self) -> None:
        """What was loaded is on disk."""


class FileStore(KeyValueStore, Protocol):
    """A store in files, with a lock beside them."""

    def close_files(self) -> ProcessLock:
        """Close all but the lock."""


class _Behind:
    """Loads on a thread of its own, one batch at a time, for callers on any thread."""

    def __init__(self, load: Callable[[Batch, Views], None], get: Callable[[bytes], bytes | None]) -> None:
        self._load = load
        self._get = get
        self._pool = ThreadPoolExecutor(1)
        self._under_way: Future[None] | None = None
        self._turn = threading.Lock()

    def load(self, batch: Batch, views: Views) -> None:
        """Begin with it when the one before is written."""
        with self._turn:
            self._wait()
            self._under_way = self._pool.submit(self._load, batch, views)

    def get(self, key: bytes) -> bytes | None:
        """With everything written. Raises what went wrong."""
        with self._turn:
            self._wait()
            return self._get(key)

    def wait(self) -> None:
        """Everything is written. Raises what went wrong."""
        with self._turn:
            self._wait()

    def _wait(self) -> None:
        """What went wrong stays: each caller is told, or one would go on, and wait for what the failed batch holds."""
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def end(self) -> None:
        """Nothing more comes, and what went wrong matters to nobody."""
        self._pool.shutdown()


class FillingBeside:
    """Satisfies `Filling` for engines whose stores are files."""

    def __init__(
        self,
        path: Path,
        open_engine: Callable[[Path], FileStore],
        open_bulk: Callable[[Path], Bulk],
        open_aside: Callable[[Path], contextlib.AbstractContextManager[Reader]] | None = None,
    ) -> None:
        path = path.resolve()
        self._open_aside = open_aside
        self._path = path
        self._staged = path.with_name(path.name + SUFFIX)
        self._open_engine = open_engine
        store = open_engine(path)
        try:
            _require_empty(store, str(path))
        except BaseException:
            store.close()
            raise
        self._lock = store.close_files()
        try:
            self._remove(self._staged)
            open_engine(self._staged).close()
            self._bulk: Bulk | None = open_bulk(self._staged)
        except BaseException:
            self._lock.close()
            raise
        self._behind = _Behind(self._bulk.load, self._bulk.get)

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        """See `Filling`."""
        self._behind.load(batch, views)

    def get(self, key: bytes) -> bytes | None:
        """See `Filling`."""
        return self._behind.get(key)

    @contextlib.contextmanager
    def seal(self) -> Iterator[Reader]:
        """See `Filling`."""
        self._behind.wait()
        self._close_bulk()
        with contextlib.closing(self._open_engine(self._staged)) as store:
            yield store

    def aside(self) -> Aside | None:
        """See `Filling`."""
        return None if self._open_aside is None else partial(self._open_aside, self._staged)

    def take_place(self) -> None:
        """See `Filling`."""
        self._remove(self._path)  # it holds nothing; a log left beside it would be taken for that of the new one
        self._staged.rename(self._path)
        sync_folder(self._path.parent)

    def discard(self) -> None:
        """See `Filling`."""
        self._behind.end()
        with contextlib.suppress(IcnError):  # an engine whose disk is full cannot close in order, and need not
            self._close_bulk()
        self._remove(self._staged)

    def close(self) -> None:
        """See `Filling`."""
        self._behind.end()
        try:
            self._close_bulk()
            self._lock_of(self._staged).unlink(missing_ok=True)
        finally:
            self._lock.close()

    def _close_bulk(self) -> None:
        bulk, self._bulk = self._bulk, None
        if bulk is not None:
            bulk.close()

    def _remove(self, path: Path) -> None:
        """A store's files, and what its engine may have put beside them."""
        if path.is_dir():
            shutil.rmtree(path)
            return
        for suffix in FILE_SUFFIXES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    @staticmethod
    def _lock_of(path: Path) -> Path:
        return path.with_name(path.name + ".lock")


class FillingInPlace:
    """Satisfies `Filling` over any store, which bears a mark meanwhile."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        try:
            if not moving.is_filling(store):
                _require_empty(store, "the store")
            self._fence = store.claim()
            self._empty()
            batch = Batch()
            moving.begin_filling(batch)
            store.commit(batch, self._fence)
        except BaseException:
            store.close()
            raise
        self._behind = _Behind(self._commit, store.get)

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        """See `Filling`."""
        self._behind.load(batch, views)

    def get(self, key: bytes) -> bytes | None:
        """See `Filling`."""
        return self._behind.get(key)

    @contextlib.contextmanager
    def seal(self) -> Iterator[Reader]:
        """See `Filling`."""
        self._behind.wait()
        yield self._store

    def aside(self) -> Aside | None:
        """See `Filling`. The store is for whoever has it open."""
        return None

    def take_place(self) -> None:
        """See `Filling`."""
        self._unmark()

    def discard(self) -> None:
        """See `Filling`."""
        self._behind.end()
        self._empty()
        self._unmark()

    def close(self) -> None:
        """See `Filling`."""
        self._behind.end()
        self._store.close()

    def _commit(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        self._store.commit(with_views(batch, views), self._fence)

    def _unmark(self) -> None:
        batch = Batch()
        moving.finish_filling(batch)
        self._commit(batch)

    def _empty(self) -> None:
        """All rows but the mark."""
        batch = Batch()
        for key, _ in self._store.scan(b""):
            if key != moving.FILLING:
                batch.delete(key)
            if len(batch) >= DELETES_PER_BATCH:
                self._commit(batch)
                batch = Batch()
        self._commit(batch)


def _require_empty(reader: Reader, where: str) -> None:
    if next(iter(reader.scan(b"")), None) is not None:
        raise TargetInUse(f"{where} is not empty any more: run the command again")
