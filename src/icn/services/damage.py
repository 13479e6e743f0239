"""Blocks whose bytes are not what their names say: found by whoever reads them, mended by services.mending.

Soft state, learned anew after a restart by the next read or the next scan of the store.
"""

from dataclasses import dataclass, field

from icn.kernel.ids import Cid
from icn.services.effects import BlockDamaged, BlockMended
from icn.services.work import UnitOfWork

DAMAGED_REMEMBERED_MAX = 4096
"""A store with more than this has another problem; the scan comes back to those that are not remembered."""


@dataclass(slots=True)
class Damage:
    """Known and not mended."""

    found: dict[Cid, None] = field(default_factory=dict)

    def note(self, work: UnitOfWork, cid: Cid) -> None:
        """Somebody read damaged bytes. Told once until they are mended."""
        if cid not in self.found and len(self.found) < DAMAGED_REMEMBERED_MAX:
            self.found[cid] = None
            work.effects.append(BlockDamaged(cid))

    def mended(self, work: UnitOfWork, cid: Cid) -> None:
        """The right bytes are written with this batch."""
        self.found.pop(cid, None)
        work.effects.append(BlockMended(cid))

    def gone(self, cid: Cid) -> None:
        """The block was removed, or found whole."""
        self.found.pop(cid, None)
