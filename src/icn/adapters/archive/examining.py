"""Archives examined in a process of their own: decompressing and hashing go on beside all that is done with what they
hold, and neither waits for the other's turn of Python. When they are read it can walk over the store that came of them.

```
 there                                              here
 entries, examined ──what each is and holds──────> the caller
   ^  bytes of content ─> room, shared <─looked at─┘
   └───────────────────────which is free again─────┘
 the store, read <──────how to open it─────────────
         └──the names of its blocks────────────────> who verifies it
```

Content does not go through a pipe: the parts that hold it are unpacked into rooms, memory that both processes have, and
looked at there. A room is free when nobody looks at it any more. The process is forked (`forking`), and killed when the
context is left. What is wrong with an archive, or goes wrong there, is raised here, in its place among the entries.

Where there is one processor only, or more than one thread already, they are examined here.
"""

import contextlib
import fcntl
import mmap
import os
import pickle
import signal
import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol

from icn.adapters.archive.ahead import ahead
from icn.adapters.archive.forking import Raised, StageLost, forked, is_worth_it, pipe, send
from icn.kernel.errors import require
from icn.kernel.ids import Cid
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB
from icn.kernel.making import maker
from icn.services.archive_check import Items, hashing_but_content
from icn.services.block_names import Aside, NamedBlock, Walk, named_blocks
from icn.services.filling import Reading, examined
from icn.services.restore_plan import Link
from icn.stores import many
from icn.stores.archive import PART_BYTES_MAX, Part
from icn.stores.archive_parts import ContentLine, places_in_car
from icn.stores.kv import Reader

ROOMS = 2
"""Parts of content that are written, wait or are looked at: who looks at so many and asks for another waits for ever.

One more costs more than it gives: what is written is still at hand for the processor when it is looked at soon.
"""
ROOM_BYTES = PART_BYTES_MAX
"""What a room has at most."""
NAMED_AT_ONCE = 256
"""Blocks of the store that are told of together."""
PIPE_BYTES = MIB
"""What is told of may wait there: as much as Linux lets a user have."""


class Examining(Protocol):
    """Archives of a chain, and the store that is filled from them, being read."""

    def begin(self, chain: Sequence[Link]) -> None:
        """These are the archives, which are to be read now."""

    @property
    def reading(self) -> Reading:
        """Gives the entries of each archive, in the order of the chain (`filling.examined`)."""

    def walk(self, aside: Aside | None) -> Walk:
        """Begin to read the store, when all archives were read, where it can be opened there; else with the walk."""


@contextlib.contextmanager
def examined_elsewhere() -> Iterator[Examining]:
    """Archives, and what is filled from them, read in another process, where that is worth it. It is forked at once."""
    if not is_worth_it():
        yield _Here()
        return
    process = _Process()
    try:
        yield process
    finally:
        process.close()


class _Here:
    """Satisfies `Examining`."""

    def begin(self, chain: Sequence[Link]) -> None:
        """Each is read when it is asked for."""

    @property
    def reading(self) -> Reading:
        return examined_here

    def walk(self, aside: Aside | None) -> Walk:
        return named_blocks


def examined_here(link: Link) -> Generator[tuple[Part, Items], None, None]:
    """The entries of an archive, on a thread of their own."""
    with contextlib.closing(ahead(examined(link))) as entries:
        yield from entries


# What goes through the pipe


_LineFields = tuple[bytes, int, Instant, bool, Instant | None, int, bool]
_NameFields = tuple[bytes, str, int, bool]
_line = maker(ContentLine)


@dataclass(frozen=True, slots=True)
class _Entry:
    part: Part
    items: Items
    """Without content."""
    lines: tuple[_LineFields, ...]
    """Of content, in its order."""
    room: int | None
    """Where the part stands, as it is in the archive; None where the lines come without bytes."""


@dataclass(frozen=True, slots=True)
class _End:
    """Of an archive, or of the walk."""


@dataclass(frozen=True, slots=True)
class _Named:
    blocks: tuple[_NameFields, ...]


# There


class _Writer:
    """Sends entries, content through rooms; then names."""

    def __init__(self, entries: BinaryIO, freed: BinaryIO, asked: BinaryIO, rooms: tuple[int, ...]) -> None:
        self._asked = asked
        self._entries = entries
        self._freed = freed
        self._rooms = [mmap.mmap(descriptor, ROOM_BYTES) for descriptor in rooms]
        self._free = list(range(len(rooms)))
        self._taken: int | None = None
        """The room of the entry that is being read."""

    def work(self) -> None:
        """The life of the process. Nobody being there any more ends it."""
        try:
            chain: Sequence[Link] = pickle.load(self._asked)  # noqa: S301 - our own process wrote it
            for link in chain:
                for part, items in examined(link, self._room):
                    self._write(part, items)
                self._send(_End())
            aside: Aside = pickle.load(self._asked)  # noqa: S301 - our own process wrote it
            with aside() as reader:
                for blocks in many.groups(map(_told, named_blocks(reader)), NAMED_AT_ONCE):
                    self._send(_Named(tuple(blocks)))
            self._send(_End())
        except (EOFError, BrokenPipeError):
            return
        except Exception as error:  # noqa: BLE001 - the outermost layer of a process; raised in the other one
            send(self._entries, Raised.of(error).pickled())

    def _write(self, part: Part, items: Items) -> None:
        lines = tuple(
            (of.cid.data, of.size, of.stored_at, of.pinned, of.expires_at, of.changed, of.has_bytes)
            for of, _ in items.content
        )
        room, self._taken = self._taken, None
        is_there = any(data is not None for _, data in items.content)
        require(is_there == (room is not None), "bytes of content are put where there is room for them")
        self._send(_Entry(part, replace(items, content=()), lines, room))

    def _room(self, name: str, size: int) -> memoryview | None:
        """For parts that hold content, one that is free, once there is one."""
        if hashing_but_content(name):
            return None
        if not self._free:
            self._free += self._freed.read(1) or self._nobody()
        self._taken = self._free.pop()
        return memoryview(self._rooms[self._taken])[:size]

    @staticmethod
    def _nobody() -> bytes:
        raise EOFError

    def _send(self, message: "_Entry | _Named | _End") -> None:
        send(self._entries, pickle.dumps(message))


def _told(block: NamedBlock) -> _NameFields:
    """Without bytes: who needs those of a block, as of few, reads them."""
    return block.name, block.wrong, block.size, block.fits


# Here


class _Process:
    def __init__(self) -> None:
        self._chain: Iterator[Link] = iter(())
        """What is to be read yet."""
        self._closing = threading.RLock()
        """What is looked at is let go by any thread, and where the collector finds it in one that has this."""
        self._entries, entries = pipe()
        freed, self._freed = pipe()
        asked, self._asked = pipe()
        with contextlib.suppress(OSError):  # more than this user may have: it only waits more often
            fcntl.fcntl(entries, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._rooms = tuple(os.memfd_create(f"icn-content-{number}") for number in range(ROOMS))
        for room in self._rooms:
            os.truncate(room, ROOM_BYTES)  # memory is taken as it is written to
        there = (entries, freed, asked)
        try:
            self._pid = forked(
                lambda: _Writer(*there, self._rooms).work(),
                (*(one.fileno() for one in there), *self._rooms),
            )
        except OSError:  # the system has none left
            self._close_files()
            raise
        finally:
            for one in there:
                one.close()

    def begin(self, chain: Sequence[Link]) -> None:
        """See `Examining`."""
        self._chain = iter(chain)
        self._ask(chain)

    @property
    def reading(self) -> Reading:
        """See `Examining`."""
        return self._read

    def walk(self, aside: Aside | None) -> Walk:
        """See `Examining`."""
        if aside is None:
            return named_blocks
        require(next(self._chain, None) is None, "a store is read when all archives were")
        self._ask(aside)
        return self._walk

    def _ask(self, what: Sequence[Link] | Aside) -> None:
        with contextlib.suppress(BrokenPipeError):  # who waits for an answer learns why
            send(self._asked, pickle.dumps(what))

    def _walk(self, _reader: Reader) -> Iterator[NamedBlock]:
        while isinstance(message := self._next(), _Named):
            for name, wrong, size, fits in message.blocks:
                yield NamedBlock(name, None if wrong else Cid(name), wrong, size, fits, data=None)

    def _read(self, link: Link) -> Generator[tuple[Part, Items], None, None]:
        """The entries of the archive that is next."""
        require(next(self._chain, None) is link, "archives are read in the order of their chain")
        while isinstance(message := self._next(), _Entry):
            yield message.part, self._items(message)

    def close(self) -> None:
        """The process is gone. What is looked at stays where it is."""
        os.kill(self._pid, signal.SIGKILL)  # where it has told all there is to tell, it only ends
        os.waitpid(self._pid, 0)
        self._close_files()

    def _close_files(self) -> None:
        self._entries.close()
        with contextlib.suppress(BrokenPipeError):
            self._asked.close()
        with self._closing, contextlib.suppress(BrokenPipeError):
            self._freed.close()
        for room in self._rooms:
            os.close(room)

    def _next(self) -> _Entry | _Named | _End:
        try:
            message: _Entry | _Named | _End | Raised = pickle.load(self._entries)  # noqa: S301 - our own process wrote it
        except (EOFError, pickle.UnpicklingError) as error:
            raise StageLost.by_somebody() from error
        if isinstance(message, Raised):
            raise message.error()
        return message

    def _items(self, entry: _Entry) -> Items:
        if not entry.lines:
            return entry.items
        lines = tuple(
            _line(Cid(cid), size, stored_at, pinned, expires_at, changed, has_bytes)
            for cid, size, stored_at, pinned, expires_at, changed, has_bytes in entry.lines
        )
        if entry.room is None:
            return replace(entry.items, content=tuple((line, None) for line in lines))
        looked_at = self._look(entry.room, entry.part.size)
        places = places_in_car(entry.part.size, [line.size for line in lines])
        content = tuple((line, looked_at[at : at + line.size]) for line, at in zip(lines, places, strict=True))
        return replace(entry.items, content=content)

    def _look(self, number: int, size: int) -> memoryview:
        """What is in a room, which is free when nothing of this is left."""
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        looked_at = mmap.mmap(self._rooms[number], size, flags=flags, prot=mmap.PROT_READ)
        weakref.finalize(looked_at, self._free, number).atexit = False
        return memoryview(looked_at)

    def _free(self, number: int) -> None:
        with self._closing, contextlib.suppress(BrokenPipeError):  # nobody waits for it
            if not self._freed.closed:
                os.write(self._freed.fileno(), bytes((number,)))  # a buffered file may not be entered twice
