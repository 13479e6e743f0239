"""A node's disk in an exploration: a store that can be copied for nothing, and that knows a name for what it holds.

The name (`digest`) is kept up to date with every commit: the exclusive or of a number for each row (`form`), so that it
does not depend on the order in which rows came.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from icn.adapters.storage.memory import MemoryStore
from icn.services.ports import HeadMark
from icn.sim.explore.form import Forms
from icn.stores import keyspace
from icn.stores.kv import Batch, Fence, Properties, Snapshot


class ProcessDied(Exception):
    """The process is gone in the middle of a commit."""


@dataclass(slots=True)
class Disk:
    """Satisfies `KeyValueStore`, and `HeadMarker` for the mark that lies beside the store."""

    forms: Forms
    inner: MemoryStore = field(default_factory=MemoryStore)
    digest: int = 0
    head: HeadMark | None = None
    dies: bool = False
    """The next commit is the end of the process, and nothing of it is there."""

    def fork(self) -> "Disk":
        """Another disk with the same on it."""
        return Disk(self.forms, self.inner.fork(), self.digest, self.head)

    def read(self) -> tuple[HeadMark, ...]:
        """The head mark, if there is one."""
        return () if self.head is None else (self.head,)

    def write(self, mark: HeadMark) -> None:
        """Keep the head mark."""
        self.head = mark

    @property
    def properties(self) -> Properties:
        """What may differ between engines."""
        return Properties(name="explored", durable=True, shared=False)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        return self.inner.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`."""
        return self.inner.get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return self.inner.scan(prefix, after=after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return self.inner.scan_down(prefix, before=before)

    def snapshot(self) -> Snapshot:
        """A view of the newest commit."""
        return self.inner.snapshot()

    def claim(self) -> Fence:
        """Become the author."""
        return self.inner.claim()

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole, or die."""
        if self.dies:
            raise ProcessDied
        forms = self.forms
        gone = 0
        for key in batch.operations:
            was = self.inner.get(key)
            if was is not None:
                gone ^= forms.of_row(self.inner, key, was)
        self.inner.commit(batch, fence)
        come = 0
        for key, value in batch.operations.items():
            if value is not None:
                if key[:1] == keyspace.FEED:
                    forms.note_feed(key, value)
                come ^= forms.of_row(self.inner, key, value)
        self.digest ^= gone ^ come

    def close(self) -> None:
        """Nothing is released: the disk outlives the process."""
