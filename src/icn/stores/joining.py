"""What a node was told to join, kept until it has: rows about the store itself."""

from dataclasses import dataclass

from icn.kernel.fields import shape_of
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader

_ROW = keyspace.about("joining")
_SOUGHT = keyspace.about("sought")


@dataclass(frozen=True, slots=True)
class Aim:
    """Where to knock, and what to show there."""

    addresses: tuple[str, ...]
    """Multiaddrs."""
    invitation: bytes
    """Sealed; empty where there is none."""


_SHAPE = shape_of(Aim)


def put_aim(batch: Batch, aim: Aim) -> None:
    """The node joins there, also after a restart."""
    batch.put(_ROW, _SHAPE.encode(aim))


def forget_aim(batch: Batch) -> None:
    """It has joined."""
    batch.delete(_ROW)


def aim_of(reader: Reader) -> Aim | None:
    """What was put; None where there is nothing to join."""
    data = reader.get(_ROW)
    return None if data is None else _SHAPE.decode_own(data)


def put_sought(batch: Batch, aim: Aim) -> None:
    """A node that has a federation looks there for another one."""
    batch.put(_SOUGHT, _SHAPE.encode(aim))


def forget_sought(batch: Batch) -> None:
    """It has found one, or looks no more."""
    batch.delete(_SOUGHT)


def sought_of(reader: Reader) -> Aim | None:
    """What was put; None where nothing is looked for."""
    data = reader.get(_SOUGHT)
    return None if data is None else _SHAPE.decode_own(data)
