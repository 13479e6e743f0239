"""Who is connected, and what each said it has. Soft state: gone at a restart, learned anew."""

from dataclasses import dataclass, field
from operator import attrgetter

from icn.domain.dag.feeds import Clock
from icn.domain.federation.state import FederationState
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.making import maker
from icn.protocol.messages import FeedCount

_TEXT = attrgetter("text")
"""What gives DIDs their order: quicker to compare than they are."""
_feed_count = maker(FeedCount)


@dataclass(slots=True)
class PeerView:
    """One connected peer."""

    did: Did
    introduced: bool = False
    """Its `Hello` has come."""
    greeted: bool = False
    """It is of our federation, or asks to join it: what it says counts."""
    agent: str = ""
    federation: Cid | None = None
    counts: dict[Did, int] = field(default_factory=dict)
    root: str = ""
    told: str = ""
    """The root that it was last told; empty where it has not been told all."""
    rounds_rested: int = 0
    """Rounds of anti-entropy since, in which it was told nothing because it has what is here."""
    differs_since: Instant | None = None
    """Since when it has reported another root than ours was at the time; none while it reports ours."""
    executes: bool = False
    welcomed: int = 0
    """What waits for it went out: 1, to a newcomer; 2, to one of our federation. Once each, however often it greets."""
    wanted_at: Instant | None = None
    """Since when an answer to our `Want` is awaited."""
    compared_at: Instant | None = None
    """When it was last asked for blocks that are here in another version, perhaps: bounds how often, no more."""
    compare_from: int = 0
    """With which feed the next such question begins."""
    dismissed_at: Instant | None = None
    """Since when it is told that it was removed, and not heard."""
    shown: dict[Did, int] = field(default_factory=dict)  # bounded: by the members who fork
    """By author, the number of the two blocks it was shown, because this node may not prove what they prove."""
    presentations: int = 0
    """Invitations that it has presented over this connection."""
    is_file: bool = False
    """Not a peer, but an archive or CAR file that is being read."""
    quarantined: int = 0
    """Blocks of its sending that wait in quarantine."""


@dataclass(slots=True)
class Peers:
    """The connected peers, in order of connection."""

    views: dict[Did, PeerView] = field(default_factory=dict)

    def greeted(self) -> list[PeerView]:
        """Peers that say they are of our federation, or ask to join it."""
        return [view for view in self.views.values() if view.greeted]

    def members(self, federation: FederationState) -> list[PeerView]:
        """Those of them that are members, as far as is known here: anybody can say so."""
        return [view for view in self.greeted() if federation.is_member(view.did)]

    def executors(self) -> list[Did]:
        """Peers of our federation that take jobs."""
        return [view.did for view in self.views.values() if view.greeted and view.executes]

    def is_here(self, did: Did) -> bool:
        """Whether the peer is connected and of our federation."""
        view = self.views.get(did)
        return view is not None and view.greeted


def feed_counts(clock: Clock) -> tuple[FeedCount, ...]:
    """A clock as messages carry it."""
    return tuple([_feed_count(author, clock[author]) for author in sorted(clock, key=_TEXT)])


def clock_of_counts(counts: tuple[FeedCount, ...]) -> dict[Did, int]:
    """Inverse of `feed_counts`. Raises `PeerViolation` for negative counts or a feed named twice."""
    clock = {entry.author: entry.count for entry in counts}
    if len(clock) != len(counts) or min(clock.values(), default=0) < 0:
        raise PeerViolation("feeds are counted once each, from zero up")
    return clock
