"""Archives examined in a process of their own hold what they hold, are as wrong, and the process is gone afterwards."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from icn.adapters.archive import examining as module
from icn.adapters.archive.examining import NAMED_AT_ONCE, ROOMS, Examining
from icn.adapters.archive.forking import StageLost
from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.adapters.storage.sqlite import open_aside
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.kernel.instant import Instant
from icn.services.archive_check import Items
from icn.services.block_names import named_blocks
from icn.stores import keyspace
from icn.stores.archive import ArchiveDamaged, Part
from icn.stores.archive_parts import ContentLine, view_car, write_car
from icn.stores.kv import StoreCorrupt
from icn.stores.tar import Room
from support.stores import fill

# Who runs tests has threads, of which later releases of Python warn; they hold nothing that is needed here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

Entry = tuple[Part, Items]


@dataclass(frozen=True)
class Made:
    """A link of a chain, as far as these tests need one."""

    entries: tuple[Entry, ...]
    then: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        MADE.append(self)

    def __reduce__(self) -> tuple[Callable[[int], "Made"], tuple[int]]:
        """The other process has it, too: it was forked when it was made. What is done then cannot be sent."""
        return made_before, (next(place for place, made in enumerate(MADE) if made is self),)


MADE: list[Made] = []


def made_before(place: int) -> Made:
    return MADE[place]


@contextlib.contextmanager
def examined_elsewhere(chain: tuple[Made, ...]) -> Iterator[Examining]:
    with module.examined_elsewhere() as examining:
        examining.begin(chain)
        yield examining


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processors this machine has; and links that were made."""

    def examined(link: Made, room: Room | None = None) -> Generator[Entry, None, None]:
        for part, items in link.entries:
            place = None if room is None else room(part.name, part.size)
            yield part, items if place is None else _put(items, place)
        link.then()

    monkeypatch.setattr(module, "is_worth_it", lambda: True)
    monkeypatch.setattr(module, "examined", examined)


def _put(items: Items, place: memoryview) -> Items:
    """As they are, where they stand in a part that is put there."""
    place[:] = _car(items)
    blocks = (data for _, data in view_car(place))
    return replace(items, content=tuple(zip((line for line, _ in items.content), blocks, strict=True)))


def _car(items: Items) -> bytes:
    return write_car([(line.cid, bytes(data or b"")) for line, data in items.content])


def entry(number: int, *blocks: bytes) -> Entry:
    """A part with this content."""
    items = Items(content=tuple((line(place, data), memoryview(data)) for place, data in enumerate(blocks)))
    return Part(f"content/{number:06}.car", len(_car(items)), ""), items


def lines(number: int) -> Entry:
    """A part that tells of content without its bytes."""
    return Part(f"content/{number:06}.jsonl", 5, "ab" * 32), Items(
        content=tuple((line(place, None), None) for place in range(2))
    )


def line(place: int, data: bytes | None) -> ContentLine:
    size = 4 if data is None else len(data)
    return ContentLine(
        Cid.of(data or b"", RAW),
        size=size,
        stored_at=Instant(7),
        pinned=place % 2 == 0,
        expires_at=Instant(9) if size % 2 else None,
        changed=place,
        has_bytes=data is not None,
    )


OTHERS = (
    (Part("blocks/000001.car", 3, "cd" * 32), Items(signed=((Cid.of(b"s", RAW), b"s"),))),
    (Part("local/000001.jsonl", 2, "ef" * 32), Items(local=((b"key", b"value"),))),
    (Part("identity/node.key", 1, "01" * 32), Items(identity=b"key file")),
    (Part("manifest.json", 1, "23" * 32), Items()),
)
CONTENT = (
    entry(1, b"one", b"", b"another" * 1000),
    lines(2),
    entry(3, b""),
    entry(3, b"", b"between", b"", b"x" * 91, b"y" * 92, b""),
    *(entry(4 + n, bytes([n]) * 70_000, b"end") for n in range(3 * ROOMS)),
)


def read(chain: tuple[Made, ...]) -> list[list[Entry]]:
    with examined_elsewhere(chain) as examining:
        return [list(_kept(examining.reading(link))) for link in chain]


def _kept(entries: Iterator[Entry]) -> Iterator[Entry]:
    """With copies of what is only looked at."""
    for part, items in entries:
        content = tuple((line, None if data is None else bytes(data)) for line, data in items.content)
        yield part, Items(items.signed, items.evidence, content, items.local, items.identity)


def test_each_archive_holds_what_it_holds() -> None:
    chain = (Made((*OTHERS, *CONTENT)), Made(()), Made(CONTENT[::-1]))
    assert read(chain) == [list(_kept(iter(link.entries))) for link in chain]


def test_it_is_read_in_another_process() -> None:
    def tell() -> None:
        raise ArchiveDamaged("a", str(os.getpid()))

    with pytest.raises(ArchiveDamaged) as raised:
        read((Made((), tell),))
    assert raised.value.why not in {"", str(os.getpid())}


def test_what_is_looked_at_stays_as_it_is_while_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As content does that waits to be written."""
    monkeypatch.setattr(module, "ROOMS", 3)
    chain = (Made(CONTENT),)
    with examined_elsewhere(chain) as examining:
        entries = iter(examining.reading(chain[0]))
        ((_, first), (_, empty), (_, last)) = next(entries)[1].content
        for _ in entries:
            assert (first, empty, last) == (b"one", b"", b"another" * 1000)
    assert (first, empty, last) == (b"one", b"", b"another" * 1000)  # also when the process is gone


def test_a_room_is_written_again_when_nobody_looks_at_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOMS", 1)
    chain, copies = (Made(CONTENT),), list[Entry]()
    with examined_elsewhere(chain) as examining:
        entries = examining.reading(chain[0])
        while True:
            looked_at = next(entries, None)
            if looked_at is None:
                break
            copies += _kept(iter((looked_at,)))
            del looked_at
    assert copies == list(_kept(iter(CONTENT)))


def test_what_is_wrong_is_raised_in_its_place() -> None:
    def damage() -> None:
        raise ArchiveDamaged("a.tar.gz", "it was asked for")

    chain = (Made(OTHERS), Made(CONTENT, damage))
    with examined_elsewhere(chain) as examining:
        assert len(list(examining.reading(chain[0]))) == len(OTHERS)
        entries = examining.reading(chain[1])
        for _ in CONTENT:
            next(entries)
        with pytest.raises(ArchiveDamaged, match="it was asked for") as raised:
            next(entries)
    assert (raised.value.archive, raised.value.why) == ("a.tar.gz", "it was asked for")


def test_a_process_that_was_ended_from_outside_is_a_fault_of_the_machine() -> None:
    with pytest.raises(StageLost):
        read((Made(OTHERS, lambda: os.kill(os.getpid(), signal.SIGKILL)),))


def test_an_interrupt_is_for_the_command_alone() -> None:
    chain = (Made(OTHERS, lambda: os.kill(os.getpid(), signal.SIGINT)), Made(CONTENT))
    assert [len(entries) for entries in read(chain)] == [len(OTHERS), len(CONTENT)]


def test_nobody_waits_for_it_where_it_is_not_needed_any_more() -> None:
    chain = (Made(CONTENT, signal.pause),)
    with examined_elsewhere(chain) as examining:
        next(examining.reading(chain[0]))
    with examined_elsewhere(chain):
        pass  # nor where nothing was read


def test_where_it_is_not_worth_it_they_are_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_worth_it", lambda: False)
    told: list[int] = []
    chain = (Made((*OTHERS, *CONTENT), lambda: told.append(os.getpid())),)
    assert read(chain) == [list(_kept(iter(chain[0].entries)))]
    assert told == [os.getpid()]


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_files_are_closed_where_no_process_can_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", none_left)
    before = open_files()
    with pytest.raises(BlockingIOError), examined_elsewhere(()):
        pass
    assert open_files() == before


BLOCKS = {Cid.of(data, codec): data for data in (b"one", b"two" * 9) for codec in (RAW, DAG_CBOR)}


def store_in(folder: Path) -> Path:
    path = folder / "s.sqlite"
    store = open_store(StorageSettings("sqlite", path))
    many = {Cid.of(b"%d" % number, RAW): b"%d" % number for number in range(2 * NAMED_AT_ONCE)}
    fill(store, {keyspace.block(cid): data for cid, data in (BLOCKS | many).items()})
    fill(store, {keyspace.block(Cid.of(b"what", RAW)): b"whAt", keyspace.BLOCK + b"no name": b"bytes"})
    store.close()
    return path


def test_the_store_is_walked_over_there_when_the_archives_are_read(tmp_path: Path) -> None:
    aside = partial(open_aside, store_in(tmp_path))
    chain = (Made(OTHERS),)
    with examined_elsewhere(chain) as examining:
        assert len(list(examining.reading(chain[0]))) == len(OTHERS)
        there = list(examining.walk(aside)(MemoryStore()))
    with aside() as reader:
        here = list(named_blocks(reader))
    assert there == [block._replace(data=None) for block in here]
    assert sum(not block.fits for block in there) == 2


def test_what_is_wrong_with_the_store_is_raised_here(tmp_path: Path) -> None:
    path = store_in(tmp_path)
    data = bytearray(path.read_bytes())
    data[100:] = bytes(len(data) - 100)
    path.write_bytes(data)
    with examined_elsewhere(()) as examining, pytest.raises(StoreCorrupt):
        list(examining.walk(partial(open_aside, path))(MemoryStore()))


def test_a_store_that_one_process_only_can_have_is_walked_over_here(tmp_path: Path) -> None:
    with examined_elsewhere(()) as examining:
        assert examining.walk(None) is named_blocks


def test_a_store_is_not_walked_over_before_the_archives_are_read(tmp_path: Path) -> None:
    with examined_elsewhere((Made(()),)) as examining, pytest.raises(InvariantBroken, match="when all archives were"):
        examining.walk(partial(open_aside, store_in(tmp_path)))


def test_a_process_that_was_ended_before_it_was_asked_for_the_store_is_a_fault_as_well(tmp_path: Path) -> None:
    chain = (Made((), lambda: os.kill(os.getpid(), signal.SIGKILL)),)
    with examined_elsewhere(chain) as examining:
        with pytest.raises(StageLost):
            list(examining.reading(chain[0]))
        with pytest.raises(StageLost):
            list(examining.walk(partial(open_aside, tmp_path / "s.sqlite"))(MemoryStore()))


def test_a_room_may_be_found_free_by_whoever_is_saying_so_of_another_one() -> None:
    """A collection of garbage can come at any moment, and ends what it finds on the spot."""
    made = Made((entry(0, b"one"), entry(1, b"two")))
    with examined_elsewhere((made,)) as examining:
        looked_at = [items for _, items in examining.reading(made)]
        assert isinstance(examining, module._Process)

        def let_go() -> None:
            with examining._closing:
                looked_at.clear()

        thread = threading.Thread(target=let_go, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
