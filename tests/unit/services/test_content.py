"""Content by name: whoever has it serves it, nobody is believed, and who waits is told once."""

import pytest

from icn.kernel import limits
from icn.kernel.errors import Kind
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.protocol.messages import Chunk, Fetch, NotHere
from icn.services import content
from icn.services.answers import Done, Refused
from icn.services.commands import FetchContent, PutContent
from icn.services.effects import Send
from icn.services.inputs import Received
from icn.stores import blocks, contents
from support import builders
from support.world import World, federation

DATA = b"what members share" * 100
NAME = Cid.of(DATA, RAW)


def _put(world: World, name: str, data: bytes = DATA) -> None:
    world.done(name, PutContent(data, RAW, pinned=True, lifetime_ms=None))


def _asked(world: World) -> list[str]:
    return [world.name_of(e.peer) for n, e in world.trace if isinstance(e, Send) and isinstance(e.message, Fetch)]


def _has(world: World, name: str, cid: Cid = NAME) -> bool:
    return blocks.get_bytes(world[name].store, cid) is not None


def test_content_is_fetched_from_who_has_it() -> None:
    world = federation("a", "b", "c")
    _put(world, "c")
    assert isinstance(world.do("a", FetchContent(NAME)), Done)
    assert blocks.get_bytes(world["a"].store, NAME) == DATA
    assert _asked(world)[-1] == "c"


def test_content_that_nobody_has_is_not_found() -> None:
    world = federation("a", "b")
    answer = world.do("a", FetchContent(NAME))
    assert isinstance(answer, Refused)
    assert (answer.kind, answer.code) == (Kind.NOT_FOUND, "dag.not_found")


def test_a_silent_source_is_left_for_the_next() -> None:
    world = federation("a", "b", "c")
    _put(world, "b")
    _put(world, "c")
    world.drop = lambda sender, _to, message: sender == "b" and isinstance(message, Chunk)
    token = world.ask("a", FetchContent(NAME))
    world.pass_time(4_000, step=500)
    assert token not in world["a"].answers
    world.pass_time(2_000)
    assert isinstance(world["a"].answers[token], Done)
    assert _asked(world) == ["b", "c"]


def test_a_source_that_leaves_is_left_for_the_next() -> None:
    world = federation("a", "b", "c")
    _put(world, "c")
    world.drop = lambda sender, _to, message: sender == "b" and isinstance(message, NotHere)
    token = world.ask("a", FetchContent(NAME))
    world.settle()
    world.cut("a", "b")
    world.settle()
    assert isinstance(world["a"].answers[token], Done)


def test_wrong_bytes_are_not_believed_and_the_next_source_is_asked() -> None:
    world = federation("a", "b", "c")
    _put(world, "c")
    world.drop = lambda sender, _to, message: sender == "b" and isinstance(message, NotHere)
    token = world.ask("a", FetchContent(NAME))
    world.settle()
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, 5, b"wrong")))
    world.settle()
    assert [peer for peer, _ in world["a"].disconnects] == [world["b"].did]
    assert isinstance(world["a"].answers[token], Done)
    assert blocks.get_bytes(world["a"].store, NAME) == DATA


@pytest.mark.parametrize(("total", "data"), [(limits.CONTENT_BYTES_MAX + 1, b"x"), (-1, b""), (1, b"xx"), (5, b"")])
def test_chunks_that_cannot_be_end_the_conversation(total: int, data: bytes) -> None:
    world = federation("a", "b")
    world.drop = lambda _from, _to, message: isinstance(message, NotHere)
    world.ask("a", FetchContent(NAME))
    world.settle()
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, total, data)))
    assert [peer for peer, _ in world["a"].disconnects] == [world["b"].did]


def test_what_nobody_asked_for_is_not_kept() -> None:
    world = federation("a", "b", "c")
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, len(DATA), DATA)))
    assert not _has(world, "a")
    world.drop = lambda _from, _to, message: isinstance(message, NotHere)
    world.ask("a", FetchContent(NAME))
    world.settle()
    world.handle("a", Received(world["c"].did, Chunk(NAME, 0, len(DATA), DATA)))  # b was asked
    assert not _has(world, "a")


def test_a_large_block_travels_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES_MAX", 100)
    monkeypatch.setattr(content, "CHUNK_BYTES_SHORT", 100)
    world = federation("a", "b")
    _put(world, "b")
    assert isinstance(world.do("a", FetchContent(NAME)), Done)
    assert blocks.get_bytes(world["a"].store, NAME) == DATA
    assert len(_asked(world)) == 18


def test_everybody_who_waits_for_the_same_is_told_once() -> None:
    world = federation("a", "b")
    _put(world, "b")
    tokens = [world.ask("a", FetchContent(NAME)) for _ in range(3)]
    world.settle()
    assert [type(world["a"].answers[token]) for token in tokens] == [Done, Done, Done]
    assert len(_asked(world)) == 1


def test_more_than_may_be_under_way_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FETCHES_IN_FLIGHT_MAX", 2)
    world = federation("a", "b")
    names = []
    for number in range(7):
        data = f"{number}".encode()
        _put(world, "b", data)
        names.append(Cid.of(data, RAW))
    tokens = [world.ask("a", FetchContent(name)) for name in names]
    world.settle()
    assert all(isinstance(world["a"].answers[token], Done) for token in tokens)


def test_putting_again_changes_nothing() -> None:
    world = federation("a")
    _put(world, "a")
    before = contents.get_content_meta(world["a"].store, NAME)
    world.done("a", PutContent(DATA, RAW, pinned=False, lifetime_ms=5))
    assert contents.get_content_meta(world["a"].store, NAME) == before


def test_what_is_put_here_while_it_is_fetched_keeps_its_pin() -> None:
    world = federation("a", "b")
    world.drop = lambda _from, _to, message: isinstance(message, NotHere)
    world.ask("a", FetchContent(NAME))
    world.settle()
    _put(world, "a")
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, len(DATA), DATA)))
    meta = contents.get_content_meta(world["a"].store, NAME)
    assert meta is not None
    assert meta.pinned


def test_bounds_and_form_are_checked_before_anything_is_stored() -> None:
    world = federation("a")
    large = world.do("a", PutContent(bytes(limits.CONTENT_BYTES_MAX + 1), RAW, pinned=False, lifetime_ms=None))
    loose = world.do("a", PutContent(b"\x18\x01", DAG_CBOR, pinned=False, lifetime_ms=None))
    assert isinstance(large, Refused)
    assert isinstance(loose, Refused)
    assert not _has(world, "a", Cid.of(b"\x18\x01", DAG_CBOR))


@pytest.mark.parametrize("offset", [-1, 10**9])
def test_an_offset_outside_is_answered_with_nothing(offset: int) -> None:
    world = federation("a", "b")
    _put(world, "a")
    world.trace.clear()
    world.handle("a", Received(world["b"].did, Fetch(NAME, offset)))
    assert [e.message for _, e in world.trace if isinstance(e, Send)] == [NotHere(NAME)]


def test_strangers_are_not_served_before_they_greet() -> None:
    world = federation("a")
    _put(world, "a")
    world.trace.clear()
    world.handle("a", Received(builders.did(99), Fetch(NAME, 0)))
    assert not [e for _, e in world.trace if isinstance(e, Send)]
