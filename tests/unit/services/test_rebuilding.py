"""What follows from the blocks is made again from them, whatever became of it, and nothing else is touched."""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.services import rows
from icn.services.commands import OpenAccountFor
from icn.services.rebuilding import changes
from icn.services.verify import verify
from icn.stores import blocks, contents, keyspace
from icn.stores.kv import Batch, StoreCorrupt
from support import builders
from support.forker import Forker
from support.full_history import history
from support.sample_stores import pairs_of
from support.stores import batch, fill
from support.world import federation

DERIVED = (
    *(keyspace.BLOCK_META, keyspace.FEED, keyspace.EVENT_TYPE, keyspace.JOB_EVENT, keyspace.RECEIPT),
    *(keyspace.JOB_CORRELATION, keyspace.PROJECTION, keyspace.CONTENT_CHANGE, keyspace.REFERENCE),
)


@pytest.fixture(scope="module")
def whole() -> dict[bytes, bytes]:
    """A store with jobs, transfers, content, a member that forked and one that was removed."""
    held = pairs_of(history()["a"].store)
    assert any(key.startswith(rows.SIDES.prefix) for key in held)
    assert any(key.startswith(keyspace.EVIDENCE) for key in held)
    return held


def store_of(held: dict[bytes, bytes], operations: dict[bytes, bytes | None] | None = None) -> MemoryStore:
    store = MemoryStore()
    fill(store, held)
    store.commit(batch(operations or {}), store.claim())
    return store


def mended(store: MemoryStore) -> Batch:
    changed = changes(store)
    store.commit(changed, store.claim())
    return changed


def derived(held: dict[bytes, bytes]) -> Iterator[bytes]:
    return (key for key in held if key.startswith(DERIVED) and not keyspace.is_local(key))


def test_of_a_store_that_is_in_order_nothing_is_changed(whole) -> None:
    assert verify(store_of(whole), deep=True).ok
    assert changes(store_of(whole)).operations == {}
    assert changes(MemoryStore()).operations == {}


def test_all_that_follows_from_the_blocks_can_be_lost(whole) -> None:
    store = store_of(whole, dict.fromkeys(derived(whole)))
    assert not verify(store, deep=True).ok
    mended(store)
    assert pairs_of(store) == whole


def test_where_others_built_on_both_blocks_of_a_fork_the_same_counts_as_before() -> None:
    forker = Forker(federation("a", "b", "c", "d", "e", "f"))
    world = forker.world
    forker.join()
    before = forker.head
    world.isolate("f")
    forker.greet("f")
    for name, opened, told in (("a", 8, "abcde"), ("f", 9, "f")):
        forker.say(forker.opens(opened, before), *told)
        world.pass_time(3_000)
        forker.say(forker.opens(opened + 10), name)
        world.done(name, OpenAccountFor(builders.did(opened + 20)))
        world.pass_time(3_000)
    world.link_all()
    world.pass_time(8_000)
    for name in ("a", "f"):
        held = pairs_of(world[name].store)
        assert world[name].engine.state.cuts[forker.did].kept
        assert any(key.startswith(rows.SIDES.prefix) for key in held)
        store = store_of(held, dict.fromkeys(derived(held)))
        mended(store)
        assert pairs_of(store) == held
        assert verify(store, deep=True).ok


@pytest.mark.parametrize("prefix", DERIVED)
def test_each_kind_of_row_is_mended_by_itself(whole, prefix) -> None:
    lost = [key for key in derived(whole) if key.startswith(prefix)]
    assert lost
    store = store_of(whole, dict.fromkeys(lost))
    assert set(mended(store).operations) == set(lost)
    assert pairs_of(store) == whole


@pytest.mark.slow
def test_what_is_wrong_goes_what_is_changed_is_put_right_and_what_is_right_is_left_alone(whole) -> None:
    rng = Random(1)
    keys = sorted(derived(whole))
    for _ in range(40):
        key = rng.choice(keys)
        value, wrong = whole[key], bytes([*key[:-1], key[-1] ^ 1 << rng.randrange(8)])
        operations: dict[bytes, bytes | None] = {}
        if value and rng.randrange(2):
            at = rng.randrange(len(value))
            operations[key] = value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
        elif wrong not in whole and not key.startswith(keyspace.REFERENCE):
            operations |= {key: None, wrong: value}
        else:
            operations[key] = None
        store = store_of(whole, operations)
        changed = mended(store)
        assert pairs_of(store) == whole, operations
        assert set(changed.operations) == set(operations)


def test_a_reference_too_many_only_keeps_something_and_is_left(whole) -> None:
    known = next(key for key in whole if key.startswith(keyspace.REFERENCE))
    store = store_of(whole, {bytes([*known[:-1], known[-1] ^ 1]): b""})
    assert changes(store).operations == {}


def test_numbers_of_content_go_on_behind_those_that_were_given(whole) -> None:
    due = contents.next_change(whole.get)
    lost = Batch()
    contents.set_next_change(lost, 0)
    store = store_of(whole, lost.operations)
    mended(store)
    assert contents.next_change(store.get) == due


def test_pins_dealings_and_what_is_said_of_the_store_are_believed(whole) -> None:
    believed = {key: value for key, value in whole.items() if not key.startswith(DERIVED) or keyspace.is_local(key)}
    store = store_of(whole, {key: b"" for key in derived(whole) if not key.startswith(keyspace.REFERENCE)})
    touched = mended(store).operations
    assert not believed.keys() & touched.keys()
    assert pairs_of(store) == whole


@pytest.mark.parametrize("what", ["missing", "damaged", "a gap", "out of order"])
def test_what_cannot_be_made_from_the_journal_is_refused_with_its_place(whole, what) -> None:
    store = store_of(whole)
    journal = [(arrival, blocks.get_block(store, cid)) for arrival, cid in blocks.journal(store)]
    (arrival, block), (behind, _) = next(
        (here, there) for here, there in pairwise(journal) if here[0] and here[1].cid in there[1].header.parents
    )
    name, entry, other = (keyspace.block(block.cid), *map(keyspace.journal_entry, (arrival, behind)))
    done: dict[str, dict[bytes, bytes | None]] = {
        "missing": {name: None},
        "damaged": {name: whole[name][:-1] + bytes([whole[name][-1] ^ 1])},
        "a gap": {entry: None},
        "out of order": {entry: whole[other], other: whole[entry]},
    }
    with pytest.raises(StoreCorrupt, match=rf"number {arrival} of the journal|numbers {arrival} to {arrival} of"):
        changes(store_of(whole, done[what]))
