"""The on-disk format, whose store this is, and which store it is.

A store of an older format is brought up step by step (`upgrades`, one module per step); one of a newer format is
refused, never guessed at.

Format 3 is not released yet: until it is, its rows (`services.rows`) may still change, and a store of this format that
an unreleased program wrote is not brought along. Stores of formats that were released are (tests/upgrade).

Every store has an id of its own, drawn when it is made. A store that was filled from a backup of another one gets
another id: from there on the two give the same numbers to different blocks.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import ClassVar

from icn.kernel.errors import Fault, require
from icn.kernel.ids import Did
from icn.stores import format_1, format_2, keyspace, moving
from icn.stores.kv import Batch, Reader, StoreCorrupt, StoreNewer

FORMAT_VERSION = 3
STORE_ID_BYTES = 16
_VERSION = keyspace.about("format")
_OWNER = keyspace.about("owner")
_STORE_ID = keyspace.about("store_id")


class ForeignStore(Fault):
    """The store belongs to another identity."""

    code: ClassVar[str] = "store.foreign"


class StoreOlder(Fault):
    """The store has an earlier format, and only a start of the node brings it up."""

    code: ClassVar[str] = "store.older"


def check_or_claim(reader: Reader, owner: Did, store_id: bytes) -> Batch:
    """What to commit before anything else: nothing for a store of ours, format and owner for an empty one.

    A store of an earlier format is ours too; `upgrades` comes next.

    Raises:
        StoreNewer: the format is newer than this program.
        StoreCorrupt: the format is no number.
        ForeignStore: another node's key wrote it; two nodes must not share a store.
        StoreIncomplete, StoreMoved: it is a copy that was not finished, or was copied away.
    """
    batch = Batch()
    if format_of(reader) is None:
        claim(batch, owner, store_id)
        return batch
    stored = owner_of(reader)
    if stored != owner.text:
        raise ForeignStore(
            f"the store belongs to {stored or 'nobody'}, this node's key is {owner}: give back the key it was made with"
        )
    return batch


def claim(batch: Batch, owner: Did, store_id: bytes) -> None:
    """Make an empty store one of this format, and the owner's."""
    require(len(store_id) == STORE_ID_BYTES, "a store's id has its length")
    batch.put(_VERSION, str(FORMAT_VERSION).encode())
    batch.put(_OWNER, owner.text.encode())
    batch.put(_STORE_ID, store_id)


def upgrades(reader: Reader, store_id: bytes, rebuild: Callable[[Reader], Iterator[Batch]]) -> Iterator[Batch]:
    """What to commit, one batch after the other, to bring the store to this format; nothing when it has it.

    Each batch may be the last that is committed: the next start goes on where this one ended. `reader` shows what was
    committed meanwhile. `rebuild` writes the rows of the state on to the end of the journal, from where they are.

    Raises:
        StoreCorrupt: the rows cannot be made again from this journal.
    """
    if format_of(reader) == 1:
        yield from format_1.upgrade(reader)
        last = Batch()
        last.put(_STORE_ID, store_id)
        last.put(_VERSION, b"2")
        yield last
    if format_of(reader) == 2:
        yield from format_2.clear_rows(reader)
        last = Batch()
        for batch in rebuild(reader):
            if len(last):
                yield last
            last = batch
        format_2.finish(last)
        last.put(_VERSION, b"3")
        yield last


def require_current(reader: Reader) -> None:
    """Raise `StoreOlder` unless the store has this format, or is empty: for programs that only read it."""
    version = format_of(reader)
    if version is not None and version < FORMAT_VERSION:
        raise StoreOlder(
            f"the store has format {version}, this program reads {FORMAT_VERSION}: start icn-node on it once, which "
            "brings it up"
        )


def format_of(reader: Reader) -> int | None:
    """The format the store has; None in an empty one.

    Raises `StoreNewer`, `StoreCorrupt`, and `StoreIncomplete` or `StoreMoved` for one that must not be worked on.
    """
    moving.require_here(reader)
    return version_of(reader)


def version_of(reader: Reader) -> int | None:
    """The same for a store that is being moved. Raises `StoreNewer`, `StoreCorrupt`."""
    stored = reader.get(_VERSION)
    if stored is None:
        return None
    if not stored.isdigit():
        raise StoreCorrupt(f"the store's format is {stored[:20]!r}, which is no number: restore a backup")
    version = int(stored)
    if version > FORMAT_VERSION:
        raise StoreNewer(
            f"the store has format {version}, this program knows up to {FORMAT_VERSION}: run the newer release"
        )
    return version


def owner_of(reader: Reader) -> str | None:
    """The DID of the identity the store belongs to; None in an empty store."""
    stored = reader.get(_OWNER)
    return None if stored is None else stored.decode(errors="replace")


def renew_store_id(get: Callable[[bytes], bytes | None], batch: Batch, seed: bytes) -> None:
    """Make the store another one, because it was put back: from here on it gives numbers that were given before.

    `seed` tells this time from every other: the same copy may be put back twice.
    """
    batch.put(_STORE_ID, hashlib.sha256(b"icn/store-id/1" + (get(_STORE_ID) or b"") + seed).digest()[:STORE_ID_BYTES])


def store_id(reader: Reader) -> bytes | None:
    """Which store this is; None in an empty one."""
    return reader.get(_STORE_ID)
