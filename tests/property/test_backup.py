"""Any history, backed up in one archive or many and restored, is the same history."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.ids import RAW, Cid
from icn.kernel.mana import Mana
from icn.services.commands import OpenAccountFor, Pay, PutContent
from icn.stores import contents
from icn.stores.archive import ArchiveKind
from icn.stores.kv import Batch
from support import builders
from support.archives import assert_whole, back_up, commit_beside, held, restore_into
from support.world import World, federation

pytestmark = pytest.mark.slow

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.binary(max_size=200), st.booleans(), st.none() | st.integers(1, 10**6)),
        st.tuples(st.just("pin"), st.integers(0, 5), st.booleans(), st.none()),
        st.tuples(st.just("remove"), st.integers(0, 5), st.none(), st.none()),
        st.tuples(st.just("pay"), st.integers(1, 5), st.none(), st.none()),
        st.tuples(st.just("job"), st.none(), st.none(), st.none()),
        st.tuples(st.just("time"), st.integers(1, 20), st.none(), st.none()),
        st.tuples(st.just("backup"), st.none(), st.none(), st.none()),
    ),
    max_size=14,
)


def content_at(world: World, number: int) -> Cid | None:
    known = [cid for _, cid in contents.changes(world["a"].store)]
    return known[number % len(known)] if known else None


def take(world: World, step: tuple) -> None:
    match step:
        case ("put", data, pinned, lifetime):
            world.done("a", PutContent(data, RAW, pinned, lifetime))
        case ("pin", number, pinned, _):
            cid, batch = content_at(world, number), Batch()
            if cid is not None:
                contents.change_content(world["a"].store.get, batch, cid, pinned=pinned, expires_at=None)
                commit_beside(world["a"].store, batch)
        case ("remove", number, _, _):
            cid, batch = content_at(world, number), Batch()
            if cid is not None:
                contents.remove_content(world["a"].store.get, batch, cid)
                commit_beside(world["a"].store, batch)
        case ("pay", amount, _, _):
            world.do("a", OpenAccountFor(builders.did(7)))
            world.do("a", Pay(builders.did(7), Mana(amount), ""))
        case ("job", *_):
            world.submit("a")
        case ("time", seconds, _, _):
            world.pass_time(seconds * 100)


@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_a_chain_of_backups_restores_to_the_same(steps: list[tuple]) -> None:
    world = federation("a", "b")
    removed = any(step[0] == "remove" for step in steps)
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / "0.tar.gz"]
        back_up(world["a"].store, paths[0])
        for step in [*steps, ("backup", None, None, None)]:
            take(world, step)
            if step[0] == "backup":
                paths.append(Path(name) / f"{len(paths)}.tar.gz")
                created = f"2026-01-{len(paths):02}T00:00:00Z"
                back_up(world["a"].store, paths[-1], kind=ArchiveKind.INCREMENTAL, created=created)
        full = Path(name) / "full"
        back_up(world["a"].store, full, created="2027-01-01T00:00:00Z")
        target, of_chain = MemoryStore(), MemoryStore()
        restore_into(target, full)
        restore_into(of_chain, *paths)
    expected = held(world["a"].store)
    assert held(target) == expected
    assert_whole(target, world["a"].did)
    assert_whole(of_chain, world["a"].did)
    assert held(of_chain).rows == expected.rows
    assert held(of_chain).local == expected.local
    if removed:  # a restore brings back what was removed between two backups; pruning removes it again
        assert set(held(of_chain).content) >= set(expected.content)
    else:
        assert held(of_chain) == expected
