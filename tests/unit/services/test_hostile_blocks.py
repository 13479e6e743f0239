"""Blocks that members and strangers craft so that a node stops, or does much for little: none of it happens."""

from icn.domain.federation.events import FederationFounded, NodeAdmitted, NodeJoined, NodeLeft
from icn.domain.federation.model import JoinPolicy
from icn.domain.ledger.events import Transferred
from icn.domain.ledger.model import TransferNumber
from icn.kernel.mana import Mana
from icn.services.commands import Remove
from support import builders
from support.agreeing import agree
from support.impostor import Impostor
from support.world import World, terms

NAMES = ("a", "b", "c", "d")


def lenient(policy: JoinPolicy = JoinPolicy.OPEN, *names: str) -> World:
    """A federation that has removed a member: records that do not fit are void from here on, and their blocks stay."""
    world = World()
    for name in (*NAMES, *names, "x"):
        world.add(name, terms())
    world.found("a", builders.policy(join_policy=policy), founders=(*NAMES[1:], *names, "x"))
    world.link_all()
    world.pass_time(2_000)
    for voter in NAMES:
        if not world["a"].engine.state.federation.was_removed(world["x"].did):
            world.done(voter, Remove(world["x"].did, "gone bad"))
            world.pass_time(3_000)
    assert world["a"].engine.state.federation.was_removed(world["x"].did)
    return world


def test_a_second_genesis_that_is_void_stops_nobody() -> None:
    world = lenient()
    stranger = Impostor(world, 66)
    founded = FederationFounded("mine", (stranger.did,), builders.policy())
    stranger.say(stranger.block(founded, parents=stranger.parents("a")), *NAMES)
    world.pass_time(3_000)
    agree(world, *NAMES)


def test_numbers_of_void_transfers_do_not_outgrow_their_rows() -> None:
    world = lenient()
    evil = Impostor.of(world, "d")
    paid = Transferred(TransferNumber(2**64 - 1), evil.did, world["a"].did, Mana(1), "")
    evil.say(evil.block(paid, parents=evil.parents("a")), "a", "b", "c")
    world.pass_time(3_000)
    agree(world, "a", "b", "c")


def test_who_was_admitted_by_a_void_record_and_never_said_that_it_joins_stops_nobody() -> None:
    world = lenient(JoinPolicy.INVITE)
    evil, friend = Impostor.of(world, "d"), Impostor(world, 66)
    honest, before = ("a", "b", "c"), evil.head
    admits = evil.say(evil.block(NodeAdmitted(friend.did), parents=evil.parents("a")), *honest)
    friend.say(friend.block(parents=(admits.cid,)), *honest)
    friend.say(friend.block(), *honest)
    assert friend.did not in world["a"].engine.state.feeds.heads, "a feed begins with joining"
    evil.head = before  # nobody has acknowledged the admission yet
    evil.say(evil.block(NodeAdmitted(builders.did(67)), parents=evil.parents("a")), *honest)
    world.pass_time(8_000)
    assert evil.did in world["a"].engine.state.cuts
    agree(world, *honest)


def test_what_follows_a_leaving_that_was_void_and_counts_again_stops_nobody() -> None:
    world = lenient(JoinPolicy.INVITE)
    evil, friend = Impostor.of(world, "d"), Impostor(world, 66)
    before = evil.head
    world.isolate("c")
    world.isolate("b")
    world.settle()
    admits = evil.block(NodeAdmitted(friend.did), parents=evil.parents("a"))
    joins = friend.block(NodeJoined(friend.did, "evil/1"), parents=(admits.cid,))
    evil.head = before
    other = evil.block(NodeAdmitted(builders.did(67)), parents=evil.parents("a"))
    for name in ("b", "c"):  # they build on it, and nobody hears of that for a while
        evil.say(admits, name)
        friend.say(joins, name)
    world.pass_time(3_000)
    evil.say(admits, "a")
    friend.say(joins, "a")
    world.pass_time(3_000)
    evil.say(other, "a")
    world.pass_time(3_000)
    assert evil.did in world["a"].engine.state.cuts
    friend.say(friend.block(NodeLeft(friend.did), parents=friend.parents("a")), "a")
    friend.say(friend.block(parents=friend.parents("a")), "a")
    world.pass_time(3_000)
    world.link_all()
    world.pass_time(8_000)
    agree(world, "a", "b", "c")
