"""Leaving between engines: the feed ends, others go on without the node, and nothing is lost or left waiting."""

import pytest

from icn.domain.dag.block import FORMAT_VERSION, Header, sign_block
from icn.domain.federation.events import NodeLeft
from icn.domain.ledger.events import TransferReturned
from icn.domain.mesh.events import JobAssigned
from icn.domain.records import Record, write_record
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, Blocks
from icn.services.answers import Answer, Refused
from icn.services.commands import Admit, Cancel, Invite, Leave, OpenAccountFor, Pay
from icn.services.effects import Publish
from icn.services.inputs import Received
from icn.stores import blocks
from icn.stores.kv import Batch
from support import builders
from support.world import World, federation, terms


def refusal_of(answer: Answer) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


def member_views(world: World, *names: str) -> list[object]:
    return [world[name].engine.state.federation.members for name in names]


def test_the_feed_of_a_node_that_leaves_ends_and_others_go_on_without_it() -> None:
    world = federation("a", "b", "c")
    body = world.done("c", Leave())
    assert body["left"] is True
    assert body["block"]
    world.pass_time(2_000)
    a, c = world["a"].engine, world["c"].engine
    head = c.state.feeds.heads[c.did]
    assert head.cid == a.state.feeds.heads[c.did].cid, "everybody has its last block"
    assert a.state.federation.voters(builders.EVERYTHING) == sorted([world["a"].did, world["b"].did])
    assert not a.peers.is_here(c.did), "it is a stranger now"
    world.done("a", OpenAccountFor(builders.did(9)))
    world.pass_time(7_000)
    assert c.state.feeds.heads[c.did] == head, "it acknowledges nothing"
    for name in ("a", "b"):
        feeds = world[name].engine.state.feeds
        newest = feeds.heads[world["a"].did]
        assert feeds.heads[world["b"].did].clock[world["a"].did] >= newest.sequence, "the others confirm by themselves"
    world.restart("c")
    world.link("c", "a")
    world.pass_time(1_000)
    assert not a.peers.is_here(c.did)
    for command in (Pay(world["a"].did, Mana(1), ""), Admit(builders.did(9)), Leave()):
        assert refusal_of(world.do("c", command)) == "federation.node_left"
    again = Invite(builders.START, world["c"].did, "", ("/ip4/127.0.0.1/tcp/1",))  # type: ignore[arg-type]  # a span
    assert refusal_of(world.do("a", again)) == "federation.node_left"


def test_nothing_follows_a_leaving_in_its_block_or_after_it() -> None:
    world = federation("a", "b")
    world.done("b", Leave())
    world.pass_time(1_000)
    a, b = world["a"].engine, world["b"].engine
    head = a.state.feeds.heads[b.did]
    signer = builders.signer(world["b"].number)
    federation_id = a.state.federation.federation
    assert federation_id is not None
    for records in ((), (write_record(Record(builders.NODE_ITSELF, NodeLeft(b.did))),)):
        late = sign_block(
            Header(FORMAT_VERSION, federation_id.id, b.did, head.sequence + 1, head.cid, (), world.clock.time),
            records,
            signer,
        )
        world.cut("a", "b")
        world.settle()
        other = world.add(f"relay{len(records)}", terms())
        world.link("a", other.name)
        world.settle()
        world.handle("a", Received(other.did, Announce((late.data,))))
        assert late.cid in a.replication.arrivals.refused
        assert a.state.feeds.heads[b.did] == head


@pytest.mark.parametrize("who", ["a", "b"])
def test_nobody_leaves_with_a_job_under_way(who: str) -> None:
    world = World()
    world.add("a", terms(capacity=0, joins=False))
    world.add("b", terms(capacity=1), run=lambda _: None)
    world.found("a", founders=("b",))
    world.link_all()
    world.pass_time(2_000)
    job = world.submit("a")
    world.pass_time(1_500)
    assert world["a"].happened(JobAssigned)
    answer = world.do(who, Leave())
    assert refusal_of(answer) == "federation.business_pending"
    assert isinstance(answer, Refused)
    assert "icn-cli mesh cancel" in answer.message if who == "a" else "run here" in answer.message
    world.done("a", Cancel(job))
    world.pass_time(1_000)


def test_mana_on_its_way_to_a_home_that_left_comes_back() -> None:
    world = federation("a", "b", "c")
    world.isolate("a")
    world.done("a", Pay(world["c"].did, Mana(70), ""))
    assert world["a"].engine.state.ledger.transits
    world.done("c", Leave())
    for one, other in (("a", "b"), ("a", "c")):
        world.link(one, other)
    world.pass_time(8_000)
    a = world["a"].engine
    assert world["a"].happened(TransferReturned)
    assert not a.state.ledger.transits
    account = a.state.ledger.account(a.did, a.did)
    assert account is not None
    assert account.balance == 1000
    assert world["b"].engine.state.ledger.supply == a.state.ledger.supply
    assert refusal_of(world.do("a", Pay(world["c"].did, Mana(1), ""))) == "ledger.home_left"


def test_transfers_are_waited_for() -> None:
    world = federation("a", "b")
    world.isolate("a")
    world.done("a", Pay(world["b"].did, Mana(70), ""))
    assert "in transit" in str(world.do("a", Leave()))
    world.link("a", "b")
    world.pass_time(8_000)
    world.done("a", Leave())


def test_a_bid_of_a_node_that_left_is_not_taken() -> None:
    world = World()
    world.add("a", terms(capacity=0, joins=False))
    world.add("b", terms(capacity=1, price=1))
    world.add("c", terms(capacity=1, price=5))
    world.found("a", founders=("b", "c"))
    world.link_all()
    world.pass_time(2_000)
    world.drop = lambda one, other, _message: "c" in {one, other}  # its bid is late, so that bidding goes on
    world.submit("a", world.spec(max_price=Mana(20)))
    world.settle()
    world.done("b", Leave())
    world.settle()
    assert not world["a"].happened(JobAssigned)
    world.drop = None
    world.pass_time(9_000)
    assigned = [event for event in world["a"].happened(JobAssigned) if isinstance(event, JobAssigned)]
    assert all(assignee.executor != world["b"].did for event in assigned for assignee in event.assignees)
    assert not world["a"].engine.outbox.waiting


def test_who_learns_late_that_a_node_left_learns_it_from_anybody() -> None:
    world = federation("a", "b", "c")
    world.isolate("c")
    world.done("b", Leave())
    world.pass_time(1_000)
    world.link("a", "c")
    world.pass_time(7_000)
    views = member_views(world, "a", "c")
    assert views[0] == views[1]
    assert world["c"].engine.state.federation.has_ended(world["b"].did)


def test_a_leaving_that_was_not_committed_did_not_happen() -> None:
    world = federation("a", "b")
    b = world["b"]
    b.store.fail_next = 1
    token = world.ask("b", Leave())
    with pytest.raises(Exception, match="on strike"):
        world.settle()
    assert token not in b.answers
    world.done("b", OpenAccountFor(builders.did(9)))
    assert not b.engine.state.federation.has_ended(b.did)
    sent = [e for n, e in world.trace if n == "b" and isinstance(e, Publish)]
    assert sent, "it goes on"
    assert blocks.last_arrival(b.store) == b.engine.state.last_arrival


def test_others_tell_who_leaves_that_they_know_of_it_and_only_their_word_counts() -> None:
    world = federation("a", "b")
    b = world["b"].engine
    world.drop = lambda one, _other, _message: one == "b"
    world.done("b", Leave())
    own = b.state.feeds.next_sequence(b.did)
    assert b.peers.views[world["a"].did].counts.get(b.did, 0) < own, "what was sent need not have arrived"
    world.drop = lambda one, _other, message: one == "a" and isinstance(message, Announce | Blocks)
    world.pass_time(7_000)
    assert world["a"].engine.state.federation.has_ended(b.did)
    assert b.peers.views[world["a"].did].counts.get(b.did, 0) == own


def test_what_waits_for_a_node_that_left_is_dropped_also_after_a_start() -> None:
    world = federation("a", "b")
    world.done("b", Leave())
    world.pass_time(1_000)
    a = world["a"]
    batch = Batch()
    a.engine.outbox.add(batch, world["b"].did, a.engine.outbox.reserve(), b"x")
    a.store.inner.commit(batch, a.engine.fence)
    world.restart("a")
    world.settle()
    assert not a.engine.outbox.waiting


def test_what_is_asked_in_the_same_batch_as_the_leaving_is_refused() -> None:
    world = federation("a", "b")
    leaving = world.ask("b", Leave())
    after = [world.ask("b", OpenAccountFor(builders.did(9))), world.ask("b", Leave())]
    world.settle()
    answers = world["b"].answers
    assert not isinstance(answers[leaving], Refused)
    assert [refusal_of(answers[token]) for token in after] == ["federation.node_left"] * 2
    world.pass_time(7_000)
    assert world["a"].engine.state.federation.has_ended(world["b"].did)
