"""Instants as people and programs write them: ISO 8601 in UTC, with milliseconds."""

from datetime import UTC, datetime, timedelta

from icn.kernel.errors import Invalid
from icn.kernel.instant import Instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)


def iso_of(instant: Instant) -> str:
    """`2026-11-23T20:45:00.123Z`. What lies beyond the year 9999 is written as its end."""
    moment = _EPOCH + timedelta(milliseconds=max(0, min(instant, _LATEST)))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant_of(what: str, text: str) -> Instant:
    """The instant a text stands for; without an offset it is UTC. Before 1970 there was nothing, so it is 1970.

    Raises `Invalid`.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Instant(max(0, (moment - _EPOCH) // timedelta(milliseconds=1)))
    except (ValueError, OverflowError) as error:
        raise Invalid(what, f"{text[:40]!r} is not a time like 2026-11-23T20:45:00Z") from error
