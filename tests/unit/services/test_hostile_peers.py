"""What a peer may send without stopping a node, taking its places, or having it blame somebody else."""

from dataclasses import replace

import pytest

from icn.domain.federation.events import NodeJoined
from icn.domain.ledger.events import AccountOpened
from icn.domain.ledger.model import ACCOUNT_HOMES_MAX
from icn.domain.mesh.events import AssignmentAccepted, ReceiptKept
from icn.domain.mesh.papers import seal_assignment, seal_bid, seal_receipt
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.protocol.messages import (
    Announce,
    AssignmentSent,
    BidOffered,
    FeedCount,
    Hello,
    JobAnnounced,
    Message,
    ReceiptSent,
)
from icn.services.commands import OpenAccountFor
from icn.services.inputs import PeerUp, Received, Tick
from support import builders
from support.world import World, federation, terms

STRANGER = 99


def _meet(world: World, name: str, number: int, *, member: bool = True) -> None:
    """Node `number`, which the test plays, connects and greets."""
    node = world[name]
    ours = node.engine.state.federation.federation
    hello = Hello("evil/1", ours.id if ours and member else None, (), "", executes=False)
    world.handle(name, PeerUp(builders.did(number)), Received(builders.did(number), hello))


def _say(world: World, name: str, number: int, *messages: Message) -> None:
    world.handle(name, *(Received(builders.did(number), message) for message in messages))


def _a_home_waiting_for_bids() -> World:
    world = World()
    world.add("a", terms(capacity=0))
    world.found("a")
    return world


@pytest.mark.parametrize("attempt", [-1, 0, 2**32, 2**63])
def test_an_attempt_out_of_bounds_does_not_stop_a_node(attempt: int) -> None:
    world = federation("a")
    _meet(world, "a", STRANGER)
    receipt = seal_receipt(builders.receipt(STRANGER, 1, attempt=attempt, output=None), builders.signer(STRANGER))
    _say(world, "a", STRANGER, ReceiptSent(1, receipt, b""))
    assert [peer for peer, _ in world["a"].disconnects] == [builders.did(STRANGER)]
    _meet(world, "a", STRANGER)
    assigned = seal_assignment(builders.assignment(1, STRANGER, attempt=attempt), builders.signer(STRANGER))
    _say(world, "a", STRANGER, AssignmentSent(1, assigned))
    assert len(world["a"].disconnects) == 2


def test_a_receipt_too_large_for_a_record_does_not_stop_a_node() -> None:
    world = federation("a")
    _meet(world, "a", STRANGER)
    huge = builders.receipt(STRANGER, 1, output=None, detail="x" * 1_046_000)
    _say(world, "a", STRANGER, ReceiptSent(1, seal_receipt(huge, builders.signer(STRANGER)), b""))
    assert world["a"].disconnects


def test_a_receipt_for_a_job_that_never_was_is_not_kept() -> None:
    world = federation("a")
    _meet(world, "a", STRANGER)
    made_up = seal_receipt(builders.receipt(STRANGER, 1), builders.signer(STRANGER))
    _say(world, "a", STRANGER, ReceiptSent(1, made_up, b""))
    world.settle()
    assert not world["a"].happened(ReceiptKept)


def test_a_stranger_gets_nothing_run() -> None:
    world = federation("a")
    _meet(world, "a", STRANGER, member=False)
    order = seal_assignment(
        builders.assignment(1, STRANGER, deadline=Instant(world.clock.time + 5000)), builders.signer(STRANGER)
    )
    _say(world, "a", STRANGER, AssignmentSent(1, order))
    assert not world["a"].runs
    assert not world["a"].happened(AssignmentAccepted)


def test_an_announcement_does_not_reserve_a_place_for_ever() -> None:
    world = federation("a", "b", node_terms=terms(capacity=1))
    endless = JobAnnounced(builders.job_id(world["b"].did), 1, 2**62, world.spec(within=120_000))
    world.handle("a", Received(world["b"].did, endless))
    world.pass_time(63_000, step=1_000)
    order = JobAnnounced(builders.job_id(world["b"].did, "other"), 1, 1000, world.spec())
    world.trace.clear()
    world.handle("a", Received(world["b"].did, order))
    assert "BidOffered" in repr(world.trace)


def test_an_executor_does_not_run_below_its_price() -> None:
    world = federation("a", "b", node_terms=terms(price=7))
    b = world["b"]
    cheap = builders.assignment(
        1, b.number, price=Mana(0), deadline=Instant(world.clock.time + 5000), spec=world.spec()
    )
    _say(world, "a", b.number, AssignmentSent(1, seal_assignment(cheap, builders.signer(b.number))))
    assert not world["a"].runs


def test_a_bid_that_comes_after_the_jobs_deadline_does_not_stop_the_home() -> None:
    world = federation("a", "b", node_terms=terms(capacity=0))
    b = world["b"]
    job = world.submit("a", world.spec(within=1_500))
    world.clock.time = Instant(world.clock.time + 1_501)
    late = seal_bid(builders.bid(b.number, 1, job=job), builders.signer(b.number))
    world.handle("a", Received(b.did, BidOffered(late)))
    assert not world["a"].engine.state.mesh.jobs


def test_a_block_that_waited_for_its_time_and_is_wrong_counts_against_its_sender() -> None:
    world = federation("a")
    _meet(world, "a", STRANGER)
    ours = world["a"].engine.state.federation.federation
    assert ours is not None
    early = builders.block(STRANGER, federation=ours.id, time=world.clock.time + 20_000, records=({"no": "record"},))
    _say(world, "a", STRANGER, Announce((early.data,)))
    assert not world["a"].disconnects
    world.clock.time = Instant(world.clock.time + 20_000)
    world.handle("a", Tick())
    assert [peer for peer, _ in world["a"].disconnects] == [builders.did(STRANGER)]


def test_a_block_that_waited_for_its_parent_does_not_count_against_who_brought_the_parent() -> None:
    world = federation("a", "b")
    world.cut("a", "b")
    world.submit("b")
    a, b = world["a"], world["b"]
    head = b.engine.state.feeds.heads[b.did]
    parent = b.engine.store.get(b"b" + head.cid.data)
    assert parent is not None
    _meet(world, "a", STRANGER)
    ours = a.engine.state.federation.federation
    assert ours is not None
    wrong = builders.block(
        STRANGER, federation=ours.id, time=world.clock.time, parents=(head.cid,), records=({"no": "record"},)
    )
    _say(world, "a", STRANGER, Announce((wrong.data,)))
    assert not a.disconnects
    world.link("a", "b")
    world.pass_time(1_000)
    assert [peer for peer, _ in a.disconnects] == [builders.did(STRANGER)]
    assert a.engine.state.feeds.heads[b.did].sequence >= head.sequence


def test_an_account_opened_elsewhere_does_not_keep_a_node_from_joining() -> None:
    world = World()
    world.add("a", terms(joins=False))
    world.add("b")
    world.found("a")
    world.done("a", OpenAccountFor(world["b"].did))
    world.link_all()
    world.pass_time(1_000)
    assert world["b"].engine.state.ledger.account(world["b"].did, world["b"].did) is not None
    assert len(dict.fromkeys(world.roots())) == 1


def test_many_accounts_opened_elsewhere_neither() -> None:
    world = World()
    a = world.add("a", terms(joins=False))
    victim = world.add("b")
    world.found("a")
    ours = a.engine.state.federation.federation
    assert ours is not None
    for number in range(20, 20 + ACCOUNT_HOMES_MAX):
        _meet(world, "a", number)
        opens = AccountOpened(victim.did, builders.did(number), 0, Mana(0), 0, Mana(0))
        joined = NodeJoined(builders.did(number), "evil/1")
        made = builders.block(
            number,
            [joined, opens],
            federation=ours.id,
            time=world.clock.time,
            parents=(a.engine.state.feeds.heads[a.did].cid,),
        )
        _say(world, "a", number, Announce((made.data,)))
    assert len(a.engine.state.ledger.homes_of[victim.did]) == ACCOUNT_HOMES_MAX
    world.link_all()
    world.pass_time(1_000)
    assert victim.engine.state.ledger.account(victim.did, victim.did) is not None


def test_who_is_not_admitted_is_not_kept_awake_by_news() -> None:
    world = World()
    world.add("a", terms(joins=False))
    world.add("b")
    world.found("a")
    world.link_all()
    world.pass_time(1_000)
    world.done("a", OpenAccountFor(builders.did(77)))
    world.pass_time(1_000)
    b = world["b"]
    assert b.wake_at is not None
    assert b.wake_at > world.clock.time


def test_a_strangers_claims_do_not_keep_a_node_awake() -> None:
    world = World()
    world.add("a")
    did = builders.did(STRANGER)
    counts = (FeedCount(did, 5),)
    world.handle("a", PeerUp(did), Received(did, Hello("evil/1", None, counts, "", executes=False)))
    world.clock.time = Instant(world.clock.time + 60_000)
    woken = world.handle("a", Tick())
    assert woken.wake_at is None or woken.wake_at > world.clock.time


def test_pay_for_work_goes_to_the_account_at_the_executors_own_home() -> None:
    world = World()
    for name in ("a", "b", "c"):
        world.add(name, terms(capacity=0 if name == "a" else 1, joins=name != "a"))
    others = sorted((world["b"], world["c"]), key=lambda node: node.did)
    low, executor = others
    low.engine.terms = low.terms = replace(low.terms, executor=replace(low.terms.executor, capacity=0))
    low.engine.executor.terms = low.terms
    low.engine.replication.terms = low.terms
    world.found("a", founders=("b", "c"))
    world.link("a", low.name)
    world.pass_time(500)
    world.done(low.name, OpenAccountFor(executor.did))
    world.pass_time(500)
    world.link("a", executor.name)
    world.link("b", "c")
    world.pass_time(1_000)
    world.submit("a")
    world.pass_time(5_000)
    transits = world["a"].engine.state.ledger.transits
    account = world["a"].engine.state.ledger.account(executor.did, executor.did)
    assert account is not None
    assert not transits
    assert account.balance > 1000
