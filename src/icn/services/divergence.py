"""In what this node and its peers differ, as far as it knows: by what each last said that it has.

In sync is who reported this node's own root, the newest time it reported one; nothing is assumed. Of members only: what
others say is nobody's difference, and it is looked at with every batch.
"""

from dataclasses import dataclass

from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.services.arrivals import Arrivals
from icn.services.peers import Peers, PeerView
from icn.services.state import State

FEEDS_TOLD_MAX = 64
"""Feeds told of for each peer; how many there are in all is told beside them."""
WAITING_TOLD_MAX = 64


@dataclass(frozen=True, slots=True)
class FeedDifference:
    """A feed of which one has more than the other."""

    author: Did
    here: int
    """Blocks of it here."""
    there: int


@dataclass(frozen=True, slots=True)
class PeerDifference:
    """What a peer has and we lack, and the other way round."""

    did: Did
    root: str
    """What it last reported."""
    in_sync: bool
    since: Instant | None
    """Since when its reports have been of another root; none while they are of ours."""
    feeds_ahead: int
    """Feeds of which it has more."""
    feeds_behind: int
    feeds: tuple[FeedDifference, ...]
    """Those, the first few."""
    asked_at: Instant | None
    """Since when an answer to a question for blocks is awaited."""


@dataclass(frozen=True, slots=True)
class BlockWaiting:
    """A block in quarantine."""

    cid: Cid
    author: Did
    sequence: int
    sender: Did
    missing: Cid | None
    """What it waits for; none: its own time."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """All of it."""

    peers: tuple[PeerDifference, ...]
    waiting: int
    """Blocks in quarantine."""
    quarantine: tuple[BlockWaiting, ...]
    """Those, the first few."""


NOBODY = Divergence((), 0, ())


def divergence(state: State, peers: Peers, arrivals: Arrivals, root: str) -> Divergence:
    """As of now. `root`: this node's own."""
    here = state.feeds.clock()
    waiting = list(arrivals.quarantine.waiting.values())[:WAITING_TOLD_MAX]
    return Divergence(
        tuple(_difference(view, here, root) for view in peers.members(state.federation)),
        len(arrivals.quarantine.waiting),
        tuple(
            BlockWaiting(e.block.cid, e.block.header.author, e.block.header.sequence, e.sender, e.missing)
            for e in waiting
        ),
    )


def _difference(view: PeerView, here: dict[Did, int], root: str) -> PeerDifference:
    if view.root == root:
        return PeerDifference(view.did, view.root, True, None, 0, 0, (), view.wanted_at)
    ahead = [author for author, count in view.counts.items() if count > here.get(author, 0)]
    behind = [author for author, count in here.items() if count > view.counts.get(author, 0)]
    authors = [*sorted(ahead[:FEEDS_TOLD_MAX]), *sorted(behind[:FEEDS_TOLD_MAX])][:FEEDS_TOLD_MAX]
    told = tuple(FeedDifference(author, here.get(author, 0), view.counts.get(author, 0)) for author in authors)
    since, asked = view.differs_since, view.wanted_at
    return PeerDifference(view.did, view.root, False, since, len(ahead), len(behind), told, asked)
