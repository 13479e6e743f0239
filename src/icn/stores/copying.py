"""All of a store into another one, whatever the engines: in bounded batches, and again from anywhere.

A copy is a walk along both stores that makes the second like the first. What is alike is read and left alone; so a copy
that broke off, or whose original has changed since, needs nothing but the same walk again.

Pure over the port: the caller commits each batch, and nobody else writes to either store meanwhile. Not here: the two
notes about a copy (`moving`), which are of one store each and are not copied.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from icn.kernel.errors import Fault
from icn.kernel.limits import MIB
from icn.stores import moving, restored
from icn.stores.kv import Batch, Reader

BYTES_PER_BATCH = 4 * MIB
"""A batch ends when it has these, and the value that filled it."""
ROWS_PER_BATCH = 4000
ROWS_PER_STEP = 4000
"""Rows read after which a step ends though nothing had to be written, so that progress can be told."""

_NOT_COPIED = (moving.MIGRATION, moving.MOVED_TO, restored.INCARNATION)
_LENGTH_BYTES = 4

Pair = tuple[bytes, bytes]


class TargetInUse(Fault):
    """The store to copy into holds something else."""

    code: ClassVar[str] = "store.target_not_empty"


@dataclass(frozen=True, slots=True)
class Step:
    """What to commit next, and how far the walk has come."""

    batch: Batch
    rows: int
    """Of the original, since the beginning."""
    size: int
    """Bytes of their keys and values."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All pairs of a store in one value: equal only for stores that hold the same."""

    rows: int
    size: int
    """Bytes of keys and values."""
    digest: bytes


def begin(target: Reader, source_id: bytes) -> Batch:
    """What to commit before the first step. From then on no node opens the target, until the copy is finished.

    Raises:
        TargetInUse: the target holds something that is not a copy of this store which broke off.
    """
    batch = Batch()
    under_way = moving.migration_of(target)
    if under_way is None and next(iter(target.scan(b"")), None) is not None:
        raise TargetInUse("the store to copy into is not empty: choose a new place")
    if under_way is not None and under_way != source_id:
        raise TargetInUse("the store to copy into is an unfinished copy of another one: choose a new place")
    moving.begin(batch, source_id)
    return batch


def steps(source: Reader, target: Reader) -> Iterator[Step]:
    """Batches that make `target` like `source`, each to be committed before the next is asked for."""
    batch = Batch()
    rows = size = pending = unreported = 0
    for key, wanted, found in _side_by_side(source, target):
        if wanted is not None:
            rows += 1
            size += len(key) + len(wanted)
            unreported += 1
        if wanted == found:
            pass
        elif wanted is None:
            batch.delete(key)
        else:
            batch.put(key, wanted)
            pending += len(key) + len(wanted)
        if pending >= BYTES_PER_BATCH or len(batch) >= ROWS_PER_BATCH or unreported >= ROWS_PER_STEP:
            yield Step(batch, rows, size)
            batch, pending, unreported = Batch(), 0, 0
    yield Step(batch, rows, size)


def contents(reader: Reader) -> Iterator[Contents]:
    """What a store holds, so far after every `ROWS_PER_STEP` rows, and at last all of it."""
    running = hashlib.sha256()
    rows = size = 0
    for key, value in _copied(reader):
        for part in (key, value):
            running.update(len(part).to_bytes(_LENGTH_BYTES, "big"))
            running.update(part)
        rows += 1
        size += len(key) + len(value)
        if rows % ROWS_PER_STEP == 0:
            yield Contents(rows, size, b"")
    yield Contents(rows, size, running.digest())


def _copied(reader: Reader) -> Iterator[Pair]:
    return (pair for pair in reader.scan(b"") if pair[0] not in _NOT_COPIED)


def _side_by_side(source: Reader, target: Reader) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Every key that either has, in order, with the value here and the value there."""
    theirs = chain(_copied(target), [None])
    there = next(theirs)
    for key, value in _copied(source):
        while there is not None and there[0] < key:
            yield there[0], None, there[1]
            there = next(theirs)
        if there is not None and there[0] == key:
            yield key, value, there[1]
            there = next(theirs)
        else:
            yield key, value, None
    while there is not None:
        yield there[0], None, there[1]
        there = next(theirs)
