"""Blocks that members and strangers craft so that a node stops, or honest ones part: none of it happens."""

from typing import get_args

import pytest

from icn.domain.federation.events import (
    EquivocationProven,
    FederationFounded,
    NodeAdmitted,
    NodeJoined,
    NodeLeft,
    RemovalVoted,
)
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.ledger.events import AccountOpened, TransferReceived, Transferred
from icn.domain.ledger.model import TransferNumber
from icn.domain.mesh.events import (
    AssigneeFailed,
    AssignmentAccepted,
    AssignmentDeclined,
    AttemptAbandoned,
    AttemptFailed,
    BiddingOpened,
    DisputeRaised,
    ExecutionStarted,
    ExecutorBanned,
    ExecutorPardoned,
    FailureDeferred,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    MeshEvent,
    OutputCommitted,
    OutputRevealed,
    PledgeMade,
    ReceiptIssued,
    ReceiptKept,
    RevealOpened,
)
from icn.domain.mesh.model import Status
from icn.domain.records import Event
from icn.kernel.ids import DAG_CBOR, Did
from icn.kernel.instant import Instant
from icn.kernel.mana import MANA_MAX, Mana
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.messages import Announce, FeedCount, Hello
from icn.services import rows
from icn.services.commands import Pay, PutContent
from icn.services.inputs import Gossiped, PeerDown, PeerUp, Received
from icn.sim.backing_up import all_of_it_is_restorable
from icn.stores import blocks
from support import builders
from support.agreeing import agree
from support.hostile_worlds import NAMES, invited, lenient
from support.impostor import Impostor
from support.world import World, federation, terms


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


@pytest.mark.slow
def test_a_federation_that_grants_all_that_an_account_holds_does_not_outgrow_the_row_of_its_supply() -> None:
    world = World()
    for name in NAMES:
        world.add(name, terms())
    all_of_it = Mana(MANA_MAX)
    policy = builders.policy(initial_grant=all_of_it, mana_cap=all_of_it, grants_per_node_max=1000)
    world.found("a", policy, founders=NAMES[1:])
    world.link_all()
    world.pass_time(2_000)
    owners = iter(range(1, 2_101))
    for name in NAMES[1:]:
        rich = Impostor.of(world, name)
        grants = [_grant(rich.did, next(owners), policy) for _ in range(700)]
        rich.say(rich.block(*grants, parents=rich.parents("a")), "a")
    supply = world["a"].engine.state.ledger.supply
    assert supply.minted >= 2**64
    world.restart("a")
    assert world["a"].engine.state.ledger.supply == supply
    assert rows.load_supply(world["a"].store) == supply
    world.done("a", Pay(world["b"].did, Mana(1), ""))
    assert world["a"].engine.state.ledger.supply.is_balanced
    all_of_it_is_restorable("a", world["a"].store)
    agree(world, "a")


def _grant(home: Did, owner: int, policy: Policy) -> AccountOpened:
    did = SeedSigner(owner.to_bytes(32, "big")).did
    return AccountOpened(did, home, 0, policy.mana_cap, policy.regeneration_per_hour, policy.initial_grant)


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


def test_a_stranger_has_nothing_kept_by_accusing_keys_of_its_own() -> None:
    world = invited()
    stranger, federation = Impostor(world, 66), Impostor(world, 66).federation
    far = Instant(world.clock.time + 10**9)
    pair = sorted(
        (builders.block(67, (), federation=federation, time=Instant(far + n)) for n in (1, 2)), key=lambda one: one.cid
    )
    accuses = EquivocationProven(builders.did(67), 0, pair[0].cid, pair[1].cid)
    joins = NodeJoined(stranger.did, "evil/1")
    stranger.say(stranger.block(joins, accuses, parents=stranger.parents("a")), "a")
    for block in pair:
        stranger.say(block, "a")
    world.pass_time(1_000)
    assert list(blocks.evidence(world["a"].store)) == []
    assert blocks.get_bytes(world["a"].store, pair[0].cid) is None


def test_a_strangers_block_is_no_reason_to_take_what_a_forker_goes_on_signing() -> None:
    world = invited()
    evil, friend = Impostor.of(world, "d"), Impostor(world, 66)
    honest, before = ("a", "b", "c"), evil.head
    evil.say(evil.block(NodeAdmitted(builders.did(67)), parents=evil.parents("a")), *honest)
    evil.head = before
    other = evil.say(evil.block(NodeAdmitted(builders.did(68)), parents=evil.parents("a")), *honest)
    world.pass_time(3_000)
    count = world["a"].engine.state.feeds.block_count
    more = evil.block(NodeAdmitted(friend.did))
    hello = Hello("evil/1", friend.federation, (), "", executes=False)
    world.handle("a", PeerUp(friend.did), Received(friend.did, hello))
    builds = builders.block(66, [NodeJoined(friend.did, "x")], federation=friend.federation, parents=(more.cid,))
    world.handle("a", Received(friend.did, Announce((builds.data, more.data, other.data))))
    world.pass_time(1_000)
    assert world["a"].engine.state.feeds.block_count == count
    agree(world, *honest)


def test_a_second_first_block_of_the_founder_parts_nobody_from_anybody() -> None:
    world = federation(*NAMES)
    founder = Impostor(world, world["a"].number)
    first = founder.block(NodeJoined(founder.did, "evil/1"))
    world.isolate("a")
    founder.say(first, "b", "c")
    world.pass_time(8_000)
    world.submit("b")
    world.pass_time(8_000)
    agree(world, "b", "c", "d")


def test_nobody_proves_the_genesis_away() -> None:
    world = federation(*NAMES)
    evil = Impostor.of(world, "d")
    founder, ours = world["a"].did, evil.federation
    pair = sorted((builders.block(1, (), federation=ours, time=Instant(n)) for n in (1, 2)), key=lambda one: one.cid)
    accuses = EquivocationProven(founder, 0, pair[0].cid, pair[1].cid)
    evil.say(evil.block(accuses, parents=evil.parents("b")), "b", "c")
    for block in pair:
        for name in ("b", "c"):
            evil.say(block, name)
    world.pass_time(8_000)
    for name in ("a", "b", "c"):
        assert world[name].engine.state.federation.federation is not None
    agree(world, "a", "b", "c")


def test_a_proof_is_taken_by_who_refused_one_of_the_two_blocks() -> None:
    """A meets the one with a record against the rules first, the others meet it second."""
    world = federation(*NAMES)
    evil, honest = Impostor.of(world, "d"), ("a", "b", "c")
    before = evil.head
    world.isolate("a")
    world.settle()
    bad = evil.say(evil.block(NodeJoined(builders.did(9), "x"), parents=evil.parents("a")), "a")
    assert evil.did in [peer for peer, _ in world["a"].disconnects]
    evil.head = before
    evil.say(evil.block(NodeAdmitted(builders.did(67)), parents=evil.parents("b")), "b", "c")
    for name in ("b", "c"):
        evil.say(bad, name)
    world.pass_time(2_000)
    assert evil.did in world["b"].engine.state.cuts
    gone = len(world["a"].disconnects)
    world.link_all()
    world.pass_time(8_000)
    assert [peer for peer, _ in world["a"].disconnects[gone:] if peer != evil.did] == []
    agree(world, *honest)


def test_evidence_that_somebody_has_as_content_is_evidence_for_all() -> None:
    world = invited()
    evil, honest = Impostor.of(world, "d"), ("a", "b", "c")
    pair = sorted(
        (builders.block(67, (), federation=evil.federation, time=Instant(n)) for n in (1, 2)), key=lambda one: one.cid
    )
    for block in pair:
        world.done("a", PutContent(block.data, DAG_CBOR, pinned=False, lifetime_ms=1_000))
    accuses = EquivocationProven(builders.did(67), 0, pair[0].cid, pair[1].cid)
    evil.say(evil.block(accuses, parents=evil.parents("a")), "a")
    world.pass_time(8_000)
    for name in honest:
        assert [(p, r) for p, r in world[name].disconnects if p != evil.did] == []
    agree(world, *honest)


def test_only_blocks_of_the_federation_prove_a_fork_in_it() -> None:
    world = invited()
    evil, honest = Impostor.of(world, "d"), ("a", "b", "c")
    c = world["c"]
    pair = sorted(
        (builders.block(c.number, (), federation=builders.cid("elsewhere"), time=Instant(n)) for n in (1, 2)),
        key=lambda one: one.cid,
    )
    for name in honest:
        for block in pair:
            world.done(name, PutContent(block.data, DAG_CBOR, pinned=True, lifetime_ms=None))
    accuses = EquivocationProven(c.did, 0, pair[0].cid, pair[1].cid)
    evil.say(evil.block(accuses, parents=evil.parents("a")), "a", "b")
    world.pass_time(8_000)
    for name in honest:
        assert c.did not in world[name].engine.state.cuts
    agree(world, *honest)


def test_what_a_stranger_says_it_has_keeps_nobody_from_joining() -> None:
    world = federation(*NAMES)
    world.add("new", terms())
    liar = builders.did(66)
    ours = world["a"].engine.state.federation.federation
    assert ours is not None
    claims = (FeedCount(builders.did(67), 10**6),)
    world.link("a", "new")
    world.handle("new", PeerUp(liar), Received(liar, Hello("evil/1", ours.id, claims, "", executes=False)))
    world.pass_time(5_000)
    assert world["new"].engine.state.federation.has_joined(world["new"].did)


def test_who_is_no_member_is_none_of_ours_whatever_it_says() -> None:
    world = federation(*NAMES)
    stranger = Impostor(world, 66)
    hello = Hello("evil/1", stranger.federation, (), "a root of its own", executes=False)
    world.handle("a", PeerUp(stranger.did), Received(stranger.did, hello))
    engine = world["a"].engine
    world.pass_time(8_000)
    assert engine.peers.is_here(stranger.did), "it may be about to join"
    assert {view.did for view in engine.peers.members(engine.state.federation)} == {world[n].did for n in NAMES[1:]}
    assert engine.replication.in_sync(engine.state) is True


def test_who_knows_of_a_fork_is_not_blamed_for_a_block_that_others_would_refuse() -> None:
    """A takes what does not fit, for it knows of a fork; B has not heard of that yet."""
    world = federation(*NAMES, "x")
    evil, forker, a, b = Impostor.of(world, "d"), Impostor.of(world, "x"), world["a"], world["b"]
    world.isolate("a")
    world.settle()
    before = forker.head
    forker.say(forker.block(NodeAdmitted(builders.did(67)), parents=forker.parents("a")), "a")
    forker.head = before
    forker.say(forker.block(NodeAdmitted(builders.did(68)), parents=forker.parents("a")), "a")
    assert forker.did in a.engine.state.cuts
    parents = world["b"].engine.state.feeds.parents_for(evil.did)
    bad = evil.say(evil.block(RemovalVoted(evil.did, ""), parents=parents), "a")
    assert blocks.get_meta(a.store, bad.cid) is not None
    hello = Hello("test/1", evil.federation, (), "", executes=False)
    world.handle("b", PeerUp(a.did), Received(a.did, hello))
    world.handle("b", Gossiped(b"token", a.did, evil.did, Announce((bad.data,))))
    world.handle("b", Received(a.did, Announce((bad.data,))))
    assert blocks.get_meta(b.store, bad.cid) is None
    assert b.verdicts[-1] is Verdict.IGNORE
    assert a.did not in [peer for peer, _ in b.disconnects]
    world.handle("b", PeerDown(a.did))
    evil.say(bad, "b")
    assert evil.did in [peer for peer, _ in b.disconnects], "its author is to blame"
    world.link_all()
    world.pass_time(8_000)
    agree(world, "a", "b", "c")


def test_evidence_that_comes_once_more_is_not_held_against_who_brings_it() -> None:
    """Two peers were asked for it, or one of them twice; alone it could never be taken."""
    world = invited()
    evil, a, b = Impostor.of(world, "d"), world["a"], world["b"]
    times = (Instant(1), Instant(2))
    pair = sorted(
        (builders.block(70, (), federation=evil.federation, time=time) for time in times), key=lambda one: one.cid
    )
    accuses = EquivocationProven(builders.did(70), 0, pair[0].cid, pair[1].cid)
    evil.say(evil.block(accuses, parents=evil.parents("a")), "a")
    for block in (*pair, *pair):
        world.handle("a", Received(b.did, Announce((block.data,))))
    assert builders.did(70) in a.engine.state.cuts
    assert b.did not in [peer for peer, _ in a.disconnects]
    late = builders.block(71, (), federation=evil.federation)
    a.engine.replication.arrivals.asked[late.cid] = world.clock.time
    for _ in range(2):
        world.handle("a", Received(b.did, Announce((late.data,))))
    assert b.did not in [peer for peer, _ in a.disconnects]
    world.pass_time(60_000, step=5_000)
    agree(world, "a", "b", "c")


def test_a_branch_that_has_the_one_that_counts_behind_it_confirms_nothing() -> None:
    """A forker's branch is not taken for the block with its number that is kept, by who has to look that one up."""
    world = federation("a", "b", "c", "d", "x")
    forker, a, b = Impostor.of(world, "x"), world["a"], world["b"]
    before = forker.head

    def opening(number: int) -> AccountOpened:
        return AccountOpened(builders.did(number), forker.did, 0, Mana(0), 0, Mana(0))

    forker.say(forker.block(opening(8), parents=forker.parents("a")), *NAMES)
    kept = forker.say(forker.block(opening(9)), *NAMES)
    world.pass_time(3_000)
    world.isolate("c")
    accomplice = Impostor.of(world, "d")
    world.done("b", Pay(a.did, Mana(5), "wood"))
    world.pass_time(2_000)  # a and b have seen it: two of the four that it takes
    forker.head = before
    one = forker.say(forker.block(opening(10)), "a", "b")
    two = forker.block(parents=forker.parents("a"))
    world.pass_time(3_000)
    for node in (a, b):
        assert node.engine.state.cuts[forker.did].head == kept.cid
    world.restart("a")
    world.link("a", "b")
    world.pass_time(1_000)
    upon = accomplice.block(parents=(two.cid,))
    hello = Hello("test/1", accomplice.federation, (), "", executes=False)
    for name in ("a", "b"):
        world.handle(name, PeerUp(accomplice.did), Received(accomplice.did, hello))
        world.handle(name, Received(accomplice.did, Announce((one.data, two.data, upon.data))))
        assert two.cid in world[name].engine.state.feeds.sides
    world.pass_time(3_000)
    assert not a.happened(TransferReceived), "a, b and who built on the branch are three"
    agree(world, "a", "b")


HUGE = 2**40
"""An attempt that stands in no key."""


def void_job_records(home: Did, other: Did) -> list[Event]:
    """One of every kind, and nothing in it as it should be."""
    job, far, rubbish = builders.job_id(home, "none"), Instant(-1), b"rubbish"
    name = builders.cid("none")
    return [
        JobSubmitted(job, b"", 5, home, builders.spec(deadline=far)),
        BiddingOpened(job, HUGE, far),
        JobAssigned(job, HUGE, far, ()),
        ExecutionStarted(job, HUGE, other),
        OutputCommitted(job, HUGE, other, b""),
        RevealOpened(job, HUGE, far),
        OutputRevealed(job, HUGE, other, rubbish),
        AssigneeFailed(job, HUGE, other, "", True, rubbish),
        AttemptAbandoned(job, HUGE, "", far),
        AttemptFailed(job, HUGE, other, "", True, far, rubbish),
        FailureDeferred(job, HUGE, other),
        JobCompleted(job, HUGE, other, name, Mana(-5), rubbish),
        JobAgreed(job, HUGE, name, (other,), (other,), Mana(1)),
        JobRolledBack(job, Status.COMPLETED, "", -1, Mana(-1)),
        ReceiptKept(job, HUGE, other, rubbish),
        AssignmentDeclined(job, HUGE, other, ""),
        ExecutorBanned(other, far, -1, ""),
        ExecutorPardoned(other, ""),
        AssignmentAccepted(job, HUGE, other, far, rubbish),
        PledgeMade(job, HUGE, other, b""),
        DisputeRaised(job, HUGE, other, other, rubbish, b""),
        ReceiptIssued(job, HUGE, other, rubbish),
        ReceiptIssued(job, -1, other, b""),
    ]


def test_records_of_jobs_that_are_void_may_say_anything_and_stop_nobody() -> None:
    world = lenient()
    evil = Impostor.of(world, "d")
    events = void_job_records(evil.did, world["a"].did)
    assert dict.fromkeys(type(event) for event in events).keys() == set(get_args(MeshEvent))
    parents = evil.parents("a")
    for event in events:
        evil.say(evil.block(event, parents=parents), "a", "b", "c")
        parents = ()
    world.pass_time(3_000)
    agree(world, "a", "b", "c")
