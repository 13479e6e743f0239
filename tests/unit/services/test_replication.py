"""Blocks of peers: what is taken in, what waits, what is refused whole, and who is let go for it (semantics §2)."""

from dataclasses import replace

import pytest

from icn.domain.dag.block import Block, parse_block
from icn.domain.federation.events import EquivocationProven, NodeAdmitted, NodeJoined
from icn.domain.federation.model import JoinPolicy
from icn.domain.ledger.events import (
    AccountOpened,
    HoldSettled,
    ManaHeld,
    ManaRegenerated,
    TransferReceived,
    Transferred,
)
from icn.domain.ledger.model import HoldId, TransferNumber
from icn.domain.mesh.events import BiddingOpened, JobAssigned, JobCompleted, JobRolledBack, JobSubmitted
from icn.domain.mesh.model import Assignee, Status
from icn.domain.mesh.papers import seal_receipt
from icn.domain.records import Event
from icn.kernel import limits
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, Blocks, FeedCount, Heads, Hello, Want
from icn.services import rows
from icn.services.commands import Admit, OpenAccountFor, Pay
from icn.services.effects import Send
from icn.services.inputs import PeerUp, Received, Tick
from icn.stores import blocks, keyspace
from support import builders
from support.world import Node, World, federation, terms

EVIL = 66


class Hostile:
    """A member of an open federation that the test plays: it signs whatever the test likes."""

    def __init__(self, *, admitted: bool = False) -> None:
        self.world = World()
        self.node = self.world.add("a", terms(joins=False))
        self.world.found("a", builders.policy())
        self.head: Block | None = None
        self.greet()
        self.say(self.block(NodeJoined(self.did, "evil/1")))
        if admitted:
            self.world.done("a", Admit(self.did))

    @property
    def did(self) -> Did:
        return builders.did(EVIL)

    @property
    def federation(self) -> Cid:
        ours = self.node.engine.state.federation.federation
        assert ours is not None
        assert ours.id is not None
        return ours.id

    def greet(self) -> None:
        hello = Hello("evil/1", self.federation, (), "", executes=False)
        self.world.handle("a", PeerUp(self.did), Received(self.did, hello))

    def block(self, *events: Event, **changes: object) -> Block:
        head = self.head
        facts: dict[str, object] = {
            "federation": self.federation,
            "sequence": 0 if head is None else head.header.sequence + 1,
            "previous": None if head is None else head.cid,
            "parents": (self.node.engine.state.feeds.heads[self.node.did].cid,),
            "time": self.world.clock.time,
        }
        return builders.block(EVIL, events, **{**facts, **changes})

    def say(self, *said: Block) -> None:
        """Send blocks; the last one that was taken is the head."""
        self.send(*(block.data for block in said))
        for block in said:
            if blocks.get_meta(self.node.store, block.cid) is not None:
                self.head = block

    def send(self, *data: bytes) -> None:
        self.world.handle("a", Received(self.did, Announce(data)))

    def is_in(self, block: Block) -> bool:
        return blocks.get_meta(self.node.store, block.cid) is not None

    @property
    def is_let_go(self) -> bool:
        return self.did in [peer for peer, _ in self.node.disconnects]


def _unharmed(node: Node) -> None:
    """The live state is that of the disk, and mana is where it was."""
    assert node.engine.state == rows.load(node.store)
    assert node.engine.state.ledger.supply.is_balanced


def test_an_honest_block_is_taken() -> None:
    evil = Hostile()
    opened = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    evil.say(opened)
    assert evil.is_in(opened)
    assert not evil.is_let_go
    _unharmed(evil.node)


def _bad_signature(evil: Hostile) -> bytes:
    data = bytearray(evil.block().data)
    data[-1] ^= 1
    return bytes(data)


def _someone_elses_signature(evil: Hostile) -> bytes:
    return evil.block().data[:-64] + builders.signer(5).sign(b"icn/block/1", evil.block().data[1:-66])


WRONG = {
    "signature": _bad_signature,
    "signature of another": _someone_elses_signature,
    "federation": lambda evil: evil.block(federation=builders.cid("elsewhere")).data,
    "no federation": lambda evil: evil.block(federation=None).data,
    "not a member": lambda evil: builders.block(67, federation=evil.federation, time=evil.world.clock.time).data,
    "member's first block does not join": lambda evil: (
        builders.block(
            67,
            [AccountOpened(builders.did(67), builders.did(67), 0, Mana(0), 0, Mana(0))],
            federation=evil.federation,
            time=evil.world.clock.time,
        ).data
    ),
    "older than its parents": lambda evil: evil.block(time=1).data,
    "unknown event": lambda evil: evil.block(records=({"type": "ledger.printed", "event": {}, "envelope": {}},)).data,
    "record out of form": lambda evil: evil.block(records=({"type": 7},)).data,
    "not canonical": lambda evil: b"\x9f" + evil.block().data[1:],
    "no block at all": lambda _evil: b"\x82\x01\x02",
    "empty": lambda _evil: b"",
    "oversize": lambda evil: evil.block().data + bytes(limits.BLOCK_BYTES_MAX),
    "its own head as a parent": lambda evil: evil.block(parents=(evil.head.cid,)).data,
    "previous of somebody else": lambda evil: (
        evil.block(previous=evil.node.engine.state.feeds.heads[evil.node.did].cid, parents=()).data
    ),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_a_block_that_can_never_be_right_ends_the_conversation_and_changes_nothing(what: str) -> None:
    evil = Hostile()
    before = evil.node.engine.state.feeds.block_count
    make = WRONG[what]
    good = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    if what in {"not canonical", "no block at all", "empty", "oversize"}:
        evil.send(good.data, make(evil))
        assert evil.is_in(good)  # the good one of the same message is in
        before += 1
    else:
        evil.send(make(evil))
    assert evil.is_let_go
    assert evil.node.engine.state.feeds.block_count == before
    _unharmed(evil.node)


def _job(evil: Hostile) -> JobSubmitted:
    home = evil.did
    return JobSubmitted(builders.job_id(home), builders.digest("job")[:16], 0, home, evil.world.spec())


AGAINST_THE_RULES = {
    "mana from nowhere": lambda evil: [AccountOpened(evil.did, evil.did, 0, Mana(10_000), 100, Mana(1000))],
    "more than the grant": lambda evil: [AccountOpened(evil.did, evil.did, 0, Mana(10_000), 100, Mana(1001))],
    "an account of another home": lambda evil: [
        AccountOpened(evil.did, evil.node.did, 0, Mana(0), 0, Mana(0)),
    ],
    "spending somebody else's": lambda evil: [
        Transferred(TransferNumber(0), evil.node.did, evil.did, Mana(5), ""),
    ],
    "regeneration for another": lambda evil: [
        ManaRegenerated(evil.node.did, Mana(5), evil.world.clock.time, 0),
    ],
    "a claim of what was never sent": lambda evil: [
        TransferReceived(evil.node.did, TransferNumber(0), evil.did, Mana(5)),
    ],
    "joining for another": lambda _evil: [NodeJoined(builders.did(8), "x")],
    "joining twice": lambda evil: [NodeJoined(evil.did, "x")],
    "admitting itself": lambda evil: [NodeAdmitted(evil.did)],
    "a job without its hold": lambda evil: [_job(evil)],
    "bidding for a job that is not": lambda evil: [
        BiddingOpened(builders.job_id(evil.did), 1, Instant(evil.world.clock.time + 1))
    ],
    "a job of another home": lambda evil: [
        JobRolledBack(builders.job_id(evil.node.did), Status.FAILED, "", 0, Mana(10))
    ],
}


@pytest.mark.parametrize("what", list(AGAINST_THE_RULES))
def test_a_block_with_a_record_against_the_rules_is_refused_whole(what: str) -> None:
    evil = Hostile()
    opens = AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0))
    first = [] if "grant" in what or "nowhere" in what else [opens]  # so that half of the block is good
    bad = evil.block(*first, *AGAINST_THE_RULES[what](evil))
    before = rows.load(evil.node.store)
    evil.say(bad)
    assert evil.is_let_go
    assert not evil.is_in(bad)
    assert rows.load(evil.node.store) == before
    _unharmed(evil.node)
    evil.greet()
    evil.send(bad.data)  # remembered: it is not tried again
    assert [peer for peer, _ in evil.node.disconnects] == [evil.did, evil.did]


def test_good_blocks_beside_one_against_the_rules_are_in_and_others_are_heard() -> None:
    evil = Hostile()
    other = builders.did(70)
    hello = Hello("good/1", evil.federation, (), "", executes=False)
    evil.world.handle("a", PeerUp(other), Received(other, hello))
    joins = builders.block(70, [NodeJoined(other, "good/1")], federation=evil.federation, time=evil.world.clock.time)
    good = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    bad = evil.block(NodeAdmitted(evil.did), previous=good.cid, sequence=good.header.sequence + 1)
    evil.world.handle(
        "a", Received(evil.did, Announce((good.data, bad.data))), Received(other, Announce((joins.data,)))
    )
    assert evil.is_in(good)
    assert evil.is_in(joins)
    assert not evil.is_in(bad)
    assert [peer for peer, _ in evil.node.disconnects] == [evil.did]
    _unharmed(evil.node)


def test_what_waited_still_comes_in_when_its_ancestor_came_beside_one_against_the_rules() -> None:
    evil = Hostile()
    other = builders.did(70)
    hello = Hello("good/1", evil.federation, (), "", executes=False)
    good = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    bad = evil.block(NodeAdmitted(evil.did), previous=good.cid, sequence=good.header.sequence + 1)
    joins = builders.block(
        70,
        [NodeJoined(other, "good/1")],
        federation=evil.federation,
        time=evil.world.clock.time,
        parents=(good.cid,),
    )
    evil.world.handle("a", PeerUp(other), Received(other, hello), Received(other, Announce((joins.data,))))
    evil.world.handle("a", Received(other, Announce((joins.data,))))
    assert not evil.is_in(joins)
    evil.send(good.data, bad.data)
    assert evil.is_in(good)
    assert evil.is_in(joins)
    assert [peer for peer, _ in evil.node.disconnects] == [evil.did]


def test_what_waited_for_its_time_is_refused_whole_then_if_it_is_against_the_rules() -> None:
    evil = Hostile()
    ahead = limits.CLOCK_AHEAD_MS_MAX + 1_000
    opens = AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0))
    bad = evil.block(opens, NodeAdmitted(evil.did), time=Instant(evil.world.clock.time + ahead))
    evil.send(bad.data)
    assert not evil.is_let_go
    accounts = rows.load(evil.node.store).ledger.accounts
    evil.world.clock.time = Instant(evil.world.clock.time + ahead)
    evil.world.handle("a", Tick())  # nobody says anything: its time has come
    assert evil.is_let_go
    assert not evil.is_in(bad)
    assert rows.load(evil.node.store).ledger.accounts == accounts
    _unharmed(evil.node)


def test_two_blocks_with_one_sequence_are_evidence() -> None:
    evil = Hostile()
    one = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    other = evil.block(AccountOpened(builders.did(9), evil.did, 0, Mana(0), 0, Mana(0)))
    evil.say(one)
    evil.send(other.data)
    assert evil.is_let_go
    first, second = sorted((one.cid, other.cid))
    assert evil.node.happened(EquivocationProven) == [EquivocationProven(evil.did, 1, first, second)]
    assert evil.node.store.get(keyspace.block(other.cid)) == other.data
    assert evil.node.engine.state.feeds.heads[evil.did].sequence == 0, "both are void"
    _unharmed(evil.node)


def test_two_blocks_with_one_sequence_are_evidence_in_one_message_too() -> None:
    evil = Hostile()
    one = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    other = evil.block(AccountOpened(builders.did(9), evil.did, 0, Mana(0), 0, Mana(0)))
    evil.send(one.data, other.data)
    assert len(evil.node.happened(EquivocationProven)) == 1
    assert evil.is_let_go


def test_a_block_that_comes_again_is_no_offence() -> None:
    evil = Hostile()
    assert evil.head is not None
    before = evil.node.engine.state.feeds.block_count
    evil.send(evil.head.data, evil.head.data)
    assert not evil.is_let_go
    assert evil.node.engine.state.feeds.block_count == before


def test_a_block_whose_ancestor_is_missing_waits_and_is_asked_for() -> None:
    evil = Hostile()
    first = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    second = evil.block(previous=first.cid, sequence=2)
    evil.world.trace.clear()
    evil.send(second.data)
    assert not evil.is_in(second)
    assert [e for _, e in evil.world.trace if isinstance(e, Send) and isinstance(e.message, Want)]
    evil.send(first.data)
    assert evil.is_in(second)
    assert not evil.node.engine.replication.arrivals.quarantine.waiting
    assert evil.node.engine.replication.arrivals.quarantine.size == 0


@pytest.mark.slow
def test_the_quarantine_is_bounded_per_peer_and_forgets_who_leaves() -> None:
    evil = Hostile()
    quarantine = evil.node.engine.replication.arrivals.quarantine
    for number in range(limits.QUARANTINE_PER_PEER_MAX // 512 + 1):
        evil.send(*(evil.block(parents=(builders.cid(f"{number}/{index}"),), sequence=3).data for index in range(512)))
    assert len(quarantine.waiting) == limits.QUARANTINE_PER_PEER_MAX
    evil.world.handle("a", Received(evil.did, Announce((b"",))))  # let go
    assert evil.is_let_go
    assert not quarantine.waiting
    assert quarantine.size == 0


def test_a_block_from_the_future_waits_for_its_time() -> None:
    evil = Hostile()
    ahead = evil.world.clock.time + limits.CLOCK_AHEAD_MS_MAX + 1
    early = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)), time=ahead)
    evil.send(early.data)
    assert not evil.is_in(early)
    assert not evil.is_let_go
    evil.world.clock.time = Instant(evil.world.clock.time + 1)
    evil.world.handle("a", Tick())
    assert evil.is_in(early)


def test_a_peers_fast_clock_does_not_date_our_blocks_before_its() -> None:
    evil = Hostile()
    ahead = Instant(evil.world.clock.time + limits.CLOCK_AHEAD_MS_MAX)
    evil.say(evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)), time=ahead))
    evil.world.done("a", OpenAccountFor(builders.did(50)))
    head = evil.node.engine.state.feeds.heads[evil.node.did]
    assert head.time == ahead


def test_mana_counted_too_early_or_too_much_is_refused() -> None:
    evil = Hostile(admitted=True)
    policy = builders.policy()
    evil.say(evil.block(AccountOpened(evil.did, evil.did, 0, policy.mana_cap, 100, policy.initial_grant)))
    hour = Instant(evil.world.clock.time + 3_600_000)
    evil.world.clock.time = hour
    evil.say(evil.block(ManaRegenerated(evil.did, Mana(101), hour, 0)))
    assert evil.is_let_go
    evil.greet()
    fair = evil.block(ManaRegenerated(evil.did, Mana(100), hour, 0))
    evil.say(fair)
    assert evil.is_in(fair)


def test_what_has_regenerated_is_not_spent_around() -> None:
    """Spending first and growing afterwards would bring more than the cap allows."""
    evil = Hostile(admitted=True)
    policy = builders.policy()
    evil.say(evil.block(AccountOpened(evil.did, evil.did, 0, policy.mana_cap, 100, policy.initial_grant)))
    evil.world.clock.time = Instant(evil.world.clock.time + 3_600_000 * 1000)
    evil.say(evil.block(AccountOpened(builders.did(9), evil.did, 0, Mana(0), 0, Mana(0))))
    spent = evil.block(Transferred(TransferNumber(0), evil.did, builders.did(9), Mana(1000), ""))
    evil.say(spent)
    assert not evil.is_in(spent)


def test_a_completion_pays_and_its_receipt_is_genuine() -> None:
    evil = Hostile(admitted=True)
    policy = builders.policy()
    evil.say(evil.block(AccountOpened(evil.did, evil.did, 0, policy.mana_cap, 100, policy.initial_grant)))
    job = _job(evil)
    held = ManaHeld(HoldId(job.job.data), evil.did, Mana(10))
    opened = BiddingOpened(job.job, 1, evil.world.clock.time)
    chosen = JobAssigned(
        job.job, 1, Instant(evil.world.clock.time + 1000), (Assignee(evil.node.did, evil.node.did, Mana(3)),)
    )
    for wrong in (replace(held, amount=Mana(9)), replace(held, hold=HoldId(b"another"))):
        unheld = evil.block(job, wrong, opened)
        evil.say(unheld)
        assert not evil.is_in(unheld)
        evil.greet()
    submitted = evil.block(job, held, opened, chosen)
    evil.say(submitted)
    assert evil.is_in(submitted)
    forged = seal_receipt(builders.receipt(1, EVIL, job=job.job, spec=job.spec.cid), builders.signer(EVIL))
    settled = HoldSettled(HoldId(job.job.data), TransferNumber(0), evil.node.did, evil.node.did, Mana(3))
    completed = JobCompleted(job.job, 1, evil.node.did, builders.cid("hello"), Mana(3), forged)
    unsigned = evil.block(completed, settled)
    evil.say(unsigned)
    assert not evil.is_in(unsigned)
    evil.greet()
    genuine = seal_receipt(builders.receipt(1, EVIL, job=job.job, spec=job.spec.cid), builders.signer(evil.node.number))
    unpaid = evil.block(JobCompleted(job.job, 1, evil.node.did, builders.cid("hello"), Mana(3), genuine))
    evil.say(unpaid)
    assert not evil.is_in(unpaid)
    evil.greet()
    fair = evil.block(JobCompleted(job.job, 1, evil.node.did, builders.cid("hello"), Mana(3), genuine), settled)
    evil.say(fair)
    assert evil.is_in(fair)
    _unharmed(evil.node)


def test_what_is_said_before_hello_is_not_heard() -> None:
    evil = Hostile()
    opened = evil.block(AccountOpened(evil.did, evil.did, 0, Mana(0), 0, Mana(0)))
    evil.world.trace.clear()
    evil.world.handle("a", PeerUp(evil.did))
    evil.send(opened.data)
    evil.world.handle("a", Received(evil.did, Want(())))
    assert not evil.is_in(opened)
    assert [type(e.message) for _, e in evil.world.trace if isinstance(e, Send)] == [Hello]


def test_a_member_of_another_federation_is_let_go() -> None:
    evil = Hostile()
    hello = Hello("x", builders.cid("elsewhere"), (), "", executes=False)
    evil.world.handle("a", PeerUp(evil.did), Received(evil.did, hello))
    assert evil.is_let_go


@pytest.mark.parametrize("counts", [(-1,), (1, 1)])
def test_counts_out_of_form_end_the_conversation(counts: tuple[int, ...]) -> None:
    evil = Hostile()
    named = tuple(FeedCount(evil.did, count) for count in counts)
    evil.world.handle("a", Received(evil.did, Heads(named, "")))
    assert evil.is_let_go


def test_a_feed_claimed_longer_than_any_does_not_stop_a_node() -> None:
    evil = Hostile()
    evil.world.handle("a", Received(evil.did, Want((FeedCount(evil.node.did, 2**64 - 1),))))
    evil.world.handle("a", Received(evil.did, Heads((FeedCount(evil.did, 2**64 - 1),), "x" * 500)))
    evil.world.handle("a", Received(evil.did, Blocks((), more=True)))
    assert not evil.is_let_go


def test_a_late_joiner_gets_everything_in_bounded_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CATCHUP_BLOCKS_MAX", 3)
    world = federation("a", "b")
    for number in range(20):
        world.done("a", OpenAccountFor(builders.did(100 + number)))
    world.add("c")
    world.link("b", "c")
    world.pass_time(2_000)
    assert len(dict.fromkeys(world.roots())) == 1
    assert world["c"].engine.state.ledger.account(world["c"].did, world["c"].did) is not None


def test_a_partition_heals_to_equal_roots_and_states() -> None:
    world = federation("a", "b", "c")
    world.isolate("c")
    for name in ("a", "b", "c"):
        world.done(name, Pay(world["a" if name != "a" else "b"].did, Mana(7), ""))
        world.done(name, OpenAccountFor(builders.did(30 + world[name].number)))
    world.pass_time(1_000)
    assert len(dict.fromkeys(world.roots())) > 1
    world.link_all()
    world.pass_time(6_000)
    assert len(dict.fromkeys(world.roots())) == 1
    first = world["a"].engine.state
    assert all(n.engine.state.ledger == first.ledger for n in world.nodes.values())
    assert first.ledger.supply.in_transit == 0


def test_what_was_lost_on_the_way_is_found_by_anti_entropy() -> None:
    world = federation("a", "b")
    world.drop = lambda _from, _to, message: isinstance(message, Announce)
    world.done("a", OpenAccountFor(builders.did(50)))
    assert len(dict.fromkeys(world.roots())) == 2
    world.pass_time(12_000, step=200)
    assert len(dict.fromkeys(world.roots())) == 1


def heads_told(world: World, milliseconds: int) -> int:
    """How often somebody tells somebody what is where, in so long."""
    told = []
    world.drop = lambda _from, _to, message: told.append(message) if isinstance(message, Heads) else None
    world.pass_time(milliseconds, step=200)
    world.drop = None
    return len(told)


def test_who_has_what_is_here_is_told_so_once_a_minute() -> None:
    world = federation("a", "b", "c")
    world.done("a", OpenAccountFor(builders.did(50)))
    world.pass_time(20_000, step=200)
    every_pair = 6
    assert heads_told(world, 60_000) == every_pair
    assert heads_told(world, 60_000) == every_pair
    world.done("a", OpenAccountFor(builders.did(51)))
    assert heads_told(world, 10_000) >= every_pair


def test_who_was_told_and_does_not_say_that_it_has_it_is_told_again_in_each_round() -> None:
    world = federation("a", "b")
    world.pass_time(20_000, step=200)
    told = []

    def b_is_deaf(_from: str, to: str, message: object) -> bool:
        if isinstance(message, Heads) and to == "b":
            told.append(message)
        return to == "b"

    world.drop = b_is_deaf
    world.done("a", OpenAccountFor(builders.did(50)))
    world.pass_time(25_000, step=200)
    assert len(told) >= 5
    world.drop = None
    world.pass_time(6_000, step=200)
    assert len(dict.fromkeys(world.roots())) == 1


def test_a_silent_peer_is_asked_again() -> None:
    world = federation("a", "b")
    world.drop = lambda _from, _to, message: isinstance(message, Announce | Want)
    world.done("a", OpenAccountFor(builders.did(50)))
    world.pass_time(6_000)
    world.drop = None
    world.pass_time(12_000, step=500)
    assert len(dict.fromkeys(world.roots())) == 1


def test_news_is_acknowledged_once_and_acknowledgements_are_not() -> None:
    world = federation("a", "b", "c")
    world.pass_time(3_000)
    quiet = world["a"].engine.state.feeds.block_count
    world.pass_time(10_000, step=500)
    assert world["a"].engine.state.feeds.block_count == quiet
    world.done("a", OpenAccountFor(builders.did(50)))
    world.pass_time(3_000)
    assert world["a"].engine.state.feeds.block_count == quiet + 3  # the news, and b and c that saw it


def test_a_node_waits_for_admission_where_it_needs_one_and_is_endowed_with_it() -> None:
    world = World()
    world.add("a", terms(joins=False))
    world.add("b")
    world.found("a", builders.policy(join_policy=JoinPolicy.INVITE))
    world.link_all()
    world.pass_time(1_000)
    b = world["b"]
    assert b.did not in world["a"].engine.state.federation.members
    world.done("a", Admit(b.did))
    world.pass_time(1_000)
    account = world["a"].engine.state.ledger.account(b.did, b.did)
    assert account is not None
    assert account.balance == 1000


def test_who_joins_an_open_federation_is_endowed_when_it_is_admitted() -> None:
    world = World()
    world.add("a", terms(joins=False))
    world.add("b")
    world.found("a")
    world.link_all()
    world.pass_time(1_000)
    b = world["b"]
    account = world["a"].engine.state.ledger.account(b.did, b.did)
    assert account is not None
    assert (account.balance, account.rate, account.endowed) == (0, 0, False)
    world.done("a", Admit(b.did))
    world.pass_time(1_000)
    account = world["a"].engine.state.ledger.account(b.did, b.did)
    assert account is not None
    assert (account.balance, account.rate, account.endowed) == (1000, 100, True)
    assert world["a"].engine.state.ledger.supply.minted == 2000


def test_a_stored_block_reads_as_it_was_signed() -> None:
    world = federation("a", "b")
    for _, cid in blocks.journal(world["b"].store):
        data = blocks.get_bytes(world["b"].store, cid)
        assert data is not None
        assert parse_block(data).is_genuine()
