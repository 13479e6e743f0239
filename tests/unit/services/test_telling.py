"""More feeds than one message may name: nothing is refused for it, and everything arrives all the same."""

from pathlib import Path

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel import limits
from icn.kernel.errors import PeerViolation
from icn.protocol.codec import decode_message, encode_message
from icn.protocol.messages import Message, protocol_of
from icn.services import rows, telling
from icn.services.commands import OpenAccountFor
from icn.sim import checkers
from support import builders
from support.agreeing import agree
from support.archives import back_up, restore_into
from support.impostor import Impostor
from support.world import World, federation, terms

NAMES = ("a", "b", "c")
FEW = 6


def crowded(monkeypatch: pytest.MonkeyPatch) -> tuple[World, list[str]]:
    """An open federation of three that ten strangers have joined, and what is wrong with messages that are sent."""
    monkeypatch.setattr(limits, "CLOCK_ENTRIES_MAX", FEW)
    world, wrong = federation(*NAMES), list[str]()

    def look(_source: str, _target: str, message: Message) -> bool:
        try:
            decode_message(protocol_of(message), encode_message(message))
        except PeerViolation as violation:
            wrong.append(str(violation))
        return False

    world.drop = look
    for number in range(60, 70):
        Impostor.stranger(world, number, "a")
    world.pass_time(6_000)
    return world, wrong


def test_everybody_has_all_feeds_though_no_message_names_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    world, wrong = crowded(monkeypatch)
    world.pass_time(60_000, step=1_000)
    assert wrong == []
    assert len(world["b"].engine.state.feeds.heads) == len(NAMES) + 10
    agree(world, *NAMES)


def test_a_newcomer_and_a_node_that_was_away_get_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    world, wrong = crowded(monkeypatch)
    world.isolate("c")
    world.settle()
    for owner in (80, 81):
        world.done("a", OpenAccountFor(builders.did(owner)))
    world.done("c", OpenAccountFor(builders.did(82)))
    for number in range(70, 75):
        Impostor.stranger(world, number, "a")
    world.add("new", terms())
    world.link("b", "new")
    world.pass_time(60_000, step=1_000)
    world.link_all()
    world.pass_time(120_000, step=1_000)
    assert wrong == []
    assert world["new"].engine.state.federation.has_joined(world["new"].did)
    agree(world, *NAMES, "new")


def test_such_a_federation_is_backed_up_and_restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world, _ = crowded(monkeypatch)
    back_up(world["a"].store, tmp_path / "full.tar.gz")
    target = MemoryStore()
    restore_into(target, tmp_path / "full.tar.gz")
    checkers.same_state("restored", "a", world["a"].engine.state, rows.load(target))


def test_of_a_feed_that_the_asker_has_whole_nothing_is_looked_up() -> None:
    feeds = federation(*NAMES)["a"].engine.state.feeds
    whole = feeds.clock()
    behind, *others = whole
    assert telling.asked_for(feeds, whole) == []
    assert telling.asked_for(feeds, {**whole, behind: whole[behind] - 1}) == [behind]
    assert telling.asked_for(feeds, {**whole, behind: whole[behind] + 5}) == []
    assert telling.asked_for(feeds, {author: whole[author] for author in others}) == [behind]
