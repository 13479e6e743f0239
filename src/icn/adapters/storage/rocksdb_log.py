"""The write-ahead logs of a RocksDB store, read by us where RocksDB cannot tell a torn end from damage.

RocksDB drops a record that breaks off at the end of a log. A loss of power can leave more than that: pages of a record
that was under way are on disk in any combination, and then there is a hole in its middle, which RocksDB takes for
damage. The data is all there. So we look whether it can be such a hole: one record can have been under way, and what a
commit writes is one record; if the beginning of a later one lies behind the damage, what is damaged was acknowledged.

A record of the log (a batch) is cut into pieces where it crosses a block. A piece that begins a record and has the
right checksum is the proof; pieces in the middle or at the end of a record belong to one that began before. In a block
with damage the lengths cannot be trusted, so there every place is tried.

The logs' layout is that of RocksDB's page "Write Ahead Log File Format", with the pieces of recycled logs.
"""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from struct import Struct, unpack

from icn.kernel.limits import KIB, MIB
from icn.stores.kv import StoreCorrupt

BLOCK_BYTES = 32 * KIB
SEARCHED_BYTES_MAX = 64 * MIB
"""That are summed up in search of a record, some seconds' worth. A damaged log that takes more is refused."""

_HEADER = Struct("<IHB")
"""Masked CRC-32C of all behind it, bytes of the piece without this header, kind."""
_HEADER_BYTES = 7
_CHECKSUM_BYTES = 4
_LOG_NUMBER_BYTES = 4
"""That the header of a recycled log's piece has more."""
_KINDS = range(1, 9)
"""Whole, first, middle, last; the same in recycled logs."""
_RECYCLED = range(5, 9)
_BEGINNINGS = frozenset({1, 2, 5, 6})
_A_BEGINNING = re.compile(rb"[\x01\x02\x05\x06]")
_KIND_PLACE = 6
_MASK_DELTA = 0xA282EAD8
_WORD_BITS = 0xFFFFFFFF
_CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC-32C, its bits in reverse."""


def check_ends(folder: Path) -> None:
    """Refuse a store whose logs seem to break off in a record, but go on behind it. Raises `StoreCorrupt`, `OSError`.

    A damaged length lets a record reach beyond the end of its log, and RocksDB takes that for a record that broke off.
    """
    for log in _logs(folder):
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0) // BLOCK_BYTES * BLOCK_BYTES)
            _Scan().take(log, file.read())


def require_torn_end(folder: Path, complaint: str) -> None:
    """Return if what RocksDB complains of can be the one record that was under way when the power failed.

    `complaint` is RocksDB's own word for it.

    Raises `StoreCorrupt` if a later record follows the damage, or if it is not in the logs at all; `OSError`.
    """
    scan = _Scan()
    for log in _logs(folder):
        data = log.read_bytes()
        for start in range(0, len(data), BLOCK_BYTES):
            scan.take(log, data[start : start + BLOCK_BYTES])
    if scan.damaged is None:
        raise StoreCorrupt(f"{folder}: {complaint}: restore a backup, or let the federation refill an empty store")


def _logs(folder: Path) -> list[Path]:
    """The oldest first."""
    return sorted((log for log in folder.glob("*.log") if log.stem.isdecimal()), key=lambda log: int(log.stem))


class _Scan:
    """Goes through blocks in their order."""

    def __init__(self) -> None:
        self.damaged: Path | None = None
        """The log in which the first damage was met."""
        self._search_left = SEARCHED_BYTES_MAX

    def take(self, log: Path, block: bytes) -> None:
        """The next one, of `log`. Raises `StoreCorrupt` when a record begins behind damage."""
        sound_to = 0
        for begins, end in _pieces(block):
            if self.damaged is not None and begins:
                raise _refusal(self.damaged)
            sound_to = end
        if len(block) - sound_to < _HEADER_BYTES and not any(block[sound_to:]):
            return  # a block ends with zeros where no header has room
        self.damaged = self.damaged or log
        if self._finds_a_beginning(block, sound_to + 1):
            raise _refusal(self.damaged)

    def _finds_a_beginning(self, block: bytes, place: int) -> bool:
        """Whether a record begins in the block from `place` on, or it was too much to find out."""
        for kind in _A_BEGINNING.finditer(block, place + _KIND_PLACE):
            begin = kind.start() - _KIND_PLACE
            end = _end_of(block, begin)
            if end is None:
                continue
            self._search_left -= end - begin
            if self._search_left < 0 or _is_right(block, begin, end):
                return True
        return False


def _refusal(log: Path) -> StoreCorrupt:
    return StoreCorrupt(
        f"{log} is damaged in front of commits that were acknowledged; nothing was changed: restore a backup, or let "
        "the federation refill an empty store"
    )


def _pieces(block: bytes) -> Iterator[tuple[bool, int]]:
    """The pieces from the beginning of a block to the first that is not right: whether it begins a record; its end."""
    place = 0
    while (end := _end_of(block, place)) is not None and _is_right(block, place, end):
        yield block[place + _KIND_PLACE] in _BEGINNINGS, end
        place = end


def _end_of(block: bytes, place: int) -> int | None:
    """Where the piece ends that begins at `place`, or None if there cannot be one."""
    if place + _HEADER_BYTES > len(block):
        return None
    _, length, kind = _HEADER.unpack_from(block, place)
    end: int = place + _HEADER_BYTES + length + (_LOG_NUMBER_BYTES if kind in _RECYCLED else 0)
    return end if kind in _KINDS and end <= len(block) else None


def _is_right(block: bytes, place: int, end: int) -> bool:
    checksum = crc32c(block[place + _KIND_PLACE : end])
    masked = (((checksum >> 15) | (checksum << 17)) + _MASK_DELTA) & _WORD_BITS
    return masked == int.from_bytes(block[place : place + _CHECKSUM_BYTES], "little")


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data`; about 10 MB a second, so only for what is already in doubt."""
    single, low, high = _tables()
    checksum = _WORD_BITS
    whole = len(data) // 4 * 4
    for word in unpack(f"<{whole // 4}I", data[:whole]):
        checksum ^= word
        checksum = low[checksum & 0xFFFF] ^ high[checksum >> 16]
    for byte in data[whole:]:
        checksum = single[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    return checksum ^ _WORD_BITS


@cache
def _tables() -> tuple[list[int], list[int], list[int]]:
    """What becomes of a checksum's lowest byte behind one byte, and of its low and its high half behind four."""
    single = []
    for number in range(1 << 8):
        value = number
        for _ in range(8):
            value = (value >> 1) ^ (_CASTAGNOLI if value & 1 else 0)
        single.append(value)
    high = []
    for number in range(1 << 16):
        value = single[number & 0xFF] ^ (number >> 8)
        high.append(single[value & 0xFF] ^ (value >> 8))
    low = [high[value & 0xFFFF] ^ (value >> 16) for value in high]
    return single, low, high
