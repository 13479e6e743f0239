"""Open jobs and executions, and `apply`, the only place they change.

```
 JobSubmitted        BiddingOpened        JobAssigned         ExecutionStarted
      └─> SUBMITTED ──────────> BIDDING ──────────> ASSIGNED ───────────> EXECUTING
              ^                  ^   └─ BiddingOpened again (no bids)         │
              └── AttemptFailed ─┼───────────────────────┴────────────────────┤
                                 │            JobCompleted ─> COMPLETED  <────┤
        from every state: JobRolledBack ─> FAILED | CANCELLED  <──────────────┘
```

Where several executors run an attempt, `AttemptAbandoned` stands for `AttemptFailed` and `JobAgreed` for
`JobCompleted`; what happens between is in `agreement`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from icn.domain.context import Context
from icn.domain.mesh import standing
from icn.domain.mesh.agreement import Part, Poll, open_poll
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
from icn.domain.mesh.model import Blame, Execution, FailedAttempt, Job, Standing, Status
from icn.kernel.errors import require
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.making import changed
from icn.kernel.mana import ZERO

ExecutionKey = tuple[Did, JobId, int]
"""(executor, job, attempt)"""
StandingKey = tuple[Did, Did]
"""(home, executor)"""
DisputeKey = tuple[JobId, int, Did, Did]
"""(job, attempt, accused, who raised it)"""
AnswerKey = tuple[Did, JobId, int, Did]
"""(home, job, attempt, executor)"""
HOME_REMOVED = "its home was removed from the federation"


@dataclass(slots=True)
class Touched:
    """What changed since the last commit, in the order of change. Jobs that ended are only here any more."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    opened: dict[JobId, None] = field(default_factory=dict)
    """Which of them are new."""
    executions: dict[ExecutionKey, None] = field(default_factory=dict)
    standings: dict[StandingKey, None] = field(default_factory=dict)
    polls: dict[JobId, Poll] = field(default_factory=dict)
    """The last one of a job stays as a row, as the job does."""
    pledges: dict[ExecutionKey, None] = field(default_factory=dict)
    disputes: dict[DisputeKey, tuple[Instant, DisputeRaised]] = field(default_factory=dict)
    """Disputes are only here: nothing is decided by them."""
    answered: dict[AnswerKey, None] = field(default_factory=dict)
    """Assignments whose executor has said that it is done with them: rows only, for jobs may have ended before."""


@dataclass(slots=True)
class Mesh:
    """The open jobs of all homes, and the executions under way."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    executions: dict[ExecutionKey, Execution] = field(default_factory=dict)
    standings: dict[StandingKey, Standing] = field(default_factory=dict)
    open_by_home: dict[Did, int] = field(default_factory=dict)
    open_by_payer: dict[tuple[Did, Did], int] = field(default_factory=dict)
    """(home, payer)"""
    polls: dict[JobId, Poll] = field(default_factory=dict)
    """Of attempts under way that several executors run."""
    pledges: dict[ExecutionKey, bytes] = field(default_factory=dict)
    """What executors with an execution under way have bound themselves to."""
    touched: Touched = field(default_factory=Touched)

    def standings_of(self, home: Did, executors: Sequence[Did]) -> dict[Did, Standing]:
        """What `home` has seen of these executors; of all that homes have seen there may be much more."""
        seen = {executor: self.standings.get((home, executor)) for executor in executors}
        return {executor: standing for executor, standing in seen.items() if standing is not None}

    def count_open(self, home: Did, payer: Did) -> None:
        """One more job is open."""
        self.open_by_home[home] = self.open_by_home.get(home, 0) + 1
        self.open_by_payer[home, payer] = self.open_by_payer.get((home, payer), 0) + 1

    def is_barred(self, home: Did, executor: Did, now: Instant) -> bool:
        """Whether `home` gives `executor` no job at present: it is banned, or on probation and on trial already."""
        seen = self.standings.get((home, executor))
        if seen is None or seen.ban is None:
            return False
        return standing.is_banned(seen, now) or any(
            job.home == home and job.assignee(executor) is not None for job in self.jobs.values()
        )


def apply(mesh: Mesh, event: MeshEvent, context: Context) -> None:
    """Change jobs as `event` says. Cannot refuse; what must hold is required."""
    match event:
        case JobSubmitted(job_id, _, home_epoch, payer, spec):
            mesh.count_open(context.author, payer)
            job = Job(
                id=job_id,
                home=context.author,
                home_epoch=home_epoch,
                payer=payer,
                spec=spec,
                submitted_at=context.time,
                status=Status.SUBMITTED,
                attempt=0,
                due_at=context.time,
                assignees=(),
                assigned_at=None,
                failures=(),
                ended_at=None,
                reason="",
                output=None,
                paid=ZERO,
                receipt=b"",
            )
            _put(mesh, job)
            mesh.touched.opened[job_id] = None
        case BiddingOpened(job_id, attempt, closes_at):
            _put(mesh, changed(mesh.jobs[job_id], status=Status.BIDDING, attempt=attempt, due_at=closes_at))
        case JobAssigned(job_id, _, deadline, assignees):
            job = changed(
                mesh.jobs[job_id],
                status=Status.ASSIGNED,
                due_at=deadline,
                assignees=assignees,
                assigned_at=context.time,
            )
            _put(mesh, job)
            if len(assignees) > 1:
                _put_poll(mesh, open_poll(job_id, job.attempt, assignees))
        case ExecutionStarted(job_id):
            _put(mesh, changed(mesh.jobs[job_id], status=Status.EXECUTING))
        case OutputCommitted(job_id, _, executor, commitment):
            _put_poll(mesh, mesh.polls[job_id].with_part(executor, Part.PLEDGED, commitment=commitment))
        case RevealOpened(job_id, _, reveal_by):
            _put(mesh, changed(mesh.jobs[job_id], due_at=reveal_by))
            _put_poll(mesh, changed(mesh.polls[job_id], reveal_by=reveal_by))
        case OutputRevealed(job_id, attempt, executor, receipt):
            _put_poll(mesh, mesh.polls[job_id].with_part(executor, Part.REVEALED, receipt=receipt))
            mesh.touched.answered[context.author, job_id, attempt, executor] = None
        case AssigneeFailed(job_id, attempt, executor, reason, counts, receipt):
            job = mesh.jobs[job_id]
            _put_poll(mesh, mesh.polls[job_id].with_part(executor, Part.FAILED, receipt=receipt))
            _score(mesh, job, event)
            if receipt:
                mesh.touched.answered[context.author, job_id, attempt, executor] = None
            failure = FailedAttempt(attempt, executor, reason, Blame.AT_ONCE if counts else Blame.NONE)
            _put(mesh, changed(job, failures=(*job.failures, failure)))
        case AttemptAbandoned(job_id, attempt, reason, retry_at):
            job = mesh.jobs[job_id]
            # Others are chosen for the next attempt while there are any, whoever of these was right.
            left = mesh.polls.pop(job_id).of(Part.ASSIGNED, Part.PLEDGED, Part.REVEALED)
            failures = tuple(FailedAttempt(attempt, ballot.executor, reason) for ballot in left)
            _put(
                mesh,
                changed(
                    job,
                    status=Status.SUBMITTED,
                    due_at=retry_at,
                    assignees=(),
                    failures=(*job.failures, *failures),
                ),
            )
        case AttemptFailed(job_id, attempt, executor, reason, counts, retry_at, receipt):
            job = mesh.jobs[job_id]
            failure = FailedAttempt(attempt, executor, reason, Blame.AT_ONCE if counts else Blame.NONE)
            _score(mesh, job, event)
            if receipt:
                mesh.touched.answered[job.home, job_id, attempt, executor] = None
            _put(
                mesh,
                changed(
                    job,
                    status=Status.SUBMITTED,
                    due_at=retry_at,
                    assignees=(),
                    failures=(*job.failures, failure),
                ),
            )
        case FailureDeferred(job_id, attempt, executor):
            job = mesh.jobs[job_id]
            _put(mesh, changed(job, failures=standing.with_deferred(job.failures, attempt, executor)))
        case JobCompleted(job_id, _, _, output, paid, receipt):
            job = mesh.jobs[job_id]
            _score(mesh, job, event)
            ended = changed(
                job,
                status=Status.COMPLETED,
                ended_at=context.time,
                output=output,
                paid=paid,
                receipt=receipt,
            )
            _end(mesh, ended)
        case JobAgreed(job_id, _, output, winners, dissenters, paid):
            job, poll = mesh.jobs[job_id], mesh.polls[job_id]
            _score(mesh, job, event)
            for executor in winners:
                poll = poll.with_part(executor, Part.AGREED)
            for executor in dissenters:
                poll = poll.with_part(executor, Part.DISSENTED)
            _put_poll(mesh, poll)
            ended = changed(
                job,
                status=Status.COMPLETED,
                ended_at=context.time,
                output=output,
                paid=paid,
                receipt=poll.of(Part.AGREED)[0].receipt,
            )
            _end(mesh, ended)
        case JobRolledBack(job_id, outcome, reason):
            _end(mesh, changed(mesh.jobs[job_id], status=outcome, ended_at=context.time, reason=reason))
        case ReceiptKept(job_id, attempt, executor) | AssignmentDeclined(job_id, attempt, executor):
            # Evidence; neither paid nor scored. It says that the executor is done with this attempt.
            mesh.touched.answered[context.author, job_id, attempt, executor] = None
        case ExecutorBanned(executor) | ExecutorPardoned(executor):
            was = mesh.standings.get((context.author, executor), Standing())
            mesh.standings[context.author, executor] = standing.after(was, event, context.time)
            mesh.touched.standings[context.author, executor] = None
        case DisputeRaised(job_id, attempt, _, accused):
            mesh.touched.disputes[job_id, attempt, accused, context.author] = context.time, event
        case PledgeMade(job_id, attempt, _, commitment):
            key = (context.author, job_id, attempt)
            mesh.pledges[key] = commitment
            mesh.touched.pledges[key] = None
        case AssignmentAccepted(job_id, attempt, home, deadline, assignment):
            key = (context.author, job_id, attempt)
            mesh.executions[key] = Execution(context.author, job_id, attempt, home, deadline, assignment)
            mesh.touched.executions[key] = None
        case ReceiptIssued(job_id, attempt):
            key = (context.author, job_id, attempt)
            mesh.executions.pop(key)
            mesh.touched.executions[key] = None
            if mesh.pledges.pop(key, None) is not None:
                mesh.touched.pledges[key] = None
        case _:
            assert_never(event)


def _put(mesh: Mesh, job: Job) -> None:
    mesh.jobs[job.id] = job
    mesh.touched.jobs[job.id] = job


def _put_poll(mesh: Mesh, poll: Poll) -> None:
    mesh.polls[poll.job] = poll
    mesh.touched.polls[poll.job] = poll


def end_for(mesh: Mesh, node: Did, last_heard: Instant) -> None:
    """End the open jobs of a home that is no member any more, and the executions of an executor that is none.

    `last_heard`: the time of its last block that counts; its jobs have ended then.
    """
    for job in [job for job in mesh.jobs.values() if job.home == node]:
        _end(mesh, changed(job, status=Status.CANCELLED, ended_at=last_heard, reason=HOME_REMOVED))
    for key in [key for key in mesh.executions if key[0] == node]:
        mesh.executions.pop(key)
        mesh.touched.executions[key] = None
        if mesh.pledges.pop(key, None) is not None:
            mesh.touched.pledges[key] = None


def _end(mesh: Mesh, job: Job) -> None:
    require(job.status.has_ended, "a job that leaves the live state has ended")
    del mesh.jobs[job.id]
    mesh.polls.pop(job.id, None)
    mesh.open_by_home[job.home] -= 1
    mesh.open_by_payer[job.home, job.payer] -= 1
    # So that equal histories give equal states.
    if not mesh.open_by_home[job.home]:
        del mesh.open_by_home[job.home]
    if not mesh.open_by_payer[job.home, job.payer]:
        del mesh.open_by_payer[job.home, job.payer]
    mesh.touched.jobs[job.id] = job


def _score(mesh: Mesh, job: Job, event: MeshEvent) -> None:
    for executor, succeeded in standing.scores(event, job.failures):
        was = mesh.standings.get((job.home, executor), Standing())
        mesh.standings[job.home, executor] = standing.scored(was, succeeded=succeeded)
        mesh.touched.standings[job.home, executor] = None
