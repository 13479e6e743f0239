"""Which forks a stream of blocks shows, and what counts of them, without a store to look it up in.

For archives: they claim beforehand who forked and what is kept, so that their blocks are taken once, and when all have
been taken the claim is held against them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from icn.domain.dag.block import Block, Place
from icn.domain.dag.feeds import Clock, ClockOf
from icn.domain.dag.forks import Contest, Vouching, lowest, voters_behind
from icn.domain.federation.events import EquivocationProven
from icn.domain.federation.model import JoinPolicy
from icn.domain.federation.state import FederationState
from icn.domain.records import Record
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services.recutting import link_of, vouchings_of


@dataclass(slots=True)
class Survey:
    """Follows blocks, ancestors first."""

    claimed: Mapping[Did, int] = field(default_factory=dict)
    """By author, where its feed is said to be cut."""
    evidence: dict[Cid, tuple[Did, int]] = field(default_factory=dict)
    """Genuine blocks beside the feeds that came along: author and number."""
    found: dict[Did, int] = field(default_factory=dict)
    _newest: dict[Did, int] = field(default_factory=dict)
    _named: dict[Cid, tuple[Did, int]] = field(default_factory=dict)
    """What records of forks name, and where those blocks must stand."""
    _vouchings: list[Vouching] = field(default_factory=list)
    _voters: dict[Did, tuple[Did, ...]] = field(default_factory=dict)
    _contest: Contest | None = None

    def take(
        self, block: Block, records: Sequence[Record], clock: Clock, clock_of: ClockOf, federation: FederationState
    ) -> None:
        """The next block."""
        author, sequence = block.header.author, block.header.sequence
        if sequence <= self._newest.get(author, -1):  # ancestors come first, so there is another one with this number
            lowest(self.found, author, sequence)
        self._newest[author] = max(sequence, self._newest.get(author, -1))
        for record in records:
            event = record.event
            if isinstance(event, EquivocationProven):
                lowest(self.found, event.accused, event.sequence)
                self._named |= dict.fromkeys((event.first, event.second), (event.accused, event.sequence))
        if not self.claimed:
            return
        policy = None if federation.federation is None else federation.federation.policy.join_policy
        self._vouchings += vouchings_of(block.place, records, clock, by_vote=policy is JoinPolicy.VOTE)
        if sequence == self.claimed.get(author) and sequence and author not in self._voters:
            self._voters[author] = voters_behind(clock_of(author, sequence - 1), self._vouchings, self.claimed)
        if self._contest is None:
            self._contest = Contest(self.claimed, self._voters)
        self._contest.take(link_of(block))

    def check(self, kept: Mapping[Did, tuple[Cid, ...]], place_of: Callable[[Cid], Place | None]) -> None:
        """Raise `PeerViolation` unless the blocks show the forks that are claimed, prove them, and keep as much."""
        for cid, named in self._named.items():
            place = place_of(cid)
            stands = self.evidence.get(cid) if place is None else (place.author, place.sequence)
            if stands != named:
                raise PeerViolation(f"block {cid}, which is named to prove a fork, is not there or proves none")
        if self.found != dict(self.claimed):
            raise PeerViolation("it names other forks than its blocks show")
        if any(
            kept.get(author, ()) != (self._contest.kept(author) if self._contest else ()) for author in self.claimed
        ):
            raise PeerViolation("it counts other blocks of who forked than were acknowledged")
