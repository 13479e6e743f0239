"""Records about members that their authors were not entitled to: nobody is removed, counted or let go by them."""

from dataclasses import replace
from pathlib import Path

from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.events import FederationFounded, NodeLeft, NodeRemoved, RemovalVoted
from icn.domain.federation.model import JoinPolicy
from icn.domain.ledger.events import AccountOpened, TransferReceived, TransferSent
from icn.domain.ledger.model import TransferNumber
from icn.domain.mesh.events import JobSubmitted
from icn.kernel.limits import REMOVALS_SAID_MAX
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, Blocks
from icn.services import acceptance, rows
from icn.services.commands import Admit, OpenAccountFor, Remove
from icn.services.inputs import Received
from icn.sim import checkers
from icn.stores import blocks
from support import builders
from support.agreeing import agree
from support.archives import back_up, restore_into
from support.forker import Forker
from support.impostor import Impostor
from support.world import World, federation

NAMES = ("a", "b", "c", "d", "e")


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


def with_side_blocks() -> World:
    """A removed member had signed a block that some had built on and others had not seen. Four are left."""
    world = federation("a", "b", "c", "d", "x")
    remove(world, "x", "c", "d")
    world.isolate("a")
    world.link("a", "x")
    world.settle()
    world.cut("b", "x")
    world.cut("c", "x")
    world.cut("d", "x")
    world.done("x", OpenAccountFor(builders.did(8)))
    world.pass_time(2_000)
    world.done("b", Remove(world["x"].did, ""))
    world.pass_time(2_000)
    world.isolate("x")
    world.link_all()
    world.isolate("x")
    world.pass_time(8_000)
    assert world["a"].engine.state.feeds.sides
    assert world["a"].engine.state.federation.was_removed(world["x"].did)
    return world


def test_a_removal_that_does_not_count_makes_nobody_build_its_state_anew() -> None:
    world = with_side_blocks()
    b = world["b"].did
    stranger = Impostor.stranger(world, 66, "a")
    world.settle()
    before = world["a"].engine.state
    for _ in range(3):
        stranger.say(stranger.block(NodeRemoved(b, 1), parents=stranger.parents("a")), "a")
    assert world["a"].engine.state is before, "a stranger's is not even looked at"
    member = Impostor.of(world, "d")
    for _ in range(3):
        member.say(member.block(NodeRemoved(b, 1), parents=member.parents("a")), "a")
    assert world["a"].engine.state is before, "nor does a member's cost more than a look, where nobody has voted"
    assert world["a"].engine.state.feeds.next_sequence(member.did) > 0
    agree(world, "a")


def test_the_order_in_which_removals_of_a_forker_come_changes_nothing() -> None:
    """One says more than is behind it, where the forker's blocks are none that a clock tells of."""
    honest = NAMES[:4]
    world = federation(*honest)
    forker = Forker(world)
    forker.join()
    x, before = forker.did, forker.head
    assert before is not None
    one, other = forker.opens(8, before), forker.opens(9, before)
    for shown in (one, other):
        for name in honest:
            world.handle(name, Received(x, Announce((shown.data,))))
        world.pass_time(5_000)
    for voter in ("a", "d"):
        world.done(voter, Remove(x, ""))
        world.pass_time(3_000)
    evil = Impostor.of(world, "d")
    world.isolate("c")
    world.settle()
    world.done("b", Remove(x, ""))
    world.pass_time(3_000)
    assert world["a"].engine.state.federation.was_removed(x)
    journal = [
        block for _, cid in blocks.journal(world["b"].store) if (block := blocks.get_block(world["b"].store, cid))
    ]
    b = world["b"].did
    vote = next(
        block
        for block in journal
        if block.header.author == b and acceptance.events_of(block, ["federation.removal_voted"])
    )
    count = evil.block(NodeRemoved(x, before.header.sequence + 8), parents=(vote.cid,))
    known = {cid for _, cid in blocks.journal(world["c"].store)}
    for block in journal:
        if block.cid not in known:
            evil.say(block, "c")
        if block is vote:
            evil.say(count, "c")  # before the honest ones
    evil.say(count, "a")  # after them
    world.link("a", "c")
    world.pass_time(6_000)
    for name in ("a", "b", "c"):
        assert world[name].engine.state.federation.was_removed(x)
    agree(world, "a", "b", "c")


def test_the_removal_of_a_forker_takes_no_confirmed_block_of_it() -> None:
    honest = NAMES[:4]
    world = federation(*honest)
    forker = Forker(world)
    forker.join()
    x, c, before = forker.did, world["c"].did, forker.head
    sent = TransferSent(TransferNumber(0), x, c, c, Mana(7), "")
    one = forker.block(sent, after=before, parents=forker.heads_at("a"))
    other = forker.opens(9, before)
    world.isolate("c")
    world.settle()
    forker.say(one, *honest)
    world.pass_time(3_000)
    world.drop = lambda sender, _to, message: sender == "c" and isinstance(message, Announce | Blocks)
    world.link_all()
    world.pass_time(6_000)
    assert [e.amount for e in world["c"].happened(TransferReceived) if isinstance(e, TransferReceived)] == [7]
    world.isolate("c")
    world.drop = None
    forker.say(other, "a", "b", "d")
    world.pass_time(3_000)
    for name in ("a", "b", "d"):
        world.done(name, Remove(x, "two histories"))
        world.pass_time(3_000)
    assert not world["a"].happened(TransferReceived), "nobody here has heard that it was confirmed"
    world.link_all()
    world.pass_time(12_000)
    agree(world, *honest)
    state = world["c"].engine.state
    assert state.federation.was_removed(x)
    account = state.ledger.account(c, c)
    assert account is not None
    assert account.balance == 1_007


def test_a_voter_that_forks_below_its_vote_takes_it_back_and_another_vote_removes_anew() -> None:
    world = federation("a", "b", "c", "v", "x")
    v, x = world["v"], world["x"].did
    before = v.engine.state.feeds.heads[v.did].sequence
    world.done("v", OpenAccountFor(builders.did(50)))
    world.pass_time(2_000)
    remove(world, "x", "a", "b", "v")
    world.isolate("v")
    world.isolate("x")
    world.settle()
    cid = blocks.cid_at(world["a"].store, v.did, before)
    assert cid is not None
    evil = Impostor(world, v.number, blocks.get_block(world["a"].store, cid))
    evil.say(evil.block(AccountOpened(builders.did(51), v.did, 0, Mana(0), 0, Mana(0))), "a")
    world.pass_time(8_000)
    for name in ("a", "b", "c"):
        assert not world[name].engine.state.federation.was_removed(x), "two votes of five are left"
    agree(world, "a", "b", "c")
    remove(world, "x", "c")
    world.pass_time(3_000)
    for name in ("a", "b", "c"):
        assert world[name].engine.state.federation.was_removed(x)
    agree(world, "a", "b", "c")


def test_votes_that_a_fork_leaves_to_the_rules_alone_let_nobody_have_states_built_anew_again_and_again() -> None:
    honest = NAMES[:4]
    world = federation(*honest)
    forker = Forker(world)
    forker.join()
    d, before = world["d"].did, forker.head
    vote, other = forker.block(RemovalVoted(d, ""), parents=forker.heads_at("a")), forker.opens(9, before)
    forker.say(vote, *honest)
    world.pass_time(3_000)
    forker.say(other, "a")
    world.pass_time(6_000)
    assert world["a"].engine.state.cuts[forker.did].kept > 0, "a quorum had acknowledged the vote"
    world.done("a", Remove(d, ""))
    world.pass_time(3_000)
    evil = Impostor.of(world, "b")
    evil.say(evil.block(RemovalVoted(d, ""), parents=evil.parents("a")), "a", "c")
    world.pass_time(4_000)
    before_it = world["c"].engine.state
    assert len(before_it.federation.silent_about(d)) == 3, "three of five, by the rules; two, where forks are not heard"
    for _ in range(3):
        evil.say(evil.block(NodeRemoved(d, before_it.feeds.heads[d].sequence + 1), parents=evil.parents("c")), "c")
        assert world["c"].engine.state is before_it
    assert not before_it.federation.was_removed(d)
    world.pass_time(4_000)
    agree(world, "a", "c")


def test_who_says_it_more_often_than_it_is_heard_costs_nobody_a_look_either() -> None:
    world = with_side_blocks()
    b, a = world["b"].did, world["a"]
    member = Impostor.of(world, "d")
    world.settle()
    for number in range(REMOVALS_SAID_MAX + 3):
        looked = a.engine.forks.removals
        member.say(member.block(NodeRemoved(b, 1), parents=member.parents("a")), "a")
        assert (a.engine.forks.removals is not looked) == (number < REMOVALS_SAID_MAX)
    agree(world, "a")
