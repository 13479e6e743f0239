"""A copy of a whole engine that shares nothing that can change: a state from which every next step can be taken.

What cannot change is shared: numbers, texts, enum members, frozen dataclasses (by the house's rule nobody changes what
stands in one), functions. Everything else is copied once, however often it is referred to, so that services which
share their peers still share them. A function that closes over something (a waiter of the content service holds the
service it belongs to) is made anew around copies; `copy.deepcopy` would leave it with the old engine.

A type that is not known to be one or the other stops the exploration, for a copy that shares too much hides what it is
there to find.

Not here: stores, which know themselves how to be copied (`disk`), and what two states have in common (`form`).
"""

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, NoneType
from typing import Any

from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import Cid, Did, JobId, PeerId
from icn.kernel.memo import Memo
from icn.kernel.signing import SeedSigner
from icn.sim.explore.disk import Disk

Seen = dict[int, Any]
"""Of one copy: `id` of an original to its copy."""
Copying = Callable[[Any, Seen], Any]

_CONSTANT = (int, str, bytes, float, NoneType, Did, PeerId, Cid, JobId, Enum, type, BuiltinFunctionType, SeedSigner)


def copied(value: Any) -> Any:
    """A copy of everything that is reached from `value` and can change."""
    return _copied(value, {})


def _copied(value: Any, seen: Seen) -> Any:
    cls = value.__class__
    way = _WAYS.get(cls)
    if way is None:
        way = _WAYS[cls] = _way_of(cls)
    return way(value, seen)


def _shared(value: Any, _seen: Seen) -> Any:
    return value


def _way_of(cls: type) -> Copying:
    if issubclass(cls, _CONSTANT):
        return _shared
    if issubclass(cls, Disk):
        return _disk
    if issubclass(cls, Memo):
        return deepcopy  # its keys and values are frozen
    if issubclass(cls, dict):
        return _dict
    if issubclass(cls, list | deque):
        return _sequence
    if issubclass(cls, tuple):
        return _tuple
    if cls is bytearray:
        return _bytearray
    if cls is FunctionType:
        return _function
    if cls is MethodType:
        return _method
    if is_dataclass(cls):
        return _shared if cls.__dataclass_params__.frozen else _dataclass_way(cls)  # type: ignore[attr-defined] # typeshed keeps the parameters of a dataclass to itself
    raise InvariantBroken(f"the explorer does not know how to copy {cls.__module__}.{cls.__qualname__}")


def _dataclass_way(cls: type) -> Copying:
    names = tuple(each.name for each in fields(cls))
    new, put = object.__new__, object.__setattr__

    def copy(value: Any, seen: Seen) -> Any:
        known = seen.get(id(value))
        if known is not None:
            return known
        made: Any = new(cls)
        seen[id(value)] = made
        for name in names:
            item = getattr(value, name)
            put(made, name, item if _WAYS.get(item.__class__) is _shared else _copied(item, seen))
        return made

    return copy


def _disk(value: Disk, seen: Seen) -> Disk:
    made = seen.get(id(value))
    if made is None:
        made = seen[id(value)] = value.fork()
    return made


def _dict(value: dict[Any, Any], seen: Seen) -> Any:
    known = seen.get(id(value))
    if known is not None:
        return known
    made = seen[id(value)] = value.__class__()
    for key, item in value.items():
        made[key] = item if _WAYS.get(item.__class__) is _shared else _copied(item, seen)
    return made


def _sequence(value: Any, seen: Seen) -> Any:
    known = seen.get(id(value))
    if known is not None:
        return known
    made = seen[id(value)] = value.copy()
    for index, item in enumerate(value):
        made[index] = _copied(item, seen)
    return made


def _tuple(value: tuple[Any, ...], seen: Seen) -> tuple[Any, ...]:
    made = tuple(_copied(item, seen) for item in value)
    return made if any(new is not old for new, old in zip(made, value, strict=True)) else value


def _bytearray(value: bytearray, seen: Seen) -> bytearray:
    made = seen.get(id(value))
    if made is None:
        made = seen[id(value)] = bytearray(value)
    return made


def _function(value: FunctionType, seen: Seen) -> FunctionType:
    if value.__closure__ is None:
        return value
    known: FunctionType | None = seen.get(id(value))
    if known is not None:
        return known
    cells = tuple(CellType() for _ in value.__closure__)
    made = FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)
    made.__kwdefaults__ = value.__kwdefaults__
    seen[id(value)] = made  # before its cells are filled: it may stand in one of them
    for cell, old in zip(cells, value.__closure__, strict=True):
        cell.cell_contents = _copied(old.cell_contents, seen)
    return made


def _method(value: MethodType, seen: Seen) -> MethodType:
    return MethodType(value.__func__, _copied(value.__self__, seen))


_WAYS: dict[type, Copying] = {}
"""How each type met so far is copied. Bounded by the types of the program."""
