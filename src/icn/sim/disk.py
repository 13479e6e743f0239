"""A node's disk: what outlives its process, and how it fails.

A commit that returned is there after a crash; one that raised is there whole or not at all;
reads fail now and then. Somebody may put an older copy of the store in its place, with the head mark that was beside
it then; or with none, and then the one outside is lost as well. Not here: when a process dies otherwise (world).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from icn.services import rows
from icn.services.ports import HeadMark
from icn.sim.faults import Chance, Faults
from icn.sim.plants import Plant
from icn.sim.platter import Platter
from icn.stores import keyspace
from icn.stores.kv import Batch, CommitUncertain, Fence, Properties, Snapshot, StoreUnavailable

UNSYNCED_COMMITS = 3
"""How many commits the planted disk loses at a crash."""
_MILLION = 1_000_000
MARKS_LOST_ONE_IN = 3
"""Of the times a store is put back, how often nothing is left of the head marks."""

Observer = Callable[[Batch], None]


class ProcessDied(Exception):
    """The process is gone in the middle of a commit."""


@dataclass(slots=True)
class Disk:
    """Outlives processes. One `DiskStore` at a time is open on it."""

    rng: Random
    faults: Faults
    plant: Plant | None
    observe: Observer
    """Told of every batch that reached the platter."""
    platter: Platter = field(default_factory=Platter)
    _unsynced: deque[dict[bytes, bytes | None]] = field(default_factory=lambda: deque(maxlen=UNSYNCED_COMMITS))
    """What the last commits overwrote; kept only where the missing fsync is planted."""
    inner: HeadMark | None = None
    """The head mark that travels with the store."""
    outer: HeadMark | None = None
    """The one outside of it."""
    may_lose_marks: bool = True
    """Whether the marks, too, may be gone when a copy is put back."""
    _copy: tuple[Platter, HeadMark | None] | None = None

    def keep_copy(self) -> None:
        """Somebody copies the store as it is now. One that holds nothing yet is not worth it."""
        is_marked = self.outer is not None or self.plant is Plant.NO_HEAD_MARK
        if is_marked and rows.load_position(self.platter).block_count:
            self._copy = self.platter.copied(), self.inner

    def put_back(self) -> bool:
        """Put the copy in the store's place. Whether there was one."""
        if self._copy is None:
            return False
        copy, self.inner = self._copy
        if self.rng.randrange(MARKS_LOST_ONE_IN) == 0 and self.may_lose_marks:
            self.inner = self.outer = None
        self.platter = copy.copied()
        return True

    def write(self, batch: Batch, fence: Fence) -> None:
        """Apply a batch, as good as the plant lets it."""
        if self.plant is Plant.LOST_OUTBOX:
            kept = {k: v for k, v in batch.operations.items() if not k.startswith(keyspace.OUTBOX)}
            batch = Batch(kept)
        if self.plant is Plant.MISSING_FSYNC:
            self._unsynced.append({key: self.platter.get(key) for key in batch.operations})
        self.platter.commit(batch, fence)
        self.observe(batch)

    def lose_power(self) -> None:
        """The process is gone; with the missing fsync, so are its last commits."""
        while self._unsynced:
            self.platter.commit(Batch(self._unsynced.pop()), self.platter.claim())


class DiskMarker:
    """The head marks of a disk. Satisfies `services.ports.HeadMarker`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def read(self) -> tuple[HeadMark, ...]:
        """Those that are there."""
        return tuple(mark for mark in (self._disk.inner, self._disk.outer) if mark is not None)

    def write(self, mark: HeadMark) -> None:
        """Keep it in both places."""
        self._disk.inner = self._disk.outer = mark


class DiskStore:
    """What one process sees of its disk. Satisfies `KeyValueStore`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._chance = Chance(disk.rng)
        self._ended = False

    @property
    def properties(self) -> Properties:
        """What may differ between engines."""
        return Properties(name="simulated", durable=True, shared=False)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        self._read()
        return self._disk.platter.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`."""
        self._read()
        return self._disk.platter.get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        self._read()
        return self._disk.platter.scan(prefix, after=after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        self._read()
        return self._disk.platter.scan_down(prefix, before=before)

    def snapshot(self) -> Snapshot:
        """A view of the newest commit."""
        self._read()
        return self._disk.platter.snapshot()

    def claim(self) -> Fence:
        """Become the author."""
        return self._disk.platter.claim()

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole, or fail as the seed has it."""
        faults, chance = self._disk.faults, self._chance
        if self._ended:
            raise StoreUnavailable("the store takes no further commit")
        if chance.happens(faults.commit_unavailable):
            raise StoreUnavailable("the simulated disk is busy")
        if chance.happens(faults.crash_in_commit):
            self._ended = True
            self._perhaps_write(batch, fence)
            raise ProcessDied
        if chance.happens(faults.commit_uncertain):
            self._ended = True
            self._perhaps_write(batch, fence)
            raise CommitUncertain("the simulated disk did not answer")
        self._disk.write(batch, fence)

    def close(self) -> None:
        """Nothing is released: the platter is the disk's."""
        self._ended = True

    def _perhaps_write(self, batch: Batch, fence: Fence) -> None:
        if self._disk.rng.random() < 0.5:
            self._disk.write(batch, fence)

    def _read(self) -> None:
        chance = self._disk.faults.read_unavailable
        if chance and self._disk.rng.randrange(_MILLION) < chance:
            raise StoreUnavailable("the simulated disk did not read")
