"""What is on a simulated disk: one sorted map, changed in place.

As the memory store (adapters.storage.memory) promises, but for cheap views of older commits: nobody in a simulation
reads while another one writes, and a copy of the store is made seldom. So a commit copies nothing. A walk sees the
store as it was when the walk began.

Keys are sorted by their first byte and below it: those of blocks, which are most, are looked up one by one and hardly
ever walked over, so they are sorted when somebody does.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from icn.adapters.storage.ranges import ascending, descending, end_of
from icn.stores.kv import Batch, Fence, FenceLost, Properties, Snapshot, StoreUnavailable

SORTED_AT_ONCE = 1_000
"""So few keys of one kind are kept sorted whether or not somebody walks over them."""


class Platter:
    """Satisfies `KeyValueStore`."""

    def __init__(self, sorted_at_once: int = SORTED_AT_ONCE) -> None:
        self._sorted_at_once = sorted_at_once
        self._values: dict[bytes, bytes] = {}
        self._kinds: dict[bytes, list[bytes]] = {}
        """The keys of `_values` by first byte, sorted unless in `_unsorted`."""
        self._unsorted: dict[bytes, None] = {}
        self._epoch = Fence(0)
        self._is_open = True

    @property
    def properties(self) -> Properties:
        """What may differ between engines."""
        return Properties(name="platter", durable=False, shared=False)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        if not self._is_open:
            raise StoreUnavailable("the store is closed")
        return self._values.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`."""
        return [self.get(key) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return self._pairs(self._range(*ascending(prefix, after)))

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return self._pairs(self._range(*descending(prefix, before))[::-1])

    def snapshot(self) -> Snapshot:
        """A view of the newest commit: a copy of all of it."""
        return self.copied()

    def copied(self) -> "Platter":
        """Another one with the same in it, which nobody has claimed."""
        other = Platter(self._sorted_at_once)
        other._values, other._unsorted = self._values.copy(), self._unsorted.copy()
        other._kinds = {kind: keys.copy() for kind, keys in self._kinds.items()}
        return other

    def claim(self) -> Fence:
        """Become the author: raise the epoch and return it."""
        self._epoch = Fence(self._epoch + 1)
        return self._epoch

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole, if `fence` is the newest."""
        if not self._is_open:
            raise StoreUnavailable("the store is closed")
        if fence != self._epoch or fence == 0:  # 0: nobody has claimed the store yet
            raise FenceLost(f"epoch {fence} is over; the author is now that of epoch {self._epoch}")
        values = self._values
        for key, value in batch.operations.items():
            if value is None:
                if values.pop(key, None) is not None:
                    keys = self._sorted(key[:1])
                    del keys[bisect_left(keys, key)]
            else:
                if key not in values:
                    self._add(key)
                values[key] = value

    def close(self) -> None:
        """Forget everything."""
        if not self._is_open:
            raise StoreUnavailable("the store is closed")
        self._is_open = False

    def _pairs(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
        values = self._values
        return iter([(key, values[key]) for key in keys])

    def _range(self, low: bytes, high: bytes | None) -> list[bytes]:
        if not self._is_open:
            raise StoreUnavailable("the store is closed")
        kind = low[:1]
        if kind and high is not None and (high[:1] == kind or high == end_of(kind)):
            found = self._sorted(kind)
        else:
            found = [key for kind in sorted(self._kinds) for key in self._sorted(kind)]
        start = bisect_left(found, low)
        return found[start : len(found) if high is None else bisect_left(found, high, start)]

    def _add(self, key: bytes) -> None:
        keys = self._kinds.setdefault(key[:1], [])
        if len(keys) < self._sorted_at_once and key[:1] not in self._unsorted:
            insort(keys, key)
            return
        if keys[-1] > key:
            self._unsorted[key[:1]] = None
        keys.append(key)

    def _sorted(self, kind: bytes) -> list[bytes]:
        """The keys with this first byte."""
        keys = self._kinds.get(kind, [])
        if kind in self._unsorted:
            del self._unsorted[kind]
            keys.sort()
        return keys
