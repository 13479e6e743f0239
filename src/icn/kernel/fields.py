"""Frozen dataclasses to DAG-CBOR maps and back, by their annotations: one codec for records, messages and stored rows.

A class is compiled once into a `Shape`, when it is used first. Decoding is strict: every field present, none unknown,
every type exact, so that what was read means what was written, and bytes from a peer become a value that cannot be
wrong, or `Invalid`.

Encoding fills a template: heads, field names and the heads of what has one length stand in it, the fields of fields as
well, so that all values are taken from the object at once and only those that vary in length are encoded at all.

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

from icn.kernel import cbor_items, encoding
from icn.kernel.encoding import Link
from icn.kernel.errors import Invalid, InvariantBroken, require
from icn.kernel.ids import JOB_ID_BYTES, Cid, Did, JobId, PeerId, did_of, job_id_of
from icn.kernel.making import maker

T = TypeVar("T")
Convert = Callable[[Any], Any]
Encode = Callable[[Any], bytes]

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
    prefix: bytes = b""
    """What stands before the value's bytes, whatever they are."""
    bytes_path: str = ""
    """The attribute that `encode` takes, or whose bytes are what stands behind the prefix; empty for the value."""
    encode: Encode | None = None
    """What makes the bytes behind the prefix; None where the attribute holds them."""
    shape: "Shape[Any] | None" = None
    """Of a dataclass, which is written field by field where it stands."""


class Shape(Generic[T]):
    """How one dataclass is written: its fields in canonical key order. Compiled when it is used first."""

    names: tuple[str, ...]
    _forms: tuple[_Form, ...]
    _values_of: Callable[[T], tuple[Any, ...]]
    _writers: list[tuple[str, Convert]]
    _readers: list[tuple[int, Convert]]
    _known_kinds: dict[tuple[type, ...], None]
    _in_order: Callable[[Any], tuple[Any, ...]]
    _make: Callable[..., T]
    _template: bytes
    _bytes_of: Callable[[T], tuple[Any, ...]]
    _encoders: list[tuple[int, Encode]]

    def __init__(self, cls: type[T]) -> None:
        self.cls = cls

    def __getattr__(self, name: str) -> Any:
        """Whatever is missing before it is compiled. No program uses all of its shapes, and each takes a while."""
        if name not in Shape.__annotations__:
            raise AttributeError(name)
        self._compile()
        return object.__getattribute__(self, name)

    def _compile(self) -> None:
        cls = self.cls
        hints = typing.get_type_hints(cls)
        declared = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]  # it is a dataclass
        forms = {name: _form_of(hints[name]) for name in sorted(declared, key=lambda name: (len(name), name))}
        self.names = tuple(forms)
        self._forms = tuple(forms.values())
        paths = [f"{name}.{form.path}" if form.path else name for name, form in forms.items()]
        self._values_of = _getter(attrgetter, paths)
        self._writers = [(name, form.write) for name, form in forms.items() if form.write is not None]
        self._readers = [(place, form.read) for place, form in enumerate(self._forms) if form.read is not None]
        self._known_kinds = {}  # bounded: KINDS_REMEMBERED_MAX, in _check_kinds()
        self._in_order = _getter(itemgetter, [self.names.index(name) for name in declared])
        self._make = self._maker(declared)
        self._template, places = self._parts("")
        self._bytes_of = _getter(attrgetter, [path for path, _ in places])
        self._encoders = [(place, encode) for place, (_, encode) in enumerate(places) if encode is not None]

    def _maker(self, declared: list[str]) -> Callable[..., T]:
        """What makes a value of its fields in the order declared."""
        cls = self.cls
        if any(field.kw_only for field in dataclasses.fields(cls)):  # type: ignore[arg-type]  # as above
            return lambda *values: cls(**dict(zip(declared, values, strict=True)))
        return maker(cls)

    def to_map(self, value: T) -> dict[str, Any]:
        """The map `encoding.encode_ordered` takes."""
        data = dict(zip(self.names, self._values_of(value), strict=True))
        for name, write in self._writers:
            data[name] = write(data[name])
        return data

    def encode(self, value: T) -> bytes:
        """The bytes of `value`. Raises `Invalid` for what DAG-CBOR cannot carry: an integer or text out of bounds."""
        parts = list(self._bytes_of(value))
        for place, encode in self._encoders:
            parts[place] = encode(parts[place])
        return self._template % tuple(parts)

    def _parts(self, path: str) -> tuple[bytes, list[tuple[str, Encode | None]]]:
        """The template, and what fills it: attributes below `path`, each with what makes bytes of it."""
        template, places = _literal(cbor_items.head(cbor_items.MAP, len(self.names))), list[tuple[str, Encode | None]]()
        for name, form in zip(self.names, self._forms, strict=True):
            template += _literal(cbor_items.text(name))
            if form.shape is not None:
                inner, inner_places = form.shape._parts(f"{path}{name}.")  # noqa: SLF001 - another of this class
                template += inner
                places += inner_places
            else:
                template += _literal(form.prefix) + b"%b"
                places.append((f"{path}{name}.{form.bytes_path}".rstrip("."), form.encode))
        return template, places

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
        return self._make(*self._in_order(values))

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
    """The shape of a dataclass; one for each."""
    shape: Shape[T] = _shape_of(cls)  # type: ignore[arg-type]  # classes are hashable; mypy doubts it of generics
    return shape


@cache
def _shape_of(cls: Any) -> Shape[Any]:
    return Shape(cls)


def _getter(make: Callable[..., Callable[[Any], Any]], places: list[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """What gives a tuple for any number of places: `attrgetter` and `itemgetter` give one for two or more."""
    if not places:
        return lambda _: ()
    get = make(*places)
    return get if len(places) > 1 else lambda value: (get(value),)


def _literal(data: bytes) -> bytes:
    """What stands in a template for these very bytes."""
    return data.replace(b"%", b"%%")


def _form_of(hint: Any) -> _Form:
    """How an annotation is written."""
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    if hint in _PLAIN:
        return _Form((hint,), detail=hint.__name__, encode=_PLAIN[hint])
    if hint is Did or hint is PeerId:
        read: Convert = did_of if hint is Did else PeerId.parse
        detail = "did" if hint is Did else "peer id"
        return _Form((str,), path="text", read=read, detail=detail, bytes_path="text", encode=cbor_items.name)
    if hint is Cid:
        link = cbor_items.LINK_PREFIX
        return _Form((Link, Cid), write=encoding.link_to, read=_read_cid, detail="link", prefix=link, bytes_path="data")
    if hint is JobId:
        head = cbor_items.head(cbor_items.BYTES, JOB_ID_BYTES)
        return _Form((bytes,), path="data", read=job_id_of, detail="job id", prefix=head, bytes_path="data")
    if isinstance(hint, type) and issubclass(hint, Enum):
        member = _member_of(hint)
        return _Form(
            (str,), path="_value_", read=member, detail=hint.__name__, bytes_path="_value_", encode=cbor_items.name
        )
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        shape: Shape[Any] = shape_of(hint)
        return _Form((dict,), write=shape.to_map, read=shape.from_map, detail=hint.__name__, shape=shape)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union} and len(arguments) == 2 and types.NoneType in arguments:
        return _optional(_form_of(next(a for a in arguments if a is not types.NoneType)))
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _form_of(arguments[0])
        return _Form(
            (list,), write=_list_writer(item), read=_tuple_reader(item), detail="list", encode=_list_encoder(item)
        )
    raise InvariantBroken(f"no converter for the annotation {hint!r}")


def _optional(form: _Form) -> _Form:
    """The form of `X | None`."""
    write, read, encode = _whole_writer(form), form.read, _whole_encoder(form)
    return _Form(
        (*form.kinds, types.NoneType),
        write=None if write is None else lambda value: None if value is None else write(value),
        read=None if read is None else lambda data: None if data is None else read(data),
        detail=f"{form.detail} or nothing",
        encode=lambda value: cbor_items.NOTHING if value is None else encode(value),
    )


def _whole_writer(form: _Form) -> Convert | None:
    """What makes the written form of the value, path and all; None where the value is it."""
    if not form.path:
        return form.write
    return attrgetter(form.path)


def _whole_encoder(form: _Form) -> Encode:
    """What makes all bytes of the value: prefix, path and all."""
    if form.shape is not None:
        return form.shape.encode
    prefix, encode = form.prefix, form.encode
    if not form.bytes_path:
        require(encode is not None and not prefix, "a value is encoded, or an attribute of it")
        return encode or bytes
    get = attrgetter(form.bytes_path)
    if encode is None:
        return lambda value: prefix + get(value)
    return lambda value: prefix + encode(get(value))


def _list_writer(item: _Form) -> Convert:
    write = _whole_writer(item)
    return list if write is None else lambda items: [write(one) for one in items]


def _list_encoder(item: _Form) -> Encode:
    encode = _whole_encoder(item)
    return lambda items: cbor_items.list_of([encode(one) for one in items]) if items else cbor_items.EMPTY_LIST


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


_PLAIN: dict[Any, Encode] = {
    int: cbor_items.integer,
    bool: cbor_items.boolean,
    str: cbor_items.text,
    bytes: cbor_items.byte_string,
}
