"""Jobs, newest first, and one job with all that is known of it."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from icn.domain.dag.block import parse_block
from icn.domain.mesh.model import Blame, Job, JobSpec, Receipt, Status
from icn.domain.mesh.papers import open_receipt
from icn.domain.mesh.refusals import JobNotFound
from icn.domain.mesh.state import HOME_REMOVED
from icn.kernel.errors import Invalid, Kind, Refusal
from icn.kernel.ids import JOB_ID_BYTES, RAW, Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.queries import agreements, job_progress
from icn.services.queries.agreements import DisputeView, PartyView
from icn.services.queries.job_progress import AttemptView
from icn.services.queries.membership import confirmations
from icn.services.queries.paging import Page, cursor_bytes
from icn.stores import blocks, job_index, keyspace
from icn.stores.kv import Reader

JOBS_SCANNED_MAX = 2_000
"""Jobs looked at for one page: a filter that few match gives a short page and a cursor, not a long wait."""
_CURSOR_BYTES = keyspace.U64_BYTES + JOB_ID_BYTES


class NoReceipt(Refusal):
    """The job has not been completed, so there is no receipt and no output."""

    code: ClassVar[str] = "mesh.no_receipt"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, job: JobId, status: Status) -> None:
        self.job = str(job)
        self.status = status.value
        super().__init__(f"{job} is {status.value}: only a completed job has a receipt and an output")


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job in a list."""

    job_id: JobId
    status: Status
    attempt: int
    submitted_at: Instant
    ended_at: Instant | None
    payer: Did
    home: Did
    executor: Did | None
    """Of the attempt under way, or of the one that completed it."""
    price: int | None
    """What the executor gets if it succeeds; none before one is chosen."""
    paid: int
    reason: str


@dataclass(frozen=True, slots=True)
class FailureView:
    """An attempt that brought no result."""

    attempt: int
    executor: Did
    reason: str
    blame: Blame
    """Whether it counts against the executor."""


class Cancellation(Enum):
    """How far the cancellation of a job has come."""

    REQUESTED = "requested"
    """The job has ended and nobody is paid, but an executor that was given it has not said that it is done."""
    CONFIRMED = "confirmed"
    """Every executor that was ever given the job has said that it is done, or that it never began: none runs it now,
    or ever again."""


@dataclass(frozen=True, slots=True)
class JobView:
    """Everything about a job."""

    job_id: JobId
    status: Status
    attempt: int
    submitted_at: Instant
    ended_at: Instant | None
    payer: Did
    home: Did
    executor: Did | None
    price: int | None
    paid: int
    reason: str
    spec: JobSpec
    failures: tuple[FailureView, ...]
    attempts: tuple[AttemptView, ...]
    """Every attempt with its executors and what became of them; the newest, where there were very many."""
    cancelled_by: Did | None
    correlation_id: str
    """Of the request that opened it."""
    output_cid: Cid | None
    exit_code: int | None
    receipt_cid: Cid | None
    """Names the sealed receipt's bytes."""
    receipt: Receipt | None
    parties: tuple[PartyView, ...]
    """Where each executor of the last attempt stands; empty where one executor runs the job."""
    disputes: tuple[DisputeView, ...]
    """About receipts of the job, by whoever found them wrong."""
    deadline: Instant
    due_at: Instant
    confirmed: bool
    """Whether a quorum has seen what this node says of it: that it ended, or that it was opened."""
    cancellation: Cancellation | None
    """None for a job that was not cancelled."""


@dataclass(frozen=True, slots=True)
class SealedReceipt:
    """The receipt that completed a job, as signed and as read."""

    job_id: JobId
    receipt_base64: bytes
    """The bytes that were signed with their signature; a surface writes them as base64."""
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """Jobs that have not ended, on every home this node knows."""

    open: int
    by_status: dict[str, int]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are asked for; all that is set must hold."""

    status: Status | None = None
    payer: Did | None = None
    since: Instant | None = None
    """Submitted then, or later."""

    def takes(self, job: Job) -> bool:
        """Whether `job` is asked for, leaving the time aside, which the order of the list settles."""
        return (self.status is None or job.status is self.status) and (self.payer is None or job.payer == self.payer)


EVERY_JOB = JobFilter()


def jobs(reader: Reader, wanted: JobFilter = EVERY_JOB, *, limit: int, cursor: str | None) -> Page[JobLine]:
    """A page, newest first. Raises `Invalid` for a cursor of another list."""
    before = None if cursor is None else cursor_bytes(cursor, _CURSOR_BYTES)
    found: list[JobLine] = []
    scanned = 0
    last = b""
    for key, _ in rows.JOBS_BY_TIME.rows_down(reader, before=before):
        if len(found) == limit or scanned == JOBS_SCANNED_MAX:
            return Page(tuple(found), last.hex())
        if wanted.since is not None and int.from_bytes(key[: keyspace.U64_BYTES], "big") < wanted.since:
            break
        scanned, last = scanned + 1, key
        job = rows.JOBS.get(reader, key[keyspace.U64_BYTES :])
        if job is not None and wanted.takes(job):
            found.append(_line(job))
    return Page(tuple(found), None)


def job(reader: Reader, job_id: JobId) -> JobView:
    """One job. Raises `JobNotFound`."""
    stored = _stored(reader, job_id)
    receipt = _receipt(stored)
    line = _line(stored)
    past = job_progress.past_of(reader, stored)
    return JobView(
        job_id=line.job_id,
        status=line.status,
        attempt=line.attempt,
        submitted_at=line.submitted_at,
        ended_at=line.ended_at,
        payer=line.payer,
        home=line.home,
        executor=line.executor,
        price=line.price,
        paid=line.paid,
        reason=line.reason,
        spec=stored.spec,
        failures=tuple(FailureView(f.attempt, f.executor, f.reason, f.blame) for f in stored.failures),
        attempts=past.attempts,
        cancelled_by=past.ended_by if stored.status is Status.CANCELLED else None,
        correlation_id=job_index.correlation_of(reader.get, job_id),
        output_cid=stored.output,
        exit_code=None if receipt is None else receipt.exit_code,
        receipt_cid=Cid.of(stored.receipt, RAW) if stored.receipt else None,
        receipt=receipt,
        parties=agreements.parties(reader, job_id),
        disputes=agreements.disputes(reader, job_id),
        deadline=stored.spec.deadline,
        due_at=stored.due_at,
        confirmed=_is_confirmed(reader, stored),
        cancellation=cancellation(reader, stored),
    )


def line(reader: Reader, job_id: JobId) -> JobLine:
    """One job as a list shows it. Raises `JobNotFound`."""
    return _line(_stored(reader, job_id))


def receipt(reader: Reader, job_id: JobId) -> SealedReceipt:
    """The receipt that completed a job. Raises `JobNotFound`, `NoReceipt`."""
    stored = _stored(reader, job_id)
    if not stored.receipt:
        raise NoReceipt(job_id, stored.status)
    return SealedReceipt(job_id, stored.receipt, open_receipt(stored.receipt))


def output_cid(reader: Reader, job_id: JobId) -> Cid:
    """The name of a completed job's output. Raises `JobNotFound`, `NoReceipt`."""
    stored = _stored(reader, job_id)
    if stored.output is None:
        raise NoReceipt(job_id, stored.status)
    return stored.output


def open_jobs(reader: Reader) -> OpenJobs:
    """How many jobs are under way, and where they stand."""
    counts: dict[str, int] = {}
    for key, _ in rows.OPEN_JOBS.rows(reader):
        stored = rows.JOBS.get(reader, key)
        if stored is not None:
            counts[stored.status.value] = counts.get(stored.status.value, 0) + 1
    return OpenJobs(sum(counts.values()), dict(sorted(counts.items())))


def _stored(reader: Reader, job_id: JobId) -> Job:
    stored = rows.JOBS.get(reader, job_id.data)
    if stored is None:
        raise JobNotFound(job_id)
    return stored


def _line(job: Job) -> JobLine:
    assignee = job.assignees[0] if job.assignees else None
    return JobLine(
        job_id=job.id,
        status=job.status,
        attempt=job.attempt,
        submitted_at=job.submitted_at,
        ended_at=job.ended_at,
        payer=job.payer,
        home=job.home,
        executor=None if assignee is None else assignee.executor,
        price=None if assignee is None else assignee.price,
        paid=job.paid,
        reason=job.reason,
    )


def _receipt(job: Job) -> Receipt | None:
    """The receipt, which was verified when its block was accepted. A damaged one shows as absent; verify says why."""
    if not job.receipt:
        return None
    try:
        return open_receipt(job.receipt)
    except Invalid:
        return None


def cancellation(reader: Reader, job: Job) -> Cancellation | None:
    """How far it has come, by records of the home: receipts that came too late, and refusals (`rows.ANSWERED`).

    None where nobody asked for it. A home that was removed has no open job, but its assignments above the end of its
    feed may run somewhere: they are void, so nothing here would say when they have ended.
    """
    if job.status is not Status.CANCELLED or job.reason == HOME_REMOVED:
        return None
    given = [(job.attempt, assignee.executor) for assignee in job.assignees]
    given += [(failure.attempt, failure.executor) for failure in job.failures]
    done = all(rows.was_answered(reader.get, job.home, job.id, attempt, executor) for attempt, executor in given)
    return Cancellation.CONFIRMED if done else Cancellation.REQUESTED


def _is_confirmed(reader: Reader, job: Job) -> bool:
    """Whether the record that opened an open job, or ended an ended one, stands in a confirmed block of its home.

    Blocks of a feed are in order of time, so it does when the newest confirmed block is later, or as late with none of
    the same millisecond behind it. In that last case this says "not yet" a little too long, never "yes" too early.
    """
    when = job.submitted_at if job.ended_at is None else job.ended_at
    count = confirmations(reader).count(job.home)
    newest = _time_of(reader, job.home, count - 1) if count else None
    if newest is None or newest < when:
        return False
    following = _time_of(reader, job.home, count)
    return newest > when or following is None or following > when


def _time_of(reader: Reader, author: Did, sequence: int) -> Instant | None:
    cid = blocks.cid_at(reader, author, sequence)
    data = None if cid is None else blocks.get_bytes(reader, cid)
    return None if data is None else parse_block(data).header.time
