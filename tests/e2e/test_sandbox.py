"""The sandbox of a real node: no start with less than was asked for, no worker left behind."""

import os
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from node_process import NODE, NodeProcess, base64_of, wait_until

from icn.adapters.wasm.text import compile_text
from support.processes import Nodes, clean_environment, run
from support.resources import children_of, processor_ticks

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


def test_a_node_that_is_killed_leaves_no_worker_behind(nodes: Nodes) -> None:
    flags = ("--no-p2p", "--set", "mesh.bid_window_ms=20", "--set", "performance.max_concurrent_jobs=2")
    flags = (*flags, "--set", "mesh.price_per_million_fuel=0")
    node = nodes.start("killed", *flags)
    module = str(node.ask("POST", "/dag/put", {"data": base64_of(ENDLESS)})["cid"])
    asked: dict[str, Any] = {"module": module, "max_price": 50, "fuel": 2**53 - 1, "wall_ms": 3_600_000}
    node.ask("POST", "/mesh/submit", asked)
    workers = wait_until("a guest", lambda: computing(node))
    handles = [os.pidfd_open(pid) for pid in workers]
    node.kill()
    try:
        for handle in handles:
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            assert ended.poll(10_000), "a worker outlived its node"
    finally:
        for handle in handles:
            os.close(handle)
