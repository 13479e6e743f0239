"""What is on a simulated disk: one sorted map, changed in place.

As the memory store (adapters.storage.memory) promises, but for cheap views of older commits: nobody in a simulation
reads while another one writes, and a copy of the store is made seldom. So a commit copies nothing. A walk sees the
store as it was when the walk began.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from icn.adapters.storage.ranges import ascending, descending
from icn.stores.kv import Batch, Fence, FenceLost, Properties, Snapshot, StoreUnavailable


class Platter:
    """Satisfies `KeyValueStore`."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        """Those of `_values`, sorted."""
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
        other = Platter()
        other._values, other._keys = self._values.copy(), self._keys.copy()
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
        values, keys = self._values, self._keys
        for key, value in batch.operations.items():
            if value is None:
                if values.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
            else:
                if key not in values:
                    insort(keys, key)
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
        start = bisect_left(self._keys, low)
        return self._keys[start : len(self._keys) if high is None else bisect_left(self._keys, high, start)]
