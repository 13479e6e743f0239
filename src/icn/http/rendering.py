"""Dataclasses to JSON, by their annotations, and the JSON Schema that says what comes out.

One table for both, so that the API's document cannot say something else than the answers do. Compiled once per class.
Names (DIDs, CIDs, job ids) are strings; instants are ISO 8601; bytes are base64 in a field whose name says so.

Not here: reading what comes in (`bodies`), which is pydantic's.
"""

import base64
import dataclasses
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any

from icn.http.moments import iso_of
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import Cid, Did, JobId, PeerId
from icn.kernel.instant import Instant

Write = Callable[[Any], Any]
Schema = dict[str, Any]

_TEXTS: dict[Any, Schema] = {
    Did: {"type": "string", "format": "did"},
    Cid: {"type": "string", "format": "cid"},
    JobId: {"type": "string", "format": "job-id"},
    PeerId: {"type": "string", "format": "peer-id"},
}
_PLAIN: dict[Any, Schema] = {int: {"type": "integer"}, bool: {"type": "boolean"}, str: {"type": "string"}}


@dataclasses.dataclass(frozen=True, slots=True)
class _Compiled:
    write: Write
    schema: Schema


def rendered(value: Any) -> dict[str, Any]:
    """The JSON object of a dataclass instance."""
    result: dict[str, Any] = _compiled(type(value)).write(value)
    return result


def schema_of(cls: type) -> Schema:
    """The JSON Schema of what `rendered` makes of an instance."""
    return _compiled(cls).schema


def _compiled(cls: Any) -> _Compiled:
    return _of_class(cls)


@cache
def _of_class(cls: Any) -> _Compiled:
    hints = typing.get_type_hints(cls)
    fields: list[tuple[str, str, Write]] = []
    properties: dict[str, Schema] = {}
    for field in dataclasses.fields(cls):
        inner = _of_hint(hints[field.name])
        name = _name(field.name, hints[field.name])
        fields.append((field.name, name, inner.write))
        properties[name] = inner.schema
    schema = {
        "type": "object",
        "title": cls.__name__,
        "properties": properties,
        "required": list(properties),
    }
    return _Compiled(lambda value: {name: write(getattr(value, attr)) for attr, name, write in fields}, schema)


def _name(field: str, hint: Any) -> str:
    field = field.removesuffix("_")  # `from_`, where Python has the word for itself
    return f"{field}_base64" if _bare(hint) is bytes and field != "data" and not field.endswith("_base64") else field


def _bare(hint: Any) -> Any:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint


def _of_hint(hint: Any) -> _Compiled:
    if hint is Instant:
        return _Compiled(iso_of, {"type": "string", "format": "date-time"})
    hint = _bare(hint)
    if hint in _PLAIN:
        return _Compiled(_same, _PLAIN[hint])
    if hint in _TEXTS:
        return _Compiled(str, _TEXTS[hint])
    if hint is bytes:
        return _Compiled(
            lambda data: base64.b64encode(data).decode("ascii"), {"type": "string", "contentEncoding": "base64"}
        )
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        return _of_union(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _of_hint(arguments[0])
        return _Compiled(
            lambda values: [item.write(value) for value in values], {"type": "array", "items": item.schema}
        )
    if origin is dict and arguments[0] is str:
        entry = _of_hint(arguments[1])
        return _Compiled(
            lambda entries: {key: entry.write(value) for key, value in entries.items()},
            {"type": "object", "additionalProperties": entry.schema},
        )
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _Compiled(lambda member: member.value, {"type": "string", "enum": [member.value for member in hint]})
    if dataclasses.is_dataclass(hint):
        return _compiled(hint)
    raise InvariantBroken(f"no rendering for the annotation {hint!r}")


def _of_union(arguments: tuple[Any, ...]) -> _Compiled:
    present = [argument for argument in arguments if argument is not types.NoneType]
    if len(present) == 1:
        inner = _of_hint(present[0])
        return _Compiled(
            lambda value: None if value is None else inner.write(value),
            {"anyOf": [inner.schema, {"type": "null"}]},
        )
    # Events: which fields there are follows from the type's name beside them.
    return _Compiled(rendered, {"type": "object"})


def _same(value: Any) -> Any:
    return value
