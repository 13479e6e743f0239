"""A receipt as a file: kept from a node, and verified where there is none."""

import base64
import json
import queue
from dataclasses import replace
from pathlib import Path

import pytest

from icn.cli.endings import Exit
from icn.domain.mesh.execution import ExecutionRequest, ExitKind
from icn.domain.mesh.model import JobSpec, Receipt
from icn.domain.mesh.papers import seal_receipt
from icn.kernel.encoding import encode
from icn.kernel.fields import shape_of
from icn.kernel.ids import RAW, Cid
from support import builders
from support.cli_server import answer
from support.wasm_guests import compiled
from support.wasm_pool import pool

JOB = str(builders.job_id(builders.did(1)))
ADDS = '(module (func (export "run") (result i64) (i64.add (i64.const 40) (i64.const 2))))'

SPINS = '(module (func (export "run") (result i64) (loop (br 0)) (i64.const 0)))'


def written(path: Path, receipt: Receipt, spec: JobSpec | None) -> str:
    """The file of a receipt that executor 2 signed."""
    sealed = seal_receipt(receipt, builders.signer(2))
    body = {
        "format": "icn-receipt/1",
        "receipt_base64": base64.b64encode(sealed).decode(),
        "spec_base64": None if spec is None else base64.b64encode(encode(shape_of(JobSpec).to_map(spec))).decode(),
    }
    path.write_text(json.dumps(body))
    return str(path)


def of(spec: JobSpec, **changes: object) -> Receipt:
    return builders.receipt(2, 1, **{"spec": spec.cid, "module": spec.module, **changes})


def test_a_receipt_is_shown_and_kept_as_a_file(node, cli, tmp_path):
    sealed = seal_receipt(builders.receipt(2, 1), builders.signer(2))
    served = {
        "cid": str(Cid.of(sealed, RAW)),
        "job_id": JOB,
        "receipt_base64": base64.b64encode(sealed).decode(),
        "spec_base64": base64.b64encode(encode(shape_of(JobSpec).to_map(builders.spec()))).decode(),
        "receipt": {"exit": "completed", "fuel_used": 77},
        "records": [],
    }
    node.on("GET", f"/mesh/receipts/{JOB}", answer(served))
    assert "77" in cli("mesh", "receipt", JOB).text
    file = tmp_path / "receipt.json"
    ran = cli("mesh", "receipt", JOB, "-o", str(file))
    assert ran.status is Exit.DONE
    kept = json.loads(file.read_text())
    assert kept == {"format": "icn-receipt/1", **{name: served[name] for name in ("receipt_base64", "spec_base64")}}


def test_a_receipt_file_is_verified_without_a_node_as_far_as_its_signature_goes(alone, tmp_path):
    spec = builders.spec(module=builders.cid("module"))
    ran = alone("mesh", "verify", "--receipt", written(tmp_path / "r", of(spec), spec))
    assert ran.status is Exit.DONE
    assert "signature" in ran.text
    assert "no: give --module FILE" in ran.text
    assert str(builders.did(2)) in ran.text


@pytest.mark.parametrize("spec", [None, builders.spec(arguments=("another",))])
def test_a_file_without_the_specification_that_was_signed_does_not_verify(alone, tmp_path, spec):
    ran = alone("mesh", "verify", "--receipt", written(tmp_path / "r", of(builders.spec()), spec))
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "MISSING OR ANOTHER ONE" in ran.text


def test_a_receipt_that_was_changed_does_not_verify(alone, tmp_path):
    file = tmp_path / "r"
    written(file, of(builders.spec()), builders.spec())
    body = json.loads(file.read_text())
    sealed = bytearray(base64.b64decode(body["receipt_base64"]))
    sealed[-1] ^= 1
    file.write_text(json.dumps({**body, "receipt_base64": base64.b64encode(sealed).decode()}))
    ran = alone("mesh", "verify", "--receipt", str(file))
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "signature" in ran.err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "icn-receipt/9"}', '{"format": "icn-receipt/1"}'])
def test_what_is_no_receipt_file_is_refused(alone, tmp_path, content):
    (tmp_path / "r").write_text(content)
    ran = alone("mesh", "verify", "--receipt", str(tmp_path / "r"))
    assert ran.status is Exit.REFUSED
    assert "no receipt file" in ran.err


def test_a_job_or_a_file_but_not_both_and_not_neither(alone, tmp_path):
    assert alone("mesh", "verify").status is Exit.USAGE
    assert alone("mesh", "verify", JOB, "--receipt", "r").status is Exit.USAGE


def test_a_module_that_is_another_one_is_not_run(alone, tmp_path):
    spec = builders.spec(module=builders.cid("module"))
    (tmp_path / "m").write_bytes(b"another")
    file = written(tmp_path / "r", of(spec), spec)
    ran = alone("mesh", "verify", "--receipt", file, "--module", str(tmp_path / "m"))
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "is not the module of the job" in ran.err


@pytest.mark.slow
def test_with_its_module_and_input_the_job_is_run_again_here(alone, tmp_path):
    module, given = compiled(ADDS), b"an input by name"
    spec = builders.spec(
        module=Cid.of(module, RAW),
        input=b"",
        input_cid=Cid.of(given, RAW),
        limits=builders.limits(fuel=1_000_000, memory_bytes=1 << 20, wall_ms=5_000),
    )
    job = builders.job_id(builders.did(1))
    request = ExecutionRequest(
        job=job, attempt=7, module=spec.module, arguments=spec.arguments, input=given, limits=spec.limits
    )
    with pool(tmp_path / "cache") as executor:
        ended = queue.Queue(maxsize=1)
        executor.submit(request, module, lambda _, outcome: ended.put(outcome))
        outcome = ended.get(timeout=60)
    assert outcome.exit is ExitKind.COMPLETED
    honest = of(
        spec,
        output=Cid.of(outcome.output, RAW),
        fuel_used=outcome.fuel_used,
        exit_code=outcome.exit_code,
        profile=outcome.profile,
    )
    (tmp_path / "m").write_bytes(module)
    (tmp_path / "i").write_bytes(given)
    rest = ("--module", str(tmp_path / "m"), "--input", str(tmp_path / "i"))
    ran = alone("mesh", "verify", "--receipt", written(tmp_path / "r", honest, spec), *rest)
    assert ran.status is Exit.DONE, ran.err
    assert "matches" in ran.text
    for lie in (replace(honest, output=builders.cid("wrong")), replace(honest, fuel_used=honest.fuel_used + 1)):
        ran = alone("mesh", "verify", "--receipt", written(tmp_path / "r", lie, spec), *rest, "--output", "json")
        assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
        assert json.loads(ran.out)["matches"] is False
    without = alone("mesh", "verify", "--receipt", str(tmp_path / "r"), *rest[:2])
    assert without.status is Exit.USAGE
    assert "--input" in without.err


@pytest.mark.slow
def test_a_machine_that_is_too_slow_for_the_job_refutes_nothing(alone, tmp_path):
    module = compiled(SPINS)
    limits = builders.limits(fuel=2**50, memory_bytes=1 << 20, wall_ms=50)
    spec = builders.spec(module=Cid.of(module, RAW), limits=limits)
    (tmp_path / "m").write_bytes(module)
    file = written(tmp_path / "r", of(spec), spec)
    ran = alone("mesh", "verify", "--receipt", file, "--module", str(tmp_path / "m"), "--output", "json")
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED, "nor is it confirmed"
    said = json.loads(ran.out)
    assert (said["reexecuted"]["exit"], said["matches"], said["comparable"]) == ("deadline", None, False)
    ran = alone("mesh", "verify", "--receipt", file, "--module", str(tmp_path / "m"))
    assert "proves nothing: it ended here with deadline" in ran.text
