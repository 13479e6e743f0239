"""The on-disk format and whose store this is.

Version 1 is the first. An upgrade will be one function per step here; a store of a newer format is refused, never
guessed at.
"""

from typing import ClassVar

from icn.kernel.errors import Fault
from icn.kernel.ids import Did
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader, StoreNewer

FORMAT_VERSION = 1
_VERSION = keyspace.about("format")
_OWNER = keyspace.about("owner")


class ForeignStore(Fault):
    """The store belongs to another identity."""

    code: ClassVar[str] = "store.foreign"


def check_or_claim(reader: Reader, owner: Did) -> Batch:
    """What to commit before anything else: nothing for a store of ours, format and owner for an empty one.

    Raises:
        StoreNewer: the format is newer than this program.
        ForeignStore: another node's key wrote it; two nodes must not share a store.
    """
    batch = Batch()
    version = reader.get(_VERSION)
    if version is None:
        batch.put(_VERSION, str(FORMAT_VERSION).encode())
        batch.put(_OWNER, owner.text.encode())
        return batch
    if int(version) > FORMAT_VERSION:
        raise StoreNewer(
            f"the store has format {int(version)}, this program knows up to {FORMAT_VERSION}: run the newer release"
        )
    stored = reader.get(_OWNER)
    if stored != owner.text.encode():
        was = (stored or b"nobody").decode()
        raise ForeignStore(
            f"the store belongs to {was}, this node's key is {owner}: give back the key it was made with"
        )
    return batch


def owner_of(reader: Reader) -> str | None:
    """The DID of the identity the store belongs to; None in an empty store."""
    stored = reader.get(_OWNER)
    return None if stored is None else stored.decode()
