"""Which forks and removals a stream of blocks shows, and what counts of them, without a store to look it up in.

For archives: they claim beforehand who is cut and what is kept, so that their blocks are taken once, and when all have
been taken the claim is held against them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from icn.domain.dag.block import Block, Place
from icn.domain.dag.electorate import Electorate, ends_of
from icn.domain.dag.feeds import Clock, ClockOf
from icn.domain.dag.forks import Contest, Cut, ForksShown
from icn.domain.federation.events import EquivocationProven
from icn.domain.records import Record
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services.recutting import Aside, founds_by_vote, link_of, vouchings_of


@dataclass(slots=True)
class Survey:
    """Follows blocks, ancestors first."""

    claimed: Mapping[Did, Cut] = field(default_factory=dict)
    """By author, where its feed is said to be cut."""
    removals: Mapping[tuple[Did, int, Did], None] = field(default_factory=dict)
    """The records that are said to remove members, by block and member."""
    evidence: dict[Cid, tuple[Did, int]] = field(default_factory=dict)
    """Genuine blocks beside the feeds that came along: author and number."""
    _shown: ForksShown = field(default_factory=ForksShown)
    _named: dict[Cid, tuple[Did, int]] = field(default_factory=dict)
    """What records of forks name, and where those blocks must stand."""
    _forks: dict[Did, int] = field(default_factory=dict)
    _electorate: Electorate = field(init=False)
    _aside: Aside = field(default_factory=Aside)
    _has_begun: bool = False
    _by_vote: bool = False
    _voters: dict[Did, tuple[Did, ...]] = field(default_factory=dict)
    _contest: Contest = field(init=False)

    def __post_init__(self) -> None:
        cuts = self.claimed.values()
        self._forks = {cut.author: cut.forked_at for cut in cuts if cut.forked_at is not None}
        ends = {cut.author: cut.removed_at for cut in cuts if cut.removed_at is not None}
        self._electorate = Electorate(self._forks)
        self._contest = Contest({cut.author: cut.sequence for cut in cuts}, self._voters, ends, self._forks)

    def take(
        self, block: Block, records: Sequence[Record], clock: Clock, clock_of: ClockOf, *, is_side: bool = False
    ) -> None:
        """The next block. `is_side`: it goes into no feed."""
        author, sequence = block.header.author, block.header.sequence
        if not self._has_begun:
            self._has_begun, self._by_vote = True, founds_by_vote(records)
        proofs = [record.event for record in records if isinstance(record.event, EquivocationProven)]
        self._shown.take(author, sequence, ((proof.accused, proof.sequence) for proof in proofs))
        for proof in proofs:
            self._named |= dict.fromkeys((proof.first, proof.second), (proof.accused, proof.sequence))
        if self.claimed:
            self._aside.take(block, is_side=is_side)
        behind = self._aside.with_clock(block.cid, clock)
        for each in vouchings_of(block, records, behind, by_vote=self._by_vote):
            self._electorate.take(each)
        self._electorate.note(author, sequence, behind)
        if not self._forks:
            return
        if sequence == self._forks.get(author) and sequence and author not in self._voters:
            self._voters[author] = self._electorate.admitted(clock_of(author, sequence - 1))
        self._contest.take(link_of(block))

    def check(self, kept: Mapping[Did, tuple[Cid, ...]], place_of: Callable[[Cid], Place | None]) -> None:
        """Raise `PeerViolation` unless the blocks show the forks and removals that are claimed, and keep as much."""
        for cid, named in self._named.items():
            place = place_of(cid)
            stands = self.evidence.get(cid) if place is None else (place.author, place.sequence)
            if stands != named:
                raise PeerViolation(f"block {cid}, which is named to prove a fork, is not there or proves none")
        if self._shown.found != self._forks:
            raise PeerViolation("it names other forks than its blocks show")
        removals = self._electorate.removals()
        places = {(one.by, one.sequence, one.node): None for one in removals}
        ends = {cut.author: cut.removed_at for cut in self.claimed.values() if cut.removed_at is not None}
        if places != dict(self.removals) or ends_of(removals) != ends:
            raise PeerViolation("it names other removals than its blocks show")
        self._contest.removals = removals
        if any(kept.get(author, ()) != self._contest.kept(author) for author in self._forks):
            raise PeerViolation("it counts other blocks of who forked than were acknowledged")
