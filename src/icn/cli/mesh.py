"""`mesh`: jobs, from submission to a verified output. Waiting for one is in `waiting`,
following one in `watching`, how they look in `job_views`.
"""

import argparse
import base64
from pathlib import Path
from typing import Any

from icn.cli.answer import Document, unexpected
from icn.cli.arguments import Action, argument, cid, did, instant, job_id, positive
from icn.cli.blacklist import blacklist
from icn.cli.blocks import Line
from icn.cli.client import path_of
from icn.cli.dag import CODECS, expect_name, put_body
from icn.cli.endings import Ended, Exit
from icn.cli.events import say_how_to_go_on
from icn.cli.job_views import debts_view, executors_view, job_view, jobs_view, verification_view
from icn.cli.local_files import STREAM, read_content
from icn.cli.receiving import receive_as_json, receive_to, receive_to_output
from icn.cli.session import Session
from icn.cli.waiting import wait_for_end
from icn.kernel.errors import Invalid
from icn.kernel.ids import RAW, Cid
from icn.kernel.limits import KIB

BUILT_IN = "echo"
FUEL = 100_000_000
"""What a job gets when nobody says, by the API."""
DEADLINE_SECONDS = 300
"""By the API."""
INLINE_BYTES_MAX = 4 * KIB
"""A longer input is content of its own: specifications travel often, inputs once."""
RERUN_SECONDS = 3600.0
_LIMITS = {
    "fuel": "fuel",
    "memory": "memory_bytes",
    "tables": "table_elements",
    "wall_ms": "wall_ms",
    "output_max": "output_bytes",
    "deadline": "deadline_seconds",
    "redundancy": "redundancy",
    "max_price": "max_price",
}


def submit(session: Session, given: argparse.Namespace) -> Exit:
    """POST /mesh/submit, after POST /dag/put for what is a file here."""
    body: dict[str, Any] = {
        "module": _module(session, given.module),
        "args": getattr(given, "args", []),
    }
    body |= _input(session, given)
    body |= {field: getattr(given, name) for name, field in _LIMITS.items() if hasattr(given, name)}
    if hasattr(given, "capabilities"):
        body["capabilities"] = sorted(set(given.capabilities))
    to = _where_to(session, given)
    answer = session.write("/mesh/submit", body)
    submitted = answer.document()
    job = submitted.text("job_id")
    if not getattr(given, "wait", False):
        session.show(answer, lambda _: [Line(job)])
        session.world.say(f"{submitted.text('status')}; {submitted.value('held')} mana held")
        return Exit.DONE
    if session.as_json:
        session.show(answer, lambda _: [])
    else:
        session.world.say(f"{job} {submitted.text('status')}; {submitted.value('held')} mana held")
    ended = wait_for_end(session, job, seconds=getattr(given, "deadline", DEADLINE_SECONDS))
    outcome = ended.document()
    if to != STREAM:
        session.show(ended, job_view)
    if to is not None and outcome.text("status") == "completed":
        _hand_over(session, outcome, job, to)
    succeeded = outcome.text("status") == "completed" and outcome.value("exit_code") == 0
    if to == STREAM and not succeeded:
        session.world.say(f"{job} {outcome.text('status')}: {_why(outcome)}")
    return Exit.DONE if succeeded else Exit.REFUSED


def _where_to(session: Session, given: argparse.Namespace) -> str | None:
    """Where the output is to go, if it is asked for."""
    to: str | None = getattr(given, "output_file", None)
    if to is not None and not getattr(given, "wait", False):
        raise Ended(Exit.USAGE, "--output-file needs --wait", next_step="Or fetch it later with icn-cli mesh output.")
    if to == STREAM and session.as_json:
        raise Ended(Exit.USAGE, "JSON and the output cannot both go to standard output", next_step="Name a file.")
    return to


def _hand_over(session: Session, outcome: Document, job: str, to: str) -> None:
    path, named = path_of("mesh", "jobs", job, "output"), _output_named(outcome)
    if to == STREAM:
        receive_to_output(session, path, named)
    else:
        size = receive_to(session, path, named, to)
        session.world.say(f"{size} bytes of output in {to}")


def _why(outcome: Document) -> str:
    code = outcome.value("exit_code")
    return outcome.text("reason") or (f"exit code {code}" if code is not None else "no reason is given")


def _output_named(job: Document) -> Cid:
    """The CID of a completed job's output."""
    if job.value("output_cid") is None:
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            f"{job.text('job_id')} is {job.text('status')}: only a completed job has an output",
            code="mesh.no_receipt",
        )
    try:
        return Cid.parse(job.text("output_cid"))
    except Invalid as error:
        raise unexpected(f"'output_cid': {error}") from error


def jobs(session: Session, given: argparse.Namespace) -> Exit:
    """GET /mesh/jobs."""
    query = [(name, getattr(given, name, None)) for name in ("status", "since", "limit", "cursor")]
    payer = getattr(given, "payer", None)
    answer = session.client.get("/mesh/jobs", [*query, ("payer", None if payer is None else str(payer))])
    session.show(answer, jobs_view)
    say_how_to_go_on(session, answer.document())
    return Exit.DONE


def job(session: Session, given: argparse.Namespace) -> Exit:
    """GET /mesh/jobs/{id}."""
    session.show(session.client.get(path_of("mesh", "jobs", str(given.job))), job_view)
    return Exit.DONE


def output(session: Session, given: argparse.Namespace) -> Exit:
    """GET /mesh/jobs/{id}/output, held against the CID in the job's record as it comes."""
    job = str(given.job)
    named = _output_named(session.client.get(path_of("mesh", "jobs", job)).document())
    path = path_of("mesh", "jobs", job, "output")
    facts = {"job_id": job, "output_cid": str(named)}
    if (file := getattr(given, "file", None)) is not None:
        size = receive_to(session, path, named, file)
        session.show_own({**facts, "size": size, "file": file})
    elif session.as_json:
        receive_as_json(session, path, named, facts)
    else:
        receive_to_output(session, path, named)
    return Exit.DONE


def executors(session: Session, given: argparse.Namespace) -> Exit:
    """GET /mesh/executors."""
    answer = session.client.get("/mesh/executors", [(name, getattr(given, name, None)) for name in ("limit", "cursor")])
    session.show(answer, executors_view)
    say_how_to_go_on(session, answer.document())
    return Exit.DONE


def unsettled(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /mesh/unsettled."""
    session.show(session.client.get("/mesh/unsettled"), debts_view)
    return Exit.DONE


def cancel(session: Session, given: argparse.Namespace) -> Exit:
    """POST /mesh/jobs/{id}/cancel."""
    answer = session.write(path_of("mesh", "jobs", str(given.job), "cancel"), None)
    session.show(answer, lambda cancelled: [Line(f"{cancelled.text('job_id')} {cancelled.text('status')}")])
    return Exit.DONE


def verify(session: Session, given: argparse.Namespace) -> Exit:
    """POST /mesh/verify: the node checks the receipt's signature and runs the job again.

    With --receipt the file is verified here, without a node.
    """
    if hasattr(given, "receipt"):
        from icn.cli.receipts import verify_file

        if getattr(given, "job", None) is not None:
            raise Ended(Exit.USAGE, "a job and --receipt are both given", next_step="Leave one out.")
        return verify_file(session, given)
    if getattr(given, "job", None) is None:
        raise Ended(Exit.USAGE, "nothing to verify", next_step="Give a job's id, or --receipt FILE.")
    answer = session.client.ask("/mesh/verify", {"job_id": str(given.job)})
    verdict = answer.document()
    holds = verdict.truth("signature_ok") and verdict.truth("matches")
    session.show(answer, verification_view)
    return Exit.DONE if holds else Exit.NOT_FOUND_OR_UNVERIFIED


def _module(session: Session, named: str) -> str | None:
    """The CID of what was named, stored first where it is a file; None for the built-in."""
    if named == BUILT_IN:
        return None
    try:
        return str(Cid.parse(named))
    except Invalid:
        path = Path(named)
    content = read_content(named, session.world)
    if path.suffix == ".wat":
        content = _compiled(named, content)
    return _stored(session, content, "module")


def _compiled(name: str, source: bytes) -> bytes:
    from wasmtime import WasmtimeError

    from icn.adapters.wasm.text import compile_text

    try:
        return compile_text(source.decode())
    except (WasmtimeError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise Ended(Exit.REFUSED, f"{name} is not WebAssembly text: {why}", code="cli.not_wat") from error


def _input(session: Session, given: argparse.Namespace) -> dict[str, str]:
    if hasattr(given, "input") and hasattr(given, "input_cid"):
        raise Ended(Exit.USAGE, "--input and --input-cid are both given", next_step="Leave one out.")
    if hasattr(given, "input_cid"):
        return {"input_cid": str(given.input_cid)}
    if not hasattr(given, "input"):
        return {}
    content = read_content(given.input, session.world)
    if len(content) <= INLINE_BYTES_MAX:
        return {"input_base64": base64.b64encode(content).decode()}
    return {"input_cid": _stored(session, content, "input")}


def _stored(session: Session, content: bytes, part: str) -> str:
    answer = session.client.write(
        "/dag/put", put_body(content, "raw", pin=False, ttl=None), key=session.key_for(part)
    ).document()
    expect_name(answer.text("cid"), content, CODECS["raw"])
    return str(Cid.of(content, RAW))


_JOB = argument("job", metavar="JOB", type=job_id, help="its id")
_STATUSES = ("submitted", "bidding", "assigned", "executing", "completed", "failed", "cancelled")

ACTIONS = {
    "submit": Action(
        submit,
        (
            argument("module", metavar="MODULE", help=f"a CID, a .wasm or .wat file, or {BUILT_IN}, which is built in"),
            argument("--arg", dest="args", action="append", metavar="A", help="an argument of the module; repeatable"),
            argument("--input", metavar="FILE", help=f"its standard input; {STREAM} for ours"),
            argument("--input-cid", metavar="CID", type=cid, help="the same, stored before"),
            argument("--max-price", metavar="N", type=positive, help="mana per executor; default: what the node asks"),
            argument("--deadline", metavar="S", type=positive, help=f"give up after; default {DEADLINE_SECONDS}"),
            argument("--fuel", metavar="N", type=positive, help=f"instructions, about; default {FUEL}"),
            argument("--wall-ms", metavar="N", type=positive, help="milliseconds an execution may take"),
            argument("--memory", metavar="BYTES", type=positive, help="its linear memory"),
            argument("--tables", metavar="N", type=positive, help="elements per table"),
            argument("--output-max", metavar="BYTES", type=positive, help="what it may write"),
            argument("--redundancy", metavar="N", type=positive, help="executors that must agree; odd"),
            argument(
                "--capability",
                dest="capabilities",
                action="append",
                metavar="NAME",
                help="what an executor must offer; repeatable",
            ),
            argument(
                "--wait", action="store_true", help="wait for its end, telling how it goes; status 1 unless it succeeds"
            ),
            argument("--output-file", metavar="FILE", help=f"with --wait: write its output there; {STREAM} for ours"),
        ),
        writes=True,
    ),
    "jobs": Action(
        jobs,
        (
            argument("--status", choices=_STATUSES, help="only these"),
            argument("--payer", metavar="DID", type=did, help="only those that this one pays for"),
            argument("--since", metavar="TIME", type=instant, help="submitted then, or later"),
            argument("--limit", metavar="N", type=positive, help="at most so many, up to 500; default 50"),
            argument("--cursor", metavar="CURSOR", help="go on where an earlier page ended"),
        ),
    ),
    "job": Action(job, (_JOB,)),
    "output": Action(
        output, (_JOB, argument("-o", dest="file", metavar="FILE", help="write it there, not to standard output"))
    ),
    "executors": Action(
        executors,
        (
            argument("--limit", metavar="N", type=positive, help="at most so many, up to 500; default 50"),
            argument("--cursor", metavar="CURSOR", help="go on where an earlier page ended"),
        ),
    ),
    "unsettled": Action(unsettled, ()),
    "cancel": Action(cancel, (_JOB,), writes=True),
    "blacklist": Action(
        blacklist,
        (
            argument("--clear", metavar="DID", type=did, help="let this executor have jobs again, at once"),
            argument("--limit", metavar="N", type=positive, help="at most so many, up to 500; default 50"),
            argument("--cursor", metavar="CURSOR", help="go on where an earlier page ended"),
        ),
        writes=True,
    ),
    "verify": Action(
        verify,
        (
            argument("job", metavar="JOB", type=job_id, nargs="?", default=None, help="its id: the node runs it again"),
            argument(
                "--receipt", metavar="FILE", help="instead, a file of mesh receipt: verified here, without a node"
            ),
            argument("--module", metavar="FILE", help="with --receipt: the job's module, to run it again here"),
            argument("--input", metavar="FILE", help="with --receipt: its input, where the job names it by CID"),
        ),
        patience=RERUN_SECONDS,
    ),
}
