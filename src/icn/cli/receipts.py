"""`mesh receipt`, and verifying a receipt without a node: signature, content, and the job itself, run again here.

A receipt file is JSON: the sealed receipt, and the specification that it names. Nothing in it has to be believed, for
the receipt is signed and names the specification, and the specification names module and input.
"""

import argparse
import base64
import json
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icn.cli.arguments import Action, argument, job_id
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.client import path_of
from icn.cli.endings import Ended, Exit
from icn.cli.local_files import read_content, write_file
from icn.cli.session import Session

if TYPE_CHECKING:
    from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
    from icn.domain.mesh.model import JobSpec, Receipt

FORMAT = "icn-receipt/1"
RERUN_SECONDS = 3600.0


def receipt(session: Session, given: argparse.Namespace) -> Exit:
    """GET /mesh/receipts/{cid}, of the receipt that completed a job; with -o as a file that anybody can verify."""
    answer = session.client.get(path_of("mesh", "receipts", str(given.job)))
    found = answer.document()
    if (file := getattr(given, "file", None)) is None:
        session.show(answer, lambda shown: [Facts([*_of(shown.part("receipt").facts()), ("cid", shown.value("cid"))])])
        return Exit.DONE
    body = {
        "format": FORMAT,
        "receipt_base64": found.text("receipt_base64"),
        "spec_base64": found.value_or_none("spec_base64"),
    }
    write_file(file, (json.dumps(body, indent=1) + "\n").encode())
    session.show_own({"job_id": str(given.job), "receipt_cid": found.text("cid"), "file": file})
    return Exit.DONE


def verify_file(session: Session, given: argparse.Namespace) -> Exit:
    """Check a receipt file without any node: what it says, who signed it, and what running it again gives."""
    said, spec = _read(session, given.receipt)
    facts: dict[str, Any] = {
        "job_id": str(said.job),
        "attempt": said.attempt,
        "executor": str(said.executor),
        "home": str(said.home),
        "signature_ok": True,  # it was opened, which takes a signature that holds
        "spec_ok": spec is not None,
        "receipt": _result(said.output, said.fuel_used, said.exit.value, said.exit_code, said.profile),
        "reexecuted": None,
        "matches": None,
        "comparable": None,
    }
    request = None if spec is None else _request(session, given, said, spec)
    if request is not None:
        again = _run(*request)
        output = _output_of(again)
        facts["reexecuted"] = _result(output, again.fuel_used, again.exit.value, again.exit_code, again.profile)
        # What ended by an accident of one machine, such as its slowness, says nothing of the other.
        by_accident = not (again.exit.repeatable and said.exit.repeatable)
        facts["comparable"] = again.profile == said.profile and not by_accident
        facts["matches"] = (output, again.fuel_used, again.exit, again.exit_code) == (
            said.output,
            said.fuel_used,
            said.exit,
            said.exit_code,
        )
        if by_accident:
            facts["matches"] = None
    if session.as_json:
        session.show_own(facts)
    else:
        from icn.cli.render import render

        render(_verdict(facts), session.world)
    is_confirmed = facts["matches"] if request is not None else spec is not None
    return Exit.DONE if is_confirmed else Exit.NOT_FOUND_OR_UNVERIFIED


def _read(session: Session, name: str) -> "tuple[Receipt, JobSpec | None]":
    """The receipt and its specification; None where the file holds none, or another one. Raises `Ended`."""
    from icn.domain.mesh.model import JobSpec
    from icn.domain.mesh.papers import open_receipt
    from icn.kernel.encoding import decode
    from icn.kernel.errors import Invalid
    from icn.kernel.fields import shape_of

    content = read_content(name, session.world)
    try:
        body = json.loads(content)
        if body["format"] != FORMAT:
            raise ValueError(f"its format is {str(body['format'])[:40]!r}, not {FORMAT!r}")
        sealed = base64.b64decode(body["receipt_base64"], validate=True)
        encoded = None if body["spec_base64"] is None else base64.b64decode(body["spec_base64"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise Ended(Exit.REFUSED, f"{name} is no receipt file: {error}", code="cli.not_a_receipt") from error
    try:
        said = open_receipt(sealed)
        spec = None if encoded is None else shape_of(JobSpec).from_map(decode(encoded))
    except Invalid as error:
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED, f"{name} does not hold: {error}", code="cli.receipt_invalid"
        ) from error
    return said, spec if encoded is not None and said.spec.names(encoded) else None


def _request(
    session: Session, given: argparse.Namespace, said: "Receipt", spec: "JobSpec"
) -> "tuple[ExecutionRequest, bytes] | None":
    """What is to be run; None where its module was not given. Raises `Ended` for a file that is another one."""
    from icn.domain.mesh.execution import ExecutionRequest

    module = b""
    if spec.module is not None:
        if not hasattr(given, "module"):
            return None
        module = _named(session, given.module, spec.module, "module")
    data = spec.input
    if spec.input_cid is not None:
        if not hasattr(given, "input"):
            raise Ended(
                Exit.USAGE, f"the job's input {spec.input_cid} is needed to run it", next_step="Give --input FILE."
            )
        data = _named(session, given.input, spec.input_cid, "input")
    request = ExecutionRequest(
        job=said.job,
        attempt=said.attempt,
        module=spec.module,
        arguments=spec.arguments,
        input=data,
        limits=spec.limits,
    )
    return request, module


def _named(session: Session, file: str, cid: Any, what: str) -> bytes:
    content = read_content(file, session.world)
    if not cid.names(content):
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            f"{file} is not the {what} of the job, which is {cid}",
            code="cli.hash_mismatch",
        )
    return content


def _run(request: "ExecutionRequest", module: bytes) -> "ExecutionOutcome":
    """In a sandbox of this process's own, sealed as a node's is."""
    import queue

    from icn.adapters.wasm.cache import KEY_BYTES, ModuleCache
    from icn.adapters.wasm.pool import WorkerPool
    from icn.adapters.wasm.profile import profile
    from icn.adapters.wasm.settings import SandboxSettings

    settings = SandboxSettings(workers=1)
    ended: queue.Queue[ExecutionOutcome] = queue.Queue(maxsize=1)
    with tempfile.TemporaryDirectory(prefix="icn-verify-") as folder:
        key = secrets.token_bytes(KEY_BYTES)
        cache = ModuleCache(Path(folder), key=key, bytes_max=settings.cache_bytes_max, profile=profile())
        pool = WorkerPool(settings, cache)
        try:
            pool.isolation()  # a sandbox that is not sealed as asked for runs nothing, and says so
            pool.submit(request, module, lambda _, outcome: ended.put(outcome))
            return ended.get(timeout=RERUN_SECONDS)
        finally:
            pool.close()


def _output_of(outcome: "ExecutionOutcome") -> Any:
    from icn.domain.mesh.execution import ExitKind
    from icn.kernel.ids import RAW, Cid

    return Cid.of(outcome.output, RAW) if outcome.exit is ExitKind.COMPLETED else None


def _result(output: Any, fuel: int, kind: str, code: int, profile: str) -> dict[str, Any]:
    return {
        "output_cid": None if output is None else str(output),
        "fuel_used": fuel,
        "exit": kind,
        "exit_code": code,
        "profile": profile,
    }


def _of(facts: Any) -> list[tuple[str, Any]]:
    return [(name.replace("_", " "), value) for name, value in facts]


def _verdict(facts: dict[str, Any]) -> list[Block]:
    again = facts["reexecuted"] or {}
    rows = [[name.replace("_", " "), facts["receipt"][name], again.get(name)] for name in facts["receipt"]]
    unknown = f"proves nothing: it ended here with {again['exit']}" if again else "no: give --module FILE"
    matches = {True: "matches", False: "DOES NOT MATCH", None: unknown}[facts["matches"]]
    if not facts["spec_ok"]:
        matches = "no: the file does not hold the specification that the receipt names"
    return [
        Facts(
            [
                *((name.replace("_", " "), facts[name]) for name in ("job_id", "attempt", "executor", "home")),
                ("signature", "valid"),
                ("specification", "the one that was signed" if facts["spec_ok"] else "MISSING OR ANOTHER ONE"),
                ("run again", matches),
                ("comparable", facts["comparable"]),
            ]
        ),
        Table([Column(""), Column("RECEIPT", Show.SHORT), Column("RUN AGAIN", Show.SHORT)], rows, when_empty=""),
    ]


ACTIONS = {
    "receipt": Action(
        receipt,
        (
            argument("job", metavar="JOB", type=job_id, help="its id"),
            argument("-o", dest="file", metavar="FILE", help="write it there, for mesh verify --receipt"),
        ),
    )
}
