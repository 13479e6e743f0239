"""The federation around a damaged store, and what puts the store right again.

    mended      opened as it is; a scan of it, and peers that have the blocks: nothing is wrong any more
    restored    given up for a backup that is older than it, and what came since from the peers
    refilled    given up for an empty store, and everything from the peers

The first is what a node does by itself, the others are what the guide tells an operator. Each must end with a store
that `verify(deep=True)` finds nothing in, that has every block and all content of the original, byte for byte, and
whose node goes on: it is not held, opens a job, and all nodes show one root.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.opening import StorageSettings, open_filling
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.services.answers import Done
from icn.services.commands import FetchContent, NoteScan, PutContent
from icn.services.ports import HeadMark
from icn.services.queries import dag
from icn.services.scan import START, scan, write_position
from icn.services.verify import verify
from icn.stores import contents, keyspace
from icn.stores.kv import KeyValueStore, Reader
from support import builders
from support.archives import back_up, fill_from
from support.crash_stores import STRONG
from support.stores import fill
from support.world import Marks, World

Rows = dict[bytes, bytes]
Operations = dict[bytes, bytes | None]

OWNER, OTHERS = "a", ("b", "c")
ROUNDS = 12
BACKED_UP_IN = 7
"""The round after which the backup is made; the rest is only with the peers."""
BACKUP = "backup.tar.gz"
SCANNED_AT_ONCE = 50_000
HEALING_MS = 4_000


@dataclass(frozen=True, slots=True)
class History:
    """What became of a small federation, as seen from the node whose store is to be damaged."""

    commits: list[Operations]
    """Of that node."""
    peers: dict[str, Rows]
    """What the others have in the end: all blocks, and all content."""
    mark: HeadMark
    time: Instant

    def states(self) -> Iterator[Rows]:
        """What the node's store held after each commit."""
        held: Rows = {}
        for operations in self.commits:
            held = {key: value for key, value in {**held, **operations}.items() if value is not None}
            yield held

    @property
    def newest(self) -> Rows:
        """What it holds in the end."""
        return list(self.states())[-1]


def history(folder: Path) -> History:
    """Founding, jobs, content; a backup of it in `folder`."""
    world = World()
    world.marks[OWNER] = Marks()
    for name in (OWNER, *OTHERS):
        world.add(name)
    world.found(OWNER, founders=OTHERS)
    world.link_all()
    world.pass_time(2_000)
    store = world[OWNER].store
    seen: Rows = {}
    commits: list[Operations] = []

    def note() -> None:
        now = dict(store.scan(b""))
        gone = dict.fromkeys(seen.keys() - now.keys())
        commits.append({**{key: value for key, value in now.items() if seen.get(key) != value}, **gone})
        seen.clear()
        seen.update(now)

    note()
    rng = Random(1)
    for number in range(ROUNDS):
        world.submit(OWNER, data=rng.randbytes(50 + 30 * number))
        world.done(OWNER, PutContent(rng.randbytes(400 * number), RAW, pinned=number % 2 == 0, lifetime_ms=None))
        world.pass_time(2_000)
        if number == BACKED_UP_IN:
            back_up(store, folder / BACKUP)
        note()
    for name in OTHERS:
        for cid, data in _content_of(store):
            world.done(name, PutContent(data, cid.codec, pinned=True, lifetime_ms=None))
    world.pass_time(2_000)
    note()
    mark = world.marks[OWNER].outer
    assert mark is not None
    return History(commits, {name: dict(world[name].store.scan(b"")) for name in OTHERS}, mark, world.clock.time)


def mended(kept: History, store: KeyValueStore) -> str:
    """What is still wrong after the node, its scan and its peers did what they do; nothing when it is empty."""
    world = _world(kept, store)
    position = START
    while True:
        found = scan(store, position, bytes_max=SCANNED_AT_ONCE, now=kept.time)
        position = found.position
        world.done(OWNER, NoteScan(write_position(position), found.damaged))
        if position.begun_at is None:
            break
    world.pass_time(HEALING_MS, step=500)
    return _wrong(kept, store, pins=True) or _stuck(world)


def restored(kept: History, backend: str, folder: Path, place: Path) -> str:
    """What is wrong with a store from the backup in `folder`, made in `place`, after the peers told the rest."""
    fill_from(open_filling(StorageSettings(backend, place / f"store.{backend}")), folder / BACKUP)
    return _caught_up(kept, backend, place)


def refilled(kept: History, backend: str, _folder: Path, place: Path) -> str:
    """What is wrong with a store that began empty, after the peers told everything."""
    return _caught_up(kept, backend, place)


WAYS_OUT: dict[str, Callable[[History, str, Path, Path], str]] = {"restored": restored, "refilled": refilled}
"""By name."""


def _caught_up(kept: History, backend: str, place: Path) -> str:
    with contextlib.closing(STRONG[backend](place)) as store:
        world = _world(kept, store)
        world.pass_time(HEALING_MS, step=500)
        for key in kept.newest:
            if key.startswith(keyspace.CONTENT_META):
                answer = world.do(OWNER, FetchContent(Cid(key[1:])))
                if not isinstance(answer, Done):
                    return f"content {Cid(key[1:])}: {answer}"
        return _wrong(kept, store, pins=False) or _stuck(world)


def _world(kept: History, store: KeyValueStore) -> World:
    """The federation as it was, with this store for the node's. The peers know nothing of what befell it."""
    world = World()
    world.clock.time = kept.time
    world.marks[OWNER] = Marks(kept.mark, kept.mark)
    world.add(OWNER, number=1, store=store)
    for number, name in enumerate(OTHERS, 2):
        memory = MemoryStore()
        fill(memory, kept.peers[name])
        world.add(name, number=number, store=memory)
    world.link_all()
    world.pass_time(2_000, step=500)
    return world


def _wrong(kept: History, reader: Reader, *, pins: bool) -> str:
    """The first thing that is not as it was; `pins`: they must be what they were, too."""
    report = verify(reader, builders.did(1), deep=True)
    if not report.ok:
        return f"{report.findings[0].where} {report.findings[0].what}"
    for key, value in kept.newest.items():
        cid = Cid(key[1:])
        if key.startswith(keyspace.BLOCK):
            served = dag.content(reader, cid)
            if served is None or served.data != value:
                return f"block {cid} is not what it was"
        if pins and key.startswith(keyspace.CONTENT_META):
            meta, due = contents.get_content_meta(reader, cid), contents.read_content_meta(value)
            if meta is None or (meta.pinned, meta.expires_at) != (due.pinned, due.expires_at):
                return f"content {cid} is not kept as it was"
    return ""


def _stuck(world: World) -> str:
    """Why the node does not go on."""
    if world[OWNER].engine.authorship.is_held:
        return "the node is held"
    world.submit(OWNER)
    world.pass_time(2_000, step=500)
    return "" if len(dict.fromkeys(world.roots())) == 1 else "the nodes show several roots"


def _content_of(reader: Reader) -> Iterator[tuple[Cid, bytes]]:
    for key, _ in reader.scan(keyspace.CONTENT_META):
        cid = Cid(key[1:])
        yield cid, reader.get(keyspace.block(cid)) or b""
