"""Jobs and receipts."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from icn.domain.mesh.execution import ExitKind, Limits
from icn.domain.mesh.model import JobSpec
from icn.http.bodies import JobIdBody, JobsQuery, PageQuery, SubmitBody, decoded
from icn.http.dag import fetched
from icn.http.following import STREAM, Feed, streamed
from icn.http.moments import instant_of
from icn.http.operations import Call, Operation, paged, shown, sliced
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import later, seconds
from icn.kernel.mana import mana
from icn.services.answers import Refused
from icn.services.commands import Cancel, LookAtJob, NoteMismatch, Submit
from icn.services.job_times import JobFigures
from icn.services.queries import events, job_progress, jobs, receipts
from icn.services.queries import executors as executor_queries
from icn.services.queries.events import BEGINNING, EventFilter, EventView, Position
from icn.services.queries.executors import ExecutorView, Present
from icn.services.queries.job_progress import JobMoment, JobProgress
from icn.services.queries.jobs import JobFilter, JobLine, JobView, OpenJobs
from icn.services.queries.receipts import ReceiptView
from icn.services.queries.unsettled import Debts, debts
from icn.services.rechecking import output_of
from icn.stores.kv import Reader

BUILT_IN = "echo"
"""The job that needs no module: its output is its input."""
JOB_PREFIX = "job-"
"""How the id of a job begins, and no CID."""


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
    """Both ran under one execution profile, without which fuel may differ between honest nodes, and neither ended by an
    accident of its machine, such as its slowness."""
    disputed: bool
    """This node has recorded a dispute about the receipt, now or before, with its own signed receipt."""


@dataclass(frozen=True, slots=True)
class Places:
    """This node as an executor."""

    capacity: int
    running: int


@dataclass(frozen=True, slots=True)
class MeshFigures:
    """Jobs in figures, for people and programs without a Prometheus."""

    open: OpenJobs
    """On every home this node knows."""
    own: JobFigures
    """Of this home, since the process began."""
    executor: Places
    queue_depth: int
    """Inputs that wait for the writer."""


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
        max_price=mana(body.max_price or 1),
        capabilities=tuple(sorted(dict.fromkeys(body.capabilities))),
        deadline=later(call.node.now(), seconds(body.deadline_seconds)),
        redundancy=body.redundancy,
    )
    return await call.submit(Submit(spec, given, by_own_rates=body.max_price is None), HTTPStatus.ACCEPTED)


async def listed(call: Call) -> Response:
    """Jobs, newest first."""
    query = call.query(JobsQuery)
    wanted = JobFilter(
        status=query.status,
        payer=None if query.payer is None else Did.parse(query.payer),
        since=None if query.since is None else instant_of("since", query.since),
    )
    return paged(
        await call.read_aside(lambda reader: jobs.jobs(reader, wanted, limit=query.limit, cursor=query.cursor))
    )


async def one(call: Call) -> Response:
    """Everything about a job."""
    job_id = _job(call)
    return shown(await call.read_aside(lambda reader: jobs.job(reader, job_id)))


async def progress(call: Call) -> Response:
    """How far a job is: its phase, what it waits for, what became of its attempts."""
    job_id = _job(call)
    answer = await call.node.submit(
        LookAtJob(job_id), principal=call.principal, key="", digest=b"", correlation=call.correlation
    )
    if isinstance(answer, Refused):
        return call.refuse(answer)
    moment = JobMoment(**answer.body) if answer.body else None
    now = call.node.now()
    return shown(await call.read_aside(lambda reader: job_progress.progress(reader, job_id, now=now, moment=moment)))


async def stream(call: Call) -> Response:
    """What is recorded of a job, from its beginning, or behind `Last-Event-ID`, to its end, as server-sent events."""
    job_id = _job(call)
    named = call.request.headers.get("last-event-id")
    after = BEGINNING if named is None else events.position(named)

    def start(reader: Reader) -> tuple[Position, tuple[EventView, ...]]:
        jobs.line(reader, job_id)  # refused where there is no such job
        return events.known(reader, after), ()

    def end(reader: Reader) -> JobLine | None:
        line = jobs.line(reader, job_id)
        return line if line.status.has_ended else None

    return await streamed(call, Feed(EventFilter(job=job_id), start, end))


async def output(call: Call) -> Response:
    """A completed job's output, fetched from a peer if it is not here."""
    job_id = _job(call)
    with call.committed() as reader:
        cid = jobs.output_cid(reader, job_id)
    found = await fetched(call, cid)
    if isinstance(found, Response):
        return found
    return sliced(found.data, "application/octet-stream", {"x-content-cid": str(cid)})


async def cancel(call: Call) -> Response:
    """Give up a job. What was held for it goes back."""
    return await call.submit(Cancel(_job(call)))


async def receipt(call: Call) -> Response:
    """A sealed receipt by its name, or by the job that it completed."""
    named = call.path("cid")
    if named.startswith(JOB_PREFIX):
        job_id = JobId.parse(named)
        return shown(await call.read_aside(lambda reader: receipts.receipt_of_job(reader, job_id)))
    cid = Cid.parse(named)
    return shown(await call.read_aside(lambda reader: receipts.receipt(reader, cid)))


async def executors(call: Call) -> Response:
    """Who executes jobs, as far as this node knows."""
    query = call.query(PageQuery)
    live = call.node.live()
    connected = tuple(peer.did for peer in call.node.peers().items)
    present = Present(call.node.did, live.executor_capacity, live.executing_peers, connected)
    return paged(
        await call.read_aside(
            lambda reader: executor_queries.executors(reader, present, limit=query.limit, cursor=query.cursor)
        )
    )


async def owed(call: Call) -> Response:
    """Receipts of this node that their homes have not recorded."""
    terms, now = call.node.facts.executor, call.node.now()
    return shown(await call.read_aside(lambda reader: debts(reader, terms, now)))


async def figures(call: Call) -> Response:
    """Jobs by state and outcome, how long each phase takes, and what waits."""
    live = call.node.live()
    places = Places(live.executor_capacity, live.executor_running)
    under_way = await call.read_aside(jobs.open_jobs)
    return shown(MeshFigures(under_way, call.node.metrics.jobs(), places, live.queue_depth))


async def verify(call: Call) -> Response:
    """Check a receipt's signature and run its job again here. What does not match is disputed, with both receipts."""
    job_id = JobId.parse(call.body(JobIdBody).job_id)
    with call.committed() as reader:
        sealed = jobs.receipt(reader, job_id)  # opening it verified the signature
    said = sealed.receipt
    again = await call.node.reexecute(job_id)
    ours = Run(output_of(again), again.fuel_used, again.exit, again.exit_code, again.profile)
    theirs = Run(said.output, said.fuel_used, said.exit, said.exit_code, said.profile)
    same = (ours.output_cid, ours.fuel_used, ours.exit, ours.exit_code) == (
        theirs.output_cid,
        theirs.fuel_used,
        theirs.exit,
        theirs.exit_code,
    )
    disputed = False
    if not same:
        note = NoteMismatch(job_id, sealed.receipt_base64, again)
        answer = await call.node.submit(
            note, principal=call.principal, key="", digest=b"", correlation=call.correlation
        )
        if isinstance(answer, Refused):
            return call.refuse(answer)
        disputed = bool(answer.body["disputed"])
    return shown(
        Verified(
            job_id,
            signature_ok=True,
            reexecuted=ours,
            receipt=theirs,
            matches=same,
            comparable=ours.profile == theirs.profile and again.exit.repeatable and said.exit.repeatable,
            disputed=disputed,
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
    Operation("GET", "/mesh/jobs/{job_id}/progress", progress, "How far a job is", JobProgress),
    Operation(
        "GET",
        "/mesh/jobs/{job_id}/stream",
        stream,
        "A job's records as server-sent events, to its end; resumes behind Last-Event-ID",
        {"type": "string", "format": "event-stream"},
        media_type=STREAM,
    ),
    Operation(
        "GET",
        "/mesh/jobs/{job_id}/output",
        output,
        "A completed job's output",
        {"type": "string", "format": "binary"},
        media_type="application/octet-stream",
    ),
    Operation("POST", "/mesh/jobs/{job_id}/cancel", cancel, "Give up a job", Cancelled, writes=True),
    Operation("GET", "/mesh/executors", executors, "Who executes jobs", ExecutorView, query=PageQuery),
    Operation("GET", "/mesh/unsettled", owed, "Receipts that homes have not recorded", Debts),
    Operation("GET", "/mesh/metrics", figures, "Jobs in figures", MeshFigures),
    Operation("GET", "/mesh/receipts/{cid}", receipt, "A receipt by name, or by the job it completed", ReceiptView),
    Operation("POST", "/mesh/verify", verify, "Check a receipt and run its job again", Verified, body=JobIdBody),
)
