"""Damaged blocks are fetched again from whoever has them, signed blocks as well as content.

A name says what the right bytes are, so any peer will do. Where nobody has them the block stays damaged: it is not
served, and asked for again from time to time.
"""

from dataclasses import dataclass, field

from icn.kernel.ids import Cid
from icn.kernel.instant import Duration, Instant, later
from icn.services.content import ContentService
from icn.services.peers import Peers
from icn.services.work import UnitOfWork
from icn.stores import keyspace

ASKED_AGAIN_AFTER = Duration(30_000)
ASKED_AT_ONCE_MAX = 16
"""Damaged blocks that are asked for in one batch."""


@dataclass(slots=True)
class MendingService:
    """Owns when each damaged block was last asked for."""

    peers: Peers
    content: ContentService
    _asked_at: dict[Cid, Instant] = field(default_factory=dict)

    def examine(self, work: UnitOfWork, cids: tuple[Cid, ...]) -> int:
        """Look at blocks that a scan, reading beside the writer, found damaged. How many are."""
        damaged = 0
        for cid in cids:
            if work.get(keyspace.block(cid)) is None:
                self.content.damage.gone(cid)  # pruned since
            elif self.content.read(work, cid) is None:
                damaged += 1
        return damaged

    def tick(self, work: UnitOfWork) -> None:
        """Ask for what is damaged."""
        damaged = self.content.damage.found
        if not damaged and not self._asked_at:
            return
        for cid in [cid for cid in self._asked_at if cid not in damaged]:
            del self._asked_at[cid]
        sources = [view.did for view in self.peers.greeted()]
        if not sources:
            return
        due = [cid for cid in damaged if self._due(work, cid)]
        for cid in due[:ASKED_AT_ONCE_MAX]:
            self._asked_at[cid] = work.wall
            self.content.fetch(work, cid, sources, _nobody_waits)

    def wake_at(self, wall: Instant) -> Instant | None:
        """When `tick` has something to do."""
        if not self.content.damage.found or not self.peers.greeted():
            return None
        moments = (
            later(at, ASKED_AGAIN_AFTER) if (at := self._asked_at.get(cid)) is not None else wall
            for cid in self.content.damage.found
        )
        return min(moments, default=None)

    def _due(self, work: UnitOfWork, cid: Cid) -> bool:
        at = self._asked_at.get(cid)
        return at is None or work.wall >= later(at, ASKED_AGAIN_AFTER)


def _nobody_waits(_work: UnitOfWork, _found: bool) -> None:  # noqa: FBT001 - a content waiter
    """Mending has no caller; what came is written, what did not come stays damaged."""
