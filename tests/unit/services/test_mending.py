"""Damaged blocks are given to nobody, and come whole again from a peer that has them."""

import pytest

from icn.kernel.errors import Fault
from icn.kernel.ids import RAW, Cid
from icn.protocol.messages import Blocks, Chunk, NotHere
from icn.services.answers import Done, Refused
from icn.services.commands import FetchContent, NoteScan, PutContent
from icn.services.effects import BlockDamaged, BlockMended, RunJob, Send
from icn.services.verify import verify
from icn.stores import blocks, keyspace
from icn.stores.kv import Batch
from support import builders
from support.world import World, federation

DATA = b"what members share" * 100
NAME = Cid.of(DATA, RAW)


def flip(world: World, name: str, cid: Cid) -> None:
    """One bit on the disk changes."""
    store, batch = world[name].store, Batch()
    data = blocks.get_bytes(store, cid) or b""
    batch.put(keyspace.block(cid), bytes((data[0] ^ 1,)) + data[1:])
    store.commit(batch, world[name].engine.fence)


def put(world: World, *names: str) -> None:
    for name in names:
        world.done(name, PutContent(DATA, RAW, pinned=True, lifetime_ms=None))


def whole(world: World, name: str, cid: Cid) -> bool:
    return cid.names(blocks.get_bytes(world[name].store, cid) or b"")


def effects(world: World, kind: type) -> list[Cid]:
    return [e.cid for _, e in world.trace if isinstance(e, kind)]


def test_damaged_content_is_not_sent_to_a_peer() -> None:
    world = federation("a", "b")
    put(world, "a")
    flip(world, "a", NAME)
    answer = world.do("b", FetchContent(NAME))
    assert isinstance(answer, Refused)
    assert not any(isinstance(e, Send) and isinstance(e.message, Chunk) for _, e in world.trace)
    assert any(isinstance(e, Send) and isinstance(e.message, NotHere) for n, e in world.trace if n == "a")
    assert effects(world, BlockDamaged) == [NAME]


def test_damaged_content_is_got_again_from_a_peer_for_who_asks_for_it() -> None:
    world = federation("a", "b")
    put(world, "a", "b")
    flip(world, "a", NAME)
    assert isinstance(world.do("a", FetchContent(NAME)), Done)
    assert whole(world, "a", NAME)
    assert effects(world, BlockMended) == [NAME]
    assert not verify(world["a"].store, world["a"].did, deep=True).findings


def test_damage_that_nobody_can_mend_is_said_so_and_mended_when_somebody_comes_who_can() -> None:
    world = federation("a", "b")
    put(world, "a", "b")
    world.isolate("a")
    world.settle()
    flip(world, "a", NAME)
    answer = world.do("a", FetchContent(NAME))
    assert isinstance(answer, Refused)
    assert answer.code == "dag.damaged"
    world.link("a", "b")
    world.pass_time(2_000)
    assert whole(world, "a", NAME)


def test_what_a_scan_found_is_looked_at_and_mended_signed_blocks_too() -> None:
    world = federation("a", "b")
    put(world, "a", "b")
    world.submit("a")
    world.pass_time(3_000)
    signed = blocks.cid_at(world["a"].store, world["b"].did, 0)
    assert signed is not None
    flip(world, "a", NAME)
    flip(world, "a", signed)
    assert len(verify(world["a"].store, world["a"].did, deep=False).findings) >= 2
    answer = world.done("a", NoteScan(b"where", (NAME, signed, Cid.of(b"gone", RAW))))
    assert answer == {"damaged": 2}
    world.pass_time(500)
    assert whole(world, "a", NAME)
    assert whole(world, "a", signed)
    assert not verify(world["a"].store, world["a"].did, deep=True).findings


def test_a_damaged_signed_block_is_not_sent_to_who_catches_up() -> None:
    world = federation("a")
    world.submit("a")
    world.pass_time(1_000)
    middle = blocks.cid_at(world["a"].store, world["a"].did, 1)
    assert middle is not None
    flip(world, "a", middle)
    world.add("b")
    world.link_all()
    world.pass_time(6_000)
    sent = [e.message for _, e in world.trace if isinstance(e, Send) and isinstance(e.message, Blocks)]
    assert sent
    damaged = blocks.get_bytes(world["a"].store, middle)
    assert all(damaged not in message.blocks for message in sent)
    assert middle in effects(world, BlockDamaged)


def test_a_damaged_module_is_got_again_before_it_runs() -> None:
    world = federation("a", "b")
    module = b"\0asm" + bytes(100)
    cid = Cid.of(module, RAW)
    for name in ("a", "b"):
        world.done(name, PutContent(module, RAW, pinned=True, lifetime_ms=None))
    flip(world, "b", cid)
    world.isolate("b")
    world.settle()
    world.link("a", "b")
    world.pass_time(1_000)
    given: list[bytes] = []
    world["a"].run = world["b"].run = lambda request: given.append(request.input) or builders.outcome(request)
    world.submit("a", world.spec(module=cid), data=b"")
    world.pass_time(5_000)
    assert given
    assert all(e.module == module for _, e in world.trace if isinstance(e, RunJob))


def test_a_peer_that_could_not_help_is_asked_again_after_a_while() -> None:
    world = federation("a", "b")
    put(world, "a", "b")
    flip(world, "a", NAME)
    flip(world, "b", NAME)
    world.done("a", NoteScan(b"", (NAME,)))
    world.pass_time(2_000)
    assert not whole(world, "a", NAME)
    put(world, "b")
    world.pass_time(20_000, step=1_000)
    assert not whole(world, "a", NAME)
    world.pass_time(15_000, step=1_000)
    assert whole(world, "a", NAME)


def test_what_was_read_of_a_batch_that_failed_is_not_taken_for_stored() -> None:
    world = federation("a")
    world.ask("a", PutContent(DATA, RAW, pinned=True, lifetime_ms=None))
    world.ask("a", FetchContent(NAME))
    world["a"].store.fail_next = 1
    with pytest.raises(Fault):
        world.settle()
    world["a"].inbox.clear()
    assert isinstance(world.do("a", FetchContent(NAME)), Refused)


def test_damage_is_told_once() -> None:
    world = federation("a", "b")
    put(world, "a")
    flip(world, "a", NAME)
    for _ in range(3):
        world.do("b", FetchContent(NAME))
    world.pass_time(120_000, step=5_000)
    assert effects(world, BlockDamaged) == [NAME]


def test_putting_the_bytes_again_mends_them() -> None:
    world = federation("a")
    put(world, "a")
    flip(world, "a", NAME)
    put(world, "a")
    assert whole(world, "a", NAME)
    assert effects(world, BlockMended) == [NAME]


@pytest.mark.parametrize("gone", [keyspace.block(NAME)])
def test_bytes_that_are_gone_are_got_again_under_the_pin_they_had(gone: bytes) -> None:
    world = federation("a", "b")
    put(world, "a", "b")
    batch = Batch()
    batch.delete(gone)
    world["a"].store.commit(batch, world["a"].engine.fence)
    assert isinstance(world.do("a", FetchContent(NAME)), Done)
    assert not verify(world["a"].store, world["a"].did, deep=True).findings
