"""Format 1, and the step from it to format 2: content blocks get change numbers, references get entries.

Format 1 kept no order of arrival for content. The step numbers what is there by name, which is as good as any order:
no backup was made that could refer to one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from icn.domain.dag.block import parse_block
from icn.domain.records import read_record
from icn.kernel.encoding import decode_own
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.stores import blocks, keyspace, references
from icn.stores.contents import ContentMeta, next_change, set_next_change, write_meta
from icn.stores.kv import Batch, Reader

UPGRADED_PER_BATCH = 1000
"""Content blocks numbered in one commit."""
ENTRIES_PER_BATCH = 4000
"""References noted in one commit, and those of one block more."""


@dataclass(frozen=True, slots=True)
class ContentMetaOfFormat1:
    """How long a content block is kept, as format 1 stored it."""

    size: int
    stored_at: Instant
    pinned: bool
    expires_at: Instant | None


def upgrade(reader: Reader) -> Iterator[Batch]:
    """Batches that bring everything but the version. Each may be done twice."""
    yield from _number_content(reader)
    yield from _note_links(reader)
    yield from _note_records(reader)


def _note_links(reader: Reader) -> Iterator[Batch]:
    """Entries for what content links to."""
    batch = Batch()
    for key, _ in reader.scan(keyspace.CONTENT_META):
        cid = Cid(key[1:])
        data = None if cid.codec == RAW else reader.get(keyspace.block(cid))
        if data is not None:
            references.put_links(batch, cid, data)
        if len(batch) >= ENTRIES_PER_BATCH:
            yield batch
            batch = Batch()
    if len(batch):
        yield batch


def _note_records(reader: Reader) -> Iterator[Batch]:
    """Entries for what the records of signed blocks name. A block that cannot be read is for verification to find."""
    batch = Batch()
    for _, cid in blocks.journal(reader):
        data = blocks.get_bytes(reader, cid)
        try:
            records = [] if data is None else [read_record(record) for record in parse_block(data).records]
        except Invalid:
            continue
        references.put_records(batch, records)
        if len(batch) >= ENTRIES_PER_BATCH:
            yield batch
            batch = Batch()
    if len(batch):
        yield batch


def _number_content(reader: Reader) -> Iterator[Batch]:
    """Batches that number the content. Those of an interrupted upgrade are not numbered twice."""
    number = next_change(reader.get)
    batch = Batch()
    count = 0
    for key, data in reader.scan(keyspace.CONTENT_META):
        stored = decode_own(data)
        if isinstance(stored, dict) and "arrival" in stored:
            continue
        old = _OLD.from_map(stored)
        meta = ContentMeta(old.size, old.stored_at, old.pinned, old.expires_at, arrival=number, changed=number)
        write_meta(batch, Cid(key[1:]), meta)
        number += 1
        count += 1
        if count == UPGRADED_PER_BATCH:
            set_next_change(batch, number)
            yield batch
            batch, count = Batch(), 0
    if count:
        set_next_change(batch, number)
        yield batch


_OLD = shape_of(ContentMetaOfFormat1)
