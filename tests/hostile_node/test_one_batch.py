"""What one batch may cost: a hostile peer's thousand messages reach the engine together, before anybody hears back.

The queue before the writer is bounded in number, so whatever one message makes the engine do, or say, or keep, must
be small enough to be done a thousand times, or be done once for all of them.
"""

from collections.abc import Iterator

import pytest

from icn.domain.federation.events import NodeJoined
from icn.domain.ledger.events import AccountOpened
from icn.domain.mesh.papers import seal_assignment, seal_receipt
from icn.kernel import limits
from icn.kernel.ids import RAW, Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.limits import BATCH_INPUTS_MAX, CLOCK_ENTRIES_MAX, MIB
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.protocol.codec import encode_message
from icn.protocol.messages import (
    Announce,
    AssignmentSent,
    BidOffered,
    Blocks,
    Chunk,
    ExecutionCancelled,
    FeedCount,
    Fetch,
    Hello,
    JobAnnounced,
    ReceiptSent,
    Want,
)
from icn.services.commands import PutContent
from icn.services.effects import Effect, RunJob, Send
from icn.services.inputs import PeerDown, PeerUp, Received
from icn.stores import keyspace
from support import builders
from support.world import FaultyStore, World, federation, terms

ENOUGH = BATCH_INPUTS_MAX
SAID_IN_A_BATCH_MAX = 40 * MIB
STRANGER = 77


@pytest.fixture
def world() -> World:
    return federation("a", "b")


def hello(world: World, did: Did) -> None:
    """A peer that is no member, greeted by `a`."""
    genesis = world["a"].engine.state.federation.federation
    assert genesis is not None
    world.handle("a", PeerUp(did), Received(did, Hello("x", genesis.id, (), "", executes=True)))


def said(effects: list[Effect]) -> int:
    return sum(len(encode_message(effect.message)) for effect in effects if isinstance(effect, Send))


def strangers() -> Iterator[Did]:
    number = 0
    while True:
        number += 1
        yield SeedSigner(number.to_bytes(32, "big")).did


def test_a_thousand_wants_are_answered_once(world: World) -> None:
    for index in range(12):
        world.done("a", PutContent(bytes([index]) * 10, RAW, pinned=False, lifetime_ms=None))
        world.submit("a", world.spec(max_price=Mana(1)), data=bytes([index]) * 4000)
    world.pass_time(500)
    stranger = builders.did(STRANGER)
    hello(world, stranger)
    outcome = world.handle("a", *[Received(stranger, Want(()))] * ENOUGH)
    answers = [e for e in outcome.effects if isinstance(e, Send) and isinstance(e.message, Blocks)]
    assert len(answers) == 1


def test_wants_of_many_peers_are_answered_over_several_batches(world: World) -> None:
    everybody = [did for did, _ in zip(strangers(), range(40), strict=False)]
    for did in everybody:
        hello(world, did)
    answered: list[Did] = []
    inputs = [Received(did, Want(())) for did in everybody]
    for _ in range(40):
        outcome = world.handle("a", *inputs)
        now = [e.peer for e in outcome.effects if isinstance(e, Send) and isinstance(e.message, Blocks)]
        assert len(now) * limits.CATCHUP_BYTES_MAX <= SAID_IN_A_BATCH_MAX
        answered += now
        inputs = []
        if len(answered) == len(everybody):
            break
        assert outcome.wake_at is not None
        assert outcome.wake_at <= world.clock.time, "who waits for an answer need not wait for something to happen"
    assert sorted(answered) == sorted(everybody)


def test_a_thousand_fetches_of_something_big_are_not_all_answered_with_all_of_it(world: World) -> None:
    answer = world.done("a", PutContent(bytes(8 * MIB), RAW, pinned=True, lifetime_ms=None))
    cid = Cid.parse(str(answer["cid"]))
    stranger = builders.did(STRANGER)
    hello(world, stranger)
    outcome = world.handle("a", *[Received(stranger, Fetch(cid, 0))] * ENOUGH)
    assert said(outcome.effects) < SAID_IN_A_BATCH_MAX
    chunks = [e.message for e in outcome.effects if isinstance(e, Send) and isinstance(e.message, Chunk)]
    assert len(chunks) == ENOUGH
    assert all(chunk.data for chunk in chunks), "each answer brings something, so an honest fetch goes on"


def test_as_many_fetches_as_an_honest_node_makes_fit_the_queue_to_it(world: World) -> None:
    answer = world.done("a", PutContent(bytes(8 * MIB), RAW, pinned=True, lifetime_ms=None))
    cid = Cid.parse(str(answer["cid"]))
    stranger = builders.did(STRANGER)
    hello(world, stranger)
    outcome = world.handle("a", *[Received(stranger, Fetch(cid, 0))] * limits.FETCHES_IN_FLIGHT_MAX)
    assert said(outcome.effects) < limits.PEER_QUEUE_BYTES_MAX


def test_a_thousand_hellos_bring_what_waits_once(world: World) -> None:
    b = world["b"]
    spec = world.spec(within=50_000)
    for number in range(20):  # refusals wait in the outbox of `a` until `b` has them
        job = builders.job_id(b.did, f"job {number}")
        late = builders.assignment(1, 2, job=job, spec=spec, deadline=Instant(world.clock.time - 1))
        sealed = seal_assignment(late, builders.signer(2))
        world.handle("a", Received(b.did, AssignmentSent(number, sealed)))
    waiting = len(world["a"].engine.outbox.messages_for(b.did))
    assert waiting == 20
    genesis = world["a"].engine.state.federation.federation
    assert genesis is not None
    greeting = Received(b.did, Hello("x", genesis.id, (), "", executes=True))
    outcome = world.handle("a", PeerUp(b.did), *[greeting] * ENOUGH)
    assert len([e for e in outcome.effects if isinstance(e, Send)]) <= waiting + 10


class CountingStore(FaultyStore):
    """Counts how often everything is loaded anew."""

    loads = 0

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        self.loads += prefix == keyspace.OUTBOX
        return super().scan(prefix, after=after)


def test_many_blocks_against_the_rules_make_the_state_load_once(world: World) -> None:
    node = world["a"]
    counting = CountingStore(node.store.inner)
    node.engine.store = counting
    stranger = builders.did(STRANGER)
    hello(world, stranger)
    genesis = node.engine.state.federation.federation
    assert genesis is not None
    parents = tuple(head.cid for head in node.engine.state.feeds.heads.values())[:1]
    bad = [
        builders.block(
            STRANGER,
            [NodeJoined(stranger, "x"), AccountOpened(stranger, stranger, 0, Mana(5000 + n), 10**6, Mana(10**6))],
            federation=genesis.id,
            parents=parents,
            time=world.clock.time,
        )
        for n in range(50)
    ]
    before = node.engine.state.feeds.root()
    outcome = world.handle("a", *[Received(stranger, Announce((block.data,))) for block in bad])
    assert counting.loads == 1
    assert node.engine.state.feeds.root() == before
    assert stranger in [peer for peer, _ in node.disconnects]
    assert outcome.replies == []


def test_what_a_peer_says_it_has_is_kept_only_up_to_a_bound(world: World) -> None:
    stranger = builders.did(STRANGER)
    hello(world, stranger)
    names = strangers()
    for _ in range(2):
        counts = tuple(FeedCount(next(names), 1) for _ in range(CLOCK_ENTRIES_MAX))
        world.handle("a", Received(stranger, Want(counts)))
    assert len(world["a"].engine.peers.views[stranger].counts) <= CLOCK_ENTRIES_MAX


def test_announcements_that_wait_for_a_place_are_small(world: World) -> None:
    job = builders.spec(arguments=("x" * (MIB // 2),), deadline=Instant(world.clock.time + 1000))
    world.handle("a", Received(world["b"].did, JobAnnounced(builders.job_id(world["b"].did), 1, 1000, job)))
    assert [peer for peer, _ in world["a"].disconnects] == [world["b"].did]


def test_an_assignment_by_who_is_no_member_leaves_nothing_behind(world: World) -> None:
    stranger = builders.did(STRANGER)
    hello(world, stranger)
    sealed = seal_assignment(
        builders.assignment(1, STRANGER, deadline=Instant(world.clock.time + 1000)), builders.signer(STRANGER)
    )
    world.handle("a", Received(stranger, AssignmentSent(1, sealed)))
    assert not world["a"].engine.outbox.messages_for(stranger)
    assert not list(world["a"].store.scan(keyspace.OUTBOX))


def test_a_home_that_acknowledges_nothing_fills_no_disk(world: World) -> None:
    b = world["b"]
    spec = world.spec()
    outbox = world["a"].engine.outbox
    outbox.waiting[b.did] = {outbox.reserve(): b"" for _ in range(limits.OUTBOX_PER_PEER_MAX - 1)}
    for number in range(3):
        late = builders.assignment(
            1, 2, job=builders.job_id(b.did, str(number)), spec=spec, deadline=Instant(world.clock.time - 1)
        )
        world.handle("a", Received(b.did, AssignmentSent(number, seal_assignment(late, builders.signer(2)))))
    assert len(outbox.waiting[b.did]) == limits.OUTBOX_PER_PEER_MAX


def test_an_assignment_that_never_ends_is_not_accepted(world: World) -> None:
    b = world["b"]
    for_ever = builders.assignment(
        1, 2, deadline=Instant(2**60), spec=world.spec(module=builders.cid("a module that nobody has"))
    )
    world.handle("a", Received(b.did, AssignmentSent(1, seal_assignment(for_ever, builders.signer(2)))))
    assert not world["a"].engine.state.mesh.executions


def test_a_receipt_that_comes_again_waits_once_for_its_output() -> None:
    world = World()
    world.add("a", terms(capacity=0, joins=False))
    world.add("b", terms(), run=lambda _: None)
    world.found("a", founders=("b",))
    world.link_all()
    world.pass_time(2_000)
    world.submit("a", world.spec(max_price=Mana(100)))
    world.pass_time(1_500)
    (request,) = world["b"].runs
    (job,) = world["a"].engine.state.mesh.jobs.values()
    claimed = builders.receipt(2, 1, job=request.job, spec=job.spec.cid, output=builders.cid("an output nobody has"))
    sent = ReceiptSent(5, seal_receipt(claimed, builders.signer(2)), b"")
    world.handle("a", *[Received(world["b"].did, sent)] * ENOUGH)
    (fetching,) = world["a"].engine.content._fetches.values()
    assert len(fetching.waiters) == 1


def test_blocks_there_is_no_room_for_are_neither_verified_nor_read(world: World) -> None:
    stranger = builders.did(STRANGER)
    hello(world, stranger)
    genesis = world["a"].engine.state.federation.federation
    assert genesis is not None

    def lonely(number: int) -> bytes:
        missing = builders.cid(str(number))
        return builders.block(
            STRANGER, federation=genesis.id, sequence=number, previous=missing, time=world.clock.time
        ).data

    forged = lonely(5000)[:-64] + bytes(64)
    for start in range(1, limits.QUARANTINE_PER_PEER_MAX + 1, 512):
        waiting = tuple(lonely(number) for number in range(start, start + 512))
        world.handle("a", Received(stranger, Announce(waiting)))
    world.handle("a", Received(stranger, Announce((forged, b"no block"))))
    assert world["a"].engine.peers.is_here(stranger), "it would have gone, had anybody looked"


def test_a_home_that_leaves_takes_its_offers_along(world: World) -> None:
    b, spec = world["b"], world.spec()
    for number in range(10):
        world.handle("a", Received(b.did, JobAnnounced(builders.job_id(b.did, str(number)), 1, 60_000, spec)))
    world.handle("a", PeerDown(b.did))
    hello(world, b.did)
    outcome = world.handle("a", Received(b.did, JobAnnounced(builders.job_id(b.did, "new"), 1, 60_000, spec)))
    assert [e for e in outcome.effects if isinstance(e, Send) and isinstance(e.message, BidOffered)]


def test_who_cannot_be_given_a_job_does_not_keep_others_waiting_for_its_bid() -> None:
    world = federation("a", "b", node_terms=terms(window=5_000))
    hello(world, builders.did(STRANGER))
    world.submit("a", world.spec(max_price=Mana(100)))
    world.settle()
    assert not [e for _, e in world.trace if isinstance(e, Send) and isinstance(e.message, ExecutionCancelled)]
    assert [e for name, e in world.trace if isinstance(e, RunJob)], "the job runs before the window is over"
