"""Whether this store was put back from an older copy, and what its node has kept to find that out.

Three rows about the store itself. Not here: what follows from them (`services.authorship`).
"""

from collections.abc import Callable

from icn.stores import keyspace
from icn.stores.kv import Batch, Reader

_RESTORED = keyspace.about("restored")
_MARKED = keyspace.about("marked")
INCARNATION = keyspace.about("incarnation")
"""Not copied with a store that is moved to another place on purpose."""
_BY_TOOL = b"by the restore"
_HELD = b"held at "
_HELD_BY_TOOL = b"restored, held at "


def mark_restored(batch: Batch) -> None:
    """Say that the store was filled from a backup: its node looks for its own newer blocks before it authors."""
    batch.put(_RESTORED, _BY_TOOL)


def mark_held(batch: Batch, floor: int, *, by_tool: bool) -> None:
    """Say that the node itself has found out, and that its feed is known to have had `floor` blocks.

    `by_tool`: the store was filled from a backup before.
    """
    batch.put(_RESTORED, (_HELD_BY_TOOL if by_tool else _HELD) + str(floor).encode())


def is_restored(reader: Reader) -> bool:
    """Whether the store is said to be restored, by whomever, and nothing has taken that back."""
    return reader.get(_RESTORED) is not None


def is_by_tool(reader: Reader) -> bool:
    """Whether it was filled from a backup, and nothing has taken that back."""
    row = reader.get(_RESTORED)
    return row is not None and (row == _BY_TOOL or row.startswith(_HELD_BY_TOOL))


def held_floor(get: Callable[[bytes], bytes | None]) -> int | None:
    """The `floor` of `mark_held`; None where the node has not found out by itself."""
    row = get(_RESTORED)
    if row is None or not row.startswith((_HELD, _HELD_BY_TOOL)):
        return None
    return int(row.removeprefix(_HELD_BY_TOOL).removeprefix(_HELD))


def clear_restored(batch: Batch) -> None:
    """The node may author again."""
    batch.delete(_RESTORED)


def mark_marked(batch: Batch) -> None:
    """Say that a head mark is kept beside this store from now on: one that is missing later was lost."""
    batch.put(_MARKED, b"")


def was_marked(reader: Reader) -> bool:
    """Whether a head mark has ever been kept beside this store."""
    return reader.get(_MARKED) is not None


def note_incarnation(batch: Batch, incarnation: str) -> None:
    """Say in which incarnation of the engine's data (`kv.Properties`) the node writes to the store from now on."""
    batch.put(INCARNATION, incarnation.encode())


def incarnation_of(reader: Reader) -> str | None:
    """In which one it last wrote; None before the first."""
    row = reader.get(INCARNATION)
    return None if row is None else row.decode(errors="replace")
