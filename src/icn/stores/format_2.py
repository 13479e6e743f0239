"""The step from format 2 to 3: the rows of the state go, and are written anew from the journal, with the index of jobs.

Format 3 tells more of a job and of an executor than the rows of format 2 do. The journal has all of it, so the rows
are not converted, they are made again: by whoever knows how, which is no store's business (`services.replay`).

Nothing is removed before it is sure that it can be made again: every block of the journal is here, under the name of
its bytes. A store that has a damaged one keeps its format, and the release that wrote it can mend the block.
"""

from collections.abc import Iterator

from icn.stores import blocks, keyspace
from icn.stores.kv import Batch, Reader, StoreCorrupt

ROWS_PER_BATCH = 4000
"""Rows removed in one commit."""
_CLEARED = keyspace.about("rows_cleared")
"""The rows of the format before are gone, and those of the new one are being written."""
_POSITION = keyspace.projection("position")


def clear_rows(reader: Reader) -> Iterator[Batch]:
    """Batches that remove the rows of the state; nothing when they are gone, and new ones are being written.

    Raises:
        StoreCorrupt: a block of the journal is missing or damaged; nothing was removed.
    """
    if reader.get(_CLEARED) is not None:
        return
    _require_journal(reader)
    # First of all what says how far the rows go: a release of the format before must not believe the rest.
    batch = Batch()
    for key, _ in reader.scan(_POSITION):
        batch.delete(key)
    for key, _ in reader.scan(keyspace.PROJECTION):
        if not keyspace.is_local(key):
            batch.delete(key)
        if len(batch) >= ROWS_PER_BATCH:
            yield batch
            batch = Batch()
    batch.put(_CLEARED, b"")
    yield batch


def finish(batch: Batch) -> None:
    """Add to the commit that writes the last of the new rows."""
    batch.delete(_CLEARED)


def _require_journal(reader: Reader) -> None:
    for arrival, cid in blocks.journal(reader):
        data = blocks.get_bytes(reader, cid)
        if data is None or not cid.names(data) or blocks.get_meta(reader, cid) is None:
            raise StoreCorrupt(
                f"block {cid}, number {arrival} of the journal, is {'missing' if data is None else 'damaged'}, so the "
                "store cannot be brought up to this release's format: start the release that wrote it, which gets the "
                "block from a peer, or restore a backup; nothing was changed"
            )
