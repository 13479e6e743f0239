"""Which feeds a message names: all of them, or as many as one message may, where a federation has more.

Whoever may begin feeds can make it so, and nobody would understand anybody any more. Then a message names first what it
is about: the feeds of the two who talk, those with news, those of which the other one has more. The rest of it goes
through all other feeds, some at a time, so that every feed is named after a while. A `Want` that names as many feeds as
a message may is a question about those alone, and is answered so.
"""

from collections.abc import Iterable

from icn.domain.dag.feeds import Clock, Feeds
from icn.kernel import limits
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.protocol.messages import FeedCount, Heads, Want
from icn.services.peers import PeerView, feed_counts
from icn.services.work import UnitOfWork

TURN_MS = 5_000
"""So long the same feeds are named beside those that a message is about."""
ROUNDS_RESTED_MAX = 11
"""Rounds of anti-entropy in a row that a peer is left alone while it has what is here: a minute, with the twelfth."""


def tell(work: UnitOfWork, views: Iterable[PeerView]) -> None:
    """Tell peers what is here now. The same to all, where it all fits."""
    root = work.state.feeds.root()
    fits = len(work.state.feeds.heads) <= limits.CLOCK_ENTRIES_MAX
    heads = Heads(feed_counts(work.state.feeds.clock()), root) if fits else None
    for view in views:
        work.send(view.did, heads or Heads(counts(work, view.did), root))
        # Where one message does not name every feed, the next one names others.
        view.told, view.rounds_rested = root if fits else "", 0


def tell_in_turn(work: UnitOfWork, views: Iterable[PeerView]) -> None:
    """A round of anti-entropy: tell those who need it.

    Who last said that it has what is here, and was told that it is here, learns nothing by hearing it again; it is told
    in every twelfth round, and at once when either side has something else.
    """
    root = work.state.feeds.root()
    due = []
    for view in views:
        if view.root == view.told == root and view.rounds_rested < ROUNDS_RESTED_MAX:
            view.rounds_rested += 1
        else:
            due.append(view)
    tell(work, due)


def counts(work: UnitOfWork, peer: Did) -> tuple[FeedCount, ...]:
    """How many blocks of each feed are here, for a peer."""
    feeds = work.state.feeds
    if len(feeds.heads) <= limits.CLOCK_ENTRIES_MAX:
        return feed_counts(feeds.clock())
    return _named(feeds.clock(), (work.did, peer, *_with_news(feeds)), work.wall)


def question(work: UnitOfWork, view: PeerView, have: Clock, about: Iterable[Did] = ()) -> Want:
    """What to ask a peer, `have` being what need not come. `about`: the feeds it is asked for."""
    if len(have) <= limits.CLOCK_ENTRIES_MAX:
        return Want(feed_counts(have))
    ahead = [author for author, count in view.counts.items() if count > have.get(author, 0)]
    due = {**dict.fromkeys(ahead, 0), **have}
    return Want(_named(due, (work.did, view.did, *about, *ahead), work.wall))


def asked_for(feeds: Feeds, have: Clock) -> list[Did]:
    """The feeds that a `Want` with these counts asks for, and that have more here."""
    named_all = len(have) < limits.CLOCK_ENTRIES_MAX
    return [
        author
        for author, head in feeds.heads.items()
        if (named_all or author in have) and head.sequence >= have.get(author, 0)
    ]


def _with_news(feeds: Feeds) -> list[Did]:
    """Authors of the newest blocks, the newest first."""
    return list(dict.fromkeys(place.author for place in reversed(feeds.recent.values())))[: _half()]


def _half() -> int:
    return limits.CLOCK_ENTRIES_MAX // 2


def _named(clock: Clock, first: Iterable[Did], wall: Instant) -> tuple[FeedCount, ...]:
    most = limits.CLOCK_ENTRIES_MAX
    named = [author for author in dict.fromkeys(first) if author in clock][: most - most // 4]
    others = sorted(clock.keys() - dict.fromkeys(named).keys())
    room = most - len(named)
    start = wall // TURN_MS * room % len(others)
    chosen = [*named, *[*others[start:], *others[:start]][:room]]
    return feed_counts({author: clock[author] for author in chosen})
