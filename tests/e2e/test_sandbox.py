"""The sandbox of a real node: no start with less than was asked for, no worker left behind."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from node_process import NODE, NodeProcess, base64_of, wait_until

from icn.adapters.wasm.text import compile_text
from support.processes import Nodes, clean_environment, ended_job, run
from support.resources import children_of, handle, has_ended, processor_ticks

pytestmark = pytest.mark.slow

ENDLESS = compile_text('(module (func (export "run") (result i64) (loop (br 0)) i64.const 0))')
WITHOUT_NAMESPACES = 'for kind in mnt user net; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done && exec "$@"'


def in_a_container(*flags: str) -> list[str]:
    """The command for `icn-node` where no further namespace is to be had, as in many containers; a minute at most."""
    unshare, timeout = shutil.which("unshare"), shutil.which("timeout")
    assert unshare
    assert timeout
    inside = (unshare, "-Ur", "sh", "-c", WITHOUT_NAMESPACES, "sh", timeout, "60", str(NODE))
    where = ("--no-p2p", "--no-metrics", "--http-listen-addr", "127.0.0.1:0", "--environment", "development")
    return [*inside, *where, "--set", "logging.format=text", *flags]


def test_a_weaker_sandbox_than_was_asked_for_stops_the_start(tmp_path: Path) -> None:
    program, *arguments = in_a_container("--set", "executor.isolation=full")
    ended = run(Path(program), *arguments, cwd=tmp_path)
    assert ended.code == 78, ended.err
    assert "executor.isolation" in ended.err
    assert "empty_root" in ended.err
    assert '"limits"' in ended.err


def test_what_a_worker_is_not_sealed_with_is_said_at_the_start(tmp_path: Path) -> None:
    command = in_a_container()
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE, text=True) as node:
        assert node.stderr is not None
        line = next((line for line in node.stderr if "sealed_with" in line), "")
        node.terminate()
        node.stderr.read()
    assert "warning" in line
    assert "seccomp" in line.partition("without")[0]
    assert "empty_root" in line.partition("without")[2]


def computing(node: NodeProcess) -> set[int] | None:
    """The workers, once one of them has run a guest for a while."""
    workers = children_of(node.process.pid)
    return workers if len(workers) >= 2 and max(map(processor_ticks, workers)) > 100 else None


FREE_OF_CHARGE = ("--no-p2p", "--set", "mesh.bid_window_ms=20", "--set", "mesh.price_per_million_fuel=0")


def submit_endless(node: NodeProcess) -> str:
    """A job with fuel for months."""
    module = str(node.ask("POST", "/dag/put", {"data": base64_of(ENDLESS)})["cid"])
    asked: dict[str, Any] = {"module": module, "max_price": 50, "fuel": 2**53 - 1, "wall_ms": 3_600_000}
    return str(node.ask("POST", "/mesh/submit", asked)["job_id"])


def test_a_node_that_is_killed_leaves_no_worker_behind(nodes: Nodes) -> None:
    node = nodes.start("killed", *FREE_OF_CHARGE, "--set", "performance.max_concurrent_jobs=2")
    submit_endless(node)
    with contextlib.ExitStack() as open_handles:
        workers = [open_handles.enter_context(handle(pid)) for pid in wait_until("a guest", lambda: computing(node))]
        node.kill()
        assert all(map(has_ended, workers)), "a worker outlived its node"


def test_a_killed_worker_is_a_failed_attempt_and_cancelling_ends_the_next(nodes: Nodes) -> None:
    node = nodes.start("robbed", *FREE_OF_CHARGE, "--set", "performance.max_concurrent_jobs=2")
    job = submit_endless(node)
    busiest = max(wait_until("a guest", lambda: computing(node)), key=processor_ticks)
    os.kill(busiest, signal.SIGKILL)

    def failed_once() -> dict[str, Any] | None:
        found: dict[str, Any] = node.ask("GET", f"/mesh/jobs/{job}")
        return found if found["failures"] else None

    found = wait_until("a failed attempt", failed_once)
    assert found["status"] not in {"failed", "completed"}, "an accident is not the job's end"
    assert "worker_lost" in found["failures"][0]["reason"]
    wait_until("the next attempt", lambda: computing(node))
    with contextlib.ExitStack() as open_handles:
        guest = open_handles.enter_context(handle(max(children_of(node.process.pid), key=processor_ticks)))
        node.ask("POST", f"/mesh/jobs/{job}/cancel")
        assert has_ended(guest), "a cancelled guest goes on"
    assert ended_job(node, job)["status"] == "cancelled"
