"""Batches whose content proves itself: from a seed follows what batch number n writes, and the whole store after it.

A store is whole when it holds exactly what the batches up to its head lead to, byte for byte. Values have every size
that engines treat differently: within a page, over several, over many.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from icn.stores.kv import Batch, Reader

HEAD = b"\x00head"
"""The number of the newest batch, written by every batch."""
KEYS = 300
OPERATIONS_PER_BATCH_MAX = 24
DELETES_SHARE = 0.2
DIFFERENCES_SHOWN_MAX = 5


def _key(number: int) -> bytes:
    return b"k%03d" % number + b"." * (number * 7 % 120)


def _length(rng: random.Random) -> int:
    drawn = rng.random()
    if drawn < 0.70:
        return rng.randrange(200)
    if drawn < 0.95:
        return rng.randrange(200, 5_000)
    if drawn < 0.99:
        return rng.randrange(5_000, 40_000)
    return rng.randrange(100_000, 400_000)


@dataclass(frozen=True, slots=True)
class Written:
    """One value, without its bytes."""

    batch: int
    key: bytes
    length: int

    def value(self, seed: str) -> bytes:
        """The bytes."""
        return hashlib.shake_256(b"%b/%d/%b" % (seed.encode(), self.batch, self.key)).digest(self.length)


def _plan(seed: str, number: int) -> Iterator[tuple[bytes, Written | None]]:
    """The operations of batch `number`; None: a deletion."""
    rng = random.Random(f"{seed}/{number}")
    for drawn in rng.sample(range(KEYS), rng.randrange(1, OPERATIONS_PER_BATCH_MAX + 1)):
        key = _key(drawn)
        yield key, None if rng.random() < DELETES_SHARE else Written(number, key, _length(rng))


def batch_of(seed: str, number: int) -> Batch:
    """What batch `number` writes."""
    made = Batch()
    made.put(HEAD, b"%d" % number)
    for key, written in _plan(seed, number):
        if written is None:
            made.delete(key)
        else:
            made.put(key, written.value(seed))
    return made


def head_of(reader: Reader) -> int:
    """The newest batch that the store has; -1 when it has none."""
    data = reader.get(HEAD)
    return -1 if data is None else int(data)


@dataclass(slots=True)
class Expected:
    """What a store holds after the batches up to one."""

    seed: str
    entries: dict[bytes, Written] = field(default_factory=dict)
    head: int = -1

    def advance(self, head: int) -> None:
        """Take the batches up to `head`."""
        for number in range(self.head + 1, head + 1):
            for key, written in _plan(self.seed, number):
                if written is None:
                    self.entries.pop(key, None)
                else:
                    self.entries[key] = written
        self.head = head

    def differences(self, reader: Reader) -> list[str]:
        """Where the store is anything else, in words, read in every way there is."""
        due = {key: written.value(self.seed) for key, written in self.entries.items()}
        if self.head >= 0:
            due[HEAD] = b"%d" % self.head
        ascending, descending = list(reader.scan(b"")), list(reader.scan_down(b""))
        found = dict(ascending)
        told = []
        for key in sorted(found.keys() | due.keys()):
            if found.get(key) != due.get(key):
                told.append(f"{key!r}: {_sizes(found, key)} instead of {_sizes(due, key)}")
            if reader.get(key) != found.get(key):
                told.append(f"{key!r}: get and scan do not agree")
        if [key for key, _ in ascending] != sorted(found) or descending != ascending[::-1]:
            told.append("the two scans do not agree, or are not in order")
        return list(_shortened(told))


def _sizes(entries: dict[bytes, bytes], key: bytes) -> str:
    value = entries.get(key)
    return "nothing" if value is None else f"{len(value)} bytes ({hashlib.sha256(value).hexdigest()[:8]})"


def _shortened(told: list[str]) -> Iterable[str]:
    yield from told[:DIFFERENCES_SHOWN_MAX]
    if len(told) > DIFFERENCES_SHOWN_MAX:
        yield f"and {len(told) - DIFFERENCES_SHOWN_MAX} more"
