"""Format 1, and the step from it to format 2: content blocks get change numbers.

Format 1 kept no order of arrival for content. The step numbers what is there by name, which is as good as any order:
no backup was made that could refer to one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from icn.kernel.encoding import decode_own
from icn.kernel.fields import shape_of
from icn.kernel.ids import Cid
from icn.kernel.instant import Instant
from icn.stores import keyspace
from icn.stores.contents import ContentMeta, next_change, set_next_change, write_meta
from icn.stores.kv import Batch, Reader

UPGRADED_PER_BATCH = 1000
"""Content blocks numbered in one commit."""


@dataclass(frozen=True, slots=True)
class ContentMetaOfFormat1:
    """How long a content block is kept, as format 1 stored it."""

    size: int
    stored_at: Instant
    pinned: bool
    expires_at: Instant | None


def upgrade(reader: Reader) -> Iterator[Batch]:
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
