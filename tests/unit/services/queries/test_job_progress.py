"""How far a job is: its phase, what it waits for, what became of its attempts; the same told by every node."""

from dataclasses import replace

import pytest

from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptAbandoned,
    BiddingOpened,
    JobAgreed,
    JobAssigned,
    OutputRevealed,
)
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Assignee, Status
from icn.domain.mesh.refusals import JobNotFound
from icn.domain.mesh.standing import DISSENT
from icn.domain.records import Event
from icn.kernel.ids import RAW, Cid, JobId
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.protocol.messages import OUTPUT_INLINE_BYTES_MAX
from icn.services.commands import Cancel, LookAtJob, PutContent
from icn.services.queries import job_progress, jobs
from icn.services.queries.events import EventView
from icn.services.queries.job_progress import BidsView, JobMoment, JobProgress, RunOutcome, WaitsFor, _History
from support import builders
from support.world import World, terms


def mesh(*executors: str, run=None) -> World:
    """A home that executes nothing, and executors."""
    world = World()
    world.add("home", terms(capacity=0))
    for name in executors:
        world.add(name).run = run or builders.outcome
    world.found("home", founders=executors)
    world.link_all()
    world.pass_time(2_000)
    return world


def told(world: World, job: JobId, at: str = "home") -> JobProgress:
    body = world.done(at, LookAtJob(job))
    moment = JobMoment(**body) if body else None  # type: ignore[arg-type]  # the fields it has
    return job_progress.progress(world[at].store, job, now=world.clock.time, moment=moment)


def never(_: ExecutionRequest) -> ExecutionOutcome | None:
    return None


def test_bids_are_counted_while_they_come() -> None:
    world = mesh("b", "c", "d")
    world.drop = lambda a, _to, message: a in {"b", "c"} and type(message).__name__ == "BidOffered"
    job = world.submit("home")
    world.pass_time(400)
    found = told(world, job)
    assert (found.phase, found.waits_for, found.attempt) == (Status.BIDDING, WaitsFor.BIDS, 1)
    assert found.bids == BidsView(offered=1, declined=0, expected=3)
    assert (found.phase_left_ms, found.job_left_ms) == (600, 59_600)
    assert found.since == world.clock.time - 400
    assert found.history_complete
    elsewhere = told(world, job, "c")
    assert (elsewhere.phase, elsewhere.bids) == (Status.BIDDING, None), "only its home counts"


def test_who_declines_has_answered() -> None:
    world = mesh("b", "c")
    job = world.submit("home", world.spec(capabilities=("gpu",)))
    reasons = ("a capability is not offered here",)
    assert told(world, job).bids == BidsView(offered=0, declined=2, expected=2, reasons=reasons)


def test_an_assignment_that_does_not_arrive_waits_for_the_executor() -> None:
    world = mesh("b", run=never)
    world.drop = lambda _from, _to, message: type(message).__name__ == "AssignmentSent"
    job = world.submit("home")
    world.pass_time(1_000)
    found = told(world, job)
    assert (found.phase, found.waits_for) == (Status.ASSIGNED, WaitsFor.EXECUTOR)
    (attempt,) = found.attempts
    assert [(run.executor, run.outcome) for run in attempt.runs] == [(world["b"].did, RunOutcome.UNDER_WAY)]
    assert attempt.deadline == found.phase_ends_at
    assert found.bids is None


def test_an_execution_under_way_and_its_end() -> None:
    world = mesh("b", "c", run=never)
    world.drop = lambda _from, _to, message: _from == "c" and type(message).__name__ == "BidOffered"
    job = world.submit("home")
    submitted = world.clock.time
    world.pass_time(1_500)
    found = told(world, job)
    assert (found.phase, found.waits_for) == (Status.EXECUTING, WaitsFor.RUN)
    assert found.since == submitted + 1_000, "bids were awaited for so long"
    assert found.attempts[0].runs[0].started_at == found.since
    world.done("home", Cancel(job))
    ended = told(world, job)
    assert (ended.phase, ended.waits_for, ended.phase_ends_at, ended.job_left_ms) == (
        Status.CANCELLED,
        None,
        None,
        None,
    )
    assert ended.attempts[0].runs[0].outcome is RunOutcome.STOPPED
    assert ended.since == world.clock.time
    assert ended.reason
    shown = jobs.job(world["c"].store, job)
    assert (shown.cancelled_by, shown.correlation_id) == (world["home"].did, "test")
    assert shown.attempts == ended.attempts


def test_who_did_not_cancel_did_not() -> None:
    world = mesh()
    job = world.submit("home", world.spec(within=1_000))
    world.pass_time(2_000)
    assert jobs.job(world["home"].store, job).status is Status.FAILED
    assert jobs.job(world["home"].store, job).cancelled_by is None


def test_an_output_on_its_way_to_the_home_is_being_fetched() -> None:
    long = b"x" * (OUTPUT_INLINE_BYTES_MAX + 1)
    world = mesh("b", run=lambda request: replace(builders.outcome(request), output=long))
    world.drop = lambda _from, _to, message: type(message).__name__ == "Chunk"
    job = world.submit("home", world.spec(limits=builders.limits(output_bytes=len(long))))
    world.pass_time(1_000)
    assert (told(world, job).phase, told(world, job).waits_for) == (Status.EXECUTING, WaitsFor.FETCH)
    assert told(world, job, "b").waits_for is WaitsFor.RUN, "the executor has it"


def test_what_the_executor_lacks_is_being_fetched_and_the_executor_says_so() -> None:
    world = mesh("b", run=never)
    world.drop = lambda _from, _to, message: type(message).__name__ == "Chunk"
    module = b"a module that does not come"
    world.done("home", PutContent(module, RAW, pinned=True, lifetime_ms=None))
    job = world.submit("home", world.spec(module=Cid.of(module, RAW)))
    world.pass_time(1_000)
    assert told(world, job, "b").waits_for is WaitsFor.FETCH
    assert told(world, job).waits_for is WaitsFor.RUN, "its home does not know"


def test_attempts_with_their_causes_are_the_same_on_every_node() -> None:
    seen: list[int] = []

    def fail_once(request: ExecutionRequest) -> ExecutionOutcome | None:
        seen.append(request.attempt)
        kind = ExitKind.WORKER_LOST if request.attempt == 1 else ExitKind.COMPLETED
        return builders.outcome(request, kind, "the worker died")

    world = mesh("b", "c", run=fail_once)
    job = world.submit("home")
    world.pass_time(500, step=10)
    world.pass_time(5_000)
    found = told(world, job)
    first, second = found.attempts
    assert (found.phase, found.attempt, [a.attempt for a in found.attempts]) == (Status.COMPLETED, 2, [1, 2])
    assert (first.runs[0].outcome, first.runs[0].counts_against_executor) == (RunOutcome.FAILED, True)
    assert "the worker died" in first.runs[0].reason
    assert second.runs[0].outcome is RunOutcome.COMPLETED
    assert {run.receipt_cid is not None for attempt in found.attempts for run in attempt.runs} == {True}
    assert first.runs[0].executor != second.runs[0].executor
    assert first.bidding_opened_at < second.bidding_opened_at
    for name in ("b", "c"):
        assert told(world, job, name) == found


def test_the_pause_before_a_retry_is_told() -> None:
    world = mesh("b", run=lambda request: builders.outcome(request, ExitKind.WORKER_LOST, "x"))
    job = world.submit("home")
    world.pass_time(1, step=1)
    found = told(world, job)
    assert (found.phase, found.waits_for) == (Status.SUBMITTED, WaitsFor.RETRY)
    assert 0 < (found.phase_left_ms or 0) <= 200


def test_asking_again_for_bids_is_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    world = mesh()
    job = world.submit("home", world.spec(within=86_400_000))
    began = world.clock.time
    world.pass_time(100_000, step=1_000)
    found = told(world, job)
    (attempt,) = found.attempts
    assert attempt.announced == 8
    assert (attempt.bidding_opened_at, found.since) == (began, began)
    monkeypatch.setattr(job_progress, "HISTORY_EVENTS_MAX", 3)
    short = told(world, job)
    assert not short.history_complete
    assert short.attempts[0].announced == 3


def test_a_moment_of_an_earlier_attempt_says_nothing_of_this_one() -> None:
    world = mesh("b")
    world.drop = lambda _from, _to, message: type(message).__name__ == "BidOffered"
    job = world.submit("home")
    moment = JobMoment(**world.done("home", LookAtJob(job)))  # type: ignore[arg-type]  # the fields it has
    now = world.clock.time
    assert job_progress.progress(world["home"].store, job, now=now, moment=moment).bids is not None
    stale = replace(moment, attempt=7)
    assert job_progress.progress(world["home"].store, job, now=now, moment=stale).bids is None


def test_a_job_nobody_knows() -> None:
    world = mesh()
    stranger = builders.job_id(builders.did(9))
    assert world.done("home", LookAtJob(stranger)) == {}
    with pytest.raises(JobNotFound):
        told(world, stranger)


def test_executors_that_agree_and_one_that_does_not() -> None:
    """Records of a job with redundancy, as its home writes them."""
    home, b, c, d = (builders.did(number) for number in (1, 2, 3, 4))
    job = builders.job_id(home)
    assignees = tuple(Assignee(who, home, Mana(1)) for who in (b, c, d))
    output = builders.cid("hello")
    past = _History()

    def happens(event: Event, at: int) -> None:
        block = builders.cid("block")
        past.take(EventView("1-0", "x", Instant(at), home, None, "", "", block, event))

    happens(JobAssigned(job, 1, Instant(90), assignees), 10)
    happens(AssigneeFailed(job, 1, d, "worker lost", True, b""), 20)
    happens(AttemptAbandoned(job, 1, "no majority", Instant(31)), 30)
    first = past.attempts[-1].view()
    assert [(run.outcome, run.reason, run.counts_against_executor) for run in first.runs] == [
        *[(RunOutcome.STOPPED, "no majority", False)] * 2,
        (RunOutcome.FAILED, "worker lost", True),
    ]
    assert past.began[Status.SUBMITTED] == 30
    happens(BiddingOpened(job, 2, Instant(50)), 31)
    happens(JobAssigned(job, 2, Instant(90), assignees), 40)
    happens(OutputRevealed(job, 2, b, b"receipt"), 60)
    happens(JobAgreed(job, 2, output, (b, c), (d,), Mana(2)), 70)
    second = past.attempts[-1].view()
    assert [run.outcome for run in second.runs] == [*[RunOutcome.COMPLETED] * 2, RunOutcome.FAILED]
    assert second.runs[0].receipt_cid == Cid.of(b"receipt", RAW)
    assert second.runs[2].reason == DISSENT
    assert {run.ended_at for run in second.runs} == {70}
