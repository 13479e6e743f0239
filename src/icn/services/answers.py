"""What a caller gets back: a body, or a refusal as data, so that it can be stored and given again."""

from dataclasses import dataclass
from typing import Any

from icn.kernel.errors import Kind, Refusal


@dataclass(frozen=True, slots=True)
class Done:
    """It is decided and durable."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """The rules said no."""

    kind: Kind
    code: str
    message: str
    fields: dict[str, str | int]


Answer = Done | Refused


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request with this token."""

    token: int
    answer: Answer


def refused(refusal: Refusal) -> Refused:
    """A refusal as data."""
    return Refused(refusal.kind, refusal.code, str(refusal), refusal.fields())
