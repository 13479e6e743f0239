"""Every block of a store, signed or content, with whether its bytes have its name; and what else stands under the name.

The walk that costs a verification most: all bytes are read and hashed. Threads that do so ahead were measured, and the
time was the same: what they do between two turns of Python is too short. A caller with processors to spare may have
another process walk, over the same store.

Not here: what is to be found under a name (`verify`), the processes (adapters.archive.examining).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid
from icn.stores import keyspace
from icn.stores.kv import Reader


class NamedBlock(NamedTuple):
    """A block as it is stored."""

    name: bytes
    """What it is stored under, which may be no name at all."""
    cid: Cid | None
    wrong: str
    """Why it has no `cid`; else empty."""
    size: int
    """Of its bytes."""
    fits: bool
    """Whether the name is that of the bytes."""
    data: bytes | None
    """Its bytes; None where who walked did not hand them on."""


Walk = Callable[[Reader], Iterator[NamedBlock]]
"""See `named_blocks`."""
Aside = Callable[[], AbstractContextManager[Reader]]
"""Opens a store that nobody changes meanwhile, for a walk in another process: it can be pickled."""


def named_blocks(reader: Reader) -> Iterator[NamedBlock]:
    """All blocks, in order of name."""
    for key, data in reader.scan(keyspace.BLOCK):
        yield _named(key[len(keyspace.BLOCK) :], data)


def _named(name: bytes, data: bytes) -> NamedBlock:
    try:
        cid = Cid.from_bytes(name)
    except Invalid as error:
        return NamedBlock(name, None, str(error), len(data), fits=False, data=data)
    return NamedBlock(name, cid, "", len(data), cid.names(data), data)


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
