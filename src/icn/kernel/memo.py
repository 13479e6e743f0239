"""Remembers what a pure function gave, within a bound: the oldest entry goes first. For any number of threads."""

from collections import deque
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """Entries in the order in which they came."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._entries: dict[Key, Value] = {}
        self._order: deque[Key] = deque()  # bounded: entries_max, in put()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """What is remembered for `key`, or None."""
        return self._entries.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Remember `value`, and forget the oldest entry where there are too many.

        Each step is whole whatever other threads do; where two add the same key it may be forgotten early.
        """
        if key not in self._entries:
            self._order.append(key)
        self._entries[key] = value
        if len(self._order) > self._entries_max:
            self._entries.pop(self._order.popleft(), None)
