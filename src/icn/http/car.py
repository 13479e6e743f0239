"""CAR files out and in: streamed both ways, a page or a batch of blocks in memory at a time.

An export that meets a damaged block breaks off, so that its reader sees that it is not whole; the block is looked for
at the peers, and the next try may succeed. An import is taken batch by batch, so what came before a broken place stays:
importing again brings the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

from starlette.responses import Response, StreamingResponse

from icn.http.bodies import EXPORT_ROOTS_MAX, ExportQuery, ImportQuery
from icn.http.operations import Call, Operation, shown
from icn.http.problems import NotCar
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, ForeignCid
from icn.kernel.limits import MIB
from icn.services import closure
from icn.services.answers import Refused
from icn.services.closure import StoredBlockDamaged
from icn.services.commands import FetchContent, ImportBlocks, ImportContent, NodeCommand, PinContent
from icn.services.content import ContentNotFound
from icn.services.queries import stored
from icn.stores.car import MEDIA_TYPE, CarReader, Section, encode_header, encode_section, identity_content
from icn.stores.kv import Reader

BATCH_BYTES = 4 * MIB
"""Blocks handed to the engine together; a batch ends with the block that reaches this."""
BATCH_BLOCKS_MAX = 256
REASONS_MAX = 100
"""Refused blocks that are named in the answer; all are counted."""


@dataclass(frozen=True, slots=True)
class RefusedBlock:
    """A block that was not taken."""

    cid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file's blocks."""

    roots: tuple[str, ...]
    new: int
    known: int
    refused: int
    reasons: tuple[RefusedBlock, ...]
    """Of the first refused ones."""
    pinned: tuple[Cid, ...]
    missing: int
    """Blocks that the file's roots lead to and that are neither in it nor here: a file that was cut between two blocks
    is a shorter file, and nothing else tells."""
    missing_names: tuple[str, ...]
    """Of the first of them."""


async def export(call: Call) -> Response:
    """What can be reached from some blocks, or everything, as a CAR."""
    asked = call.query(ExportQuery).roots
    if asked is None:
        pages = _everything(call)
    else:
        roots = list(dict.fromkeys(Cid.parse(text) for text in asked.split(",")))
        if len(roots) > EXPORT_ROOTS_MAX:
            raise Invalid("roots", f"{len(roots)} roots; at most {EXPORT_ROOTS_MAX} are exported together")
        names = await call.read_aside(lambda reader: _names(reader, roots))
        pages = _named(call, roots, names)
    return StreamingResponse(_sent(call, pages), media_type=MEDIA_TYPE)


async def take(call: Call) -> Response:
    """Store the blocks of a CAR: signed ones of this federation as from a peer, the others as content."""
    if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise NotCar
    pin = call.query(ImportQuery).pin
    body = BodyReader(call)
    reader = await asyncio.to_thread(CarReader, body.read)
    taking = _Taking(call)
    sections = reader.sections()
    while batch := await asyncio.to_thread(_batch, sections):
        await taking.take(batch)
    pinned = await taking.pin(reader.roots) if pin else ()
    roots = [root for root in reader.roots if isinstance(root, Cid)]
    missing = await call.read_aside(lambda store: closure.missing(store, roots))
    return shown(
        Imported(
            tuple(str(root) for root in reader.roots),
            taking.new,
            taking.known,
            taking.refused,
            tuple(taking.reasons),
            pinned,
            len(missing),
            tuple(str(cid) for cid in missing[:REASONS_MAX]),
        )
    )


def _names(reader: Reader, roots: list[Cid]) -> list[Cid]:
    for root in roots:
        if not closure.is_here(reader, root):
            raise ContentNotFound(root)
    return closure.reached(reader, roots)


def _named(call: Call, roots: list[Cid], names: list[Cid]) -> Iterator[bytes]:
    yield encode_header(roots)
    begin = 0
    while begin < len(names):
        with call.committed() as reader:
            page, begin = closure.page_of(reader, names, begin)
        yield _encoded(page)


def _everything(call: Call) -> Iterator[bytes]:
    with call.committed() as reader:
        heads = closure.heads(reader)
    yield encode_header(heads)
    for read in (closure.signed_page, closure.content_page):
        yield from _numbered(call, read)


def _numbered(call: Call, read: Callable[[Reader, int], tuple[list[tuple[Cid, bytes]], int]]) -> Iterator[bytes]:
    after = -1
    while True:
        with call.committed() as reader:
            page, after = read(reader, after)
        if not page:
            return
        yield _encoded(page)


def _encoded(page: list[tuple[Cid, bytes]]) -> bytes:
    return b"".join(encode_section(cid, data) for cid, data in page)


async def _sent(call: Call, pages: Iterator[bytes]) -> AsyncIterator[bytes]:
    try:
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            yield page
    except StoredBlockDamaged as damaged:
        await call.node.submit(
            FetchContent(damaged.cid), principal=call.principal, key="", digest=b"", correlation=call.correlation
        )
        raise


def _batch(sections: Iterator[Section]) -> list[tuple[Cid | ForeignCid, bytes]]:
    found: list[tuple[Cid | ForeignCid, bytes]] = []
    size = 0
    for section in sections:
        found.append((section.cid, section.data))
        size += len(section.data)
        if size >= BATCH_BYTES or len(found) >= BATCH_BLOCKS_MAX:
            break
    return found


class _Taking:
    """Hands blocks to the engine, in order, and counts what became of them."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.new = self.known = self.refused = 0
        self.reasons: list[RefusedBlock] = []

    async def take(self, batch: list[tuple[Cid | ForeignCid, bytes]]) -> None:
        """Take a batch: neighbours of one kind together."""
        kinds = await self._call.read_aside(lambda reader: [_kind(reader, cid, data) for cid, data in batch])
        for kind, group in groupby(zip(kinds, batch, strict=True), key=lambda pair: pair[0]):
            items = [item for _, item in group]
            ours = [(cid, data) for cid, data in items if isinstance(cid, Cid)]
            if kind == "signed":
                await self._engine(ours, ImportBlocks(tuple(data for _, data in ours)))
            elif kind == "content":
                await self._engine(ours, ImportContent(tuple(ours), pinned=False))
            elif kind == "foreign":
                self._count_foreign([cid for cid, _ in items])

    def _count_foreign(self, names: list[Cid | ForeignCid]) -> None:
        for name in names:
            self._count(name, "its codec or hash is not stored here")

    async def pin(self, roots: tuple[Cid | ForeignCid, ...]) -> tuple[Cid, ...]:
        """Pin the roots that are content and here; gives those."""
        pinned: tuple[Cid, ...] = ()
        for root in roots:
            if isinstance(root, Cid) and not isinstance(await self.ask(PinContent(root, pinned=True)), Refused):
                pinned = (*pinned, root)
        return pinned

    async def ask(self, command: NodeCommand) -> Refused | dict[str, list[str]]:
        """The engine's word."""
        call = self._call
        answer = await call.node.submit(
            command, principal=call.principal, key="", digest=b"", correlation=call.correlation
        )
        return answer if isinstance(answer, Refused) else answer.body

    async def _engine(self, items: list[tuple[Cid, bytes]], command: NodeCommand) -> None:
        answer = await self.ask(command)
        refused = isinstance(answer, Refused)
        results = [answer.message] * len(items) if isinstance(answer, Refused) else answer["results"]
        for (cid, _), result in zip(items, results, strict=True):
            self._count(cid, f"the node: {result}" if refused else result)

    def _count(self, cid: Cid | ForeignCid, result: str) -> None:
        if result == "new":
            self.new += 1
        elif result == "known":
            self.known += 1
        else:
            self.refused += 1
            if len(self.reasons) < REASONS_MAX:
                self.reasons.append(RefusedBlock(str(cid), result))


def _kind(reader: Reader, cid: Cid | ForeignCid, data: bytes) -> str:
    if isinstance(cid, ForeignCid):
        return "foreign" if identity_content(cid) is None else "carried"
    return "signed" if stored.is_signed_here(reader, data) else "content"


class BodyReader:
    """The request's body for a reader on another thread."""

    def __init__(self, call: Call) -> None:
        self._pieces = call.request.stream()
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self._taken = 0
        """Of what is held."""

    def read(self, most: int) -> bytes:
        """Up to `most` bytes, none at the end. Not on the loop's thread."""
        while self._taken == len(self._held):
            piece = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if piece is None:
                return b""
            self._held, self._taken = piece, 0
        given = self._held[self._taken : self._taken + most]
        self._taken += len(given)
        return given

    async def _next(self) -> bytes | None:
        return await anext(self._pieces, None)


OPERATIONS = (
    Operation(
        "GET",
        "/dag/export",
        export,
        "Blocks as a CAR: what can be reached from the roots, or everything",
        {"type": "string", "format": "binary"},
        query=ExportQuery,
        media_type=MEDIA_TYPE,
    ),
    Operation(
        "POST",
        "/dag/import",
        take,
        "Take the blocks of a CAR",
        Imported,
        query=ImportQuery,
        body_media_type=MEDIA_TYPE,
        streams=True,
    ),
)
