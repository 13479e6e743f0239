"""Reading the whole store now and then, to find blocks whose bytes are no longer what their names say.

A scan walks all blocks in order of name, in slices, each from a snapshot of its own beside the writer. How far it is
stands in a row, so a restart goes on where the node ended. What is found damaged goes to the engine, which looks again
and has it mended (services.mending).

Reads only; the row is written by the engine (`NoteScan`). Not here: when slices are read, and how fast (node.scanning).
"""

from dataclasses import dataclass, replace

from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid
from icn.kernel.instant import Instant
from icn.stores import keyspace
from icn.stores.kv import Reader

SCAN_ROW = keyspace.about("scan")
SLICE_BLOCKS_MAX = 2000
"""Blocks of one slice, however small they are."""


@dataclass(frozen=True, slots=True)
class ScanPosition:
    """How far the scan is, and how the last one ended."""

    after: bytes
    """The key read last; empty at the beginning."""
    begun_at: Instant | None
    """None: no scan is under way."""
    blocks: int
    """Read by the scan under way."""
    size: int
    """Bytes of them."""
    damaged: int
    finished_at: Instant | None
    """When the last whole scan ended."""
    last_blocks: int
    last_size: int
    last_damaged: int


START = ScanPosition(
    after=b"",
    begun_at=None,
    blocks=0,
    size=0,
    damaged=0,
    finished_at=None,
    last_blocks=0,
    last_size=0,
    last_damaged=0,
)


@dataclass(frozen=True, slots=True)
class ScanSlice:
    """What one slice read."""

    position: ScanPosition
    damaged: tuple[Cid, ...]
    size: int
    """Bytes read by this slice."""


def load_position(reader: Reader) -> ScanPosition:
    """Where the scan is."""
    data = reader.get(SCAN_ROW)
    return START if data is None else _POSITION.decode_own(data)


def write_position(position: ScanPosition) -> bytes:
    """The row."""
    return _POSITION.encode(position)


def scan(reader: Reader, position: ScanPosition, *, bytes_max: int, now: Instant) -> ScanSlice:
    """Read on from `position` until `bytes_max` bytes are read, at least one block; at the end the scan is finished."""
    at = position if position.begun_at is not None else replace(position, begun_at=now)
    damaged: list[Cid] = []
    size = count = 0
    after = at.after
    ended = True
    for key, data in reader.scan(keyspace.BLOCK, after=after or None):
        after = key
        count += 1
        size += len(data)
        cid = Cid(key[len(keyspace.BLOCK) :])
        if not cid.names(data):
            damaged.append(cid)
        if size >= bytes_max or count >= SLICE_BLOCKS_MAX:
            ended = False
            break
    at = replace(at, after=after, blocks=at.blocks + count, size=at.size + size, damaged=at.damaged + len(damaged))
    if ended:
        at = replace(START, finished_at=now, last_blocks=at.blocks, last_size=at.size, last_damaged=at.damaged)
    return ScanSlice(at, tuple(damaged), size)


_POSITION = shape_of(ScanPosition)
