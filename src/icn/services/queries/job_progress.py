"""How far a job is, and what became of each attempt: told by its home's records, the same on every node.

What only the engine of a node knows at the moment (offers that came, what runs there) is `JobMoment`, handed in.
"""

from dataclasses import dataclass, field
from enum import Enum

from icn.domain.mesh import standing
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptAbandoned,
    AttemptFailed,
    BiddingOpened,
    ExecutionStarted,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    OutputRevealed,
)
from icn.domain.mesh.model import Job, Status
from icn.domain.mesh.refusals import JobNotFound
from icn.domain.records import Event
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.limits import PAGE_ROWS_MAX
from icn.services import rows
from icn.services.queries import events
from icn.services.queries.events import EventFilter, EventView
from icn.stores.job_index import receipt_of
from icn.stores.kv import Reader

HISTORY_EVENTS_MAX = PAGE_ROWS_MAX
"""Newest records of a job that are looked at: one that nobody takes is announced again for as long as it is open."""


class WaitsFor(Enum):
    """What must happen for the job to go on."""

    RETRY = "retry"
    """The pause before the next attempt."""
    BIDS = "bids"
    EXECUTOR = "executor"
    """Its word that it has the assignment."""
    FETCH = "fetch"
    """Module or input on their way to the executor, or the output to the home; known to the node that fetches."""
    RUN = "run"
    """The execution; at another node perhaps its fetching as well."""


class RunOutcome(Enum):
    """What became of one executor's part in an attempt."""

    UNDER_WAY = "under_way"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    """The attempt, or the job, ended without it."""


@dataclass(frozen=True, slots=True)
class JobMoment:
    """What a node's engine knows of an open job beyond its records."""

    attempt: int
    offers: int | None
    """Bids that came for this attempt; None at a node that is not the job's home, and while no bids are taken."""
    declined: int | None
    expected: int | None
    """Executors in reach whose answer is waited for, with those that answered."""
    reasons: tuple[str, ...]
    """Why executors declined, each reason once."""
    is_fetching: bool
    """This node is getting what its own execution, or its own settlement, lacks."""


@dataclass(frozen=True, slots=True)
class BidsView:
    """Answers to the announcement so far."""

    offered: int
    declined: int
    expected: int
    reasons: tuple[str, ...] = ()
    """Why executors declined: the price they ask, for one."""


@dataclass(frozen=True, slots=True)
class RunView:
    """One executor's part in an attempt."""

    executor: Did
    price: int
    outcome: RunOutcome
    reason: str
    """Why it failed."""
    counts_against_executor: bool
    started_at: Instant | None
    ended_at: Instant | None
    receipt_cid: Cid | None


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt, from its announcement on."""

    attempt: int
    bidding_opened_at: Instant
    announced: int
    """How often bids were asked for."""
    assigned_at: Instant | None
    deadline: Instant | None
    runs: tuple[RunView, ...]


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Where a job is."""

    job_id: JobId
    phase: Status
    attempt: int
    since: Instant
    """When the phase began."""
    waits_for: WaitsFor | None
    """None once it has ended."""
    bids: BidsView | None
    """At its home, while bids are taken."""
    phase_ends_at: Instant | None
    """When its home acts unless something happens before: by closing bids, giving up the attempt, trying again."""
    phase_left_ms: int | None
    deadline: Instant
    job_left_ms: int | None
    reason: str
    attempts: tuple[AttemptView, ...]
    history_complete: bool
    """Whether the attempts go back to the job's submission; otherwise only the newest records were looked at."""


def progress(reader: Reader, job_id: JobId, *, now: Instant, moment: JobMoment | None = None) -> JobProgress:
    """How far the job is. Raises `JobNotFound`."""
    job = rows.JOBS.get(reader, job_id.data)
    if job is None:
        raise JobNotFound(job_id)
    past = past_of(reader, job)
    moment = None if moment is None or moment.attempt != job.attempt else moment
    ends_at = None if job.status.has_ended else min(job.due_at, job.spec.deadline)
    return JobProgress(
        job_id=job_id,
        phase=job.status,
        attempt=job.attempt,
        since=past.began.get(job.status, job.submitted_at) if job.ended_at is None else job.ended_at,
        waits_for=_waits_for(job, moment),
        bids=_bids(job, moment),
        phase_ends_at=ends_at,
        phase_left_ms=None if ends_at is None else max(0, ends_at - now),
        deadline=job.spec.deadline,
        job_left_ms=None if ends_at is None else max(0, job.spec.deadline - now),
        reason=job.reason,
        attempts=past.attempts,
        history_complete=past.is_complete,
    )


@dataclass(frozen=True, slots=True)
class Past:
    """What a job's home has recorded of it."""

    attempts: tuple[AttemptView, ...]
    began: dict[Status, Instant]
    """When each phase last began."""
    ended_by: Did | None
    """Who asked for its end; None where its home ended it of its own accord, and while it is open."""
    is_complete: bool


def past_of(reader: Reader, job: Job) -> Past:
    """From the newest records, up to `HISTORY_EVENTS_MAX`."""
    told = events.tail(reader, EventFilter(job=job.id, actor=job.home), count=HISTORY_EVENTS_MAX).items
    history = _History()
    for event in told:
        history.take(event)
    return Past(
        attempts=tuple(attempt.view() for attempt in history.attempts),
        began=history.began,
        ended_by=history.ended_by,
        is_complete=bool(told) and isinstance(told[0].event, JobSubmitted),
    )


def _waits_for(job: Job, moment: JobMoment | None) -> WaitsFor | None:
    if job.status in {Status.ASSIGNED, Status.EXECUTING} and moment is not None and moment.is_fetching:
        return WaitsFor.FETCH
    return {
        Status.SUBMITTED: WaitsFor.RETRY,
        Status.BIDDING: WaitsFor.BIDS,
        Status.ASSIGNED: WaitsFor.EXECUTOR,
        Status.EXECUTING: WaitsFor.RUN,
    }.get(job.status)


def _bids(job: Job, moment: JobMoment | None) -> BidsView | None:
    if job.status is not Status.BIDDING or moment is None or moment.offers is None:
        return None
    return BidsView(moment.offers, moment.declined or 0, moment.expected or 0, tuple(moment.reasons))


@dataclass(slots=True)
class _Run:
    executor: Did
    price: int
    outcome: RunOutcome = RunOutcome.UNDER_WAY
    reason: str = ""
    counts: bool = False
    started_at: Instant | None = None
    ended_at: Instant | None = None
    receipt: Cid | None = None

    def end(self, outcome: RunOutcome, at: Instant, receipt: Cid | None = None) -> None:
        self.outcome, self.ended_at, self.receipt = outcome, at, receipt

    def view(self) -> RunView:
        return RunView(
            executor=self.executor,
            price=self.price,
            outcome=self.outcome,
            reason=self.reason,
            counts_against_executor=self.counts,
            started_at=self.started_at,
            ended_at=self.ended_at,
            receipt_cid=self.receipt,
        )


@dataclass(slots=True)
class _Attempt:
    attempt: int
    opened_at: Instant
    announced: int = 1
    assigned_at: Instant | None = None
    deadline: Instant | None = None
    runs: dict[Did, _Run] = field(default_factory=dict)

    def view(self) -> AttemptView:
        runs = tuple(run.view() for run in self.runs.values())
        return AttemptView(self.attempt, self.opened_at, self.announced, self.assigned_at, self.deadline, runs)


@dataclass(slots=True)
class _History:
    """What the home's records of one job say, taken in order. Those before the oldest one looked at are not missed."""

    attempts: list[_Attempt] = field(default_factory=list)
    began: dict[Status, Instant] = field(default_factory=dict)
    """When each phase last began."""
    ended_by: Did | None = None

    def take(self, told: EventView) -> None:
        """The next record."""
        at = told.time
        match told.event:
            case JobSubmitted():
                self.began[Status.SUBMITTED] = at
            case BiddingOpened(_, attempt):
                self._open(attempt, at)
            case JobAssigned(_, attempt, deadline, assignees):
                self.began[Status.ASSIGNED] = at
                self.began.pop(Status.EXECUTING, None)
                found = self._attempt(attempt, at)
                found.assigned_at, found.deadline = at, deadline
                found.runs = {one.executor: _Run(one.executor, one.price) for one in assignees}
            case ExecutionStarted(_, attempt, executor):
                self.began.setdefault(Status.EXECUTING, at)
                run = self._run(attempt, executor)
                if run is not None:
                    run.started_at = at
            case AttemptFailed(_, attempt, executor, reason, counts):
                self.began[Status.SUBMITTED] = at
                self._fail(attempt, executor, at, reason, told.event, counts=counts)
            case JobCompleted(_, attempt, executor):
                run = self._run(attempt, executor)
                if run is not None:
                    run.end(RunOutcome.COMPLETED, at, receipt_of(told.event))
            case AssigneeFailed(_, attempt, executor, reason, counts):
                self._fail(attempt, executor, at, reason, told.event, counts=counts)
            case OutputRevealed(_, attempt, executor):
                run = self._run(attempt, executor)
                if run is not None:
                    run.receipt = receipt_of(told.event)
            case AttemptAbandoned(_, _, reason):
                self.began[Status.SUBMITTED] = at
                self._stop(at, reason)
            case JobAgreed(_, attempt, _, winners, dissenters):
                for executor in winners:
                    run = self._run(attempt, executor)
                    if run is not None:
                        run.end(RunOutcome.COMPLETED, at, run.receipt)
                for executor in dissenters:
                    self._fail(attempt, executor, at, standing.DISSENT, None, counts=True)
                self._stop(at, "")
            case JobRolledBack():
                self.ended_by = told.principal
                self._stop(at, "")
            case _:
                pass

    def _fail(
        self, attempt: int, executor: Did, at: Instant, reason: str, event: Event | None, *, counts: bool
    ) -> None:
        run = self._run(attempt, executor)
        if run is not None:
            run.end(RunOutcome.FAILED, at, run.receipt if event is None else receipt_of(event))
            run.reason, run.counts = reason, counts

    def _stop(self, at: Instant, reason: str) -> None:
        """Whoever is still at it need not go on."""
        for run in self.attempts[-1].runs.values() if self.attempts else ():
            if run.outcome is RunOutcome.UNDER_WAY:
                run.end(RunOutcome.STOPPED, at, run.receipt)
                run.reason = reason

    def _open(self, attempt: int, at: Instant) -> None:
        if self.attempts and self.attempts[-1].attempt == attempt:
            self.attempts[-1].announced += 1
        else:
            self.attempts.append(_Attempt(attempt, at))
            self.began[Status.BIDDING] = at

    def _attempt(self, attempt: int, at: Instant) -> _Attempt:
        if not self.attempts or self.attempts[-1].attempt != attempt:
            self.attempts.append(_Attempt(attempt, at))
        return self.attempts[-1]

    def _run(self, attempt: int, executor: Did) -> _Run | None:
        if not self.attempts or self.attempts[-1].attempt != attempt:
            return None
        return self.attempts[-1].runs.get(executor)
