"""Blocks taken in from elsewhere than a peer, one after the other, ancestors first: from archives.

The steps are those of `services.acceptance`, as replication takes them; nothing waits here, for whoever wrote the
archive had the ancestors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from icn.domain.context import Context
from icn.domain.dag.block import Block, Place
from icn.domain.dag.feeds import NEVER, Clock
from icn.domain.dag.forks import Cut, lowest
from icn.domain.records import Record
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services import acceptance
from icn.services.ancestry import BlockAncestry, stored_clock
from icn.services.state import State
from icn.services.surveying import Survey
from icn.stores import blocks
from icn.stores.archive import Manifest
from icn.stores.kv import Reader

KEPT_MAX = 4096
"""Of the newest places and clocks that a state remembers when the blocks are in the store: parents mostly are new."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What counts of authors that forked or were removed, as an archive claims it: known before its blocks are read."""

    cuts: Mapping[Did, Cut] = field(default_factory=dict)
    kept: Mapping[Did, tuple[Cid, ...]] = field(default_factory=dict)
    removals: Mapping[tuple[Did, int, Did], None] = field(default_factory=dict)
    """The records that remove members and count, by block and member."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Choice":
        """That of an archive."""
        kept = {fork.author: tuple(Cid.parse(cid) for cid in fork.kept) for fork in manifest.forks}
        forks = {fork.author: fork.sequence for fork in manifest.forks}
        ends: dict[Did, int] = {}
        for one in manifest.removals:
            if one.accepted < forks.get(one.node, NEVER):  # otherwise the fork says what counts
                lowest(ends, one.node, one.accepted)
        cuts = {}
        for author in sorted({**forks, **ends}):
            forked, removed = forks.get(author), ends.get(author)
            head = next(reversed(kept.get(author, ())), None)
            first = min(number for number in (forked, removed) if number is not None)
            cuts[author] = Cut(author, first, len(kept.get(author, ())), head, forked, removed)
        return cls(cuts, kept, {(one.by, one.sequence, one.node): None for one in manifest.removals})


@dataclass(slots=True)
class Intake:
    """A state that takes blocks. What it took is in memory until `forget`; what was there before, in the store."""

    state: State
    federation: Cid | None
    """Whose blocks are taken."""
    store: Reader | None = None
    """Where the blocks behind the state are; None where it began empty."""
    choice: Choice = field(default_factory=Choice)
    _places: dict[Cid, Place] = field(default_factory=dict)
    _clocks: dict[tuple[Did, int], Clock] = field(default_factory=dict)
    _side_clocks: dict[Cid, Clock] = field(default_factory=dict)
    _survey: Survey = field(default_factory=Survey)

    @classmethod
    def begin(cls, manifest: Manifest, store: Reader | None = None) -> "Intake":
        """From nothing, to where the archive ends. `store`: where what is taken can be looked up."""
        choice = Choice.of(manifest)
        named = None if manifest.federation is None else Cid.parse(manifest.federation.id)
        made = cls(State(cuts=dict(choice.cuts)), named, store, choice)
        made.state.removals = choice.removals if choice.cuts else None
        made._survey = Survey(choice.cuts, choice.removals)
        return made

    def knows(self, cid: Cid) -> bool:
        """Whether the block is here already."""
        return cid in self._places or (self.store is not None and blocks.get_meta(self.store, cid) is not None)

    def is_side(self, block: Block) -> bool:
        """Whether the block goes into no feed, because its author forked or was removed."""
        author = block.header.author
        return self.state.is_side(author, block.header.sequence) and block.cid not in self.choice.kept.get(author, ())

    def is_branch(self, block: Block) -> bool:
        """Whether no clock counts the block either, because its author forked there or below."""
        return self.is_side(block) and self.state.is_branch(block.header.author, block.header.sequence)

    def take(self, block: Block, *, genuine: bool = False) -> tuple[Clock, list[Record]]:
        """Check a block and apply its records; feeds and store are still the caller's to change. Signature included.

        `genuine`: its signature was checked before.

        Raises:
            PeerViolation, EventRefused: it can never be accepted. The state may be half changed.
        """
        header, state = block.header, self.state
        if state.cuts != dict(self.choice.cuts):
            raise PeerViolation(
                "the store knows of other forks or removals than the archive: restore into an empty one"
            )
        acceptance.check_federation(block, self.federation)
        if not genuine and not block.is_genuine():
            raise PeerViolation("a block is signed by its author")
        is_side = self.is_side(block)
        if not is_side:
            acceptance.check_follows(block, state.feeds)
        is_branch = self.is_branch(block)
        clock = acceptance.clock_from_links(block, self._ancestor_of, is_branch=is_branch)
        self._places[block.cid] = block.place
        if is_side:
            self._side_clocks[block.cid] = clock
        if not is_branch:
            self._clocks[header.author, header.sequence] = clock
        records = acceptance.records_of(block, state.federation, is_lenient=bool(state.cuts), is_side=is_side)
        ancestry = BlockAncestry(clock, state.federation, self._clock_of)
        context = Context(header.author, header.sequence, header.time, ancestry)
        if not is_side:
            apply = acceptance.apply_what_fits if state.cuts else acceptance.apply_records
            apply(state, block, records, context)
        self._survey.take(block, records, clock, self._clock_of, is_side=is_side)
        return clock, records

    def proves_fork(self, block: Block) -> bool:
        """Whether it is a genuine block beside another one of its author with its number, or from where it is cut."""
        header = block.header
        place = (header.author, header.sequence)
        if header.federation != self.federation:
            return False  # what it signed elsewhere is another feed
        beside = place in self._clocks or (self.store is not None and blocks.cid_at(self.store, *place) is not None)
        proves = (beside or self.state.is_side(*place)) and not self.knows(block.cid) and block.is_genuine()
        if proves:
            self._survey.evidence[block.cid] = place
        return proves

    def check_choice(self) -> None:
        """Raise `PeerViolation` unless what counts of who is cut is what the blocks say, which were all taken."""
        self._survey.check(self.choice.kept, self._place_of)

    def _place_of(self, cid: Cid) -> Place | None:
        place = self._places.get(cid)
        if place is None and self.store is not None:
            meta = blocks.get_meta(self.store, cid)
            place = None if meta is None else meta.place
        return place

    def forget(self) -> None:
        """What was taken is in the store now, or will be when it is looked up: all but the newest may go."""
        for older in tuple(self._places)[:-KEPT_MAX]:
            del self._places[older]
        self._side_clocks = {cid: clock for cid, clock in self._side_clocks.items() if cid in self._places}
        for oldest in tuple(self._clocks)[:-KEPT_MAX]:
            del self._clocks[oldest]

    def _ancestor_of(self, cid: Cid) -> tuple[Place, Clock]:
        place = self._places.get(cid)
        if place is not None:
            aside = self._side_clocks.get(cid)
            return place, self._clock_of(place.author, place.sequence) if aside is None else aside
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
            clock = stored_clock(self.store, self.state.feeds, author, sequence)
        return {} if clock is None else clock
