"""What waits: who is said to have built on a fork, and who is asked when the one that was asked does not answer."""

from icn.domain.dag.block import Block
from icn.kernel.ids import Cid
from icn.kernel.instant import Instant
from icn.kernel.limits import BLOCK_BYTES_MAX, QUARANTINE_BYTES_MAX
from icn.protocol.messages import Announce, Blocks, Hello, WantNamed
from icn.services.inputs import PeerDown, PeerUp, Received
from icn.services.peers import Peers, PeerView
from icn.services.quarantine import Quarantine, Waiting
from support import builders
from support.forker import Forker
from support.impostor import Impostor
from support.world import federation

NOW = Instant(1_700_000_000_000)


def waiting(block: Block, missing: Cid, *, is_evidence: bool = False) -> Waiting:
    return Waiting(block, builders.did(9), missing, is_evidence)


def test_a_block_is_named_by_other_authors_only_be_it_through_its_own_chain() -> None:
    quarantine, view = Quarantine(), PeerView(builders.did(9))

    def named() -> dict[Cid, None]:
        return quarantine.named_by_others(builders.did(1), lambda naming: naming.header.author != builders.did(4))

    first = builders.block(1)
    second = builders.block(1, sequence=1, previous=first.cid)
    quarantine.add(waiting(second, first.cid), view, Peers())
    assert named() == {}, "its author's own next block does not count"
    quarantine.add(waiting(builders.block(3), first.cid, is_evidence=True), view, Peers())
    assert named() == {}, "who accuses does not build on it"
    quarantine.add(waiting(builders.block(4), second.cid), view, Peers())
    assert named() == {}, "nobody knows that one"
    quarantine.add(waiting(builders.block(2), second.cid), view, Peers())
    assert named() == {second.cid: None, first.cid: None}


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
    arrivals.quarantine.add(waiting(second, first.cid), view, arrivals.peers)
    arrivals.asked[first.cid] = NOW
    assert arrivals.wake_at(NOW) == NOW + arrivals.patience
    arrivals.quarantine.add(waiting(first, builders.block(3).cid), view, arrivals.peers)
    assert arrivals.wake_at(NOW) is None


def test_nobody_is_woken_to_ask_where_nobody_is_there_to_be_asked() -> None:
    world = federation("a", "b")
    arrivals, view = world["a"].engine.replication.arrivals, PeerView(builders.did(9))
    first = builders.block(1)
    arrivals.quarantine.add(waiting(builders.block(2, parents=(first.cid,)), first.cid), view, arrivals.peers)
    arrivals.asked[first.cid] = NOW
    assert arrivals.wake_at(NOW) is not None
    world.isolate("a")
    world.settle()
    assert arrivals.wake_at(NOW) is None


def large(number: int, index: int) -> Block:
    """Nearly as large as a block may be."""
    return builders.block(number, records=({"fill": bytes(BLOCK_BYTES_MAX - 1024), "n": index},))


def test_whoever_fills_the_quarantine_keeps_nobody_else_from_waiting() -> None:
    quarantine, peers = Quarantine(), Peers({builders.did(n): PeerView(builders.did(n)) for n in (8, 9)})
    greedy, modest = peers.views[builders.did(8)], peers.views[builders.did(9)]
    nowhere = builders.cid("nowhere")
    for index in range(QUARANTINE_BYTES_MAX // BLOCK_BYTES_MAX + 8):
        quarantine.add(Waiting(large(1, index), greedy.did, nowhere), greedy, peers)
    assert quarantine.size > QUARANTINE_BYTES_MAX - BLOCK_BYTES_MAX
    honest = [large(2, index) for index in range(3)]
    for block in honest:
        assert quarantine.add(Waiting(block, modest.did, nowhere), modest, peers)
    assert all(block.cid in quarantine.waiting for block in honest)
    assert not quarantine.add(Waiting(large(1, 999), greedy.did, nowhere), greedy, peers)
    assert (
        quarantine.size == sum(len(entry.block.data) for entry in quarantine.waiting.values()) <= QUARANTINE_BYTES_MAX
    )
    for view in (greedy, modest):
        assert view.quarantined == sum(entry.sender == view.did for entry in quarantine.waiting.values())
    quarantine.drop_sender(greedy.did, peers)
    assert list(quarantine.waiting) == [block.cid for block in honest]
    assert quarantine.release(nowhere, Instant(0), peers) == [Waiting(block, modest.did, nowhere) for block in honest]
    assert (quarantine.waiting, quarantine.size, quarantine.missing()) == ({}, 0, [])


def test_a_peer_that_is_connected_anew_begins_with_nothing_waiting() -> None:
    world = federation("a", "b")
    stranger = Impostor(world, 66)
    hello = Hello("evil/1", stranger.federation, (), "", executes=False)
    orphan = builders.block(66, sequence=5, previous=builders.cid("no"), federation=stranger.federation)
    for _ in range(3):
        world.handle("a", PeerUp(stranger.did), Received(stranger.did, hello))
        world.handle("a", Received(stranger.did, Announce((orphan.data,))))
        assert world["a"].engine.peers.views[stranger.did].quarantined == 1
    world.handle("a", PeerDown(stranger.did))
    assert world["a"].engine.replication.arrivals.quarantine.waiting == {}
