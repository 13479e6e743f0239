"""Taking back what a few records did to the state: those of a block that turn out to be void half-way.

Only states with a fork in their set pay for it: their maps note what stood under a key before it was changed.
"""

import dataclasses
from typing import Any, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
_NOTHING: Any = object()


class _Notes:
    """What maps held before they were changed."""

    __slots__ = ("are_taken", "changes")

    def __init__(self) -> None:
        self.are_taken = False
        self.changes: list[tuple[dict[Any, Any], Any, Any]] = []  # bounded: by the records of one block


class Undo:
    """What was changed since `begin`."""

    def __init__(self, *owners: Any) -> None:
        """Put maps that take notes in the place of those of `owners`, which are dataclasses."""
        self._notes = _Notes()
        self._owners = owners
        self._values: list[tuple[Any, str, Any]] = []
        for owner, name, value in self._fields():
            if type(value) is dict:
                setattr(owner, name, _NotingDict(value, self._notes))

    def begin(self) -> None:
        """From here on."""
        self._notes.changes.clear()
        self._notes.are_taken = True
        self._values = [(o, name, value) for o, name, value in self._fields() if not isinstance(value, dict)]

    def back(self) -> None:
        """As it was at `begin`."""
        for mapping, key, value in reversed(self._notes.changes):
            if value is _NOTHING:
                dict.pop(mapping, key, None)
            else:
                dict.__setitem__(mapping, key, value)
        for owner, name, value in self._values:
            setattr(owner, name, value)
        self.end()

    def end(self) -> None:
        """It stays as it is."""
        self._notes.changes.clear()
        self._notes.are_taken = False

    def _fields(self) -> list[tuple[Any, str, Any]]:
        found: list[tuple[Any, str, Any]] = []
        for owner in self._owners:
            names = [each.name for each in dataclasses.fields(owner)]
            found += [(owner, name, getattr(owner, name)) for name in names]
        return found


class _NotingDict(dict[Key, Value]):
    """A map that says what it held. The rules change theirs by these three ways only; `clear` is for saving rows."""

    __slots__ = ("_notes",)

    def __init__(self, held: dict[Key, Value], notes: _Notes) -> None:
        super().__init__(held)
        self._notes = notes

    def __setitem__(self, key: Key, value: Value) -> None:
        if self._notes.are_taken:
            self._notes.changes.append((self, key, self.get(key, _NOTHING)))
        super().__setitem__(key, value)

    def __delitem__(self, key: Key) -> None:
        if self._notes.are_taken:
            self._notes.changes.append((self, key, self[key]))
        super().__delitem__(key)

    def pop(self, key: Key, *default: Any) -> Any:
        if self._notes.are_taken and key in self:
            self._notes.changes.append((self, key, self[key]))
        return super().pop(key, *default)
