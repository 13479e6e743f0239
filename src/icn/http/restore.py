"""A backup put back into the node that runs: what it lacks is asked for first, then taken part by part.

Signed blocks go the way of any peer's, so nothing is believed that a peer could not bring, and a node that is shown
blocks of its own which it does not have is held (services.authorship). Content that is not here comes with the pin and
lifetime it had; what is here keeps its own. Rows that the journal does not tell are not taken: of a running node they
are newer than any backup's.

Not here: whether an archive is to be believed as a whole, and which blocks of it are sent (cli.restoring).
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from icn.http.bodies import Body, CidText, Query
from icn.http.car import BodyReader, RefusedBlock
from icn.http.operations import Call, Operation, shown
from icn.http.problems import NotTar
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid
from icn.kernel.limits import MIB
from icn.services.answers import Refused
from icn.services.commands import ImportBlocks, NodeCommand, RestoreContent
from icn.stores import contents, keyspace, tar
from icn.stores.archive import Entry, size_max, split_name
from icn.stores.archive_parts import ContentLine, read_car, read_content_lines
from icn.stores.blocks import get_bytes, get_meta
from icn.stores.kv import Reader

NAMES_MAX = 4096
"""Blocks that are asked after together."""
BATCH_BYTES = 4 * MIB
"""Blocks handed to the engine together; a batch ends with the block that reaches this."""
BATCH_BLOCKS_MAX = 256
REASONS_MAX = 100
"""Refused blocks that are named in the answer; all are counted."""


class NamesBody(Body):
    """Blocks and content by name."""

    cids: Annotated[list[CidText], Field(min_length=1, max_length=NAMES_MAX)]


class RestoreQuery(Query):
    """Whose blocks these are."""

    federation: CidText | None = None
    """For a node that is in no federation yet: it is in this one from then on."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """Which of them are not here, and of which the bytes are wrong or gone, each in the order they were named."""

    cids: tuple[str, ...]
    damaged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutBack:
    """What became of the parts' blocks and content."""

    blocks_new: int
    blocks_known: int
    evidence: int
    """Blocks that prove a fork, kept as that."""
    content_new: int
    content_known: int
    refused: int
    reasons: tuple[RefusedBlock, ...]
    """Of the first refused ones."""


async def lacking(call: Call) -> Response:
    """Those that are neither in a feed here nor kept as content, and those that are, and damaged."""
    names = [Cid.parse(text) for text in call.body(NamesBody).cids]
    return shown(await call.read_aside(lambda reader: _lacking(reader, names)))


async def take(call: Call) -> Response:
    """Take parts of a backup, a tar of them: a CAR of blocks, or lines of content and the CAR that belongs to them."""
    if call.request.headers.get("content-type", "").partition(";")[0].strip().lower() != tar.MEDIA_TYPE:
        raise NotTar
    asked = call.query(RestoreQuery).federation
    taking = _Taking(call, None if asked is None else Cid.parse(asked))
    files = tar.read_entries(BodyReader(call).read, size_max)
    while (file := await asyncio.to_thread(next, files, None)) is not None:
        await taking.take(Entry(*file))
    return shown(taking.result())


def _lacking(reader: Reader, names: list[Cid]) -> Lacking:
    absent, damaged = [], []
    for cid in names:
        if get_meta(reader, cid) is None and contents.get_content_meta(reader, cid) is None:
            absent.append(str(cid))
        elif (data := get_bytes(reader, cid)) is None or not cid.names(data):
            damaged.append(str(cid))
    return Lacking(tuple(absent), tuple(damaged))


class _Taking:
    """Hands parts to the engine, in order and in bounded batches, and counts what became of them."""

    def __init__(self, call: Call, federation: Cid | None) -> None:
        self._call = call
        self._federation = federation
        self._lines: list[ContentLine] = []
        self._counts = dict.fromkeys(("blocks_new", "blocks_known", "evidence", "content_new", "content_known"), 0)
        self._refused = 0
        self._reasons: list[RefusedBlock] = []

    def result(self) -> PutBack:
        """All of it."""
        return PutBack(**self._counts, refused=self._refused, reasons=tuple(self._reasons))

    async def take(self, part: Entry) -> None:
        """The next part. Raises `Invalid` for one that is not taken here, or is not what its name says."""
        folder, _, suffix = split_name(part.name)
        if folder == "content" and suffix == "jsonl":
            self._lines = await asyncio.to_thread(lambda: list(read_content_lines(part.data)))
        elif folder == "content":
            lines, self._lines = {line.cid: line for line in self._lines}, []
            await self._all(part, folder, lambda batch: RestoreContent(_with_lines(batch, lines)))
        elif folder in {"blocks", "evidence"}:
            await self._all(
                part, folder, lambda batch: ImportBlocks(tuple(data for _, data in batch), self._federation)
            )
        else:
            raise Invalid("part", f"{part.name} is not taken by a node that runs")

    async def _all(self, part: Entry, folder: str, command: Callable[[list[tuple[Cid, bytes]]], NodeCommand]) -> None:
        sections = iter(read_car(part.data))
        while batch := await asyncio.to_thread(_batch, sections):
            await self._engine(folder, [cid for cid, _ in batch], command(batch))

    async def _engine(self, folder: str, names: list[Cid], command: NodeCommand) -> None:
        call = self._call
        answer = await call.node.submit(
            command, principal=call.principal, key="", digest=b"", correlation=call.correlation
        )
        if isinstance(answer, Refused):
            results = [f"the node: {answer.message}"] * len(names)
        else:
            results = answer.body["results"]
        proofs = await call.read_aside(lambda reader: _proofs(reader, names)) if folder == "evidence" else frozenset()
        for cid, result in zip(names, results, strict=True):
            self._count(folder, cid, "evidence" if cid in proofs else result)

    def _count(self, folder: str, cid: Cid, result: str) -> None:
        if result == "evidence":
            self._counts["evidence"] += 1
        elif result in {"new", "known"}:
            self._counts[f"{'content' if folder == 'content' else 'blocks'}_{result}"] += 1
        else:
            self._refused += 1
            if len(self._reasons) < REASONS_MAX:
                self._reasons.append(RefusedBlock(str(cid), result))


def _proofs(reader: Reader, names: list[Cid]) -> frozenset[Cid]:
    """Those that are kept as proofs of a fork."""
    return frozenset(cid for cid in names if reader.get(keyspace.evidence(cid)) is not None)


def _with_lines(batch: list[tuple[Cid, bytes]], lines: dict[Cid, ContentLine]) -> tuple[tuple[ContentLine, bytes], ...]:
    """Raises `Invalid` for bytes of which no line says how they are kept."""
    for cid, _ in batch:
        if cid not in lines:
            raise Invalid("part", f"no line says how content {cid} is kept")
    return tuple((lines[cid], data) for cid, data in batch)


def _batch(sections: Iterator[tuple[Cid, bytes]]) -> list[tuple[Cid, bytes]]:
    found: list[tuple[Cid, bytes]] = []
    size = 0
    for cid, data in islice(sections, BATCH_BLOCKS_MAX):
        found.append((cid, data))
        size += len(data)
        if size >= BATCH_BYTES:
            break
    return found


OPERATIONS = (
    Operation(
        "POST",
        "/admin/restore/lacking",
        lacking,
        "Which blocks and content are not here, or damaged",
        Lacking,
        body=NamesBody,
    ),
    Operation(
        "POST",
        "/admin/restore",
        take,
        "Take parts of a backup that are not here",
        PutBack,
        query=RestoreQuery,
        body_media_type=tar.MEDIA_TYPE,
        streams=True,
    ),
)
