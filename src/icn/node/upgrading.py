"""Tells the operator, before it is done, that a store is brought up to this release's format."""

import structlog

from icn.stores.kv import Reader
from icn.stores.schema import FORMAT_VERSION, format_of

log = structlog.get_logger("icn.node")


def tell_of_upgrade(store: Reader, place: str | None) -> None:
    """Log what is about to happen to an older store; nothing about others.

    The way back is a copy that was made before: only the operator can have made one, the node is not asked.

    Raises:
        StoreNewer, StoreCorrupt, StoreIncomplete, StoreMoved: the store is not for this program.
    """
    was = format_of(store)
    if was is not None and was < FORMAT_VERSION:
        log.warning(
            "the store is brought up to a newer format",
            place=place,
            was=was,
            becomes=FORMAT_VERSION,
            detail="an earlier release cannot open it afterwards; the way back to one is a copy of the store that was "
            "made before this start",
        )
