"""Jobs that go wrong on a real node: they end with a reason, what was held comes back, and the node goes on."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.adapters.wasm.text import compile_text
from support.processes import Nodes, cli, ended_job

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WASI = '(import "wasi_snapshot_preview1" "{}" (func ${} {}))'
LOOP = '(module (func (export "run") (result i64) (loop (br 0)) i64.const 0))'
TRAP = '(module (func (export "run") (result i64) unreachable))'
FORBIDDEN = '(module (import "env" "open_door" (func)) (func (export "run") (result i64) i64.const 1))'
SOCKET = f"""(module {WASI.format("sock_open", "open", "(param i32 i32 i32) (result i32)")}
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0)))))"""
FLOOD = f"""(module {WASI.format("fd_write", "write", "(param i32 i32 i32 i32) (result i32)")}
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\00\\80\\00\\00")
  (func (export "_start")
    (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (br 0))))"""
EXIT = f"""(module {WASI.format("proc_exit", "exit", "(param i32)")}
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const 7))))"""
ANSWER = '(module (func (export "run") (result i64) i64.const 42))'
CUT_OFF = compile_text(ANSWER)[:-3]
RICH = ("federation.initial_grant=100000", "federation.mana_cap=100000")
"""For a guest that computes for most of a minute, so that it has not ended when its worker is killed."""
TICKS_OF_A_GUEST = 30
"""More than workers compute by themselves, once they are there."""


@pytest.fixture(scope="module")
def node(module_nodes: Nodes) -> NodeProcess:
    flags = ("--no-p2p", "--set", "mesh.bid_window_ms=20", "--set", "performance.max_concurrent_jobs=1")
    return module_nodes.start("executor", *flags)


def submit(node: NodeProcess, module: str | None, **more: Any) -> str:
    body = {"module": module, "max_price": 50, "fuel": 1_000_000, "wall_ms": 20_000} | more
    return str(node.ask("POST", "/mesh/submit", body)["job_id"])


def stored(node: NodeProcess, module: bytes) -> str:
    return str(node.ask("POST", "/dag/put", {"data": base64_of(module)})["cid"])


def available(node: NodeProcess) -> int:
    supply = node.ask("GET", "/mana/supply")
    assert supply["balanced"]
    assert supply["held"] == 0, "nothing stays held"
    return int(supply["available"])


@pytest.mark.parametrize(
    ("module", "more", "reason"),
    [
        (b"#!/bin/sh\nrm -rf /\n", {}, "refused"),
        (b"", {}, "refused"),
        (CUT_OFF, {}, "refused"),
        (compile_text(FORBIDDEN), {}, "refused"),
        (compile_text(SOCKET), {}, "refused"),
        (compile_text(LOOP), {}, "out_of_fuel"),
        (compile_text(TRAP), {}, "trapped"),
        (compile_text(FLOOD), {"output_bytes": 65_536}, "output_limit"),
        (compile_text(LOOP), {"fuel": 40_000_000_000, "max_price": 900, "wall_ms": 200}, "deadline"),
    ],
    ids=["a script", "nothing", "cut off", "import", "socket", "fuel", "trap", "flood", "endless loop"],
)
def test_a_job_that_fails_says_why_and_costs_nothing(
    node: NodeProcess, module: bytes, more: dict[str, Any], reason: str
) -> None:
    before = available(node)
    if reason == "deadline":
        more = more | {"fuel": 900_000_000}
    job = submit(node, stored(node, module), **more)
    done = ended_job(node, job)
    assert done["status"] == "failed", done
    assert any(reason in failure["reason"] for failure in done["failures"]), done
    assert done["reason"]
    assert done["paid"] in {0, None}
    if reason != "deadline":  # whoever runs it gets the same: once is enough
        assert len(done["failures"]) == 1
    assert available(node) == before
    assert node.call("GET", f"/mesh/jobs/{job}/output")[0] == 404
    assert node.call("POST", "/mesh/verify", {"job_id": job})[0] == 404
    wait_until("the sandbox to be free", lambda: node.ask("GET", "/status")["executor"]["running"] == 0)
    assert ended_job(node, submit(node, None, input_base64=base64_of(b"next"), fuel=1000))["status"] == "completed"


def test_a_guest_that_is_unhappy_has_run(node: NodeProcess) -> None:
    done = ended_job(node, submit(node, stored(node, compile_text(EXIT))))
    assert (done["status"], done["exit_code"]) == ("completed", 7)
    available(node)


def test_a_job_whose_module_nobody_has_fails(node: NodeProcess) -> None:
    before = available(node)
    absent = "bafkreiaqrho37obovmwkrgdhtdd5h6carbbdhdwty2vr6dqrvibl32dwkq"
    status, answer = node.call(
        "POST", "/mesh/submit", {"module": absent, "max_price": 50, "fuel": 1000, "deadline_seconds": 2}
    )
    if status == 202:
        assert ended_job(node, answer["job_id"])["status"] == "failed"
    else:
        assert 400 <= status < 500
    assert available(node) == before


def test_a_job_that_nobody_takes_ends_at_its_deadline(node: NodeProcess) -> None:
    before = available(node)
    job = submit(node, None, capabilities=["gpu"], deadline_seconds=1, fuel=1000)
    done = ended_job(node, job)
    assert done["status"] == "failed"
    assert done["reason"]
    assert available(node) == before


def test_a_job_that_is_cancelled_costs_nothing(node: NodeProcess) -> None:
    before = available(node)
    job = submit(node, stored(node, compile_text(LOOP)), fuel=900_000_000, max_price=900)
    assert node.ask("POST", f"/mesh/jobs/{job}/cancel")["status"] == "cancelled"
    assert ended_job(node, job)["status"] == "cancelled"
    wait_until("the sandbox to be free", lambda: node.ask("GET", "/status")["executor"]["running"] == 0)
    assert available(node) == before


def test_a_job_that_cannot_be_paid_is_refused(node: NodeProcess) -> None:
    before = available(node)
    status, problem = node.call("POST", "/mesh/submit", {"module": None, "max_price": 10**9, "fuel": 1000})
    assert (status, problem["code"][:7]) == (402, "ledger.")
    assert available(node) == before


CLI_CASES: list[tuple[list[str], Callable[[Any], bool]]] = [
    (["echo", "--input", "-"], lambda job: job["status"] == "completed"),
    (["answer.wat"], lambda job: job["status"] == "completed"),
    (["answer.wasm"], lambda job: job["status"] == "completed"),
]


@pytest.mark.parametrize(("arguments", "holds"), CLI_CASES, ids=["echo", "wat", "wasm"])
def test_a_job_by_the_cli(
    node: NodeProcess, tmp_path: Path, arguments: list[str], holds: Callable[[Any], bool]
) -> None:
    (tmp_path / "answer.wat").write_text(ANSWER)
    (tmp_path / "answer.wasm").write_bytes(compile_text(ANSWER))
    sent = cli(node, "mesh", "submit", *arguments, "--wait", "--output", "json", cwd=tmp_path)
    assert sent.code == 0, sent.err
    job = json.loads(sent.out.splitlines()[-1])
    assert holds(job)
    output = cli(node, "mesh", "output", job["job_id"], cwd=tmp_path)
    assert output.code == 0
    if arguments[0] != "echo":
        saved = cli(node, "mesh", "output", job["job_id"], "-o", "answer.bin", cwd=tmp_path)
        assert saved.code == 0
        assert (tmp_path / "answer.bin").read_bytes() == (42).to_bytes(8, "little")
    assert cli(node, "mesh", "verify", job["job_id"], cwd=tmp_path).code == 0


def test_a_job_that_fails_by_the_cli(node: NodeProcess, tmp_path: Path) -> None:
    (tmp_path / "trap.wat").write_text(TRAP)
    sent = cli(node, "mesh", "submit", "trap.wat", "--wait", cwd=tmp_path)
    assert sent.code == 1
    assert "trap" in sent.out + sent.err
    (tmp_path / "broken.wat").write_text("(module (func")
    broken = cli(node, "mesh", "submit", "broken.wat", cwd=tmp_path)
    assert broken.code == 1
    assert "not WebAssembly text" in broken.err
    for arguments in (("mesh", "jobs"), ("mana", "balance"), ("mana", "supply"), ("dag", "verify", "--deep")):
        told = cli(node, *arguments, cwd=tmp_path)
        assert told.code == 0, told.err


def test_rollbacks_are_told_as_the_guide_asks(node: NodeProcess, tmp_path: Path) -> None:
    told = cli(node, "events", "--type", "rollback", "--tail", "20", "--output", "json", cwd=tmp_path)
    assert told.code == 0, told.err
    found = told.json()["items"]
    assert found, "the jobs above failed"
    assert len(found) <= 20
    assert all(event["type"].endswith(".rollback") for event in found)
    assert node.ask("GET", "/events?type=rollback")["items"]


def _descendants(pid: int) -> dict[int, int]:
    """Processes that a process has begun, and those begun by them: how long each has computed, in clock ticks."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                child = int(stat.parent.name)
                found |= {child: int(fields[11]) + int(fields[12]), **_descendants(child)}
    return found


def test_an_executor_that_loses_its_workers_is_banned_and_rollbacks_tell_of_it(module_nodes: Nodes) -> None:
    wanted = ("mesh.bid_window_ms=20", "mesh.job_retry_count=1", "mesh.blacklist_after_failures=1", *RICH)
    node = module_nodes.start("shaky", "--no-p2p", *(flag for each in wanted for flag in ("--set", each)))
    before = available(node)
    assert node.process is not None
    parent = node.process.pid
    rested = sum(_descendants(parent).values())
    job = submit(node, stored(node, compile_text(LOOP)), fuel=40_000_000_000, max_price=40_000, wall_ms=60_000)
    wait_until("the guest to compute", lambda: sum(_descendants(parent).values()) > rested + TICKS_OF_A_GUEST)
    for pid in _descendants(parent):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    done = ended_job(node, job)
    assert done["reason"].startswith("the only attempt failed: worker_lost")
    assert [failure["blame"] for failure in done["failures"]] == ["at_once"]
    assert available(node) == before

    (rollback,) = cli(node, "events", "--type", "rollback", "--tail", "20", "--output", "json").json()["items"]
    assert (rollback["type"], rollback["event"]["job"], rollback["event"]["attempts"]) == ("mesh.rollback", job, 1)
    assert rollback["event"]["restored"] == 40_000
    assert node.ask("GET", "/events?type=rollback")["items"] == [rollback]

    listed = cli(node, "mesh", "blacklist")
    did = node.ask("GET", "/info")["did"]
    assert did in listed.out
    assert "worker_lost" in listed.out
    waiting = submit(node, None, input_base64=base64_of(b"waits"), fuel=1000)
    wait_until("it to wait", lambda: node.ask("GET", f"/mesh/jobs/{waiting}")["status"] == "bidding")
    node.kill()
    node.start()
    assert did in cli(node, "mesh", "blacklist").out, "a ban survives a kill"
    assert cli(node, "mesh", "blacklist", "--clear", did).code == 0
    assert ended_job(node, waiting)["status"] == "completed"
    assert "no executor is on the blacklist" in cli(node, "mesh", "blacklist").out
    assert cli(node, "mesh", "blacklist", "--clear", did).code == 5
