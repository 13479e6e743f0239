"""What hangs together: the blocks that can be reached from some roots, in the order in which a CAR should hold them.

Signed blocks come first, ancestors before what builds on them, so that whoever imports the file can accept them one by
one; then content, each block before what it links to. Names are gathered first, from one snapshot; the bytes are read
page by page, each from a snapshot of its own, so that a slow reader holds nothing up.
"""

from collections.abc import Iterable, Iterator

from icn.domain.dag.block import parse_block
from icn.kernel.errors import Fault, Invalid, Kind, Refusal
from icn.kernel.ids import RAW, Cid
from icn.kernel.limits import MIB
from icn.services import rows
from icn.stores import blocks, contents, keyspace, references
from icn.stores.kv import Reader

REACHED_BLOCKS_MAX = 1_000_000
"""Blocks reached from roots: their names are held in memory. The whole DAG is exported without that."""
PAGE_BYTES = 4 * MIB
"""A page ends with the block that reaches this."""


class ClosureTooLarge(Refusal):
    """More hangs on the roots than is kept in mind."""

    code = "dag.closure_too_large"
    kind = Kind.TOO_LARGE

    def __init__(self) -> None:
        super().__init__(f"more than {REACHED_BLOCKS_MAX} blocks hang on these roots: export fewer, or everything")


class StoredBlockDamaged(Fault):
    """A block that was to leave the store is not what its name says, or was removed meanwhile."""

    code = "dag.stored_block_damaged"

    def __init__(self, cid: Cid) -> None:
        self.cid = cid
        super().__init__(
            f"the stored bytes of {cid} are damaged or gone: they cannot be given out. dag verify lists all such; "
            "a running node gets them from a connected peer that has them, dag restore from a backup that does"
        )


def reached(reader: Reader, roots: Iterable[Cid]) -> list[Cid]:
    """The names of the blocks that are here among those that can be reached from `roots`.

    Raises:
        ClosureTooLarge, StoredBlockDamaged
    """
    seen: dict[Cid, None] = {}
    signed: dict[int, Cid] = {}
    content: list[Cid] = []
    waiting = list(dict.fromkeys(roots))[::-1]
    while waiting:
        cid = waiting.pop()
        if cid in seen or not is_here(reader, cid):
            continue
        if len(seen) >= REACHED_BLOCKS_MAX:
            raise ClosureTooLarge
        seen[cid] = None
        meta = blocks.get_meta(reader, cid)
        if meta is None:
            content.append(cid)
        else:
            signed[meta.arrival] = cid
        if cid.codec != RAW:
            links = references.links_of_stored(cid, whole(reader, cid))
            waiting += [link for link in reversed(links) if link not in seen]
    return [*(signed[arrival] for arrival in sorted(signed)), *content]


def missing(reader: Reader, roots: Iterable[Cid]) -> list[Cid]:
    """Blocks that content among `roots` leads to and that are not here, or damaged; the roots are among them.

    What signed blocks name is not followed: they do not come before their ancestors, and of what their records name
    much is gone for good reasons. Looks at `REACHED_BLOCKS_MAX` blocks at most.
    """
    seen: dict[Cid, None] = {}
    lacking: list[Cid] = []
    waiting = list(dict.fromkeys(roots))[::-1]
    while waiting and len(seen) < REACHED_BLOCKS_MAX:
        cid = waiting.pop()
        if cid in seen:
            continue
        seen[cid] = None
        data = b"" if cid.codec == RAW else blocks.get_bytes(reader, cid)
        if not is_here(reader, cid) or data is None or (cid.codec != RAW and not cid.names(data)):
            lacking.append(cid)
        elif not _is_signed(data):
            waiting += [link for link in reversed(references.links_of_stored(cid, data)) if link not in seen]
    return lacking


def page_of(reader: Reader, names: list[Cid], begin: int) -> tuple[list[tuple[Cid, bytes]], int]:
    """Blocks from the place `begin` of `names` on, and where the next page begins. Raises `StoredBlockDamaged`."""
    found: list[tuple[Cid, bytes]] = []
    size = 0
    for place in range(begin, len(names)):
        if size >= PAGE_BYTES:
            return found, place
        data = whole(reader, names[place])
        size += len(data)
        found.append((names[place], data))
    return found, len(names)


def signed_page(reader: Reader, after: int) -> tuple[list[tuple[Cid, bytes]], int]:
    """Signed blocks that came after number `after`, and the number of the last. Raises `StoredBlockDamaged`."""
    return _page(reader, blocks.journal(reader, after), after)


def content_page(reader: Reader, after: int) -> tuple[list[tuple[Cid, bytes]], int]:
    """Content that came or changed after number `after`, and the number of the last. Raises `StoredBlockDamaged`."""
    return _page(reader, contents.changes(reader, after), after)


def heads(reader: Reader) -> list[Cid]:
    """Every feed's newest block: the roots of everything."""
    return [row.cid for _, row in rows.HEADS.rows(reader)]


def is_here(reader: Reader, cid: Cid) -> bool:
    """Whether something of that name is stored."""
    return any(reader.get(key) is not None for key in (keyspace.content_meta(cid), keyspace.block_meta(cid)))


def whole(reader: Reader, cid: Cid) -> bytes:
    """The bytes of a block that is here. Raises `StoredBlockDamaged`."""
    data = blocks.get_bytes(reader, cid)
    if data is None or not cid.names(data):
        raise StoredBlockDamaged(cid)
    return data


def _is_signed(data: bytes) -> bool:
    """Whether it is a signed block, of whatever federation."""
    try:
        parse_block(data)
    except Invalid:
        return False
    return True


def _page(reader: Reader, numbered: Iterator[tuple[int, Cid]], after: int) -> tuple[list[tuple[Cid, bytes]], int]:
    found: list[tuple[Cid, bytes]] = []
    size = 0
    for number, cid in numbered:
        data = whole(reader, cid)
        found.append((cid, data))
        size += len(data)
        after = number
        if size >= PAGE_BYTES:
            break
    return found, after
