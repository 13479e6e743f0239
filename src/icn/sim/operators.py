"""What operators do for a node of theirs that is held, after an older copy of its store was put back (semantics §2)."""

from collections.abc import Sequence

from icn.kernel.ids import Cid, Did
from icn.services import acceptance
from icn.services.commands import ImportBlocks, ResumeAuthoring
from icn.services.engine import Engine
from icn.sim.node import Node
from icn.stores import blocks
from icn.stores.kv import Reader


def help_held(
    node: Node, engine: Engine, nodes: Sequence[Node], staying: Sequence[Node]
) -> ResumeAuthoring | ImportBlocks | None:
    """The operator's word where its next block is nowhere; a file of its blocks where only one that is no member any
    more has them, of whom nobody takes anything. None: it will hear by itself.
    """
    here = engine.state.feeds.next_sequence(node.did)
    holders = [other for other in nodes if blocks.cid_at(other.disk.platter, node.did, here) is not None]
    if not holders:
        return ResumeAuthoring()
    if any(other in staying for other in holders):
        return None
    return ImportBlocks(_blocks_of(node.did, here, holders[0].disk.platter, node.disk.platter))


def _blocks_of(author: Did, here: int, holder: Reader, lacking: Reader) -> tuple[bytes, ...]:
    """Its blocks from number `here` on and what they build on, ancestors first, without what is in `lacking`."""
    wanted: dict[Cid, None] = {}
    while (newest := blocks.cid_at(holder, author, here)) is not None:
        pending, here = [newest], here + 1
        while pending:
            cid = pending.pop()
            if cid in wanted or blocks.get_meta(lacking, cid) is not None:
                continue
            wanted[cid] = None
            block = blocks.get_block(holder, cid)
            if block is not None:
                pending += acceptance.links(block.header)
    found = ((cid, data) for (_, cid), _, data in blocks.journal_blocks(holder) if cid in wanted)
    return tuple(data for _, data in found if data is not None)
