"""A small file beside a store that says how much of its log was durable, kept by us because the engine keeps no such.

An engine that reads its log after a crash takes the first record that is not whole for the end. Whether it is the end,
or damage in front of what was acknowledged, it cannot know. The witness knows: it is written after a commit became
durable and before anybody is told. It is not synced, which would double what a commit costs, so after a loss of power
it may be behind, or gone, and says less; after a crash of the process it is at most one commit behind. It never claims
more than was durable. A damaged witness says nothing, as one that is missing: it must not make a sound store useless.
"""

import os
import zlib
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Self

from icn.adapters.files import PRIVATE_FILE

_MAGIC = b"ICNWIT01"
_RECORD = Struct(">8s8sQ")
"""Magic, log, reach; a CRC-32 of them follows."""
_CHECKSUM_BYTES = 4
_FILE_BYTES = _RECORD.size + _CHECKSUM_BYTES
LOG_NAME_BYTES = 8


class Claim(NamedTuple):
    """What a witness says."""

    log: bytes
    """Which log, in the engine's own `LOG_NAME_BYTES`: how far one goes says nothing about another."""
    reach: int
    """How much of it was durable, in what the engine counts."""


class Witness:
    """The file, open for writing until closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """The witness in the file `path`, made when there is none; what it says stays. Raises `OSError`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return cls(os.open(path, flags, PRIVATE_FILE))

    def claim(self, log: bytes, reach: int) -> None:
        """Say that so much of `log` is durable: only when it is."""
        record = _RECORD.pack(_MAGIC, log, reach)
        # The commit stands whatever becomes of this. A witness that could not be written is behind, and says less.
        with suppress(OSError):
            os.pwrite(self._descriptor, record + zlib.crc32(record).to_bytes(_CHECKSUM_BYTES), 0)

    def close(self) -> None:
        """Called once."""
        os.close(self._descriptor)


def read(path: Path) -> Claim | None:
    """What the witness in the file `path` says, or None when it is missing or damaged. Raises `OSError`."""
    try:
        with path.open("rb") as file:
            found = file.read(_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(found) != _FILE_BYTES:
        return None
    record, checksum = found[: _RECORD.size], found[_RECORD.size :]
    magic, log, reach = _RECORD.unpack(record)
    if magic != _MAGIC or zlib.crc32(record).to_bytes(_CHECKSUM_BYTES) != checksum:
        return None
    return Claim(log, reach)
