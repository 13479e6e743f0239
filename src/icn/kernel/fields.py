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
from operator import attrgetter, itemgetter
from typing import Any, Generic, TypeVar

from icn.kernel import encoding
from icn.kernel.encoding import Link
from icn.kernel.errors import Invalid, InvariantBroken
from icn.kernel.ids import Cid, Did, JobId, PeerId

T = TypeVar("T")
Convert = Callable[[Any], Any]

KINDS_REMEMBERED_MAX = 64
"""Combinations of types seen in one shape's fields: two for each optional field, and few of those occur."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Form:
    """How one annotation is written and read."""

    kinds: tuple[type, ...]
    """What its written form may be."""
    path: str = ""
    """The attribute of the value that is its written form; empty for the value itself."""
    write: Convert | None = None
    """What makes the written form of what stands at the path; None where that is it."""
    read: Convert | None = None
    """What makes the value of a written form of the right kind; None where that is it."""
    detail: str = ""
    """What is expected, for the refusal."""


class Shape(Generic[T]):
    """How one dataclass is written: its fields in canonical key order."""

    def __init__(self, cls: type[T], forms: dict[str, _Form]) -> None:
        """`forms` by name, in canonical order."""
        self.cls = cls
        self.names = tuple(forms)
        self._forms = tuple(forms.values())
        paths = [f"{name}.{form.path}" if form.path else name for name, form in forms.items()]
        self._values_of: Callable[[T], tuple[Any, ...]] = _getter(attrgetter, paths)
        self._writers = [(name, form.write) for name, form in forms.items() if form.write is not None]
        self._readers = [(place, form.read) for place, form in enumerate(self._forms) if form.read is not None]
        self._known_kinds: dict[tuple[type, ...], None] = {}  # bounded: KINDS_REMEMBERED_MAX, in _check_kinds()
        declared = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # compiled from one
        self._in_order = _getter(itemgetter, [self.names.index(name) for name in declared])
        self._has_keywords = any(field.kw_only for field in dataclasses.fields(cls))  # type: ignore[arg-type]  # as above

    def to_map(self, value: T) -> dict[str, Any]:
        """The map `encoding.encode_ordered` takes."""
        data = dict(zip(self.names, self._values_of(value), strict=True))
        for name, write in self._writers:
            data[name] = write(data[name])
        return data

    def encode(self, value: T) -> bytes:
        """The bytes of `value`."""
        return encoding.encode_ordered(self.to_map(value))

    def from_map(self, data: Any) -> T:
        """The value a decoded map stands for. Raises `Invalid` for a missing, unknown or wrongly typed field."""
        if type(data) is not dict:
            raise Invalid(self.cls.__name__, "a map is expected")
        if tuple(data) != self.names:
            data = self._sorted(data)
        values = list(data.values())
        kinds = tuple(map(type, values))
        if kinds not in self._known_kinds:
            self._check_kinds(kinds)
        place = 0
        try:
            for place, read in self._readers:
                values[place] = read(values[place])
        except Invalid as error:
            raise Invalid(f"{self.cls.__name__}.{self.names[place]}", f"{error.what}: {error.why}") from error
        if self._has_keywords:
            return self.cls(**dict(zip(self.names, values, strict=True)))
        return self.cls(*self._in_order(values))

    def decode(self, data: bytes) -> T:
        """The value of bytes from anywhere. Raises `Invalid` for any but those that `encode` makes of it."""
        value = self.from_map(encoding.decode_loose(data))
        if self.encode(value) != data:
            raise Invalid(self.cls.__name__, "not the canonical encoding, or bytes behind it")
        return value

    def decode_own(self, data: bytes) -> T:
        """`decode` for bytes that this node wrote for itself, not checked again for being canonical."""
        return self.from_map(encoding.decode_own(data))

    def _sorted(self, data: dict[str, Any]) -> dict[str, Any]:
        """The fields in canonical order. Raises `Invalid` unless they are those of the class."""
        if len(data) != len(self.names):
            unknown = sorted(set(map(str, data)) - set(self.names))
            raise Invalid(self.cls.__name__, f"unknown fields {unknown}" if unknown else "fields are missing")
        for name in self.names:
            if name not in data:
                raise Invalid(self.cls.__name__, f"field {name} is missing")
        return {name: data[name] for name in self.names}

    def _check_kinds(self, kinds: tuple[type, ...]) -> None:
        for name, form, kind in zip(self.names, self._forms, kinds, strict=True):
            if kind not in form.kinds:
                raise Invalid(f"{self.cls.__name__}.{name}", f"{form.detail}: expected, found {kind.__name__}")
        if len(self._known_kinds) < KINDS_REMEMBERED_MAX:
            self._known_kinds[kinds] = None


def shape_of(cls: type[T]) -> Shape[T]:
    """The shape of a dataclass; computed once."""
    shape: Shape[T] = _compiled(cls)  # type: ignore[arg-type]  # classes are hashable; mypy doubts it of generics
    return shape


@cache
def _compiled(cls: Any) -> Shape[Any]:
    hints = typing.get_type_hints(cls)
    names = sorted((field.name for field in dataclasses.fields(cls)), key=lambda name: (len(name), name))
    return Shape(cls, {name: _form_of(hints[name]) for name in names})


def _getter(make: Callable[..., Callable[[Any], Any]], places: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """What gives a tuple for any number of places: `attrgetter` and `itemgetter` give one for two or more."""
    if not places:
        return lambda _: ()
    get = make(*places)
    return get if len(places) > 1 else lambda value: (get(value),)


def _form_of(hint: Any) -> _Form:
    """How an annotation is written."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    if hint in {int, bool, str, bytes}:
        return _Form((hint,), detail=hint.__name__)
    if hint is Did:
        return _Form((str,), path="text", read=Did.parse, detail="did")
    if hint is PeerId:
        return _Form((str,), path="text", read=PeerId.parse, detail="peer id")
    if hint is Cid:
        return _Form((Link, Cid), write=encoding.link_to, read=_read_cid, detail="link")
    if hint is JobId:
        return _Form((bytes,), path="data", read=JobId.from_bytes, detail="job id")
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _Form((str,), path="_value_", read=_member_of(hint), detail=hint.__name__)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        shape: Shape[Any] = shape_of(hint)
        return _Form((dict,), write=shape.to_map, read=shape.from_map, detail=hint.__name__)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union} and len(arguments) == 2 and types.NoneType in arguments:
        return _optional(_form_of(next(a for a in arguments if a is not types.NoneType)))
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _form_of(arguments[0])
        return _Form((list,), write=_list_writer(item), read=_tuple_reader(item), detail="list")
    raise InvariantBroken(f"no converter for the annotation {hint!r}")


def _optional(form: _Form) -> _Form:
    """The form of `X | None`."""
    write, read = _whole_writer(form), form.read
    return _Form(
        (*form.kinds, types.NoneType),
        write=None if write is None else lambda value: None if value is None else write(value),
        read=None if read is None else lambda data: None if data is None else read(data),
        detail=f"{form.detail} or nothing",
    )


def _whole_writer(form: _Form) -> Convert | None:
    """What makes the written form of the value, path and all; None where the value is it."""
    if not form.path:
        return form.write
    return attrgetter(form.path)


def _list_writer(item: _Form) -> Convert:
    write = _whole_writer(item)
    return list if write is None else lambda items: [write(one) for one in items]


def _tuple_reader(item: _Form) -> Convert:
    kinds, read = item.kinds, item.read

    def read_all(data: list[Any]) -> tuple[Any, ...]:
        for one in data:
            if type(one) not in kinds:
                raise Invalid(item.detail, f"expected, found {type(one).__name__}")
        return tuple(data) if read is None else tuple([read(one) for one in data])

    return read_all


def _read_cid(data: Link | Cid) -> Cid:
    cid = encoding.cid_of(data) if isinstance(data, Link) else data
    if not isinstance(cid, Cid):
        raise Invalid("link", "of a kind that names no block here")
    return cid


def _member_of(enum: type[Enum]) -> Convert:
    members = {member.value: member for member in enum}

    def read(data: str) -> Any:
        if data not in members:
            raise Invalid(enum.__name__, f"{data!r:.80} is not one of {sorted(members)}")
        return members[data]

    return read
