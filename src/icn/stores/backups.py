"""Which backups of this store were finished, and what it was restored from: two bounded rows about the store itself."""

from dataclasses import dataclass

from icn.kernel.fields import shape_of
from icn.stores import keyspace
from icn.stores.archive import ArchiveKind, Position
from icn.stores.kv import Batch, Reader

BACKUPS_KEPT_MAX = 32
"""The newest are remembered."""
_BACKUPS = keyspace.about("backups")
_ORIGIN = keyspace.about("restored_from")


@dataclass(frozen=True, slots=True)
class FinishedBackup:
    """A backup that was written whole."""

    manifest: str
    """SHA-256 of its manifest, in hexadecimal."""
    created: str
    """RFC 3339."""
    kind: ArchiveKind
    to: Position


@dataclass(frozen=True, slots=True)
class _Finished:
    items: tuple[FinishedBackup, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Which backup this store holds, and what its own numbers were when that had been put in."""

    store: str
    """Id of the store the backup was made of, in hexadecimal."""
    manifest: str
    to: Position
    own: Position
    """The next numbers of this store after the last commit of the restore: others now mean that it was written to."""


def finished_backups(reader: Reader) -> tuple[FinishedBackup, ...]:
    """Oldest first."""
    data = reader.get(_BACKUPS)
    return () if data is None else _FINISHED.decode_own(data).items


def note_finished(batch: Batch, known: tuple[FinishedBackup, ...], finished: FinishedBackup) -> None:
    """Remember one more; once, however often it is said."""
    items = (*(item for item in known if item.manifest != finished.manifest), finished)[-BACKUPS_KEPT_MAX:]
    batch.put(_BACKUPS, _FINISHED.encode(_Finished(items)))


def forget_all(batch: Batch) -> None:
    """The store begins anew: neither was it backed up, nor did it come from a backup."""
    batch.delete(_BACKUPS)
    batch.delete(_ORIGIN)


def forget_finished(batch: Batch) -> None:
    """The backups were of another history: the next one is full."""
    batch.delete(_BACKUPS)


def origin_of(reader: Reader) -> Origin | None:
    """What the store was restored from; None where it was not."""
    data = reader.get(_ORIGIN)
    return None if data is None else _ORIGIN_SHAPE.decode_own(data)


def put_origin(batch: Batch, origin: Origin) -> None:
    """Note what is being put in."""
    batch.put(_ORIGIN, _ORIGIN_SHAPE.encode(origin))


_FINISHED = shape_of(_Finished)
_ORIGIN_SHAPE = shape_of(Origin)
