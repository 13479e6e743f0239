"""Receipts as services make and take them: what one says of an execution, and what the home knows of one that came."""

from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from icn.domain.mesh.model import JobSpec, Receipt
from icn.kernel.ids import Cid, Did, JobId
from icn.services import rows
from icn.services.work import UnitOfWork

DETAIL_CHARS_MAX = 512
"""Of what an outcome tells people: a receipt stands in records."""


def not_run(kind: ExitKind, detail: str) -> ExecutionOutcome:
    """The outcome of an execution that this node did not run."""
    return ExecutionOutcome(
        exit=kind,
        exit_code=0,
        output=b"",
        detail=detail,
        fuel_used=0,
        memory_peak_bytes=0,
        wall_ms=0,
        memory_growth_denied=0,
        table_growth_denied=0,
        profile="",
    )


def receipt_of(
    work: UnitOfWork,
    job: JobId,
    attempt: int,
    home: Did,
    spec: JobSpec,
    outcome: ExecutionOutcome,
    *,
    output: Cid | None,
) -> Receipt:
    """What this node says of an execution of its own. `output`: the name of what it gave, where that counts."""
    return Receipt(
        job=job,
        attempt=attempt,
        home=home,
        executor=work.did,
        spec=spec.cid,
        module=spec.module,
        output=output,
        exit=outcome.exit,
        exit_code=outcome.exit_code,
        fuel_used=outcome.fuel_used,
        memory_peak_bytes=outcome.memory_peak_bytes,
        wall_ms=outcome.wall_ms,
        memory_growth_denied=outcome.memory_growth_denied,
        table_growth_denied=outcome.table_growth_denied,
        profile=outcome.profile,
        detail=outcome.detail[:DETAIL_CHARS_MAX],
        finished_at=work.now,
        nonce=b"",
    )


def is_current(work: UnitOfWork, receipt: Receipt) -> bool:
    """Whether it answers the attempt under way, by one of its executors."""
    job = work.state.mesh.jobs.get(receipt.job)
    return job is not None and job.attempt == receipt.attempt and job.assignee(receipt.executor) is not None


def was_assigned(work: UnitOfWork, job_id: JobId, attempt: int, executor: Did) -> bool:
    """Whether this home ever gave that attempt to that executor: nothing else is evidence of anything."""
    mesh = work.state.mesh
    job = mesh.jobs.get(job_id) or mesh.touched.jobs.get(job_id)
    job = job or rows.JOBS.get(work.store, job_id.data)
    if job is None or job.home != work.did:
        return False
    failed = any((f.attempt, f.executor) == (attempt, executor) for f in job.failures)
    return failed or (job.attempt == attempt and job.assignee(executor) is not None)


def key_of(receipt: Receipt) -> bytes:
    """Marks a receipt as taken, so that one that comes again changes nothing."""
    return rows.receipt_taken_key(receipt.job, receipt.attempt, receipt.executor)
