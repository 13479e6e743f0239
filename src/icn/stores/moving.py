"""Notes in a store that is not whole, or not the right one any more, which keep a node from opening it.

The copy bears `migration` until it is whole and verified; a program that finds it knows that half may be missing. The
original bears `moved_to` from before that note goes: with two stores of one identity a node would sooner or later write
its feed twice. So at every moment at most one of them can be opened.

A store that is filled from a backup where it stands, because its engine has no other place, bears `filling` from before
the first row until all of it was checked. What was put in by then is thrown away by the next restore.

Not here: copying (`copying`), filling (`services.filling`), and who asks (`schema`).
"""

from typing import ClassVar

from icn.kernel.errors import Fault
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader

MIGRATION = keyspace.about("migration")
MOVED_TO = keyspace.about("moved_to")
FILLING = keyspace.about("filling")
PLACE_BYTES_MAX = 4096


class StoreIncomplete(Fault):
    """The store is a copy, or a restored backup, that was not finished."""

    code: ClassVar[str] = "store.incomplete"


class StoreMoved(Fault):
    """What the store holds was moved to another one, which may have gone on since."""

    code: ClassVar[str] = "store.moved"


def require_here(reader: Reader) -> None:
    """Raise `StoreIncomplete` or `StoreMoved` for a store that must not be worked on."""
    if reader.get(MIGRATION) is not None:
        raise StoreIncomplete(
            "the store is a copy that was not finished: run the same icn-cli storage migrate again, which goes on "
            "where it ended, or configure the store it was copied from"
        )
    if is_filling(reader):
        raise StoreIncomplete(
            "the store was being filled from a backup, and that was not finished: run the same icn-cli dag restore "
            "again, which throws away what was put in and begins anew"
        )
    if (place := moved_to(reader)) is not None:
        raise StoreMoved(
            f"the store was moved to {place}: configure that one; or, if it was never used, take the move back with "
            "icn-cli storage reopen"
        )


def moved_to(reader: Reader) -> str | None:
    """Where the store was moved to, as it is shown; None when it was not."""
    stored = reader.get(MOVED_TO)
    return None if stored is None else stored.decode(errors="replace")


def mark_moved(batch: Batch, place: str) -> None:
    """Say that the store is now at `place`."""
    batch.put(MOVED_TO, place.encode()[:PLACE_BYTES_MAX])


def take_back_move(batch: Batch) -> None:
    """Say that it was not moved after all."""
    batch.delete(MOVED_TO)


def migration_of(reader: Reader) -> bytes | None:
    """The id of the store whose copy this unfinished one is; None when it is none."""
    return reader.get(MIGRATION)


def begin(batch: Batch, source_id: bytes) -> None:
    """Say that a copy of that store begins."""
    batch.put(MIGRATION, source_id)


def finish(batch: Batch) -> None:
    """Say that the copy is whole."""
    batch.delete(MIGRATION)


def is_filling(reader: Reader) -> bool:
    """Whether the store is being filled from a backup, and nothing in it counts yet."""
    return reader.get(FILLING) is not None


def begin_filling(batch: Batch) -> None:
    """Say that nothing in the store counts."""
    batch.put(FILLING, b"")


def finish_filling(batch: Batch) -> None:
    """Say that the store is whole."""
    batch.delete(FILLING)
