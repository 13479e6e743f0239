"""Jobs and receipts."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from icn.domain.mesh.execution import ExitKind, Limits
from icn.domain.mesh.model import JobSpec
from icn.http.bodies import JobIdBody, JobsQuery, SubmitBody, decoded
from icn.http.dag import fetched
from icn.http.operations import Call, Operation, paged, shown
from icn.kernel.ids import Cid, JobId
from icn.kernel.instant import later, seconds
from icn.kernel.mana import mana
from icn.services.commands import Cancel, Submit
from icn.services.queries import jobs
from icn.services.queries.jobs import JobLine, JobView, SealedReceipt

BUILT_IN = "echo"
"""The job that needs no module: its output is its input."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was taken."""

    job_id: JobId
    status: str
    held: int
    block: Cid


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A job that was given up."""

    job_id: JobId
    status: str
    block: Cid


@dataclass(frozen=True, slots=True)
class Run:
    """What an execution gave."""

    output_cid: Cid | None
    fuel_used: int
    exit: ExitKind
    exit_code: int
    profile: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A receipt beside what this node got from the same job."""

    job_id: JobId
    signature_ok: bool
    reexecuted: Run
    receipt: Run
    matches: bool
    """Output, exit and fuel are the same."""
    comparable: bool
    """Both ran under one execution profile; otherwise fuel may differ between honest nodes."""


async def submit(call: Call) -> Response:
    """Open a job, paid from the caller's account."""
    body = call.body(SubmitBody)
    given = b"" if body.input_base64 is None else await asyncio.to_thread(decoded, body.input_base64)
    spec = JobSpec(
        module=None if body.module in {None, BUILT_IN} else Cid.parse(body.module or ""),
        arguments=tuple(body.args),
        input=b"",
        input_cid=None if body.input_cid is None else Cid.parse(body.input_cid),
        limits=Limits(
            fuel=body.fuel,
            memory_bytes=body.memory_bytes,
            table_elements=body.table_elements,
            wall_ms=body.wall_ms,
            output_bytes=body.output_bytes,
        ),
        max_price=mana(body.max_price),
        capabilities=tuple(sorted(dict.fromkeys(body.capabilities))),
        deadline=later(call.node.now(), seconds(body.deadline_seconds)),
        redundancy=body.redundancy,
    )
    return await call.submit(Submit(spec, given), HTTPStatus.ACCEPTED)


async def listed(call: Call) -> Response:
    """Jobs, newest first."""
    query = call.query(JobsQuery)
    return paged(
        await call.read_aside(
            lambda reader: jobs.jobs(reader, status=query.status, limit=query.limit, cursor=query.cursor)
        )
    )


async def one(call: Call) -> Response:
    """Everything about a job."""
    job_id = _job(call)
    with call.committed() as reader:
        return shown(jobs.job(reader, job_id))


async def output(call: Call) -> Response:
    """A completed job's output, fetched from a peer if it is not here."""
    job_id = _job(call)
    with call.committed() as reader:
        cid = jobs.output_cid(reader, job_id)
    found = await fetched(call, cid)
    if isinstance(found, Response):
        return found
    return Response(found.data, media_type="application/octet-stream", headers={"x-content-cid": str(cid)})


async def cancel(call: Call) -> Response:
    """Give up a job. What was held for it goes back."""
    return await call.submit(Cancel(_job(call)))


async def receipt(call: Call) -> Response:
    """The sealed receipt that completed a job."""
    job_id = _job(call)
    with call.committed() as reader:
        return shown(jobs.receipt(reader, job_id))


async def verify(call: Call) -> Response:
    """Check a receipt's signature and run its job again here."""
    job_id = JobId.parse(call.body(JobIdBody).job_id)
    with call.committed() as reader:
        said = jobs.receipt(reader, job_id).receipt  # opening it verified the signature
    again = await call.node.reexecute(job_id)
    ours = Run(again.output_cid, again.fuel_used, again.exit, again.exit_code, again.profile)
    theirs = Run(said.output, said.fuel_used, said.exit, said.exit_code, said.profile)
    same = (ours.output_cid, ours.fuel_used, ours.exit, ours.exit_code) == (
        theirs.output_cid,
        theirs.fuel_used,
        theirs.exit,
        theirs.exit_code,
    )
    return shown(
        Verified(
            job_id,
            signature_ok=True,
            reexecuted=ours,
            receipt=theirs,
            matches=same,
            comparable=ours.profile == theirs.profile,
        )
    )


def _job(call: Call) -> JobId:
    return JobId.parse(call.path("job_id"))


OPERATIONS = (
    Operation(
        "POST",
        "/mesh/submit",
        submit,
        "Open a job",
        Submitted,
        status=HTTPStatus.ACCEPTED,
        body=SubmitBody,
        writes=True,
    ),
    Operation("GET", "/mesh/jobs", listed, "Jobs, newest first", JobLine, query=JobsQuery),
    Operation("GET", "/mesh/jobs/{job_id}", one, "Everything about a job", JobView),
    Operation(
        "GET",
        "/mesh/jobs/{job_id}/output",
        output,
        "A completed job's output",
        {"type": "string", "format": "binary"},
        media_type="application/octet-stream",
    ),
    Operation("POST", "/mesh/jobs/{job_id}/cancel", cancel, "Give up a job", Cancelled, writes=True),
    Operation("GET", "/mesh/receipts/{job_id}", receipt, "The receipt that completed a job", SealedReceipt),
    Operation("POST", "/mesh/verify", verify, "Check a receipt and run its job again", Verified, body=JobIdBody),
)
