"""`memory`: the storage port on a sorted map in this process, for tests, the simulator and `--test-mode`.

The map is a list of chunks, each at most `CHUNK_KEYS_MAX` sorted keys with their values beside them. A chunk that was
published is never changed: a commit copies the chunks it touches and the list of chunks, changes the copies and puts
the new version in place with one assignment. So a snapshot is one reference, costs nothing however long it lives, and
readers need no lock; a commit costs a copy of a few hundred references for each chunk it touches, some microseconds at
10^5 keys.

Not here: durability, of course, and merging of chunks that deletions have thinned out (an empty one goes; the stores
this serves are short-lived).
"""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from icn.adapters.storage.ranges import ascending, descending
from icn.stores.kv import Batch, Fence, FenceLost, Properties, Snapshot, StoreUnavailable

CHUNK_KEYS_MAX = 256

_PROPERTIES = Properties(name="memory", durable=False, shared=False)


class _Version:
    """The whole map at one commit. Never changed after it was published."""

    __slots__ = ("floors", "keys", "values")

    def __init__(self, floors: list[bytes], keys: list[list[bytes]], values: list[list[bytes]]) -> None:
        self.floors = floors
        """The smallest key that belongs into each chunk; of the first it is the empty one, below every key."""
        self.keys = keys
        self.values = values

    def get(self, key: bytes) -> bytes | None:
        chunk = bisect_right(self.floors, key) - 1
        keys = self.keys[chunk]
        at = bisect_left(keys, key)
        return self.values[chunk][at] if at < len(keys) and keys[at] == key else None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def scan(self, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        low, high = ascending(prefix, after)
        first = bisect_right(self.floors, low) - 1
        for chunk in range(first, len(self.floors)):
            if high is not None and self.floors[chunk] >= high:
                return
            keys = self.keys[chunk]
            start = bisect_left(keys, low) if chunk == first else 0
            stop = len(keys) if high is None else bisect_left(keys, high)
            yield from zip(keys[start:stop], self.values[chunk][start:stop], strict=True)

    def scan_down(self, prefix: bytes, before: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        low, high = descending(prefix, before)
        last = len(self.floors) - 1 if high is None else bisect_right(self.floors, high) - 1
        for chunk in range(last, -1, -1):
            keys = self.keys[chunk]
            start = bisect_left(keys, low)
            stop = len(keys) if high is None else bisect_left(keys, high)
            yield from zip(reversed(keys[start:stop]), reversed(self.values[chunk][start:stop]), strict=True)
            if self.floors[chunk] <= low:
                return

    def after(self, operations: dict[bytes, bytes | None]) -> "_Version":
        """This version with `operations` applied; itself unchanged."""
        draft = _Draft(self)
        for key, value in operations.items():
            if value is None:
                draft.delete(key)
            else:
                draft.put(key, value)
        return _Version(draft.floors, draft.keys, draft.values)


class _Draft:
    """The next version while it is made. Copies a chunk when it is first touched."""

    __slots__ = ("floors", "keys", "owned", "values")

    def __init__(self, version: _Version) -> None:
        self.floors = version.floors.copy()
        self.keys = version.keys.copy()
        self.values = version.values.copy()
        self.owned: set[bytes] = set()
        """Floors of the chunks that are ours to change: floors, unlike positions, outlive a split."""

    def put(self, key: bytes, value: bytes) -> None:
        chunk = bisect_right(self.floors, key) - 1
        self._own(chunk)
        keys, values = self.keys[chunk], self.values[chunk]
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            values[at] = value
            return
        keys.insert(at, key)
        values.insert(at, value)
        if len(keys) > CHUNK_KEYS_MAX:
            self._split(chunk, at)

    def delete(self, key: bytes) -> None:
        chunk = bisect_right(self.floors, key) - 1
        keys = self.keys[chunk]
        at = bisect_left(keys, key)
        if at == len(keys) or keys[at] != key:
            return
        self._own(chunk)
        del self.keys[chunk][at]
        del self.values[chunk][at]
        if not self.keys[chunk] and chunk > 0:  # the first stays, so that every key has a chunk to belong to
            del self.floors[chunk], self.keys[chunk], self.values[chunk]

    def _own(self, chunk: int) -> None:
        floor = self.floors[chunk]
        if floor not in self.owned:
            self.keys[chunk] = self.keys[chunk].copy()
            self.values[chunk] = self.values[chunk].copy()
            self.owned.add(floor)

    def _split(self, chunk: int, inserted: int) -> None:
        keys, values = self.keys[chunk], self.values[chunk]
        # Keys that grow, as those of journals do, would leave every chunk half empty if it were cut in the middle.
        middle = inserted if inserted == len(keys) - 1 else len(keys) // 2
        self.floors.insert(chunk + 1, keys[middle])
        self.keys.insert(chunk + 1, keys[middle:])
        self.values.insert(chunk + 1, values[middle:])
        del keys[middle:], values[middle:]
        self.owned.add(self.floors[chunk + 1])


class _View:
    """Reads one version until closed."""

    __slots__ = ("_version",)

    def __init__(self, version: _Version) -> None:
        self._version: _Version | None = version

    def get(self, key: bytes) -> bytes | None:
        return self._open().get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._open().get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        return self._open().scan(prefix, after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        return self._open().scan_down(prefix, before)

    def close(self) -> None:
        self._open()
        self._version = None

    def _open(self) -> _Version:
        version = self._version
        if version is None:
            raise StoreUnavailable("the snapshot is closed")
        return version


class MemoryStore:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._newest: _Version | None = _Version([b""], [[]], [[]])
        self._epoch = Fence(0)
        self._writing = threading.Lock()
        """Makes the check of the fence and the assignment of the new version one step."""

    @property
    def properties(self) -> Properties:
        """What may differ between engines."""
        return _PROPERTIES

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` in the newest commit, or None."""
        return self._open().get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys` in the newest commit."""
        return self._open().get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return self._open().scan(prefix, after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return self._open().scan_down(prefix, before)

    def snapshot(self) -> Snapshot:
        """A view of the newest commit. From any thread."""
        return _View(self._open())

    def claim(self) -> Fence:
        """Become the author: raise the epoch and return it."""
        with self._writing:
            self._open()
            self._epoch = Fence(self._epoch + 1)
            return self._epoch

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole, if `fence` is the newest."""
        with self._writing:
            newest = self._open()
            if fence != self._epoch or fence == 0:  # 0: nobody has claimed the store yet
                raise FenceLost(f"epoch {fence} is over; the author is now that of epoch {self._epoch}")
            if batch.operations:
                self._newest = newest.after(batch.operations)

    def fork(self) -> "MemoryStore":
        """Another store with the newest commit in it. What either commits from here on, the other does not see."""
        with self._writing:
            other = MemoryStore()
            other._newest = self._open()
            other._epoch = self._epoch
            return other

    def close(self) -> None:
        """Forget everything."""
        self._open()
        self._newest = None

    def _open(self) -> _Version:
        version = self._newest
        if version is None:
            raise StoreUnavailable("the store is closed")
        return version
