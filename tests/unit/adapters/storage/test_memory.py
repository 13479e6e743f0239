"""What the map in memory promises beyond the contract: versions are never changed, and chunks stay small."""

import random

import pytest

from icn.adapters.storage.memory import CHUNK_KEYS_MAX, MemoryStore
from support.stores import batch, fill


@pytest.mark.slow
def test_an_old_version_stays_as_it_was_through_splits_and_removals_of_chunks():
    rng = random.Random(1)
    store = MemoryStore()
    fence = store.claim()
    model: dict[bytes, bytes] = {}
    kept = []
    for turn in range(300):
        before, pairs_before = store.snapshot(), sorted(model.items())
        operations = {
            b"%04d" % rng.randrange(3000): None if rng.random() < (0.1 if turn < 150 else 0.9) else b"%d" % turn
            for _ in range(60)
        }
        store.commit(batch(operations), fence)
        for key, value in operations.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        assert list(before.scan(b"")) == pairs_before
        if turn % 30 == 0:
            kept.append((store.snapshot(), sorted(model.items())))
    for snapshot, pairs in [*kept, (store.snapshot(), sorted(model.items()))]:
        assert list(snapshot.scan(b"")) == pairs
        assert list(snapshot.scan_down(b"")) == pairs[::-1]


def test_chunks_keep_to_their_bound_and_empty_ones_go():
    store = MemoryStore()
    fill(store, {b"%06d" % number: b"" for number in range(10_000)})
    version = store._newest
    assert max(len(keys) for keys in version.keys) <= CHUNK_KEYS_MAX
    assert len(version.keys) < 10_000 / CHUNK_KEYS_MAX * 1.2  # growing keys fill their chunks
    store.commit(batch({b"%06d" % number: None for number in range(10_000)}), store.claim())
    assert store._newest.floors == [b""]
    assert store._newest.keys == store._newest.values == [[]]


def test_a_commit_copies_only_the_chunks_it_touches():
    store = MemoryStore()
    fill(store, {b"%06d" % number: b"" for number in range(10_000)})
    before = store._newest.keys
    store.commit(batch({b"000000": b"x", b"005000x": b"y"}), store.claim())
    after = store._newest.keys
    untouched = {id(chunk) for chunk in before} & {id(chunk) for chunk in after}
    assert len(before) - len(untouched) == 2


def test_a_fork_has_what_was_committed_and_goes_its_own_way():
    store = MemoryStore()
    fence = store.claim()
    store.commit(batch({b"both": b"1"}), fence)
    other = store.fork()
    store.commit(batch({b"ours": b"2"}), fence)
    other.commit(batch({b"theirs": b"3", b"both": None}), fence)
    assert dict(store.scan(b"")) == {b"both": b"1", b"ours": b"2"}
    assert dict(other.scan(b"")) == {b"theirs": b"3"}
