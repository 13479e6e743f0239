"""Blocks taken in from elsewhere than a peer, one after the other, ancestors first: from archives.

The steps are those of `services.acceptance`, as replication takes them; nothing waits here, for whoever wrote the
archive had the ancestors.
"""

from dataclasses import dataclass, field

from icn.domain.context import Context
from icn.domain.dag.block import Block, Place
from icn.domain.dag.feeds import Clock
from icn.domain.records import Record
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services import acceptance
from icn.services.ancestry import BlockAncestry
from icn.services.state import State
from icn.stores import blocks
from icn.stores.kv import Reader

KEPT_MAX = 4096
"""Of the newest places and clocks that a state remembers when the blocks are in the store: parents mostly are new."""


@dataclass(slots=True)
class Intake:
    """A state that takes blocks. What it took is in memory until `forget`; what was there before, in the store."""

    state: State
    federation: Cid | None
    """Whose blocks are taken."""
    store: Reader | None = None
    """Where the blocks behind the state are; None where it began empty."""
    _places: dict[Cid, Place] = field(default_factory=dict)
    _clocks: dict[tuple[Did, int], Clock] = field(default_factory=dict)

    def knows(self, cid: Cid) -> bool:
        """Whether the block is in a feed already."""
        return cid in self._places or (self.store is not None and blocks.get_meta(self.store, cid) is not None)

    def take(self, block: Block, *, genuine: bool = False) -> tuple[Clock, list[Record]]:
        """Check a block and apply its records; feeds and store are still the caller's to change. Signature included.

        `genuine`: its signature was checked before.

        Raises:
            PeerViolation, EventRefused: it can never be accepted. The state may be half changed.
        """
        header, state = block.header, self.state
        acceptance.check_federation(block, self.federation)
        if not genuine and not block.is_genuine():
            raise PeerViolation("a block is signed by its author")
        acceptance.check_follows(block, state.feeds)
        clock = acceptance.clock_from_links(block, self._ancestor_of)
        self._places[block.cid] = block.place
        self._clocks[header.author, header.sequence] = clock
        records = acceptance.records_of(block, state.federation)
        ancestry = BlockAncestry(clock, state.federation, self._clock_of)
        acceptance.apply_records(state, block, records, Context(header.author, header.sequence, header.time, ancestry))
        return clock, records

    def proves_fork(self, block: Block) -> bool:
        """Whether it is a genuine block beside another one of its author with its number, which is in the feed."""
        header = block.header
        place = (header.author, header.sequence)
        beside = place in self._clocks or (self.store is not None and blocks.cid_at(self.store, *place) is not None)
        return beside and not self.knows(block.cid) and block.is_genuine()

    def forget(self) -> None:
        """What was taken is in the store now, or will be when it is looked up: all but the newest may go."""
        for older in tuple(self._places)[:-KEPT_MAX]:
            del self._places[older]
        for oldest in tuple(self._clocks)[:-KEPT_MAX]:
            del self._clocks[oldest]

    def _ancestor_of(self, cid: Cid) -> tuple[Place, Clock]:
        place = self._places.get(cid)
        if place is not None:
            return place, self._clock_of(place.author, place.sequence)
        meta = None if self.store is None else blocks.get_meta(self.store, cid)
        if meta is None:
            raise PeerViolation(f"it names {cid}, which did not come before it")
        return meta.place, blocks.clock_of_entries(meta.clock)

    def _clock_of(self, author: Did, sequence: int) -> Clock:
        head = self.state.feeds.heads.get(author)
        if head is not None and head.sequence == sequence:
            return head.clock
        clock = self._clocks.get((author, sequence))
        if clock is None and self.store is not None:
            clock = blocks.clock_at(self.store, author, sequence)
        return {} if clock is None else clock
