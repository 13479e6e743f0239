"""What is stored: one block's circumstances, lists of blocks, and sums."""

from dataclasses import dataclass
from typing import ClassVar

from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, Kind, Refusal
from icn.kernel.ids import DAG_CBOR, DAG_PB, RAW, Cid, Did
from icn.kernel.instant import Instant
from icn.services import rows, scan
from icn.services.content import kept_until
from icn.services.queries import dag
from icn.services.queries.paging import Page, cursor_bytes
from icn.stores import blocks, contents, keyspace, references
from icn.stores.kv import Reader
from icn.stores.references import Reference

LINKS_SHOWN_MAX = 500
REFERENCES_SHOWN_MAX = 100
CODEC_NAMES = {RAW: "raw", DAG_CBOR: "dag-cbor", DAG_PB: "dag-pb"}


class NotStored(Refusal):
    """Nothing of that name is on this node's disk."""

    code: ClassVar[str] = "dag.not_stored"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, cid: Cid) -> None:
        self.cid = str(cid)
        super().__init__(f"{cid} is not stored on this node")


@dataclass(frozen=True, slots=True)
class ReferenceView:
    """Who refers to a block."""

    kind: str
    """`content`, which links to it, or `job`, which names it."""
    name: str


@dataclass(frozen=True, slots=True)
class BlockMetaView:
    """Everything but the bytes. What does not belong to the block's kind is null."""

    cid: Cid
    codec: str
    kind: str
    """`signed`, or `content`."""
    size: int
    damaged: bool
    """Whether the bytes on disk are not what the name says."""
    stored_at: Instant | None
    pinned: bool | None
    expires_at: Instant | None
    kept_until: Instant | None
    """When the time of content that is not pinned is over."""
    change: int | None
    """Number of the newest change of content here."""
    author: Did | None
    sequence: int | None
    arrival: int | None
    """Number of a signed block in this node's journal."""
    links: tuple[Cid, ...]
    """The first of them."""
    link_count: int
    referenced_by: tuple[ReferenceView, ...]
    """The first of them."""
    reference_count: int
    """Counted to one more than are shown."""


@dataclass(frozen=True, slots=True)
class BlockLine:
    """A block in a list."""

    cid: Cid
    kind: str
    size: int
    at: Instant
    """When content was stored here; the time of a signed block."""
    pinned: bool | None
    expires_at: Instant | None
    author: Did | None
    sequence: int | None


@dataclass(frozen=True, slots=True)
class ScanView:
    """How the store's integrity is known."""

    running_since: Instant | None
    """None: no scan is under way, or none has begun."""
    read_blocks: int
    read_bytes: int
    found_damaged: int
    last_finished_at: Instant | None
    last_blocks: int
    last_bytes: int
    last_damaged: int


@dataclass(frozen=True, slots=True)
class DagStatus:
    """Sums."""

    root: str
    signed_blocks: int
    heads: int
    content_blocks: int
    content_bytes: int
    pinned_blocks: int
    scan: ScanView


def meta(reader: Reader, cid: Cid) -> BlockMetaView:
    """What is known of a block. Raises `NotStored`."""
    data = blocks.get_bytes(reader, cid)
    kept = contents.get_content_meta(reader, cid)
    signed = blocks.get_meta(reader, cid)
    if data is None and kept is None and signed is None:
        raise NotStored(cid)
    damaged = data is None or not cid.names(data)
    links = () if data is None or damaged else references.links_of_stored(cid, data)
    shown, count = _references(reader, cid)
    return BlockMetaView(
        cid=cid,
        codec=CODEC_NAMES[cid.codec],
        kind="content" if signed is None else "signed",
        size=0 if data is None else len(data),
        damaged=damaged,
        stored_at=None if kept is None else kept.stored_at,
        pinned=None if kept is None else kept.pinned,
        expires_at=None if kept is None else kept.expires_at,
        kept_until=None if kept is None or kept.pinned or signed is not None else kept_until(kept),
        change=None if kept is None else kept.changed,
        author=None if signed is None else signed.place.author,
        sequence=None if signed is None else signed.place.sequence,
        arrival=None if signed is None else signed.arrival,
        links=links[:LINKS_SHOWN_MAX],
        link_count=len(links),
        referenced_by=shown,
        reference_count=count,
    )


def content_blocks(reader: Reader, *, limit: int, cursor: str | None) -> Page[BlockLine]:
    """Content in the order it came or changed. Raises `Invalid` for a cursor of another list."""
    lines: list[tuple[int, BlockLine]] = []
    for number, cid in contents.changes(reader, _after(cursor)):
        if len(lines) == limit:
            return _page(lines, more=True)
        kept = contents.get_content_meta(reader, cid)
        if kept is not None:
            line = BlockLine(cid, "content", kept.size, kept.stored_at, kept.pinned, kept.expires_at, None, None)
            lines.append((number, line))
    return _page(lines, more=False)


def signed_blocks(reader: Reader, *, limit: int, cursor: str | None) -> Page[BlockLine]:
    """Signed blocks in the order they came. Raises `Invalid` for a cursor of another list."""
    lines: list[tuple[int, BlockLine]] = []
    for arrival, cid in blocks.journal(reader, _after(cursor)):
        if len(lines) == limit:
            return _page(lines, more=True)
        known, data = blocks.get_meta(reader, cid), blocks.get_bytes(reader, cid)
        if known is not None:
            place = known.place
            size = 0 if data is None else len(data)
            line = BlockLine(cid, "signed", size, place.time, None, None, place.author, place.sequence)
            lines.append((arrival, line))
    return _page(lines, more=False)


def status(reader: Reader) -> DagStatus:
    """Sums over the store. Reads the circumstances of all content."""
    known = dag.root(reader)
    count = size = pinned = 0
    for _, data in reader.scan(keyspace.CONTENT_META):
        kept = contents.read_content_meta(data)
        count += 1
        size += kept.size
        pinned += kept.pinned
    at = scan.load_position(reader)
    return DagStatus(
        root=known.root,
        signed_blocks=rows.load_position(reader).block_count,
        heads=len(known.heads),
        content_blocks=count,
        content_bytes=size,
        pinned_blocks=pinned,
        scan=ScanView(
            running_since=at.begun_at,
            read_blocks=at.blocks,
            read_bytes=at.size,
            found_damaged=at.damaged,
            last_finished_at=at.finished_at,
            last_blocks=at.last_blocks,
            last_bytes=at.last_size,
            last_damaged=at.last_damaged,
        ),
    )


def is_signed_here(reader: Reader, data: bytes) -> bool:
    """Whether bytes are a signed block of this node's federation, as opposed to content."""
    try:
        header = (parsed := parse_block(data)).header
    except Invalid:
        return False
    federation = rows.load_federation(reader)
    return federation is None or federation.id in {header.federation, parsed.cid}


def _references(reader: Reader, cid: Cid) -> tuple[tuple[ReferenceView, ...], int]:
    shown: list[ReferenceView] = []
    for reference in references.references_to(reader, cid):
        if len(shown) == REFERENCES_SHOWN_MAX:
            return tuple(shown), REFERENCES_SHOWN_MAX + 1
        shown.append(_reference_view(reference))
    return tuple(shown), len(shown)


def _reference_view(reference: Reference) -> ReferenceView:
    if reference.job is not None:
        return ReferenceView("job", str(reference.job))
    return ReferenceView("content", str(reference.content))


def _after(cursor: str | None) -> int:
    return -1 if cursor is None else int.from_bytes(cursor_bytes(cursor, keyspace.U64_BYTES), "big")


def _page(lines: list[tuple[int, BlockLine]], *, more: bool) -> Page[BlockLine]:
    return Page(tuple(line for _, line in lines), keyspace.u64(lines[-1][0]).hex() if more else None)
