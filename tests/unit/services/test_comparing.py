"""Peers whose counts are ours and whose root is not: asked again, seldom, and only for what nobody has built on."""

import pytest

from icn.kernel import limits
from icn.kernel.ids import Did
from icn.kernel.instant import Duration, later
from icn.protocol.messages import Blocks, FeedCount, Heads, Message, Want
from icn.services import comparing
from icn.services.commands import OpenAccountFor
from icn.services.comparing import BLOCKS_COMPARED_MAX, FEEDS_COMPARED_MAX
from icn.services.effects import Send
from icn.services.inputs import Received
from icn.services.peers import feed_counts
from icn.services.settings import ReplicationTerms
from support import builders
from support.forker import FORKER, Forker
from support.world import World, federation

EVERY = ReplicationTerms().anti_entropy


def alone() -> tuple[World, Did]:
    """Node a, with blocks of somebody that nobody has built on, and a peer whose messages the test writes."""
    forker = Forker(federation("a", "b", "c"))
    forker.join()
    world = forker.world
    world.drop = lambda source, target, _message: "a" in (source, target)
    world.done("a", OpenAccountFor(builders.did(8)))
    for _ in range(2):
        forker.say(forker.block(), "a")
    return world, world["b"].did


def report(world: World, peer: Did, *, root: str = "another", more: int = 0) -> list[Want]:
    """What node a asks when `peer` reports its counts, plus `more` of the last feed."""
    counts = feed_counts(world["a"].engine.state.feeds.clock())
    counts = (*counts[:-1], FeedCount(counts[-1].author, counts[-1].count + more))
    return asked(world, peer, Heads(counts, root))


def asked(world: World, peer: Did, message: Message) -> list[Want]:
    outcome = world["a"].engine.handle([Received(peer, message)])
    return [
        effect.message
        for effect in outcome.effects
        if isinstance(effect, Send) and effect.peer == peer and isinstance(effect.message, Want)
    ]


def clock(want: Want) -> dict[Did, int]:
    return {entry.author: entry.count for entry in want.counts}


def test_a_peer_with_our_counts_and_another_root_is_asked_for_what_nobody_has_built_on() -> None:
    world, peer = alone()
    feeds = world["a"].engine.state.feeds
    (want,) = report(world, peer)
    lower = {
        author: feeds.next_sequence(author) - count
        for author, count in clock(want).items()
        if count < feeds.next_sequence(author) and author in feeds.frontier.values()
    }
    assert lower[builders.did(FORKER)] == 2
    assert lower.keys() == {author for author in feeds.frontier.values() if author != peer}


def test_a_peer_that_lies_about_its_root_is_asked_once_in_an_interval() -> None:
    world, peer = alone()
    questions = 0
    for _ in range(30):
        world.handle("a", Received(peer, Blocks((), more=False)))
        questions += len(report(world, peer))
        world.clock.time = later(world.clock.time, Duration(500))
    assert 2 <= questions <= 30 * 500 // EVERY + 1


def test_nothing_is_asked_where_roots_are_equal_or_the_peer_has_less() -> None:
    world, peer = alone()
    assert report(world, peer, root=world["a"].engine.state.feeds.root()) == []
    assert report(world, peer, more=-1) == []


def test_a_peer_is_never_told_of_less_of_its_own_feed_than_is_here() -> None:
    """A held node goes by what others say that they have of its feed."""
    world, _ = alone()
    peer = builders.did(FORKER)
    (want,) = report(world, peer)
    assert clock(want)[peer] == world["a"].engine.state.feeds.next_sequence(peer)


def test_where_many_feeds_may_differ_each_question_is_about_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "FEEDS_COMPARED_MAX", 1)
    world, peer = alone()
    feeds = world["a"].engine.state.feeds
    asked_about = []
    for _ in range(2):
        (want,) = report(world, peer)
        world.handle("a", Received(peer, Blocks((), more=False)))
        world.clock.time = later(world.clock.time, EVERY)
        asked_about.append({by for by in feeds.frontier.values() if clock(want)[by] < feeds.next_sequence(by)})
    assert [len(authors) for authors in asked_about] == [1, 1]
    assert set().union(*asked_about) == set(feeds.frontier.values())


def test_an_answer_fits_into_one_message() -> None:
    assert 0 < FEEDS_COMPARED_MAX * BLOCKS_COMPARED_MAX <= limits.CATCHUP_BLOCKS_MAX
