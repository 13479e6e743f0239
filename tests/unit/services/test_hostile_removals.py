"""Records about members that their authors were not entitled to: nobody is removed, counted or let go by them."""

from dataclasses import replace
from pathlib import Path

from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.events import FederationFounded, NodeLeft, NodeRemoved, RemovalVoted
from icn.domain.federation.model import JoinPolicy
from icn.domain.mesh.events import JobSubmitted
from icn.services import rows
from icn.services.commands import Admit, Remove
from icn.services.verify import verify
from icn.sim import checkers
from support import builders
from support.archives import back_up, restore_into
from support.impostor import Impostor
from support.world import World, federation

NAMES = ("a", "b", "c", "d", "e")


def agree(world: World, *names: str) -> None:
    """Equal blocks, equal states, equal to what is stored and to what the journal gives."""
    nodes = [world[name] for name in names]
    assert len({node.engine.state.feeds.root() for node in nodes}) == 1
    for node in nodes:
        checkers.same_state("agreement", node.name, nodes[0].engine.state, node.engine.state)
        checkers.same_state("rows", node.name, node.engine.state, rows.load(node.store))
        assert not verify(node.store, node.did, deep=True).findings


def remove(world: World, whom: str, *voters: str) -> None:
    """Until those are enough."""
    for voter in voters:
        if not world[voter].engine.state.federation.was_removed(world[whom].did):
            world.done(voter, Remove(world[whom].did, "gone bad"))
            world.pass_time(3_000)


def after_a_removal() -> World:
    """Records that do not fit are void from here on, and their blocks stay. Five are left."""
    world = federation(*NAMES, "x")
    remove(world, "x", *NAMES[:4])
    assert world["a"].engine.state.federation.was_removed(world["x"].did)
    return world


def test_a_second_genesis_makes_nobody_a_member_who_could_remove_others() -> None:
    world = after_a_removal()
    c, policy = world["c"].did, builders.policy()
    strangers = [Impostor.stranger(world, number, *NAMES) for number in range(66, 72)]
    first = strangers[0]
    named = tuple(sorted(one.did for one in strangers))
    founded = first.say(first.block(FederationFounded("mine", named, policy), parents=first.parents("a")), *NAMES)
    for one in strangers[1:]:
        one.say(one.block(RemovalVoted(c, ""), parents=(founded.cid,)), *NAMES)
    accepted = world["a"].engine.state.feeds.heads[first.did].clock[c]
    votes = tuple(sorted(one.head.cid for one in strangers[1:] if one.head is not None))
    first.say(first.block(RemovalVoted(c, ""), NodeRemoved(c, accepted), parents=votes), *NAMES)
    world.pass_time(3_000)
    remove(world, "e", "a", "b", "d")  # whatever counts is looked for anew
    for name in ("a", "b", "c", "d"):
        federation_state = world[name].engine.state.federation
        assert federation_state.was_removed(world["e"].did)
        assert not federation_state.was_removed(c)
    agree(world, "a", "b", "c", "d")


def test_a_second_genesis_changes_no_policy_for_an_archive(tmp_path: Path) -> None:
    world = after_a_removal()
    stranger = Impostor.stranger(world, 66, *NAMES)
    policy = replace(builders.policy(), join_policy=JoinPolicy.VOTE)
    founded = FederationFounded("mine", (stranger.did,), policy)
    stranger.say(stranger.block(founded, parents=stranger.parents("a")), *NAMES)
    for name in ("new", "newer"):
        world.add(name)
        world.link("a", name)
        world.pass_time(3_000)
        world.done("a", Admit(world[name].did))
        world.pass_time(3_000)
    remove(world, "e", "new", "newer", "a", "b")
    assert world["a"].engine.state.federation.was_removed(world["e"].did), "four of seven: who was admitted counts"
    back_up(world["a"].store, tmp_path / "full.tar.gz")
    target = MemoryStore()
    restore_into(target, tmp_path / "full.tar.gz")
    checkers.same_state("restored", "a", world["a"].engine.state, rows.load(target))


def test_who_says_that_another_left_is_a_member_as_before() -> None:
    world = after_a_removal()
    evil = Impostor.of(world, "d")
    others = ("a", "b", "c", "e")
    evil.say(evil.block(NodeLeft(world["b"].did), parents=evil.parents("a")), *others)
    for name in others:
        assert world[name].engine.peers.is_here(evil.did), "nobody takes leave of it"
    evil.say(evil.block(RemovalVoted(world["c"].did, ""), parents=evil.parents("a")), *others)
    world.pass_time(3_000)
    remove(world, "c", "a", "b")
    for name in ("a", "b", "e"):
        assert world[name].engine.state.federation.was_removed(world["c"].did), "three of five, d among them"
    agree(world, "a", "b", "e")


def test_a_vote_beside_a_job_without_its_hold_counts_like_any_other() -> None:
    world = after_a_removal()
    evil = Impostor.of(world, "d")
    others = ("a", "b", "c", "e")
    c = world["c"].did
    job = JobSubmitted(builders.job_id(evil.did), builders.digest("job")[:16], 0, evil.did, world.spec())
    evil.say(evil.block(job, RemovalVoted(c, ""), parents=evil.parents("a")), *others)
    world.pass_time(2_000)
    for name in others:
        state = world[name].engine.state
        assert evil.did in state.federation.silent_about(c), "what makes and ends members is paired with nothing"
        assert not state.mesh.jobs, "the job is void"
    remove(world, "c", "a", "b")
    assert world["a"].engine.state.federation.was_removed(c)
    agree(world, "a", "b", "e")
