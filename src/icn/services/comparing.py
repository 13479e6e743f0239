"""Equal counts and another root: somebody forked, and nobody has built on either branch (semantics §2).

Counts say how many blocks of a feed are here, not which. Where others have built on a branch, their blocks name it.
Empty blocks are built on only when there is something else to say, so two of them with one number could lie on two
sets of nodes for as long as nobody writes. Who finds itself so asks its peer once more for the newest blocks of the
feeds that nobody has built on; what comes is the other side of the fork, or known already. The same where one branch is
longer: what it has more cannot be taken, for want of what it follows.

Without a fork equal counts are equal blocks, so nothing of this happens then, however busy the nodes are. It is `Want`
with lower counts, which every version answers.
"""

from icn.domain.dag.feeds import Feeds
from icn.kernel import limits
from icn.kernel.ids import Did
from icn.kernel.instant import Duration, later
from icn.services.peers import PeerView
from icn.services.telling import question
from icn.services.work import UnitOfWork

FEEDS_COMPARED_MAX = 64
"""Feeds that are asked for again at once; where more could differ, the next question is about the next ones."""
BLOCKS_COMPARED_MAX = limits.CATCHUP_BLOCKS_MAX // FEEDS_COMPARED_MAX
"""Of each feed: what is asked for comes as one answer. A longer branch is found from its end, piece by piece."""


def has_as_much(work: UnitOfWork, view: PeerView) -> bool:
    """Whether a peer last reported as many blocks of every feed as are here."""
    return view.counts == work.state.feeds.clock()


def compare(work: UnitOfWork, view: PeerView, every: Duration) -> None:
    """Ask a peer for what it may have in another version: it has as much as we, or more that we cannot take.

    `every`: at most so often, however often the peer reports another root: it may lie.
    """
    feeds = work.state.feeds
    if not view.greeted or view.root == feeds.root():
        return
    if view.compared_at is not None and work.wall < later(view.compared_at, every):
        return
    again = _again(feeds, view)
    if again:
        view.compared_at = view.wanted_at = work.wall
        work.send(view.did, question(work, view, {**feeds.clock(), **again}, about=again))


def _again(feeds: Feeds, view: PeerView) -> dict[Did, int]:
    """By feed, from which block on it is asked for again.

    Never the peer's own: it is told by this how much of its feed is here, and a held node goes by that.
    """
    authors = sorted(author for author in feeds.frontier.values() if author != view.did)
    if not authors:
        return {}
    start = view.compare_from % len(authors)
    turn = [*authors[start:], *authors[:start]][:FEEDS_COMPARED_MAX]
    view.compare_from = (start + FEEDS_COMPARED_MAX) % len(authors) if len(authors) > FEEDS_COMPARED_MAX else 0
    return {author: _first_unseen(feeds, author) for author in turn}


def _first_unseen(feeds: Feeds, author: Did) -> int:
    """How many blocks of a feed others have built on; or, where the rest are many, all but the newest few."""
    seen = max((head.clock.get(author, 0) for by, head in feeds.heads.items() if by != author), default=0)
    return max(seen, feeds.next_sequence(author) - BLOCKS_COMPARED_MAX, 0)
