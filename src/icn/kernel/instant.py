"""Points in time and spans, as whole milliseconds. No datetime inside the core; surfaces print ISO 8601."""

from collections.abc import Iterable
from typing import NewType

Instant = NewType("Instant", int)
"""Milliseconds since 1970-01-01T00:00:00Z."""

Duration = NewType("Duration", int)
"""A span in milliseconds."""


def seconds(count: int) -> Duration:
    """`count` seconds."""
    return Duration(count * 1000)


def milliseconds(count: int) -> Duration:
    """`count` milliseconds."""
    return Duration(count)


def later(moment: Instant, span: Duration) -> Instant:
    """The instant `span` after `moment`."""
    return Instant(moment + span)


def soonest(moments: Iterable[Instant | None]) -> Instant | None:
    """The first of `moments`, of which those that are None never come; None where none does."""
    first: Instant | None = None
    for moment in moments:
        if moment is not None and (first is None or moment < first):
            first = moment
    return first
