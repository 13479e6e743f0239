"""Every block of a store, signed or content, with whether its bytes have its name; and what else stands under the name.

The walk that costs a verification most: all bytes are read and hashed. It is made in slices, so that a caller with
threads may have the next ones read and hashed while one is looked at (`services.ahead`).

Not here: what is to be found under a name (`verify`).
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid
from icn.kernel.limits import MIB
from icn.services.ahead import Ahead
from icn.stores import keyspace
from icn.stores.kv import Reader

SLICE_BYTES = MIB
"""After the block that reaches this a slice ends."""
SLICE_BLOCKS_MAX = 256
"""However small they are."""


class NamedBlock(NamedTuple):
    """A block as it is stored."""

    name: bytes
    """What it is stored under, which may be no name at all."""
    cid: Cid | None
    wrong: str
    """Why it has no `cid`; else empty."""
    data: bytes
    fits: bool
    """Whether the name is that of the bytes."""


def named_blocks(reader: Reader, ahead: Ahead) -> Iterator[NamedBlock]:
    """All blocks, in order of name."""
    slices = ahead(_slices(reader))
    with contextlib.closing(slices), contextlib.closing(ahead(_hashed(slices))) as hashed:
        for found in hashed:
            yield from found


def _slices(reader: Reader) -> Iterator[list[tuple[bytes, bytes]]]:
    found: list[tuple[bytes, bytes]] = []
    size = 0
    for key, data in reader.scan(keyspace.BLOCK):
        found.append((key[len(keyspace.BLOCK) :], data))
        size += len(data)
        if size >= SLICE_BYTES or len(found) >= SLICE_BLOCKS_MAX:
            yield found
            found, size = [], 0
    yield found


def _hashed(slices: Iterator[list[tuple[bytes, bytes]]]) -> Iterator[list[NamedBlock]]:
    for found in slices:
        yield [_named(name, data) for name, data in found]


def _named(name: bytes, data: bytes) -> NamedBlock:
    try:
        cid = Cid.from_bytes(name)
    except Invalid as error:
        return NamedBlock(name, None, str(error), data, fits=False)
    return NamedBlock(name, cid, "", data, cid.names(data))


class Beside:
    """Rows of one table, walked in step with the blocks of the same names: one scan instead of a look-up each."""

    def __init__(self, reader: Reader, prefix: bytes) -> None:
        self._rows = iter(reader.scan(prefix))
        self._next = next(self._rows, None)

    def below(self, name: bytes | None) -> Iterator[bytes]:
        """Names that come before `name`, or the rest: those without a block."""
        while self._next is not None and (name is None or self._next[0][1:] < name):
            yield self._next[0][1:]
            self._next = next(self._rows, None)

    def take(self, name: bytes) -> bytes | None:
        """What stands under `name`, if it is next."""
        if self._next is None or self._next[0][1:] != name:
            return None
        value = self._next[1]
        self._next = next(self._rows, None)
        return value
