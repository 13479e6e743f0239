"""A compiled module, with what a worker must know to run it.

Native code: it is made in a process of its own, kept under this node's authentication (cache), and never taken from
a peer.
"""

from dataclasses import dataclass
from typing import Self

from icn.adapters.wasm.admission import Entry
from icn.adapters.wasm.frames import number, numbers, pack, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What compiling leaves."""

    entry: Entry
    prefix: str
    """Of the exports that the rewriter added."""
    memory_bytes: int
    """What the memory begins with."""
    tables: tuple[int, ...]
    """How many elements each table begins with."""
    native: bytes

    def encode(self) -> bytes:
        """The form in which it is sent and stored."""
        return pack(
            self.entry.value.encode(),
            self.prefix.encode(),
            number(self.memory_bytes),
            b"".join(map(number, self.tables)),
            self.native,
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The reverse. `data` is authenticated or came from a process that has run no guest."""
        entry, prefix, memory, tables, native = unpack(data, 5)
        return cls(
            entry=Entry(entry.decode()),
            prefix=prefix.decode(),
            memory_bytes=numbers(memory, 1)[0],
            tables=numbers(tables, len(tables) // 8),
            native=native,
        )
