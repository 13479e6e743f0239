"""Frozen values made, and made anew with a change, in a fifth of the time their own constructor takes.

The constructor of a frozen dataclass sets each field by a call. An open class of the same fields sets them itself; what
it made is given its true class then, and is as frozen as any other. Used where profiles show that it counts: what is
decoded, and what every record makes.
"""

import dataclasses
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
Fields = ParamSpec("Fields")


def maker(cls: Callable[Fields, T]) -> Callable[Fields, T]:
    """What makes a value of the dataclass `cls`, called as the class is.

    The class itself where it looks at its own values (`__post_init__`), takes fields by name only, or has no slots.
    """
    made: Callable[Fields, T] = _maker(cls)
    return made


def changed(value: T, **changes: Any) -> T:
    """`dataclasses.replace` for a dataclass whose fields are all given to its constructor. Raises `KeyError`."""
    cls: Any = type(value)
    names, values_of, make = _plan(cls)
    values = list(values_of(value))
    for name, new in changes.items():
        values[names[name]] = new
    made: T = make(*values)
    return made


@cache
def _maker(cls: Any) -> Callable[..., Any]:
    fields = dataclasses.fields(cls)
    own_way = hasattr(cls, "__post_init__") or "__slots__" not in vars(cls)
    if own_way or any(field.kw_only or not field.init for field in fields):
        return cls  # type: ignore[no-any-return]  # a class is called to make its values
    open_class = dataclasses.make_dataclass(cls.__name__, [_open_field(field) for field in fields], slots=True)

    def make(*values: Any, **named: Any) -> Any:
        made = open_class(*values, **named)
        made.__class__ = cls
        return made

    return make


def _open_field(field: "dataclasses.Field[Any]") -> tuple[str, type, Any]:
    """The same field, with the same default."""
    if field.default_factory is not dataclasses.MISSING:
        return field.name, object, dataclasses.field(default_factory=field.default_factory)
    return field.name, object, dataclasses.field(default=field.default)


@cache
def _plan(cls: Any) -> tuple[dict[str, int], Callable[[Any], Any], Callable[..., Any]]:
    """Where each field stands, what takes all of them from a value of two fields or more, and what makes another."""
    names = [field.name for field in dataclasses.fields(cls)]
    return {name: place for place, name in enumerate(names)}, attrgetter(*names), maker(cls)
