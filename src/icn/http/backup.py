"""A backup of this node as a stream: a tar of the archive's parts, uncompressed, all from one snapshot.

First comes the draft of the manifest, which says what follows; whoever reads writes the files, adds hashes to the
manifest, and says when the archive is whole (`POST /admin/backups`). The snapshot is held for as long as the stream
takes, so a reader that takes nothing for `STALL_SECONDS` is let go, and few may read at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import structlog
from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from icn.http.bodies import Body, Query
from icn.http.moments import instant_of, iso_of
from icn.http.operations import Call, Operation, Streams
from icn.http.problems import Disconnected
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Cid
from icn.kernel.limits import MIB
from icn.services.backup import BackupOrder, draft, entries
from icn.services.closure import StoredBlockDamaged
from icn.services.commands import FetchContent, RecordBackup
from icn.stores import tar
from icn.stores.archive import MANIFEST, PARTS_MAX, ArchiveKind, Entry, Manifest, Position, Reached, write_manifest
from icn.stores.backups import FinishedBackup
from icn.stores.kv import Snapshot

log = structlog.get_logger()

STREAMS_MAX = 2
"""Backups that are read at a time: each holds a snapshot."""
STALL_SECONDS = 120
"""A reader that takes nothing for so long is let go."""
PIECE_BYTES = 1 * MIB
NUMBER_MAX = 2**62


class TooManyBackups(Refusal):
    """As many backups as may be are being read already."""

    code: ClassVar[str] = "backup.too_many"
    kind: ClassVar[Kind] = Kind.TOO_MANY

    def __init__(self) -> None:
        super().__init__(f"{STREAMS_MAX} backups of this node are being read already: wait until one has ended")


class BackupQuery(Query):
    """Which backup. The numbers are those of an earlier attempt, to go on from there."""

    kind: Literal["full", "incremental"] = "full"
    since: str | None = Field(default=None, max_length=64)
    """Of an incremental one: a time; without it, from where the last finished backup ended."""
    next_arrival: int | None = Field(default=None, ge=0, le=NUMBER_MAX)
    next_change: int = Field(default=0, ge=0, le=NUMBER_MAX)
    block_parts: int = Field(default=0, ge=0, le=PARTS_MAX)
    content_parts: int = Field(default=0, ge=0, le=PARTS_MAX)


class PositionBody(Body):
    """A place in the store's two numberings."""

    arrival: int = Field(ge=0, le=NUMBER_MAX)
    change: int = Field(ge=0, le=NUMBER_MAX)


class FinishedBody(Body):
    """A backup that was written whole."""

    manifest: str = Field(pattern="^[0-9a-f]{64}$")
    created: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9T:.Z+-]{2,30}$")
    kind: Literal["full", "incremental"]
    to: PositionBody
    store: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    """Of the manifest: where it is said, a store that became another one since does not go on from it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The node will go on from this backup."""

    manifest: str


async def stream(call: Call) -> Response:
    """The draft of the manifest, and the parts."""
    query = call.query(BackupQuery)
    since = None if query.since is None else instant_of("since", query.since)
    order = BackupOrder(
        ArchiveKind(query.kind),
        since,
        iso_of(call.node.now()),
        f"icn/{call.node.facts.version}",
        call.node.facts.storage_backend,
    )
    streams = call.streams
    if streams.count >= STREAMS_MAX:
        raise TooManyBackups
    streams.count += 1
    try:
        snapshot, manifest = await asyncio.to_thread(_begun, call, order)
    except BaseException:
        streams.count -= 1
        raise
    reached = Reached(manifest.since)
    if query.next_arrival is not None:
        position = Position(query.next_arrival, query.next_change)
        reached = Reached(position, query.block_parts, query.content_parts)

    async def look_for(cid: Cid) -> None:
        await call.node.submit(
            FetchContent(cid), principal=call.principal, key="", digest=b"", correlation=call.correlation
        )

    pieces = _pieces(snapshot, manifest, reached, call.node.now() // 1000)
    return _BackupResponse(streams, snapshot, pieces, look_for)


async def record(call: Call) -> Response:
    """Remember a finished backup, for incremental ones to go on from."""
    body = call.body(FinishedBody)
    position = Position(body.to.arrival, body.to.change)
    return await call.submit(
        RecordBackup(FinishedBackup(body.manifest, body.created, ArchiveKind(body.kind), position), body.store)
    )


def _begun(call: Call, order: BackupOrder) -> tuple[Snapshot, Manifest]:
    snapshot = call.node.snapshot()
    try:
        return snapshot, draft(snapshot, order)
    except BaseException:
        snapshot.close()
        raise


def _pieces(snapshot: Snapshot, manifest: Manifest, reached: Reached, seconds: int) -> Generator[bytes, None, None]:
    yield from _file(Entry(MANIFEST, write_manifest(manifest)), seconds)
    for entry in entries(snapshot, manifest, reached):
        yield from _file(entry, seconds)
    yield tar.END


def _file(entry: Entry, seconds: int) -> Iterator[bytes]:
    size = len(entry.data)
    yield tar.entry_head(entry.name, size, seconds)
    for at in range(0, size, PIECE_BYTES):
        yield entry.data[at : at + PIECE_BYTES]
    yield tar.padding(size)


class _BackupResponse(Response):
    """Sends the pieces as fast as they are taken, and gives the snapshot back whatever happens."""

    media_type = tar.MEDIA_TYPE

    def __init__(
        self,
        streams: Streams,
        snapshot: Snapshot,
        pieces: Generator[bytes, None, None],
        look_for: Callable[[Cid], Awaitable[None]],
    ) -> None:
        """`look_for` asks the peers for a block that is damaged here."""
        super().__init__()
        del self.headers["content-length"]
        self._streams = streams
        self._look_for = look_for
        self._snapshot = snapshot
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. An error in the middle breaks the answer off: its reader misses the end of the tar."""
        left = asyncio.ensure_future(_left(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while not left.done() and (piece := await self._next()) is not None:
                await _give(send, piece)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except StoredBlockDamaged as damaged:
            await self._look_for(damaged.cid)  # the next attempt may get over it
            raise
        finally:
            left.cancel()
            self._pieces.close()  # the scans of the snapshot end before it does
            self._snapshot.close()
            self._streams.count -= 1

    async def _next(self) -> bytes | None:
        """The next piece. The thread that reads it has ended when this ends, for the snapshot is closed next."""
        reading = asyncio.ensure_future(asyncio.to_thread(next, self._pieces, None))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait((reading,))
            raise


async def _give(send: Send, piece: bytes) -> None:
    """Raises `Disconnected` for a reader that does not take it: that is its own affair, and no fault of the node."""
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError as error:
        log.warning("backup reader let go", seconds=STALL_SECONDS)
        raise Disconnected from error


async def _left(receive: Receive) -> None:
    """Ends when the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


OPERATIONS = (
    Operation(
        "GET",
        "/dag/backup",
        stream,
        "A backup of the store as a tar, for icn-cli to write",
        {"type": "string", "format": "binary"},
        query=BackupQuery,
        media_type=tar.MEDIA_TYPE,
        also={429: "As many backups as may be are being read already"},
    ),
    Operation("POST", "/admin/backups", record, "Remember a finished backup", Recorded, body=FinishedBody, writes=True),
)
