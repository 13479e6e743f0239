"""Decides what a mesh command would change, and checks what other homes and executors recorded.

The home of the account that pays decides about a job. Settlement happens once: a job leaves the open state with the one
event that pays or releases its hold, and every later command finds it closed.
"""

from typing import assert_never

from icn.domain.context import Context, EventRefused, entitled
from icn.domain.mesh import agreement_rules, endings, failures, placement, retries, standing
from icn.domain.mesh.commands import (
    AbandonAttempt,
    AcceptAgreed,
    CancelJob,
    CloseBidding,
    CloseRound,
    ExpireJob,
    GiveUpAttempt,
    MeshCommand,
    NoteStart,
    PardonExecutor,
    RejectResult,
    ReopenBidding,
    SubmitJob,
    TakePledge,
    TakeReceipt,
    TakeRefusal,
)
from icn.domain.mesh.endings import REASON_CHARS_MAX
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
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.failures import Judgement, Silence
from icn.domain.mesh.model import Assignee, Blame, Job, Standing, Status
from icn.domain.mesh.papers import ATTEMPT_MAX, RECEIPT_BYTES_MAX, open_assignment, open_receipt
from icn.domain.mesh.refusals import (
    DeadlinePassed,
    JobNotOpen,
    NotBlacklisted,
    NotYourJob,
    TooManyJobs,
    TooManyJobsOfYours,
)
from icn.domain.mesh.retries import MeshTerms
from icn.domain.mesh.state import Mesh
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.limits import JOB_ATTEMPTS_MAX, JOBS_OPEN_MAX

_RUNNING = (Status.ASSIGNED, Status.EXECUTING)
NO_EXECUTOR = "no executor offered within the job's deadline"
EXPIRED = "the job's deadline passed"


def decide(mesh: Mesh, command: MeshCommand, context: Context, terms: MeshTerms) -> list[MeshEvent]:
    """Say what `command` would change at this home, without changing it; bans and pardons that follow come last."""
    events = _decide(mesh, command, context, terms)
    job = _job_of(mesh, command)
    if job is None:
        return events
    return [*events, *standing.consequences(mesh.standings, job, events, context.time, terms)]


def _job_of(mesh: Mesh, command: MeshCommand) -> Job | None:
    """The open job that a command is about."""
    match command:
        case SubmitJob() | PardonExecutor():
            return None
        case TakeReceipt(receipt):
            return mesh.jobs.get(receipt.job)
        case _:
            return mesh.jobs.get(command.job)


def _decide(mesh: Mesh, command: MeshCommand, context: Context, terms: MeshTerms) -> list[MeshEvent]:
    now = context.time
    match command:
        case SubmitJob(nonce, payer, spec):
            spec.check()
            if spec.deadline <= now:
                raise DeadlinePassed
            open_jobs = mesh.open_by_home.get(context.author, 0)
            if open_jobs >= JOBS_OPEN_MAX:
                raise TooManyJobs(open_jobs)
            own = mesh.open_by_payer.get((context.author, payer), 0)
            if own >= terms.open_per_payer:
                raise TooManyJobsOfYours(own)
            job_id = JobId.of(context.author, nonce)
            closes_at = later(now, terms.bid_window)
            return [JobSubmitted(job_id, nonce, 0, payer, spec), BiddingOpened(job_id, 1, closes_at)]
        case CloseBidding(job_id, offers, declined):
            job = open_job(mesh, job_id, context)
            if job.status is not Status.BIDDING:
                return []
            if now >= job.spec.deadline:  # before anything else: an attempt that has no time must not begin
                return [endings.ran_out(job, _nobody_offered(declined))]
            eligible = [offer for offer in offers if not mesh.is_barred(job.home, offer.bid.executor, now)]
            winners = placement.choose(job, eligible, mesh.standings_of(job.home, [o.bid.executor for o in eligible]))
            if winners:
                assignees = tuple(Assignee(o.bid.executor, o.account_home, o.bid.price) for o in winners)
                return [JobAssigned(job_id, job.attempt, _attempt_deadline(job, now, terms), assignees)]
            closes_at = min(later(now, terms.bid_renewal), job.spec.deadline)
            return [BiddingOpened(job_id, job.attempt, closes_at)]
        case ReopenBidding(job_id):
            job = open_job(mesh, job_id, context)
            if job.status is not Status.SUBMITTED:
                return []
            if now >= job.spec.deadline:
                return [endings.ran_out(job, EXPIRED)]
            closes_at = min(later(now, terms.bid_window), job.spec.deadline)
            return [BiddingOpened(job_id, job.attempt + 1, closes_at)]
        case NoteStart(job_id, attempt, executor):
            job = open_job(mesh, job_id, context)
            if job.status is Status.ASSIGNED and job.attempt == attempt and job.assignee(executor):
                return [ExecutionStarted(job_id, attempt, executor)]
            return []
        case TakeReceipt():
            return _decide_receipt(mesh, command, context, terms)
        case GiveUpAttempt(job_id, executor, silence):
            job = open_job(mesh, job_id, context)
            if job.status not in _RUNNING or not job.assignee(executor):
                return []
            judgement, poll = failures.OF_SILENCE[silence], mesh.polls.get(job_id)
            if silence is Silence.NO_ACCOUNT and poll is not None:
                return agreement_rules.exclude(job, poll, executor, silence.value, now, terms, blame=judgement.blame)
            return _without(mesh, job, executor, silence.value, judgement, now, terms)
        case TakePledge() | CloseRound() | AcceptAgreed() | AbandonAttempt():
            return agreement_rules.decide(mesh, command, context, terms)
        case RejectResult():
            return _decide_rejection(mesh, command, context, terms)
        case TakeRefusal():
            return _decide_refusal(mesh, command, now, terms)
        case CancelJob(job_id, principal):
            job = open_job(mesh, job_id, context)
            if principal != job.payer:
                raise NotYourJob(job_id, principal)
            return [endings.rolled_back(job, Status.CANCELLED, "cancelled by its submitter")]
        case ExpireJob(job_id, declined):
            job = open_job(mesh, job_id, context)
            if now < job.spec.deadline:
                return []
            waited = _nobody_offered(declined) if job.status is Status.BIDDING else EXPIRED
            return [endings.ran_out(job, waited)]
        case PardonExecutor(executor):
            seen = mesh.standings.get((context.author, executor), Standing())
            if seen.ban is None and not seen.failed_in_row:
                raise NotBlacklisted(executor)
            return [ExecutorPardoned(executor, standing.PARDONED_BY_OPERATOR)]
        case _:
            assert_never(command)


def open_job(mesh: Mesh, job_id: JobId, context: Context) -> Job:
    """The open job of this home. Raises `JobNotOpen`."""
    job = mesh.jobs.get(job_id)
    if job is None or job.home != context.author:
        raise JobNotOpen(job_id)
    return job


def _decide_receipt(mesh: Mesh, command: TakeReceipt, context: Context, terms: MeshTerms) -> list[MeshEvent]:
    receipt, data = command.receipt, command.data
    job = mesh.jobs.get(receipt.job)
    if receipt.home != context.author:
        raise JobNotOpen(receipt.job)
    assignee = None if job is None else job.assignee(receipt.executor)
    current = job is not None and job.status in _RUNNING and job.attempt == receipt.attempt
    if job is None or not current or assignee is None:
        return [ReceiptKept(receipt.job, receipt.attempt, receipt.executor, data)]
    poll = mesh.polls.get(job.id)
    if poll is not None:
        return agreement_rules.take_receipt(job, poll, command, context.time, terms)
    judgement = failures.of_receipt(job, receipt, cut_off=command.cut_off)
    if judgement is None and receipt.output is not None:
        return [JobCompleted(job.id, job.attempt, receipt.executor, receipt.output, assignee.price, data)]
    judgement = judgement or failures.OF_WRONG_RECEIPT
    reason = f"{receipt.exit.value}: {receipt.detail}"
    return _attempt_failed(job, receipt.executor, reason, judgement, context.time, terms, receipt=data)


def _decide_rejection(mesh: Mesh, command: RejectResult, context: Context, terms: MeshTerms) -> list[MeshEvent]:
    """A result that the home's own execution does not confirm is not paid. What proves that it is wrong counts."""
    job = open_job(mesh, command.job, context)
    poll = mesh.polls.get(job.id)
    if poll is not None:
        return agreement_rules.reject(job, poll, command, context.time, terms)
    receipt = open_receipt(command.receipt)
    if job.status not in _RUNNING or job.attempt != receipt.attempt or job.assignee(receipt.executor) is None:
        return []
    judgement = failures.OF_WRONG_RECEIPT if command.counter else failures.OF_UNCONFIRMED
    failed = _attempt_failed(
        job, receipt.executor, command.reason, judgement, context.time, terms, receipt=command.receipt
    )
    if not command.counter:
        return failed
    return [agreement_rules.dispute_about(command.receipt, command.counter), *failed]


def _decide_refusal(mesh: Mesh, command: TakeRefusal, now: Instant, terms: MeshTerms) -> list[MeshEvent]:
    """The refusal of an assignment of this home, whose job may have gone on without its executor."""
    declined = AssignmentDeclined(
        command.job, command.attempt, command.executor, command.reason[: endings.CAUSE_CHARS_MAX]
    )
    job = mesh.jobs.get(command.job)
    is_current = job is not None and job.status in _RUNNING and job.attempt == command.attempt
    if job is None or not is_current or job.assignee(command.executor) is None:
        return [declined]
    judgement = failures.of_refusal(job, now, terms.assignment_grace)
    reason = f"declined by its executor: {declined.reason}"
    return [declined, *_without(mesh, job, command.executor, reason, judgement, now, terms)]


def _without(
    mesh: Mesh, job: Job, executor: Did, reason: str, judgement: Judgement, now: Instant, terms: MeshTerms
) -> list[MeshEvent]:
    """Go on without an executor that sent no receipt."""
    poll = mesh.polls.get(job.id)
    if poll is not None:
        return agreement_rules.give_up(job, poll, executor, reason, now, terms, blame=judgement.blame)
    return _attempt_failed(job, executor, reason, judgement, now, terms, receipt=b"")


def _attempt_failed(
    job: Job, executor: Did, reason: str, judgement: Judgement, now: Instant, terms: MeshTerms, *, receipt: bytes
) -> list[MeshEvent]:
    reason = reason[:REASON_CHARS_MAX]
    counts = judgement.blame is Blame.AT_ONCE
    if not judgement.may_retry:
        failed = AttemptFailed(job.id, job.attempt, executor, reason, counts, now, receipt)
        return [failed, endings.rolled_back(job, Status.FAILED, reason)]
    again = retries.retry_at(job, now, terms)
    failed = AttemptFailed(job.id, job.attempt, executor, reason, counts, again, receipt)
    if not retries.may_retry(job, terms):
        return [failed, endings.used_up(job, reason)]
    if judgement.blame is Blame.IF_ANOTHER_COMPLETES:
        return [failed, FailureDeferred(job.id, job.attempt, executor)]
    return [failed]


def _nobody_offered(declined: tuple[str, ...]) -> str:
    return f"{NO_EXECUTOR}; declined: {'; '.join(declined)}" if declined else NO_EXECUTOR


def _attempt_deadline(job: Job, now: Instant, terms: MeshTerms) -> Instant:
    return min(later(now, Duration(job.spec.limits.wall_ms + terms.assignment_grace)), job.spec.deadline)


def check(mesh: Mesh, event: MeshEvent, context: Context) -> None:
    """Raise `EventRefused` unless the author was entitled to `event`.

    Everything about a job depends on its home's feed alone, and everything about an execution on its executor's, so no
    question here leans on another feed.
    """
    match event:
        case JobSubmitted(job_id, nonce, home_epoch, _, spec):
            entitled(job_id == JobId.of(context.author, nonce), "a job's id is made of its home and a nonce")
            entitled(job_id not in mesh.jobs and home_epoch == 0, "a job is opened once, at epoch 0")
            entitled(mesh.open_by_home.get(context.author, 0) < JOBS_OPEN_MAX, "a home has few jobs open")
            entitled(spec.deadline > context.time, "a job has time")
            try:
                spec.check()
            except Invalid as error:
                entitled(condition=False, rule=f"a job's specification is within bounds: {error}")
        case BiddingOpened(job_id, attempt, closes_at):
            job = _own_job(mesh, job_id, context)
            first = job.status is Status.SUBMITTED and attempt == job.attempt + 1
            again = job.status is Status.BIDDING and attempt == job.attempt
            entitled(first or again, "bidding opens for the next attempt, or again for this one")
            entitled(attempt <= JOB_ATTEMPTS_MAX, "a job has few attempts")  # its row tells of all that failed
            entitled(closes_at >= context.time, "bidding closes after it opened")
        case JobAssigned(job_id, attempt, deadline, assignees):
            job = _own_job(mesh, job_id, context)
            entitled(job.status is Status.BIDDING and attempt == job.attempt, "bidding comes before assignment")
            entitled(context.time <= deadline, "an attempt has time")
            entitled(len(assignees) == job.spec.redundancy, "as many executors as the job asks for")
            executors = [assignee.executor for assignee in assignees]
            entitled(len(executors) == len(dict.fromkeys(executors)), "executors are distinct")
            entitled(all(0 <= a.price <= job.spec.max_price for a in assignees), "the price is within the maximum")
            barred = any(mesh.is_barred(context.author, executor, context.time) for executor in executors)
            entitled(not barred, "a banned executor gets no job, and one on probation gets one at a time")
        case ExecutionStarted(job_id, attempt, executor):
            job = _own_job(mesh, job_id, context)
            entitled(job.status is Status.ASSIGNED, "an execution starts once")
            entitled(attempt == job.attempt and job.assignee(executor) is not None, "an assigned executor starts")
        case (
            OutputCommitted() | RevealOpened() | OutputRevealed() | AssigneeFailed() | AttemptAbandoned() | JobAgreed()
        ):
            agreement_rules.check(mesh, event, _own_job(mesh, event.job, context), context)
        case AttemptFailed(job_id, attempt, executor, reason, receipt=data):
            job = _own_job(mesh, job_id, context)
            entitled(job.status in _RUNNING and attempt == job.attempt, "the attempt under way fails")
            entitled(job.assignee(executor) is not None, "an assigned executor fails")
            entitled(job_id not in mesh.polls, "where several run an attempt, one of them does not end it")
            entitled(len(reason) <= REASON_CHARS_MAX, "a reason is short")
            entitled(len(data) <= RECEIPT_BYTES_MAX, "a receipt is short")
        case FailureDeferred(job_id, attempt, executor):
            job = _own_job(mesh, job_id, context)
            known = [f for f in job.failures if (f.attempt, f.executor) == (attempt, executor)]
            entitled(any(f.blame is Blame.NONE for f in known), "what is deferred is a failure that did not count")
        case JobCompleted(job_id, attempt, executor, output, paid, data):
            job = _own_job(mesh, job_id, context)
            assignee = job.assignee(executor)
            entitled(job.status in _RUNNING and attempt == job.attempt, "the attempt under way completes")
            entitled(assignee is not None and assignee.price == paid, "the executor is paid its price")
            entitled(job_id not in mesh.polls, "where several run an attempt, one of them does not end it")
            receipt = agreement_rules.genuine(data)
            entitled(
                (receipt.job, receipt.attempt, receipt.executor, receipt.home)
                == (job_id, attempt, executor, context.author),
                "the receipt is for this attempt",
            )
            entitled(receipt.exit is ExitKind.COMPLETED and receipt.output == output, "the receipt says completed")
            entitled(receipt.spec == job.spec.cid, "the receipt is for this very job")
        case JobRolledBack(job_id, outcome, reason, attempts, restored):
            job = _own_job(mesh, job_id, context)
            entitled(outcome in {Status.FAILED, Status.CANCELLED}, "a rollback ends a job")
            entitled(len(reason) <= REASON_CHARS_MAX, "a reason is short")
            entitled((attempts, restored) == (job.attempt, job.spec.price_held), "all of the hold is restored")
        case ReceiptKept(job_id, attempt, executor, data):
            receipt = agreement_rules.genuine(data)
            entitled(
                (receipt.job, receipt.attempt, receipt.executor, receipt.home)
                == (job_id, attempt, executor, context.author),
                "a kept receipt was for this home",
            )
        case AssignmentDeclined(job_id, attempt, executor, reason):
            # Of jobs of others nothing is asked: what is known of them depends on what arrived here.
            entitled(1 <= attempt <= ATTEMPT_MAX, "attempts are counted")
            entitled(len(reason) <= REASON_CHARS_MAX, "a reason is short")
        case ExecutorBanned(executor, reason=reason):
            seen = mesh.standings.get((context.author, executor), Standing())
            broken = standing.why_no_ban(seen, event, context.time)
            entitled(not broken, broken)
            entitled(len(reason) <= standing.BAN_REASON_CHARS_MAX, "a reason is short")
        case ExecutorPardoned(executor, reason):
            seen = mesh.standings.get((context.author, executor), Standing())
            entitled(seen.ban is not None or seen.failed_in_row > 0, "there is something to pardon")
            entitled(len(reason) <= standing.BAN_REASON_CHARS_MAX, "a reason is short")
        case AssignmentAccepted(job_id, attempt, home, deadline, data):
            entitled((context.author, job_id, attempt) not in mesh.executions, "an assignment is accepted once")
            try:
                assignment = open_assignment(data)
            except Invalid as error:
                entitled(condition=False, rule=f"an assignment is genuine: {error}")
                return
            entitled(
                (assignment.job, assignment.attempt, assignment.home, assignment.deadline, assignment.executor)
                == (job_id, attempt, home, deadline, context.author),
                "the assignment is for the author",
            )
        case PledgeMade():
            agreement_rules.check_pledge(mesh, event, context)
        case DisputeRaised():
            agreement_rules.check_dispute(event)
        case ReceiptIssued(job_id, attempt, home, data):
            entitled((context.author, job_id, attempt) in mesh.executions, "a receipt follows an accepted assignment")
            receipt = agreement_rules.genuine(data)
            entitled(
                (receipt.job, receipt.attempt, receipt.home, receipt.executor)
                == (job_id, attempt, home, context.author),
                "the receipt is the author's own",
            )
            agreement_rules.check_kept_pledge(mesh, event, receipt, context)
        case _:
            assert_never(event)


def _own_job(mesh: Mesh, job_id: JobId, context: Context) -> Job:
    job = mesh.jobs.get(job_id)
    if job is None or job.home != context.author:
        raise EventRefused("only its home decides about an open job")
    return job
