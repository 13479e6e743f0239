"""How a wrong value is reported: with its place and key, and never with a secret."""

import re

from icn.config.catalog import Complaint, Entry, Form
from icn.config.sources import Given, Origin, Problem
from icn.config.values import STARS

_CREDENTIALS = re.compile(r"://[^\s'\"]*@")
_SHOWN_CHARS_MAX = 120


def problem_of(given: Given, entry: Entry, origin: Origin, complaint: Complaint) -> Problem:
    """A complaint with its place, its key and, where it cannot be or hold a secret, the value as it was written."""
    where, key, value = origin.where, given.key, given.value
    if complaint.item is not None and isinstance(value, list):
        where, value = given.item_places[complaint.item], value[complaint.item]
    hidden = complaint.may_quote and origin.written is not None
    what = "does not fit once its ${…} are replaced" if hidden else complaint.what
    shown = key if entry.form is Form.SECRET else f"{key} = {_shown(value)}:"
    return Problem(where, f"{shown} {what}", origin.causes)


def _shown(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    text = _CREDENTIALS.sub(f"://{STARS}@", text)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…"


def in_reading_order(problem: Problem) -> tuple[int, int]:
    """The file's lines from top to bottom, then the rest as it was found."""
    line = re.search(r":(\d+)\Z", problem.where)
    return (0, int(line.group(1))) if line else (1, 0)
