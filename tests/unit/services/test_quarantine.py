"""What waits: who is said to have built on a fork, and who is asked when the one that was asked does not answer."""

from icn.domain.dag.block import Block
from icn.kernel.ids import Cid
from icn.kernel.instant import Instant
from icn.protocol.messages import Announce, Blocks, WantNamed
from icn.services.inputs import Received
from icn.services.peers import PeerView
from icn.services.quarantine import Quarantine, Waiting
from support import builders
from support.forker import Forker
from support.world import federation

NOW = Instant(1_700_000_000_000)


def waiting(block: Block, missing: Cid, *, is_evidence: bool = False) -> Waiting:
    return Waiting(block, builders.did(9), missing, is_evidence)


def test_a_block_is_named_by_other_authors_only_be_it_through_its_own_chain() -> None:
    quarantine, view = Quarantine(), PeerView(builders.did(9))
    first = builders.block(1)
    second = builders.block(1, sequence=1, previous=first.cid)
    quarantine.add(waiting(second, first.cid), view)
    assert not quarantine.is_named(first), "its author's own next block does not count"
    quarantine.add(waiting(builders.block(3), first.cid, is_evidence=True), view)
    assert not quarantine.is_named(first), "who accuses does not build on it"
    quarantine.add(waiting(builders.block(2), second.cid), view)
    assert quarantine.is_named(second)
    assert quarantine.is_named(first)


def test_what_one_peer_does_not_send_is_asked_of_another() -> None:
    """Only B has the branch that C's block builds on; A hears C's block and asks C, which answers nothing."""
    forker = Forker(federation("a", "b", "c"))
    forker.join()
    world, before = forker.world, forker.head
    for name in world.nodes:
        world.isolate(name)
    world.settle()
    forker.greet("a", "b", "c")
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.say(one, "a")
    for name in ("b", "c"):
        forker.say(other, name)
    world.pass_time(1_000)
    built = world["c"].engine.state.feeds.heads[world["c"].did].cid
    data = world["c"].store.get(b"b" + built.data)
    assert data is not None
    asked: list[str] = []
    world.drop = lambda source, target, message: (
        (isinstance(message, WantNamed) and source == "a" and (asked.append(target) or target == "c"))
        or (isinstance(message, Announce | Blocks) and source == "b" and not asked)
    )
    world.link("a", "c")
    world.link("a", "b")
    world.settle()
    world.handle("a", Received(world["c"].did, Announce((data,))))
    world.pass_time(20_000)
    assert world["a"].engine.replication.arrivals.quarantine.waiting == {}
    assert other.cid in world["a"].engine.state.feeds.sides
    assert asked[0] == "c", "who sent it is asked first"
    assert "b" in asked, "and then somebody else"


def test_what_was_asked_for_and_waits_itself_is_asked_for_no_more_and_wakes_nobody() -> None:
    node = federation("a", "b")["a"]
    arrivals, view = node.engine.replication.arrivals, PeerView(builders.did(9))
    first = builders.block(1)
    second = builders.block(2, parents=(first.cid,))
    arrivals.quarantine.add(waiting(second, first.cid), view)
    arrivals.asked[first.cid] = NOW
    assert arrivals.wake_at(NOW) == NOW + arrivals.patience
    arrivals.quarantine.add(waiting(first, builders.block(3).cid), view)
    assert arrivals.wake_at(NOW) is None


def test_nobody_is_woken_to_ask_where_nobody_is_there_to_be_asked() -> None:
    world = federation("a", "b")
    arrivals, view = world["a"].engine.replication.arrivals, PeerView(builders.did(9))
    first = builders.block(1)
    arrivals.quarantine.add(waiting(builders.block(2, parents=(first.cid,)), first.cid), view)
    arrivals.asked[first.cid] = NOW
    assert arrivals.wake_at(NOW) is not None
    world.isolate("a")
    world.settle()
    assert arrivals.wake_at(NOW) is None
