"""A node's answer, and its JSON read field by field: one of another shape is reported, and is no bug of ours."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from icn.cli.endings import Ended, Exit


class Document:
    """A JSON object of an answer. Readers raise `Ended` with FAULT for a field that is missing or of another type."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def value(self, name: str) -> Any:
        """The field as decoded, to be printed."""
        if name not in self._fields:
            raise unexpected(f"{name!r} is missing")
        return self._fields[name]

    def value_or_none(self, name: str) -> Any:
        """The same, None where it is missing: for what newer and older nodes may leave out."""
        return self._fields.get(name)

    def text(self, name: str) -> str:
        """A text."""
        value = self.value(name)
        if not isinstance(value, str):
            raise unexpected(f"{name!r} is not a text")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A text, or null."""
        return None if self.value(name) is None else self.text(name)

    def truth(self, name: str) -> bool:
        """True or false."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise unexpected(f"{name!r} is not true or false")
        return value

    def part(self, name: str) -> "Document":
        """An object within."""
        value = self.value(name)
        if not isinstance(value, dict):
            raise unexpected(f"{name!r} is not an object")
        return Document(value)

    def part_or_none(self, name: str) -> "Document | None":
        """An object within, or null."""
        return None if self.value(name) is None else self.part(name)

    def parts(self, name: str) -> "list[Document]":
        """A list of objects."""
        value = self.value(name)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise unexpected(f"{name!r} is not a list of objects")
        return [Document(item) for item in value]

    def facts(self) -> list[tuple[str, Any]]:
        """All fields, in the order they came."""
        return list(self._fields.items())


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, with a status of success."""

    status: int
    body: bytes = field(repr=False)

    def json_text(self) -> str:
        """The body, checked to be one JSON document, as it came."""
        self.document()
        return self.body.decode().strip()

    def document(self) -> Document:
        """The body, which must be a JSON object."""
        return read_document(self.body)


def read_document(body: bytes) -> Document:
    """A JSON object. Raises `Ended` with FAULT for anything else."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise unexpected("it is not JSON") from error
    if not isinstance(fields, dict):
        raise unexpected("it is not a JSON object")
    return Document(fields)


def unexpected(why: str) -> Ended:
    """The node answered, but with something else than its API promises."""
    return Ended(
        Exit.FAULT,
        f"the answer cannot be understood: {why}",
        code="cli.unexpected_answer",
        next_step="Is --node the address of an ICN node of this release?",
    )
