"""Stores made alike: from nothing, after a break, after a change of the original; and a copy that differs is seen."""

import random

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.stores import copying, moving
from icn.stores.copying import TargetInUse
from icn.stores.kv import Batch
from support.sample_stores import pairs_of
from support.stores import fill

SOURCE_ID = b"source's own id."


def rows(count, seed=1):
    chance = random.Random(seed)
    return {chance.randbytes(chance.randint(1, 40)): chance.randbytes(chance.randint(0, 60)) for _ in range(count)}


def filled(pairs):
    store = MemoryStore()
    if pairs:
        fill(store, pairs)
    return store


def begun(target):
    target.commit(copying.begin(target, SOURCE_ID), target.claim())
    return target


def copy(source, target, commits=None):
    """Whether it came to its end within so many commits."""
    fence = target.claim()
    for count, step in enumerate(copying.steps(source, target)):
        if count == commits:
            return False
        target.commit(step.batch, fence)
    return True


def held(store):
    return list(copying.contents(store))[-1]


def finished(target):
    batch = Batch()
    moving.finish(batch)
    target.commit(batch, target.claim())
    return target


@pytest.mark.parametrize("count", [0, 1, 300, copying.ROWS_PER_BATCH, 9000])
def test_a_copy_holds_what_its_original_holds(count):
    source, target = filled(rows(count)), begun(MemoryStore())
    assert copy(source, target)
    assert held(source) == held(target)
    assert held(source).rows == len(pairs_of(source))
    assert pairs_of(finished(target)) == pairs_of(source)


@pytest.mark.parametrize("commits", [0, 1, 2])
def test_a_copy_that_broke_off_goes_on_also_when_the_original_has_changed(commits):
    source, target = filled(rows(9000)), begun(MemoryStore())
    assert not copy(source, target, commits)
    assert held(target) != held(source)
    begun(target)
    changes = {key: None if number % 3 else b"new" for number, key in enumerate(list(rows(9000))[::7])}
    batch = Batch(dict(changes) | rows(500, seed=2))
    source.commit(batch, source.claim())
    assert copy(source, target)
    assert pairs_of(finished(target)) == pairs_of(source)


def test_what_is_alike_is_not_written_again():
    source, target = filled(rows(9000)), begun(MemoryStore())
    copy(source, target)
    assert not any(len(step.batch) for step in copying.steps(source, target))


def test_batches_are_bounded_in_rows_and_bytes():
    source = filled({bytes([n]): bytes(1024 * 1024) for n in range(20)} | rows(9000))
    steps = []
    target = begun(MemoryStore())
    fence = target.claim()
    for step in copying.steps(source, target):
        target.commit(step.batch, fence)
        steps.append(step)
    for step in steps:
        assert len(step.batch) <= copying.ROWS_PER_BATCH
        assert sum(len(value or b"") for value in step.batch.operations.values()) <= copying.BYTES_PER_BATCH + 2**20
    assert [step.rows for step in steps] == sorted(step.rows for step in steps)
    assert (steps[-1].rows, steps[-1].size) == (held(source).rows, held(source).size)


def test_the_notes_of_either_store_are_not_copied_and_do_not_count():
    source, target = filled({b"a": b"1", moving.MOVED_TO: b"there"}), begun(MemoryStore())
    copy(source, target)
    assert pairs_of(target) == {b"a": b"1", moving.MIGRATION: SOURCE_ID}
    assert held(source) == held(target)


@pytest.mark.parametrize(
    "other",
    [{}, {b"a": b"2"}, {b"a": b"1", b"b": b""}, {b"a1": b""}, {b"": b"a1"}, {b"b": b"1"}],
    ids=str,
)
def test_contents_that_differ_are_told_apart(other):
    other.pop(b"", None)
    assert held(filled({b"a": b"1"})) != held(filled(other))


def test_a_store_that_holds_something_is_not_copied_over():
    with pytest.raises(TargetInUse, match="not empty"):
        copying.begin(filled({b"a": b"1"}), SOURCE_ID)
    with pytest.raises(TargetInUse, match="copy of another one"):
        copying.begin(begun(MemoryStore()), b"another store")
