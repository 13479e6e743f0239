"""Jobs and papers that members craft so that other nodes stop, wait in vain or think ill of each other."""

import pytest

from icn.domain.federation.events import NodeAdmitted
from icn.domain.ledger.events import AccountOpened, HoldReleased, ManaHeld
from icn.domain.ledger.model import HoldId
from icn.domain.mesh.agreement import PLEDGE_NONCE_BYTES, Part, commitment_to
from icn.domain.mesh.events import (
    AssigneeFailed,
    AssignmentAccepted,
    AttemptFailed,
    BiddingOpened,
    JobAssigned,
    JobRolledBack,
    JobSubmitted,
    ReceiptIssued,
)
from icn.domain.mesh.failures import Silence
from icn.domain.mesh.model import Assignee, Job, Status
from icn.domain.mesh.papers import seal_assignment, seal_bid, seal_receipt
from icn.domain.records import Event
from icn.kernel.ids import JobId
from icn.kernel.instant import Instant
from icn.kernel.limits import JOB_ATTEMPTS_MAX, MIB, REDUNDANCY_MAX
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, AssignmentSent, BidOffered, JobAnnounced, OutputPledged, ReceiptSent
from icn.services import rows
from icn.services.commands import Admit, OpenAccountFor
from icn.services.effects import Publish
from icn.services.inputs import Executed, Received, Tick
from icn.services.offering import RESERVED_WINDOW_MAX
from icn.services.verify import verify
from support import builders
from support.agreeing import agree
from support.executor import EXECUTOR, LIMITS, WINDOW, announce, assign, executor, heard, said, tell, wait
from support.forker import FORKER, Forker
from support.hostile_worlds import NAMES
from support.impostor import Impostor
from support.world import World, federation, terms

NONCE = builders.digest("crafted")[:16]
WIDE = "\U0001f600" * 1024
"""A reason of as many bytes as its characters can have."""
ROW_BYTES_MAX = 2**21
"""A fraction of what a store takes as one value."""


def opened(world: World, evil: Impostor, redundancy: int = 1) -> tuple[JobId, list[Event]]:
    """A job of a home that the test plays, and the records that open it."""
    spec = world.spec(redundancy=redundancy, max_price=Mana(1))
    job = JobId.of(evil.did, NONCE)
    held = ManaHeld(HoldId(job.data), evil.did, spec.price_held)
    return job, [JobSubmitted(job, NONCE, 0, evil.did, spec), held, BiddingOpened(job, 1, world.clock.time)]


def test_a_job_that_its_home_opens_again_after_its_end_is_listed_once_and_no_damage() -> None:
    world = federation(*NAMES)
    evil = Impostor.of(world, "d")
    job, records = opened(world, evil)
    ends = [JobRolledBack(job, Status.FAILED, "", 1, Mana(1)), HoldReleased(HoldId(job.data), "")]
    evil.say(evil.block(*records, *ends, parents=evil.parents("a")), "a", "b")
    world.pass_time(1_000)
    evil.say(evil.block(*opened(world, evil)[1]), "a", "b")
    world.pass_time(1_000)
    assert len(list(rows.JOBS_BY_TIME.rows(world["a"].store))) == 1
    agree(world, "a", "b")


def test_an_executor_that_accepts_an_attempt_again_after_its_receipt_is_no_damage() -> None:
    world = federation(*NAMES)
    evil, home = Impostor.of(world, "d"), world["a"]
    paper = builders.assignment(4, 1, home=home.did, executor=evil.did, deadline=Instant(world.clock.time + 60_000))
    accepted = AssignmentAccepted(paper.job, 1, home.did, paper.deadline, seal_assignment(paper, home.engine.signer))
    receipt = seal_receipt(builders.receipt(4, 1, home=home.did, executor=evil.did), world["d"].engine.signer)
    issued = ReceiptIssued(paper.job, 1, home.did, receipt)
    evil.say(evil.block(accepted, issued, parents=evil.parents("a")), "a", "b")
    world.pass_time(1_000)
    assert rows.execution_ended(home.store.get, evil.did, paper.job, 1)
    evil.say(evil.block(accepted), "a", "b")
    world.pass_time(1_000)
    assert not verify(home.store, home.did, deep=True).findings
    evil.say(evil.block(issued), "a", "b")
    world.pass_time(1_000)
    assert rows.execution_ended(home.store.get, evil.did, paper.job, 1)
    assert not verify(home.store, home.did, deep=True).findings
    agree(world, "a", "b")


def row_bytes(world: World, name: str) -> int:
    return max(len(value) for _, value in world[name].store.scan(rows.JOBS.prefix))


def test_a_job_that_fails_without_end_stops_nobody() -> None:
    """Every failure stands in the job's row, and a store takes only so much as one value."""
    world = federation(*NAMES)
    evil, now = Impostor.of(world, "d"), world.clock.time
    job, records = opened(world, evil)
    evil.say(evil.block(*records, parents=evil.parents("a")), "a", "b")
    assignee = Assignee(builders.did(1), builders.did(1), Mana(1))
    attempt = 1
    for _ in range(11):
        failing: list[Event] = []
        for _ in range(200):
            failing.append(JobAssigned(job, attempt, now, (assignee,)))
            failing.append(AttemptFailed(job, attempt, assignee.executor, WIDE, False, now, b""))
            failing.append(BiddingOpened(job, attempt + 1, now))
            attempt += 1
        evil.say(evil.block(*failing), "a", "b")
    assert world["a"].engine.state.mesh.jobs[job].attempt <= JOB_ATTEMPTS_MAX
    assert row_bytes(world, "a") < ROW_BYTES_MAX
    world.pass_time(1_000)
    agree(world, "a", "b")


def test_receipts_beyond_their_size_in_one_attempt_stop_nobody() -> None:
    world = federation(*NAMES)
    evil, now = Impostor.of(world, "d"), world.clock.time
    job, records = opened(world, evil, redundancy=REDUNDANCY_MAX)
    executors = [builders.did(100 + number) for number in range(REDUNDANCY_MAX)]
    assigned = JobAssigned(job, 1, Instant(now + 1), tuple(Assignee(each, each, Mana(1)) for each in executors))
    evil.say(evil.block(*records, assigned, parents=evil.parents("a")), "a", "b")
    for each in executors:
        evil.say(evil.block(AssigneeFailed(job, 1, each, "", False, bytes(1_000_000))), "a", "b")
    largest = max(len(value) for _, value in world["a"].store.scan(rows.POLLS.prefix))
    assert largest < ROW_BYTES_MAX
    world.pass_time(1_000)
    agree(world, "a", "b")


def steal(world: World, thief: str, message: JobAnnounced) -> None:
    """Another home assigns what was announced, as if it were its own."""
    paper = builders.assignment(
        1,
        2,
        job=message.job,
        attempt=message.attempt,
        home=world[thief].did,
        executor=world[EXECUTOR].did,
        deadline=Instant(world.clock.time + 20_000),
        spec=message.spec,
    )
    sealed = seal_assignment(paper, world[thief].engine.signer)
    tell(world, Received(world[thief].did, AssignmentSent(77, sealed)))


def show_job(world: World, home: str) -> JobAnnounced:
    """A job that stands in its home's feed, and what announces it; the executor has the block."""
    world.drop = lambda *_: True
    job = world.submit(home, world.spec(limits=LIMITS))
    block = next(e for name, e in world.trace if name == home and isinstance(e, Publish)).message
    world.trace.clear()
    tell(world, Received(world[home].did, block))
    return JobAnnounced(job, 1, WINDOW, world[home].engine.state.mesh.jobs[job].spec)


def let_go(world: World) -> list[str]:
    return [world.name_of(peer) for peer, _ in world[EXECUTOR].disconnects]


def test_nobody_has_an_executor_miss_the_assignment_of_another_home() -> None:
    """An attempt has one name at its executor: one that another home used would look like one that comes twice."""
    world = executor("a", "m", capacity=4)
    message = announce(world, "a", "one")
    said(world)
    steal(world, "m", message)
    assert heard(world) == []
    assign(world, "a", message)
    assert heard(world) == [("a", "begins")]


def test_who_announces_the_job_of_another_home_before_its_blocks_came_waits_until_they_do() -> None:
    world = executor("a", "m", capacity=4)
    message = announce(world, "a", "one")
    tell(world, Received(world["m"].did, message))
    said(world)
    steal(world, "m", message)
    assign(world, "a", message)
    assert heard(world) == [], "the blocks will say whose it is, and what was not acknowledged comes again"


def test_who_uses_the_name_of_a_job_that_is_known_is_let_go() -> None:
    world = executor("a", "m", capacity=4)
    message = show_job(world, "a")
    steal(world, "m", message)
    assert let_go(world) == ["m"]
    tell(world, Received(world["a"].did, message))
    assign(world, "a", message)
    assert heard(world) == [("a", "offers for 1"), ("a", "begins")]


def test_so_is_who_announces_it() -> None:
    world = executor("a", "m", capacity=4)
    message = show_job(world, "a")
    tell(world, Received(world["m"].did, message))
    assert let_go(world) == ["m"]


@pytest.mark.parametrize("has_ended", [False, True])
def test_where_the_name_was_taken_before_anybody_could_know_no_offer_is_made(has_ended: bool) -> None:
    """Else the home would wait for a receipt in vain, and think ill of the executor."""
    world = executor("a", "m", capacity=4)
    early = JobAnnounced(builders.job_id(world["a"].did, "one"), 1, WINDOW, world.spec(limits=LIMITS))
    steal(world, "m", early)
    if has_ended:
        (run,) = world[EXECUTOR].runs
        tell(world, Executed(run, builders.outcome(run)))
    said(world)
    tell(world, Received(world["a"].did, early))
    assert heard(world) == [("a", "an attempt of this name was assigned before")]


@pytest.mark.parametrize("attempt", [-1, 0, 2**32, 2**63])
def test_attempts_that_cannot_be_are_not_offered_for(attempt: int) -> None:
    world = executor("a")
    message = JobAnnounced(builders.job_id(world["a"].did, "one"), attempt, WINDOW, world.spec(limits=LIMITS))
    tell(world, Received(world["a"].did, message))
    assert let_go(world) == ["a"]


def test_a_home_that_announces_again_and_again_keeps_no_place_that_another_one_waits_for() -> None:
    world = executor("a", "m")
    greedy = announce(world, "m", "one", within=600_000)
    announce(world, "a", "two", within=600_000)
    assert heard(world) == [("m", "offers for 1"), ("a", "busy")]
    for _ in range(RESERVED_WINDOW_MAX // WINDOW):
        wait(world, WINDOW)
        tell(world, Received(world["m"].did, greedy))
    assert ("a", "offers for 1") in heard(world)


def test_it_keeps_it_while_nobody_else_waits() -> None:
    world = executor("a", "m")
    message = announce(world, "m", "one", within=600_000)
    for _ in range(2 * RESERVED_WINDOW_MAX // WINDOW):
        wait(world, WINDOW)
        tell(world, Received(world["m"].did, message))
    assert set(heard(world)) == {("m", "offers for 1")}


def test_who_assigns_without_an_offer_takes_no_place_that_somebody_waits_for() -> None:
    world = executor("a", "m", "b", capacity=2)
    assign(world, "m", announce(world, "m", "running"))
    announce(world, "a", "waits", limits=builders.limits(memory_bytes=100 * MIB))
    said(world)
    assign(world, "m", JobAnnounced(builders.job_id(world["m"].did, "two"), 1, WINDOW, world.spec(limits=LIMITS)))
    assert heard(world) == [("m", "no place is free for who has none promised: others wait for one")]


def shows(world: World, forker: Forker, job: Job) -> None:
    """The forker pledges the right result, and shows it when it may."""
    receipt = builders.receipt(
        FORKER, 1, job=job.id, attempt=job.attempt, home=job.home, spec=job.spec.cid, nonce=bytes(PLEDGE_NONCE_BYTES)
    )
    pledged = OutputPledged(5, job.id, job.attempt, commitment_to(receipt))
    world.handle("a", Received(forker.did, pledged))
    world.pass_time(10, step=10)
    sealed = seal_receipt(receipt, builders.signer(FORKER))
    world.handle("a", Received(forker.did, ReceiptSent(6, sealed, b"hello")))


def test_what_an_executor_earns_goes_to_no_account_that_somebody_else_opened_for_it() -> None:
    """The home of that account decides alone about what lies there."""
    world = World()
    for name in "am":
        world.add(name, terms(capacity=0))
    world.found("a", founders=("m",))
    world.link_all()
    world.pass_time(2_000)
    newcomer = Forker(world)
    newcomer.join(admitted=False)
    world.done("m", OpenAccountFor(newcomer.did))
    world.pass_time(2_000)
    job = world.submit("a")
    bid = BidOffered(seal_bid(builders.bid(FORKER, 1, job=job), builders.signer(FORKER)))
    world.handle("a", Received(newcomer.did, bid))
    world.pass_time(2_000)
    assert world["a"].engine.state.mesh.jobs[job].status is Status.BIDDING
    opens = AccountOpened(newcomer.did, newcomer.did, 0, Mana(0), 0, Mana(0))
    newcomer.say(newcomer.block(opens, parents=newcomer.heads_at("a")), "a")
    world.handle("a", Received(newcomer.did, bid))
    world.pass_time(16_000)
    assigned = world["a"].happened(JobAssigned)[0]
    assert isinstance(assigned, JobAssigned)
    assert [assignee.executor_home for assignee in assigned.assignees] == [newcomer.did]


@pytest.mark.slow
def test_an_executor_that_forks_its_own_account_away_after_it_has_shown_its_result_stops_nobody() -> None:
    """Nobody has confirmed the account yet, so it is void; what its executor has shown is in the home's own feed."""
    world = World()
    for name in "abcdefgh":
        world.add(name, terms(capacity=4 if name in "bc" else 0, window=50))
    world.found("a", founders=tuple("bcdefgh"))
    world.link_all()
    world.pass_time(3_000)
    forker, policy = Forker(world), builders.policy()
    forker.join(admitted=False)
    world.done("a", Admit(forker.did))
    world.pass_time(2_000)
    opens = AccountOpened(
        forker.did, forker.did, 0, policy.mana_cap, policy.regeneration_per_hour, policy.initial_grant
    )
    account = forker.block(opens, parents=forker.heads_at("a"))
    other = forker.block(NodeAdmitted(builders.did(99)), parents=forker.heads_at("a"))
    forker.say(account, "a")
    world.drop = lambda sender, _to, message: sender == "c" and isinstance(message, ReceiptSent)
    job = world.submit("a", world.spec(redundancy=3))
    state = world["a"].engine.state
    bid = builders.bid(FORKER, 1, job=job)
    world.handle("a", Received(forker.did, BidOffered(seal_bid(bid, builders.signer(FORKER)))))
    world.pass_time(60, step=10)
    shows(world, forker, state.mesh.jobs[job])
    ballot = state.mesh.polls[job].ballot(forker.did)
    assert ballot is not None
    assert ballot.part is Part.REVEALED
    world.handle("a", Received(forker.did, Announce((other.data,))))
    world.handle("a", Tick())
    assert world["a"].engine.state.ledger.account(forker.did, forker.did) is None
    world.drop = None
    world.pass_time(15_000, step=500)
    ended = rows.JOBS.get(world["a"].store, job.data)
    assert ended is not None
    assert ended.status is Status.COMPLETED, "the two others agree"
    assert [failure.reason for failure in ended.failures] == [Silence.NO_ACCOUNT.value]
    assert ended.paid == 2
    agree(world, *"abcdefgh")
