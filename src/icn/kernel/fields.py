"""Frozen dataclasses to DAG-CBOR maps and back, by their annotations: one codec for records, messages and stored rows.

A class is compiled once into a `Shape`. Decoding is strict: every field present, none unknown, every type exact, so
that what was read means what was written, and bytes from a peer become a value that cannot be wrong, or `Invalid`.

Understood: int, bool, str, bytes, Did (text), PeerId (text), Cid (link), JobId (bytes), Enum with text values, another
dataclass, `X | None`, `tuple[X, ...]`. NewTypes count as what they stand for. The set is small on purpose.
"""

import dataclasses
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, Generic, TypeVar

from icn.kernel.errors import Invalid, InvariantBroken
from icn.kernel.ids import Cid, Did, JobId, PeerId

T = TypeVar("T")
Convert = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """How one dataclass is written: a name, a writer and a reader for each field, in canonical key order."""

    cls: type[T]
    fields: tuple[tuple[str, Convert, Convert], ...]

    def to_map(self, value: T) -> dict[str, Any]:
        """The map `encoding.encode` takes."""
        return {name: write(getattr(value, name)) for name, write, _ in self.fields}

    def from_map(self, data: Any) -> T:
        """The value a decoded map stands for. Raises `Invalid` for a missing, unknown or wrongly typed field."""
        if type(data) is not dict:
            raise Invalid(self.cls.__name__, "a map is expected")
        if len(data) != len(self.fields):
            unknown = sorted(set(map(str, data)) - {name for name, _, _ in self.fields})
            raise Invalid(self.cls.__name__, f"unknown fields {unknown}" if unknown else "fields are missing")
        values: dict[str, Any] = {}
        for name, _, read in self.fields:
            if name not in data:
                raise Invalid(self.cls.__name__, f"field {name} is missing")
            try:
                values[name] = read(data[name])
            except Invalid as error:
                raise Invalid(f"{self.cls.__name__}.{name}", f"{error.what}: {error.why}") from error
        return self.cls(**values)


def shape_of(cls: type[T]) -> Shape[T]:
    """The shape of a dataclass; computed once."""
    shape: Shape[T] = _compiled(cls)  # type: ignore[arg-type]  # classes are hashable; mypy doubts it of generics
    return shape


@cache
def _compiled(cls: Any) -> Shape[Any]:
    hints = typing.get_type_hints(cls)
    fields = [(field.name, *_converters(hints[field.name])) for field in dataclasses.fields(cls)]
    return Shape(cls, tuple(sorted(fields, key=lambda field: (len(field[0]), field[0]))))


def _converters(hint: Any) -> tuple[Convert, Convert]:
    """(writer, reader) for one annotation."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    if hint in {int, bool, str, bytes}:
        return _same, _exactly(hint)
    if hint is Did:
        return str, lambda data: Did.parse(_exactly(str)(data))
    if hint is PeerId:
        return str, lambda data: PeerId.parse(_exactly(str)(data))
    if hint is Cid:
        return _same, _exactly(Cid)
    if hint is JobId:
        return lambda job: job.data, lambda data: JobId.from_bytes(_exactly(bytes)(data))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda member: member.value, _member_of(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        shape: Shape[Any] = shape_of(hint)
        return shape.to_map, shape.from_map
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union} and len(arguments) == 2 and types.NoneType in arguments:
        write, read = _converters(next(a for a in arguments if a is not types.NoneType))
        return (
            lambda value: None if value is None else write(value),
            lambda data: None if data is None else read(data),
        )
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        write_item, read_item = _converters(arguments[0])
        return lambda items: [write_item(item) for item in items], _tuple_of(read_item)
    raise InvariantBroken(f"no converter for the annotation {hint!r}")


def _same(value: Any) -> Any:
    return value


def _exactly(kind: type) -> Convert:
    def read(data: Any) -> Any:
        if type(data) is not kind:
            raise Invalid(kind.__name__, f"expected, found {type(data).__name__}")
        return data

    return read


def _member_of(enum: type[Enum]) -> Convert:
    members = {member.value: member for member in enum}

    def read(data: Any) -> Any:
        if type(data) is not str or data not in members:
            raise Invalid(enum.__name__, f"{data!r} is not one of {sorted(members)}")
        return members[data]

    return read


def _tuple_of(read_item: Convert) -> Convert:
    def read(data: Any) -> Any:
        if type(data) is not list:
            raise Invalid("list", f"expected, found {type(data).__name__}")
        return tuple(read_item(item) for item in data)

    return read
