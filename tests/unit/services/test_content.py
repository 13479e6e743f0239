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


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES_MAX", 100)
    monkeypatch.setattr(content, "CHUNK_BYTES_SHORT", 100)


def _offsets(world: World) -> list[tuple[str, int]]:
    sent = [(n, e) for n, e in world.trace if isinstance(e, Send) and isinstance(e.message, Fetch)]
    return [(world.name_of(e.peer), e.message.offset) for n, e in sent if n == "a"]


def _breaks_off_at(world: World, name: str, offset: int) -> None:
    """From there on this node's chunks are lost."""
    world.drop = lambda sender, _to, message: sender == name and isinstance(message, Chunk) and message.offset >= offset


@pytest.mark.usefixtures("small_chunks")
def test_the_next_source_goes_on_where_the_one_before_stopped() -> None:
    world = federation("a", "b", "c")
    _put(world, "b")
    _put(world, "c")
    _breaks_off_at(world, "b", 500)
    token = world.ask("a", FetchContent(NAME))
    world.pass_time(6_000, step=500)
    assert isinstance(world["a"].answers[token], Done)
    assert blocks.get_bytes(world["a"].store, NAME) == DATA
    assert ("c", 500) in _offsets(world)
    assert ("c", 0) not in _offsets(world)


@pytest.mark.usefixtures("small_chunks")
def test_a_later_fetch_goes_on_where_the_earlier_one_stopped() -> None:
    world = federation("a", "b")
    _put(world, "b")
    _breaks_off_at(world, "b", 500)
    token = world.ask("a", FetchContent(NAME))
    world.pass_time(6_000, step=500)
    assert isinstance(world["a"].answers[token], Refused)
    world.drop = None
    world.trace.clear()
    assert isinstance(world.do("a", FetchContent(NAME)), Done)
    assert _offsets(world)[0] == ("b", 500)


@pytest.mark.usefixtures("small_chunks")
def test_parts_that_do_not_fit_together_are_thrown_away_and_each_source_is_asked_alone() -> None:
    world = federation("a", "b", "c")
    _put(world, "c")
    world.drop = lambda sender, _to, message: sender == "b" and isinstance(message, NotHere)
    token = world.ask("a", FetchContent(NAME))
    world.settle()
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, len(DATA), b"?" * 100)))
    world.pass_time(12_000, step=500)
    assert isinstance(world["a"].answers[token], Done)
    assert blocks.get_bytes(world["a"].store, NAME) == DATA
    assert world["a"].disconnects == []  # nobody knows yet who lied
    assert ("c", 100) in _offsets(world)
    assert ("c", 0) in _offsets(world)


def test_a_beginning_that_is_too_long_keeps_nobody_from_the_block() -> None:
    world = federation("a", "b", "c")
    _put(world, "c")
    world.drop = lambda sender, _to, message: sender == "b" and isinstance(message, NotHere)
    token = world.ask("a", FetchContent(NAME))
    world.settle()
    lie = bytes(content.CHUNK_BYTES_SHORT)
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, len(lie) + 1, lie)))
    world.pass_time(6_000, step=500)
    assert isinstance(world["a"].answers[token], Done)
    assert [offset for peer, offset in _offsets(world) if peer == "c"] == [len(lie), 0]


def test_who_lies_when_it_is_asked_alone_is_let_go() -> None:
    world = federation("a", "b", "c")
    _put(world, "c")
    world.drop = lambda sender, _to, message: isinstance(message, NotHere) or sender == "c"
    world.ask("a", FetchContent(NAME))
    world.settle()
    lie = bytes(content.CHUNK_BYTES_SHORT)
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, 2 * len(lie), lie)))
    world.pass_time(5_000, step=500)
    world.handle("a", Received(world["c"].did, Chunk(NAME, len(lie), 2 * len(lie), lie)))
    assert world["a"].disconnects == []
    world.handle("a", Received(world["b"].did, Chunk(NAME, 0, 3, b"???")))
    assert [peer for peer, _ in world["a"].disconnects] == [world["b"].did]


def test_no_more_is_in_memory_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES_MAX", 100)
    monkeypatch.setattr(content, "CHUNK_BYTES_SHORT", 100)
    monkeypatch.setattr(limits, "FETCHES_BYTES_MAX", 2_000)
    world = federation("a", "b")
    names = [Cid.of(data, RAW) for data in (DATA, DATA[1:], DATA[2:])]
    for shift in range(3):
        _put(world, "b", DATA[shift:])
    tokens = [world.ask("a", FetchContent(name)) for name in names]
    most = 0
    fetches = world["a"].engine.content._fetches
    for _ in range(200):
        for name in ("a", "b"):
            inputs = list(world[name].inbox)
            world[name].inbox.clear()
            if inputs:
                world.handle(name, *inputs)
        most = max(most, sum(len(fetching.part.data) for fetching in fetches.values()))
    assert all(isinstance(world["a"].answers[token], Done) for token in tokens)
    assert most <= 2_000 + 2 * 100


def test_what_is_paused_is_not_taken_for_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES_MAX", 100)
    monkeypatch.setattr(content, "CHUNK_BYTES_SHORT", 100)
    monkeypatch.setattr(limits, "FETCHES_BYTES_MAX", 2_000)
    world = federation("a", "b", "c")
    first, second = NAME, Cid.of(DATA[1:], RAW)
    for name in ("b", "c"):
        _put(world, name)
        _put(world, name, DATA[1:])
    world.drop = lambda _from, _to, message: isinstance(message, Chunk) and message.cid == first and message.offset > 0
    tokens = [world.ask("a", FetchContent(name)) for name in (first, second)]
    world.pass_time(9_000, step=500)  # the first waits for two silent sources, one after the other
    assert [token in world["a"].answers for token in tokens] == [False, False]
    world.pass_time(2_000, step=500)
    assert isinstance(world["a"].answers[tokens[0]], Refused)
    assert isinstance(world["a"].answers[tokens[1]], Done)


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
