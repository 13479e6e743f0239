"""Open jobs and executions, and `apply`, the only place they change.

```
 JobSubmitted        BiddingOpened        JobAssigned         ExecutionStarted
      └─> SUBMITTED ──────────> BIDDING ──────────> ASSIGNED ───────────> EXECUTING
              ^                  ^   └─ BiddingOpened again (no bids)         │
              └── AttemptFailed ─┼───────────────────────┴────────────────────┤
                                 │            JobCompleted ─> COMPLETED  <────┤
        from every state: JobRolledBack ─> FAILED | CANCELLED  <──────────────┘
```
"""

from dataclasses import dataclass, field, replace
from typing import assert_never

from icn.domain.context import Context
from icn.domain.mesh.events import (
    AssignmentAccepted,
    AttemptFailed,
    BiddingOpened,
    ExecutionStarted,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    MeshEvent,
    OutputCommitted,
    ReceiptIssued,
    ReceiptKept,
)
from icn.domain.mesh.model import Execution, FailedAttempt, Job, Standing, Status
from icn.kernel.errors import require
from icn.kernel.ids import Did, JobId
from icn.kernel.mana import ZERO

ExecutionKey = tuple[Did, JobId, int]
"""(executor, job, attempt)"""
StandingKey = tuple[Did, Did]
"""(home, executor)"""


@dataclass(slots=True)
class Touched:
    """What changed since the last commit, in the order of change. Jobs that ended are only here any more."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    executions: dict[ExecutionKey, None] = field(default_factory=dict)
    standings: dict[StandingKey, None] = field(default_factory=dict)


@dataclass(slots=True)
class Mesh:
    """The open jobs of all homes, and the executions under way."""

    jobs: dict[JobId, Job] = field(default_factory=dict)
    executions: dict[ExecutionKey, Execution] = field(default_factory=dict)
    standings: dict[StandingKey, Standing] = field(default_factory=dict)
    open_by_home: dict[Did, int] = field(default_factory=dict)
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
            _put(mesh, replace(mesh.jobs[job_id], status=Status.ASSIGNED, due_at=deadline, assignees=assignees))
        case ExecutionStarted(job_id):
            _put(mesh, replace(mesh.jobs[job_id], status=Status.EXECUTING))
        case OutputCommitted():
            pass  # evidence in the feed; the state needs it when redundancy is offered
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
        case JobRolledBack(job_id, outcome, reason):
            _end(mesh, replace(mesh.jobs[job_id], status=outcome, ended_at=context.time, reason=reason))
        case ReceiptKept():
            pass  # evidence; neither paid nor scored
        case AssignmentAccepted(job_id, attempt, home, deadline, assignment):
            key = (context.author, job_id, attempt)
            mesh.executions[key] = Execution(context.author, job_id, attempt, home, deadline, assignment)
            mesh.touched.executions[key] = None
        case ReceiptIssued(job_id, attempt):
            key = (context.author, job_id, attempt)
            mesh.executions.pop(key)
            mesh.touched.executions[key] = None
        case _:
            assert_never(event)


def _put(mesh: Mesh, job: Job) -> None:
    mesh.jobs[job.id] = job
    mesh.touched.jobs[job.id] = job


def _end(mesh: Mesh, job: Job) -> None:
    require(job.status.has_ended, "a job that leaves the live state has ended")
    del mesh.jobs[job.id]
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
