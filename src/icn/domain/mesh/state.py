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

from dataclasses import dataclass, field, replace
from typing import assert_never

from icn.domain.context import Context
from icn.domain.mesh.agreement import Part, Poll, open_poll
from icn.domain.mesh.events import (
    AssigneeFailed,
    AssignmentAccepted,
    AttemptAbandoned,
    AttemptFailed,
    BiddingOpened,
    DisputeRaised,
    ExecutionStarted,
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
from icn.domain.mesh.model import Execution, FailedAttempt, Job, Standing, Status
from icn.kernel.errors import require
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.mana import ZERO

ExecutionKey = tuple[Did, JobId, int]
"""(executor, job, attempt)"""
StandingKey = tuple[Did, Did]
"""(home, executor)"""
DisputeKey = tuple[JobId, int, Did, Did]
"""(job, attempt, accused, who raised it)"""


@dataclass(slots=True)
class Touched:
    """What changed since the last commit, in the order of change. Jobs that ended are only here any more."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    executions: dict[ExecutionKey, None] = field(default_factory=dict)
    standings: dict[StandingKey, None] = field(default_factory=dict)
    polls: dict[JobId, Poll] = field(default_factory=dict)
    """The last one of a job stays as a row, as the job does."""
    pledges: dict[ExecutionKey, None] = field(default_factory=dict)
    disputes: dict[DisputeKey, tuple[Instant, DisputeRaised]] = field(default_factory=dict)
    """Disputes are only here: nothing is decided by them."""


@dataclass(slots=True)
class Mesh:
    """The open jobs of all homes, and the executions under way."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    executions: dict[ExecutionKey, Execution] = field(default_factory=dict)
    standings: dict[StandingKey, Standing] = field(default_factory=dict)
    open_by_home: dict[Did, int] = field(default_factory=dict)
    polls: dict[JobId, Poll] = field(default_factory=dict)
    """Of attempts under way that several executors run."""
    pledges: dict[ExecutionKey, bytes] = field(default_factory=dict)
    """What executors with an execution under way have bound themselves to."""
    touched: Touched = field(default_factory=Touched)

    def standings_at(self, home: Did) -> dict[Did, Standing]:
        """What `home` has seen of each executor."""
        return {executor: standing for (at, executor), standing in self.standings.items() if at == home}


def apply(mesh: Mesh, event: MeshEvent, context: Context) -> None:
    """Change jobs as `event` says. Cannot refuse; what must hold is required."""
    match event:
        case JobSubmitted(job_id, _, home_epoch, payer, spec):
            mesh.open_by_home[context.author] = mesh.open_by_home.get(context.author, 0) + 1
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
                failures=(),
                ended_at=None,
                reason="",
                output=None,
                paid=ZERO,
                receipt=b"",
            )
            _put(mesh, job)
        case BiddingOpened(job_id, attempt, closes_at):
            _put(mesh, replace(mesh.jobs[job_id], status=Status.BIDDING, attempt=attempt, due_at=closes_at))
        case JobAssigned(job_id, _, deadline, assignees):
            job = replace(mesh.jobs[job_id], status=Status.ASSIGNED, due_at=deadline, assignees=assignees)
            _put(mesh, job)
            if len(assignees) > 1:
                _put_poll(mesh, open_poll(job_id, job.attempt, assignees))
        case ExecutionStarted(job_id):
            _put(mesh, replace(mesh.jobs[job_id], status=Status.EXECUTING))
        case OutputCommitted(job_id, _, executor, commitment):
            _put_poll(mesh, mesh.polls[job_id].with_part(executor, Part.PLEDGED, commitment=commitment))
        case RevealOpened(job_id, _, reveal_by):
            _put(mesh, replace(mesh.jobs[job_id], due_at=reveal_by))
            _put_poll(mesh, replace(mesh.polls[job_id], reveal_by=reveal_by))
        case OutputRevealed(job_id, _, executor, receipt):
            _put_poll(mesh, mesh.polls[job_id].with_part(executor, Part.REVEALED, receipt=receipt))
        case AssigneeFailed(job_id, attempt, executor, reason, counts, receipt):
            job = mesh.jobs[job_id]
            _put_poll(mesh, mesh.polls[job_id].with_part(executor, Part.FAILED, receipt=receipt))
            _put(mesh, replace(job, failures=(*job.failures, FailedAttempt(attempt, executor, reason))))
            if counts:
                _score(mesh, job.home, executor, succeeded=False)
        case AttemptAbandoned(job_id, attempt, reason, retry_at):
            job = mesh.jobs[job_id]
            # Others are chosen for the next attempt while there are any, whoever of these was right.
            left = mesh.polls.pop(job_id).of(Part.ASSIGNED, Part.PLEDGED, Part.REVEALED)
            failures = tuple(FailedAttempt(attempt, ballot.executor, reason) for ballot in left)
            _put(
                mesh,
                replace(
                    job,
                    status=Status.SUBMITTED,
                    due_at=retry_at,
                    assignees=(),
                    failures=(*job.failures, *failures),
                ),
            )
        case AttemptFailed(job_id, attempt, executor, reason, counts, retry_at):
            job = mesh.jobs[job_id]
            failure = FailedAttempt(attempt, executor, reason)
            _put(
                mesh,
                replace(
                    job,
                    status=Status.SUBMITTED,
                    due_at=retry_at,
                    assignees=(),
                    failures=(*job.failures, failure),
                ),
            )
            if counts:
                _score(mesh, job.home, executor, succeeded=False)
        case JobCompleted(job_id, _, executor, output, paid, receipt):
            job = mesh.jobs[job_id]
            ended = replace(
                job,
                status=Status.COMPLETED,
                ended_at=context.time,
                output=output,
                paid=paid,
                receipt=receipt,
            )
            _end(mesh, ended)
            _score(mesh, job.home, executor, succeeded=True)
        case JobAgreed(job_id, _, output, winners, dissenters, paid):
            job, poll = mesh.jobs[job_id], mesh.polls[job_id]
            for executor in winners:
                poll = poll.with_part(executor, Part.AGREED)
                _score(mesh, job.home, executor, succeeded=True)
            for executor in dissenters:
                poll = poll.with_part(executor, Part.DISSENTED)
                _score(mesh, job.home, executor, succeeded=False)
            _put_poll(mesh, poll)
            ended = replace(
                job,
                status=Status.COMPLETED,
                ended_at=context.time,
                output=output,
                paid=paid,
                receipt=poll.of(Part.AGREED)[0].receipt,
            )
            _end(mesh, ended)
        case JobRolledBack(job_id, outcome, reason):
            _end(mesh, replace(mesh.jobs[job_id], status=outcome, ended_at=context.time, reason=reason))
        case ReceiptKept():
            pass  # evidence; neither paid nor scored
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


def _end(mesh: Mesh, job: Job) -> None:
    require(job.status.has_ended, "a job that leaves the live state has ended")
    del mesh.jobs[job.id]
    mesh.polls.pop(job.id, None)
    mesh.open_by_home[job.home] -= 1
    if not mesh.open_by_home[job.home]:
        del mesh.open_by_home[job.home]  # so that equal histories give equal states
    mesh.touched.jobs[job.id] = job


def _score(mesh: Mesh, home: Did, executor: Did, *, succeeded: bool) -> None:
    was = mesh.standings.get((home, executor), Standing())
    mesh.standings[home, executor] = (
        Standing(was.completed + 1, 0) if succeeded else Standing(was.completed, was.failed_in_row + 1)
    )
    mesh.touched.standings[home, executor] = None
