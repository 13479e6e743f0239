"""Members that are removed: by votes, counted once, cut off where all agree, and nobody else harmed by it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.archive.ahead import ahead
from icn.adapters.storage.memory import MemoryStore
from icn.domain.dag.block import Block
from icn.domain.federation.events import NodeRemoved, RemovalVoted
from icn.domain.federation.invitation import read_line
from icn.domain.ledger.events import TransferReceived, TransferReturned, TransferSent
from icn.domain.mesh.model import Status
from icn.domain.mesh.state import HOME_REMOVED
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Did
from icn.kernel.instant import seconds
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce
from icn.services import rows
from icn.services.acceptance import removals_of
from icn.services.answers import Answer, Refused
from icn.services.archive_proving import prove
from icn.services.backup import draft
from icn.services.commands import Admit, ImportBlocks, Init, Invite, Join, OpenAccountFor, Pay, Remove
from icn.services.equivocation import Equivocations
from icn.services.inputs import Received, Tick
from icn.services.intake import Intake
from icn.services.queries import forks, membership
from icn.services.queries.jobs import cancellation
from icn.services.verify import verify
from icn.sim import checkers
from icn.stores import blocks
from icn.stores.archive import ArchiveKind, RemovalName
from icn.stores.changeover import Founding
from icn.stores.joining import Aim
from icn.stores.kv import StoreUnavailable
from support import builders
from support.agreeing import agree
from support.archives import archive_at, back_up, fill_into, nothing, order, proving_here, restore_into
from support.forker import Forker
from support.world import World, echo, federation, terms

Into = Callable[..., object]
NAMES = ("a", "b", "c", "d")


def refusal_of(answer: Answer) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


def remove(world: World, whom: str, *voters: str, after: int = 3_000) -> None:
    for voter in voters:
        world.done(voter, Remove(world[whom].did, "gone bad"))
        world.pass_time(after)


def part(world: World, *groups: tuple[str, ...]) -> None:
    """Only nodes of one group hear each other."""
    for group in groups:
        for name in group:
            for other in [b for a, b in world.links if a == name and b not in group]:
                world.cut(name, other)
    world.settle()


def test_more_than_half_of_the_members_remove_one() -> None:
    world = federation(*NAMES)
    d = world["d"].did
    first = world.done("a", Remove(d, "it does not answer"))
    assert (first["votes"], first["votes_missing"]) == (1, 2)
    world.pass_time(3_000)
    second = world.done("b", Remove(d, ""))
    assert (second["votes"], second["votes_missing"]) == (2, 1)
    world.pass_time(3_000)
    assert world["c"].engine.state.federation.has_joined(d), "two votes of four members remove nobody"
    third = world.done("c", Remove(d, ""))
    assert (third["votes"], third["votes_missing"]) == (3, 0)
    world.pass_time(4_000)
    agree(world, "a", "b", "c")
    for name in ("a", "b", "c"):
        state = world[name].engine.state.federation
        assert state.was_removed(d)
        assert d not in state.voters(builders.EVERYTHING)
        assert not world[name].engine.peers.is_here(d)
        assert world[name].happened(NodeRemoved)
    removed = world["d"].engine.state.federation
    assert removed.was_removed(d), "it was told before it was let go"
    assert refusal_of(world.do("d", OpenAccountFor(builders.did(9)))) == "federation.node_removed"


def test_who_is_removed_is_not_let_in_again_and_is_told_why() -> None:
    world = federation(*NAMES)
    world.isolate("d")
    remove(world, "d", "a", "b", "c")
    assert not world["d"].engine.state.federation.was_removed(world["d"].did)
    world.done("d", OpenAccountFor(builders.did(9)))
    world.link("d", "c")
    world.pass_time(2_000)
    assert ("d", "c") not in world.links
    assert "removed" in world["c"].disconnects[-1][1]
    for _ in range(3):
        if world["d"].engine.state.federation.was_removed(world["d"].did):
            break
        world.link("d", "c")
        world.pass_time(2_000)
    assert world["d"].engine.state.federation.was_removed(world["d"].did)
    assert membership.membership(world["d"].store, world["d"].did, joins=True) is membership.Membership.REMOVED
    agree(world, "a", "b", "c")
    assert not has_account(world, "a", builders.did(9), world["d"].did), "what it wrote since is taken by nobody"
    assert refusal_of(world.do("a", Admit(world["d"].did))) == "federation.node_removed"
    again = Invite(builders.START, world["d"].did, "", ("/ip4/127.0.0.1/tcp/1",))  # type: ignore[arg-type]  # a span
    assert refusal_of(world.do("a", again)) == "federation.node_removed"
    assert refusal_of(world.do("a", Remove(world["d"].did, ""))) == "federation.node_removed"


def test_who_knows_that_it_was_removed_is_told_nothing_more() -> None:
    world = federation(*NAMES)
    remove(world, "d", "a", "b", "c")
    d = world["d"]
    assert d.engine.state.federation.was_removed(d.did)
    for number in range(3):
        world.done("a", OpenAccountFor(builders.did(150 + number)))
    world.pass_time(3_000)
    known = d.engine.state.feeds.block_count
    for _ in range(2):
        world.link("d", "a")
        world.pass_time(2_000)
    assert d.engine.state.feeds.block_count == known < world["a"].engine.state.feeds.block_count
    assert ("d", "a") not in world.links


def has_account(world: World, name: str, owner: Did, home: Did) -> bool:
    return world[name].engine.state.ledger.account(owner, home) is not None


def test_what_an_honest_node_had_built_on_meanwhile_is_void_for_everybody() -> None:
    world = federation("a", "b", "c", "d", "e")
    x = world["e"].did
    remove(world, "e", "a", "b")
    part(world, ("a", "b", "c"), ("d", "e"))
    world.done("e", OpenAccountFor(builders.did(9)))
    world.pass_time(3_000)
    world.done("d", Pay(builders.did(9), Mana(5), "leans on it"))
    world.done("d", OpenAccountFor(builders.did(8)))
    world.pass_time(3_000)
    world.done("c", Remove(x, ""))
    world.pass_time(3_000)
    assert world["a"].engine.state.federation.was_removed(x)
    assert not world["d"].engine.state.federation.was_removed(x)
    for name in ("a", "b", "c"):
        world.link(name, "d")
    world.pass_time(10_000)
    agree(world, "a", "b", "c", "d")
    for name in ("a", "b", "c", "d"):
        state = world[name].engine.state
        assert state.feeds.sides, "what d had built on is here, and in no feed"
        assert not has_account(world, name, builders.did(9), x)
        assert has_account(world, name, builders.did(8), world["d"].did), "the rest of d's records count"
        paid = [t for t in state.ledger.transits.values() if t.payer == world["d"].did]
        assert not paid, "the payment is void, and its mana back"


def test_what_was_claimed_by_an_acknowledgement_that_a_removal_does_not_accept_stays_claimed(tmp_path: Path) -> None:
    """It was behind the claim when that was signed, and is behind it for everybody, whatever they heard first."""
    world = federation("a", "b", "c", "d", "x")
    x = world["x"].did
    remove(world, "x", "b", "c")
    part(world, ("b", "c"), ("a",), ("d",), ("x",))
    world.done("b", Pay(world["a"].did, Mana(5), "wood"))
    world.pass_time(3_000)
    world.link("b", "x")
    world.pass_time(3_000)
    world.done("d", Remove(x, ""))
    world.link("d", "c")
    world.cut("b", "x")
    world.cut("b", "c")
    world.pass_time(3_000)
    world.link("a", "x")
    world.pass_time(3_000)
    assert world["a"].happened(TransferReceived), "b, c, x and a itself are a quorum of five"
    assert not world["a"].engine.state.federation.was_removed(x)
    for one, other in (("a", "b"), ("b", "c"), ("a", "d")):
        world.link(one, other)
    world.pass_time(10_000)
    agree(world, "a", "b", "c", "d")
    for name in ("a", "b", "c", "d"):
        node = world.restart(name)
        assert node.engine.state.federation.was_removed(x)
        entries = checkers.history(node.store)
        claims = [entry for entry in entries if isinstance(entry.record.event, TransferReceived)]
        assert [entry.is_void for entry in claims] == [False]
        cut = node.engine.state.cuts[x]
        assert cut.removed_at in {place.sequence for place in node.engine.state.feeds.sides.values()}
        assert not verify(node.store, node.did, deep=True).findings
        back_up(node.store, tmp_path / f"{name}.tar.gz")
        target = MemoryStore()
        fill_into(target, tmp_path / f"{name}.tar.gz")
        checkers.same_state("restored", name, node.engine.state, rows.load(target))


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_who_count_at_the_same_time_cut_at_the_lower_number(order: tuple[str, str]) -> None:
    world = federation("a", "b", "c", "d", "x")
    x = world["x"].did
    remove(world, "x", "c", "d")
    part(world, ("a", "x"), ("b", "c", "d"))
    world.done("x", OpenAccountFor(builders.did(8)))
    world.pass_time(1_000)
    for name in ("a", "b"):
        world.done(name, Remove(x, ""))
    world.pass_time(2_000)
    assert has_account(world, "a", builders.did(8), x), "a has counted, and accepts the block that b does not know"
    removals = {node.engine.state.federation.removals_of(x) for node in (world["a"], world["b"])}
    assert len({one.accepted for each in removals for one in each}) == 2
    world.link(*order)
    world.pass_time(8_000)
    agree(world, *NAMES)
    for name in NAMES:
        assert not has_account(world, name, builders.did(8), x)
        assert len(world[name].engine.state.federation.removals_of(x)) == 2


def test_a_vote_to_remove_is_given_once_by_members_about_others() -> None:
    world = federation("a", "b", "c")
    b = world["b"].did
    world.done("a", Remove(b, ""))
    assert refusal_of(world.do("a", Remove(b, ""))) == "federation.already_voted_to_remove"
    assert refusal_of(world.do("b", Remove(b, ""))) == "federation.removes_itself"
    assert refusal_of(world.do("a", Remove(builders.did(77), ""))) == "federation.unknown_node"
    assert refusal_of(world.do("a", Remove(world["c"].did, "x" * 241))) == "invalid"
    world.pass_time(2_000)
    assert world["c"].happened(RemovalVoted) == [RemovalVoted(b, "")]


def test_who_was_removed_may_found_another_federation_and_not_join_again() -> None:
    world = federation(*NAMES)
    d = world["d"]
    line = str(world.done("a", Invite(seconds(3600), None, "", ("/ip4/127.0.0.1/tcp/1",)))["line"])
    invitation = read_line(line)
    remove(world, "d", "a", "b", "c")
    assert refusal_of(world.do("d", Join(Aim(("/ip4/127.0.0.1/tcp/1",), invitation)))) == "federation.node_removed"
    world.done("d", Init(Founding("bakers", (d.did,), builders.policy())))
    assert d.engine.changing.is_under_way


@pytest.mark.parametrize("knows", [True, False])
def test_a_member_that_signed_two_histories_is_removed_like_any_other(knows: bool) -> None:
    forker = Forker(federation(*NAMES))
    forker.join()
    world, before = forker.world, forker.head
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.say(one, *NAMES)
    world.pass_time(4_000)  # what all build on is kept
    if knows:
        forker.say(other, "a")
        world.pass_time(6_000)
    store = world["a"].store
    assert (forks.count(store), forks.remaining_count(store)) == (knows, knows)
    for voter in ("a", "b", "c"):
        world.done(voter, Remove(forker.did, "two histories"))
        world.pass_time(3_000)
    if not knows:
        forker.say(other, "a")  # nothing of it is heard any more
    world.pass_time(8_000)
    agree(world, *NAMES)
    state = world["a"].engine.state
    assert state.federation.was_removed(forker.did)
    assert (state.cuts[forker.did].forked_at is not None) == knows
    assert (forks.count(store), forks.remaining_count(store)) == (knows, 0), "nothing is left to decide"
    for name in NAMES:
        assert has_account(world, name, builders.did(8), forker.did), "what was confirmed before it was removed counts"


def test_who_hears_of_a_removal_and_of_the_removed_at_once_blames_nobody() -> None:
    world = federation("a", "b", "c", "d", "x")
    a, b, x = world["a"], world["b"], world["x"]
    for name in ("b", "c", "d"):
        world.cut(name, "x")
    world.settle()
    world.drop = lambda one, other, _: other == "a" or one == "a"
    remove(world, "x", "b", "c", "d", after=1_000)
    world.done("x", OpenAccountFor(builders.did(9)))
    late = blocks.get_bytes(x.store, x.engine.state.feeds.heads[x.did].cid) or b""
    missing = blocks.missing_from(b.store, a.engine.state.feeds.clock(), list(b.engine.state.feeds.heads))
    news = tuple(blocks.get_bytes(b.store, cid) or b"" for cid in missing)
    dropped = len(a.disconnects)
    world.handle("a", Received(b.did, Announce(news)), Received(x.did, Announce((late,))))
    assert a.engine.state.federation.was_removed(x.did)
    assert a.disconnects[dropped:] == [], "it is told first"
    world.drop = None
    world.pass_time(3_000)
    assert ("a", "x") not in world.links
    assert not has_account(world, "a", builders.did(9), x.did)


def test_of_two_members_neither_removes_the_other_and_of_three_two_remove_one() -> None:
    two = federation("a", "b")
    answer = two.do("a", Remove(two["b"].did, ""))
    assert refusal_of(answer) == "federation.too_few_to_remove"
    assert "icn-cli federation leave" in str(answer)
    three = federation("a", "b", "c")
    three.isolate("c")
    remove(three, "c", "a", "b")
    assert three["a"].engine.state.federation.was_removed(three["c"].did)
    three.done("a", OpenAccountFor(builders.did(9)))
    three.pass_time(2_000)
    assert membership.confirmations(three["a"].store).count(three["a"].did) > 0
    agree(three, "a", "b")


def test_two_halves_that_remove_each_other_both_remove_nobody() -> None:
    world = federation(*NAMES)
    a, b, c, d = (world[name].did for name in NAMES)
    part(world, ("a", "b"), ("c", "d"))
    for voter, gone in (("a", c), ("b", c), ("a", d), ("b", d), ("c", a), ("d", a), ("c", b), ("d", b)):
        world.done(voter, Remove(gone, ""))
        world.pass_time(3_000)
    world.done("a", Pay(b, Mana(7), ""))
    world.done("c", Pay(d, Mana(9), ""))
    world.pass_time(5_000)
    for name in NAMES:
        state = world[name].engine.state.federation
        assert not [node for node in (a, b, c, d) if state.was_removed(node)]
        assert not world[name].happened(TransferReceived), "a half confirms nothing"


def test_a_minority_of_three_cannot_count_what_it_voted() -> None:
    """Two that go on without the third confirm among themselves: what is confirmed there must stay."""
    world = federation("a", "x", "r")
    x, r = world["x"].did, world["r"].did
    world.done("x", Remove(r, ""))  # one vote of two that are needed
    world.pass_time(3_000)
    part(world, ("a",), ("x", "r"))
    world.done("x", Pay(r, Mana(7), "work"))
    world.pass_time(4_000)
    assert [e.amount for e in world["r"].happened(TransferReceived) if isinstance(e, TransferReceived)] == [7]
    confirmed = membership.confirmations(world["r"].store).count(x)
    assert confirmed
    world.done("a", Remove(r, ""))
    world.pass_time(3_000)
    assert refusal_of(world.do("a", Remove(x, ""))) == "federation.too_few_to_remove"
    world.pass_time(3_000)
    assert not world["a"].engine.state.federation.removals_of(x), "of the two that are left there neither is removed"


def test_a_minority_that_admits_somebody_meanwhile_takes_nothing_confirmed_away() -> None:
    world = federation("a", "b", "x")
    x, b = world["x"].did, world["b"].did
    part(world, ("a",), ("b", "x"))
    world.add("z")
    world.link("a", "z")
    world.pass_time(2_000)
    world.done("a", Admit(world["z"].did))
    world.pass_time(2_000)
    world.done("x", Pay(b, Mana(7), "work"))
    world.pass_time(4_000)
    assert [e.amount for e in world["b"].happened(TransferReceived) if isinstance(e, TransferReceived)] == [7]
    remove(world, "x", "a", "z")
    assert not world["a"].engine.state.federation.was_removed(x), "two of four"
    world.link_all()
    world.pass_time(8_000)
    agree(world, "a", "b", "z")
    account = world["a"].engine.state.ledger.account(b, b)
    assert account is not None
    assert account.balance == 1_007


def test_mana_on_its_way_to_who_is_removed_comes_back_and_what_it_sent_arrives() -> None:
    world = federation(*NAMES)
    d = world["d"].did
    for name in NAMES:
        world.done(name, OpenAccountFor(builders.did(20 + world[name].number)))
    world.pass_time(2_000)
    world.done("d", Pay(world["a"].did, Mana(3), "before"))
    world.pass_time(400)
    world.isolate("d")
    world.done("b", Pay(d, Mana(4), "too late"))
    remove(world, "d", "a", "b", "c")
    world.pass_time(8_000)
    agree(world, "a", "b", "c")
    assert [e.amount for e in world["a"].happened(TransferReceived) if isinstance(e, TransferReceived)] == [3]
    assert world["a"].happened(TransferReturned)
    assert not world["a"].engine.state.ledger.transits
    assert len(world["a"].happened(TransferSent)) == 2


def test_mana_comes_back_from_a_removed_home_when_nobody_can_take_the_removal_back() -> None:
    """Of two that the others have voted on, one counts against the other, and is then removed below that."""
    world = federation("a", "b", "c", "m", "x")
    b, m, x = (world[name].did for name in ("b", "m", "x"))
    for whom in ("m", "x"):
        remove(world, whom, "a", "b")
    part(world, ("a", "b", "m"), ("c", "x"))
    world.done("b", Pay(x, Mana(400), ""))
    world.pass_time(2_000)
    world.ask("m", Remove(x, ""))
    inputs = list(world["m"].inbox)
    world["m"].inbox.clear()
    world.handle("m", *inputs)
    world.handle("m", Tick())  # it counts before the others have heard of its vote
    world.pass_time(6_000)
    assert [one.by for one in world["b"].engine.state.federation.removals_of(x)] == [m]
    assert not world["b"].happened(TransferReturned), "c has not heard of it"
    world.done("c", Remove(m, ""))
    world.pass_time(3_000)
    world.isolate("m")
    world.isolate("x")
    world.link_all()
    for name in ("m", "x"):
        world.isolate(name)
    world.pass_time(8_000)
    agree(world, "a", "b", "c")
    state = world["b"].engine.state
    assert state.federation.was_removed(m)
    assert not state.federation.was_removed(x), "what counted against it is in what the other removal does not accept"
    remove(world, "x", "c")
    world.pass_time(6_000)
    agree(world, "a", "b", "c")
    assert world["b"].engine.state.federation.was_removed(x)
    assert len(world["b"].happened(TransferReturned)) == 1
    account = world["b"].engine.state.ledger.account(b, b)
    assert account is not None
    assert account.balance == 1_000


def test_who_has_voted_confirms_nothing_more_and_what_is_kept_is_confirmed_when_all_have_heard() -> None:
    world = federation(*NAMES, "x")
    x = world["x"].did
    for voter in ("b", "c"):
        world.done(voter, Remove(x, ""))
    world.pass_time(3_000)
    world.done("x", Pay(world["a"].did, Mana(3), ""))
    world.pass_time(6_000)
    seen = world["b"].engine.state.feeds.heads[world["b"].did].clock[x]
    assert not world["a"].happened(TransferReceived), (
        "three of five have it behind them and have not voted; four are asked"
    )
    number = next(iter(world["a"].engine.state.ledger.transits.values())).sent_at_sequence
    assert seen > number, "those who have voted have it behind them as well"
    assert membership.confirmations(world["a"].store).count(x) <= number
    part(world, ("a", "b", "c", "x"), ("d",))
    world.done("a", Remove(x, ""))
    world.pass_time(5_000)
    assert world["a"].engine.state.federation.was_removed(x)
    assert not world["a"].happened(TransferReceived), "d may still count by itself, and accept less"
    assert membership.confirmations(world["a"].store).count(x) <= number
    world.link("d", "a")
    world.pass_time(5_000)
    assert world["a"].happened(TransferReceived)
    assert membership.confirmations(world["a"].store).count(x) > number
    agree(world, *NAMES)


def test_a_removal_that_could_not_be_committed_is_counted_again() -> None:
    world = federation("a", "b", "c")
    remove(world, "b", "c")
    world.isolate("b")
    world.settle()
    token = world.ask("a", Remove(world["b"].did, ""))
    node = world["a"]
    inputs = list(node.inbox)
    node.inbox.clear()
    world.handle("a", *inputs)
    assert token in node.answers
    assert node.wake_at == world.clock.time, "it wants to go on at once"
    node.store.fail_next = 1
    with pytest.raises(StoreUnavailable):
        world.handle("a", Tick())
    world.handle("a", Tick())
    assert node.engine.state.federation.was_removed(world["b"].did)
    world.pass_time(3_000)
    agree(world, "a", "c")


def test_a_start_goes_on_where_a_removal_was_voted_and_not_counted() -> None:
    world = federation("a", "b", "c")
    c = world["c"].did
    world.isolate("c")
    world.done("a", Remove(c, ""))
    world.pass_time(2_000)
    token = world.ask("b", Remove(c, ""))
    node = world["b"]
    inputs = list(node.inbox)
    node.inbox.clear()
    world.handle("b", *inputs)
    assert token in node.answers
    assert not node.engine.state.federation.was_removed(c)
    world.restart("b")
    world.link("a", "b")
    world.pass_time(4_000)
    assert node.engine.state.federation.was_removed(c)
    agree(world, "a", "b")
    for name in ("a", "b"):
        world.restart(name)
    world.link("a", "b")
    world.pass_time(3_000)
    agree(world, "a", "b")


def test_two_that_remove_each_other_are_not_both_removed_and_all_agree_who_is() -> None:
    world = federation("a", "b", "c", "v", "x")
    v, x = world["v"].did, world["x"].did
    for whom in ("x", "v"):
        remove(world, whom, "a", "c")
    part(world, ("a", "c", "x"), ("b", "v"))
    world.done("v", Remove(x, ""))
    world.done("x", Remove(v, ""))
    world.pass_time(4_000)
    assert world["b"].engine.state.federation.was_removed(x)
    assert world["a"].engine.state.federation.was_removed(v)
    for name in ("a", "b"):
        world.done(name, OpenAccountFor(builders.did(30 + world[name].number)))  # builds on what counts there
    world.pass_time(2_000)
    world.link("a", "b")
    world.pass_time(10_000)
    agree(world, "a", "b", "c")
    state = world["a"].engine.state.federation
    assert [state.was_removed(v), state.was_removed(x)].count(True) == 1
    staying = "x" if state.was_removed(v) else "v"
    for name in ("a", "b"):
        world.link(name, staying)
    world.pass_time(10_000)
    agree(world, "a", "b", staying)
    world.done(staying, OpenAccountFor(builders.did(40)))
    world.pass_time(3_000)
    assert has_account(world, "a", builders.did(40), world[staying].did), "it goes on as a member"


def test_of_two_that_have_the_votes_at_once_the_second_is_counted_without_the_first() -> None:
    world = federation(*NAMES, "e")
    c, d = world["c"].did, world["d"].did
    for voter, whom in (("a", c), ("a", d), ("b", c), ("b", d), ("c", d), ("d", c)):
        world.ask(voter, Remove(whom, ""))
    world.pass_time(8_000)
    agree(world, "a", "b")
    state = world["a"].engine.state.federation
    assert [state.was_removed(c), state.was_removed(d)].count(True) == 1, "the vote of who is removed counts no more"


def test_the_jobs_of_a_removed_home_end_and_those_it_ran_are_run_by_others() -> None:
    world = federation(*NAMES, node_terms=terms(price=5))
    d = world["d"].did
    for name in ("a", "b", "c"):
        world[name].run = lambda _: None
    own = world.submit("d", world.spec(within=600_000, max_price=Mana(10)))
    world.pass_time(3_000)
    assert world["a"].engine.state.mesh.jobs[own].status is Status.EXECUTING
    world["a"].run = echo
    world["d"].run = lambda _: None
    given = [world.submit("a", world.spec(within=600_000)) for _ in range(6)]
    world.pass_time(3_000)
    taken = [job for job in given if (open_job := world["a"].engine.state.mesh.jobs.get(job)) and open_job.assignee(d)]
    assert taken
    remove(world, "d", "a", "b", "c")
    world.pass_time(90_000, step=1_000)
    agree(world, "a", "b", "c")
    ended = rows.JOBS.get(world["b"].store, own.data)
    assert ended is not None
    assert (ended.status, ended.reason) == (Status.CANCELLED, HOME_REMOVED)
    assert cancellation(world["b"].store, ended) is None, "nobody asked for it, and executors are not heard of it"
    assert not [hold for hold in world["b"].engine.state.ledger.holds.values() if hold.home == d]
    assert not [key for key in world["b"].engine.state.mesh.executions if key[0] == d]
    for job in taken:
        row = rows.JOBS.get(world["a"].store, job.data)
        assert row is not None
        assert row.status is Status.COMPLETED
        assert row.assignee(d) is None


@pytest.mark.parametrize("into", [fill_into, restore_into])
def test_a_store_with_a_removal_is_restored_as_it_was(tmp_path: Path, into: Into) -> None:
    world = federation(*NAMES, "x")
    x = world["x"].did
    remove(world, "x", "c", "d")
    back_up(world["a"].store, tmp_path / "before.tar.gz")
    part(world, ("a", "x"), ("b", "c", "d"))
    world.done("x", OpenAccountFor(builders.did(8)))
    world.pass_time(1_000)
    world.done("b", Remove(x, ""))
    world.pass_time(2_000)
    world.link("a", "b")
    world.pass_time(8_000)
    node = world["a"]
    agree(world, "a", "b", "c")
    assert node.engine.state.feeds.sides
    back_up(node.store, tmp_path / "more.tar.gz", kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z")
    back_up(node.store, tmp_path / "full.tar.gz")
    for chain in (("full.tar.gz",), ("before.tar.gz", "more.tar.gz")):
        target = MemoryStore()
        into(target, *(tmp_path / name for name in chain))
        checkers.same_state("restored", "a", node.engine.state, rows.load(target))
        assert not verify(target, node.did, deep=True).findings
    for name in ("before.tar.gz", "more.tar.gz", "full.tar.gz"):
        assert not prove(archive_at(tmp_path / name), nothing, ahead, proving_here).findings


def test_an_archive_cannot_make_up_who_was_removed() -> None:
    world = federation(*NAMES)
    remove(world, "d", "a", "b", "c")
    store = world["a"].store
    manifest = draft(store, order())

    def take(removals: tuple[RemovalName, ...]) -> None:
        intake = Intake.begin(replace(manifest, removals=removals))
        for _, cid in blocks.journal(store):
            block = blocks.get_block(store, cid)
            assert block is not None
            clock, _ = intake.take(block)
            intake.state.feeds.advance(block, clock)
        intake.check_choice()

    take(manifest.removals)
    (real,) = manifest.removals
    assert real.node == world["d"].did
    for wrong in ((), (replace(real, accepted=real.accepted + 1),), (replace(real, sequence=real.sequence - 1),)):
        with pytest.raises(PeerViolation, match="removals"):
            take(wrong)


def with_a_listener(reason: str) -> World:
    """Members have voted two out at once, and each of these two has counted: `x` for a node that writes nothing itself,
    because nobody has admitted it, and `v` for nobody yet."""
    world = federation("a", "b", "c", "v", "x")
    world.add("n")
    world.link_all()
    world.pass_time(3_000)
    for whom in ("x", "v"):
        remove(world, whom, "a", "c")
    part(world, ("a",), ("b",), ("c",), ("v",), ("n", "x"))
    world.done("v", Remove(world["x"].did, ""))
    world.done("x", Remove(world["v"].did, reason))
    world.pass_time(3_000)
    assert world["v"].engine.state.federation.was_removed(world["x"].did)
    assert world["n"].engine.state.federation.was_removed(world["v"].did)
    return world


def journal_of(world: World, name: str) -> list[Block]:
    found = [blocks.get_block(world[name].store, cid) for _, cid in blocks.journal(world[name].store)]
    return [block for block in found if block is not None]


@pytest.mark.slow
@pytest.mark.parametrize("known", ["when it was built on", "before", "before a restart"])
def test_a_removal_that_only_a_listener_and_its_author_heard_of_removes_nobody(known: str, tmp_path: Path) -> None:
    """Though the name of its block is the lower one. `known`: since when the listener knows the other removal, too."""
    for number in range(8):
        world = with_a_listener(str(number))
        x, v, listener = world["x"], world["v"], world["n"]
        counts = journal_of(world, "v")
        names = {block.header.author: block.cid for block in counts + journal_of(world, "n") if removals_of(block)}
        if names[x.did] < names[v.did]:
            break
    else:
        raise AssertionError("the name of that block was never the lower one")
    if known != "when it was built on":
        world.done("n", ImportBlocks(tuple(block.data for block in counts)))
        assert names[v.did] in [block.cid for block in journal_of(world, "n")]
    assert listener.engine.state.federation.was_removed(v.did), "nobody has built on either of them"
    if known == "before a restart":
        world.restart("n")
    world.link("v", "b")
    world.pass_time(3_000)
    for name in ("a", "c", "n"):
        world.link("b", name)
    world.pass_time(12_000)
    agree(world, "a", "b", "c", "n")
    assert listener.engine.state.federation.was_removed(x.did)
    fresh = Equivocations(listener.did)
    fresh.load(listener.store, listener.engine.state)
    assert fresh.removals == listener.engine.forks.removals, "what it waits for is what it would wait for after a start"
    assert fresh.removals.unspread
    back_up(listener.store, tmp_path / "full.tar.gz")
    for into in (fill_into, restore_into):
        target = MemoryStore()
        into(target, tmp_path / "full.tar.gz")
        checkers.same_state("restored", "n", listener.engine.state, rows.load(target))
    world.link("b", "x")
    world.pass_time(3_000)
    assert membership.membership(x.store, x.did, joins=False) is membership.Membership.REMOVED
