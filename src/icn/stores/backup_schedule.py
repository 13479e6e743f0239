"""What the schedule of backups has to know after a restart: the last success, where it went, and what drills found.

Not here: which backups of this store were finished, by whomever (stores.backups); when the next is due
(services.backup_plan).
"""

from dataclasses import dataclass, replace

from icn.kernel.fields import shape_of
from icn.kernel.instant import Duration, Instant
from icn.stores import keyspace
from icn.stores.contents import Get
from icn.stores.kv import Batch

_ROW = keyspace.about("backup_schedule")
_PLACE = keyspace.about("backup_place")
_FULL_NEXT = keyspace.about("backup_full_next")
PLACE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class MadeBackup:
    """An archive that arrived whole at the target."""

    archive: str
    """Its name there."""
    made_at: Instant
    """When the store was as the archive has it."""
    size: int
    """Bytes of the archive."""
    took_ms: Duration


@dataclass(frozen=True, slots=True)
class ProvenBackup:
    """An archive from which the store was restored aside and verified."""

    archive: str
    proven_at: Instant
    took_ms: Duration


@dataclass(frozen=True, slots=True)
class Schedule:
    """What was done last."""

    made: MadeBackup | None = None
    proven: ProvenBackup | None = None


def schedule_in(get: Get) -> Schedule:
    """What the store records, as `get` sees it."""
    data = get(_ROW)
    return Schedule() if data is None else _SHAPE.decode_own(data)


def put_made(get: Get, batch: Batch, made: MadeBackup, place: str, *, is_full: bool) -> None:
    """Record a success at the target that calls itself `place`."""
    _put(batch, replace(schedule_in(get), made=made))
    batch.put(_PLACE, place.encode()[:PLACE_BYTES_MAX])
    if is_full:
        batch.delete(_FULL_NEXT)


def put_finding(batch: Batch) -> None:
    """Record that the newest backup could not be restored: what goes on from it cannot either."""
    batch.put(_FULL_NEXT, b"")


def wants_full(get: Get) -> bool:
    """Whether the newest backup could not be restored, and no full one was made since."""
    return get(_FULL_NEXT) is not None


def went_to(get: Get, place: str) -> bool:
    """Whether the last success went there: then something is to be there."""
    return get(_PLACE) == place.encode()[:PLACE_BYTES_MAX]


def put_proven(get: Get, batch: Batch, proven: ProvenBackup) -> None:
    """Record a proof."""
    _put(batch, replace(schedule_in(get), proven=proven))


def _put(batch: Batch, schedule: Schedule) -> None:
    batch.put(_ROW, _SHAPE.encode(schedule))


_SHAPE = shape_of(Schedule)
