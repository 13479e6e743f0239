"""What an answer looks like, as data: facts, tables, single lines, and how one value is written.

Not here: aligning (`render`) and drawing (`drawing`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from icn.cli.world import visible


class Show(Enum):
    """How a column behaves on a terminal."""

    WHOLE = "whole"
    SHORT = "short"
    """A name whose beginning and end are enough to recognise it."""
    TIME = "time"
    """To the second."""
    REST = "rest"
    """Takes what is left, on more lines where it must, and is cut when it would fill the screen."""
    PIPED_ONLY = "piped only"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading and the field it shows."""

    heading: str
    show: Show = Show.WHOLE


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values, one a line."""

    pairs: Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    when_empty: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One value alone, never shortened: what scripts take with `$(…)`."""

    value: str


Block = Facts | Table | Line


def cell(value: Any) -> str:
    """A JSON value as a person reads it, on one line, without anything a terminal would obey."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return visible(value) or "-"
        case []:
            return "-"
        case list() if all(isinstance(item, str) for item in value):
            return ", ".join(visible(item) for item in value)
        case dict() | list():
            return visible(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))
        case _:
            return str(value)
