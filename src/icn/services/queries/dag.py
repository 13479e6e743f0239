"""The DAG: its root and heads, and blocks by name."""

from dataclasses import dataclass
from typing import ClassVar

from icn.domain.dag.block import parse_block
from icn.domain.dag.feeds import Feeds, Head
from icn.domain.records import Envelope, Event, Record, read_record
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.queries.membership import confirmations
from icn.stores import blocks
from icn.stores.blocks import clock_of_entries
from icn.stores.kv import Reader


class BlockNotFound(Refusal):
    """No signed block of that name is here."""

    code: ClassVar[str] = "dag.block_not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, cid: Cid) -> None:
        self.cid = str(cid)
        super().__init__(f"{cid} is not a signed block of this node's DAG")


@dataclass(frozen=True, slots=True)
class HeadView:
    """A feed's newest block."""

    cid: Cid
    author: Did
    sequence: int


@dataclass(frozen=True, slots=True)
class RootView:
    """The frontier of the DAG."""

    root: str
    """Equal on two nodes exactly when they have the same blocks."""
    heads: tuple[HeadView, ...]
    """Every feed's newest block; the root is over those that no other block builds on."""
    blocks: int


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record of a block."""

    type: str
    event: Event
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class BlockView:
    """A signed block, read."""

    cid: Cid
    author: Did
    sequence: int
    previous: Cid | None
    parents: tuple[Cid, ...]
    time: Instant
    federation: Cid | None
    records: tuple[RecordView, ...]
    confirmed: bool


@dataclass(frozen=True, slots=True)
class StoredContent:
    """The bytes of a block of either kind."""

    cid: Cid
    data: bytes
    signed: bool
    """Whether it is a block of a feed rather than members' content."""


def root(reader: Reader) -> RootView:
    """The DAG root and every feed's head."""
    head_rows = [row for _, row in rows.HEADS.rows(reader)]
    heads = {
        row.author: Head(row.cid, row.sequence, row.time, clock_of_entries(row.clock), row.news_count)
        for row in head_rows
    }
    sides = {row.cid: row.place for _, row in rows.SIDES.rows(reader)}
    feeds = Feeds(heads, rows.frontier_of(heads), sides, block_count=rows.load_position(reader).block_count)
    return RootView(
        root=feeds.root(),
        heads=tuple(HeadView(row.cid, row.author, row.sequence) for row in head_rows),
        blocks=feeds.block_count,
    )


def block(reader: Reader, cid: Cid) -> BlockView:
    """A signed block with its records. Raises `BlockNotFound`."""
    data = blocks.get_bytes(reader, cid)
    if data is None or blocks.get_meta(reader, cid) is None or not cid.names(data):
        raise BlockNotFound(cid)
    parsed = parse_block(data)
    header = parsed.header
    records: list[Record] = [read_record(record) for record in parsed.records]
    aside = rows.SIDES.get(reader, rows.side_key(header.author, header.sequence, cid)) is not None
    return BlockView(
        cid=cid,
        author=header.author,
        sequence=header.sequence,
        previous=header.previous,
        parents=header.parents,
        time=header.time,
        federation=header.federation,
        records=tuple(RecordView(record.name, record.event, record.envelope) for record in records),
        confirmed=not aside and header.sequence < confirmations(reader).count(header.author),
    )


def content(reader: Reader, cid: Cid) -> StoredContent | None:
    """The bytes of `cid`, if they are here and what it names."""
    data = blocks.get_bytes(reader, cid)
    if data is None or not cid.names(data):
        return None
    return StoredContent(cid, data, signed=blocks.get_meta(reader, cid) is not None)
