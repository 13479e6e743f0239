"""A node on a real cluster: the same jobs, receipts and figures as on one machine; places that follow the machines."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.adapters.wasm.text import compile_text
from support.processes import Nodes, ended_job, node_program
from support.ray_machines import RayMachines, ray_machines
from support.resources import handle, has_ended, processor_ticks

pytestmark = pytest.mark.slow

ANSWER = compile_text('(module (func (export "run") (result i64) i64.const 42))')
ENDLESS = compile_text('(module (func (export "run") (result i64) (loop (br 0)) i64.const 0))')
ALONE = (
    "--no-p2p",
    *("--set", "mesh.bid_window_ms=20"),
    *("--set", "mesh.price_per_million_fuel=0"),
    *("--set", "performance.max_concurrent_jobs=8"),
)
SETTLING_S = 90.0
SAME_FOR_ALL = ("exit", "exit_code", "fuel_used", "memory_peak_bytes", "module", "output", "profile")


def on_cluster(machines: RayMachines, address: str = "") -> tuple[str, ...]:
    """The flags of a node on the head."""
    tls, token = machines.head.tls, machines.head.folder / "token"
    token.write_text(machines.token)
    token.chmod(0o600)
    chosen = {
        "backend": "ray",
        "ray_address": address or machines.address,
        "ray_token_file": str(token),
        "ray_tls_cert_path": tls.certificate,
        "ray_tls_key_path": tls.key,
        "ray_tls_ca_path": tls.authority,
        "ray_cache_path": str(machines.head.folder / "modules"),
    }
    return tuple(word for name, value in chosen.items() for word in ("--set", f"executor.{name}={value}"))


@pytest.fixture(scope="module")
def machines() -> Iterator[RayMachines]:
    """The head runs; this thread, and so every node and every call, is on it."""
    with ray_machines() as made, ExitStack() as there:
        made.start_head()
        there.enter_context(made.head.machine.entered())
        yield made


@pytest.fixture(scope="module")
def node(machines: RayMachines, module_nodes: Nodes) -> NodeProcess:
    return module_nodes.start("clustered", *ALONE, *on_cluster(machines))


def submit(node: NodeProcess, module: bytes, **more: Any) -> str:
    cid = str(node.ask("POST", "/dag/put", {"data": base64_of(module)})["cid"])
    body = {"module": cid, "max_price": 50, "fuel": 1_000_000, "wall_ms": 20_000} | more
    return str(node.ask("POST", "/mesh/submit", body)["job_id"])


def places(node: NodeProcess) -> int:
    return int(node.ask("GET", "/status")["executor"]["capacity"])


def receipt_of(node: NodeProcess, job: str) -> dict[str, Any]:
    found = ended_job(node, job)
    assert found["status"] == "completed", found
    receipt: dict[str, Any] = found["receipt"]
    return receipt


def in_figures(node: NodeProcess, state: str) -> int:
    text = node.ask("GET", "/metrics").decode()
    (value,) = re.findall(rf'^icn_executor_places{{state="{state}"}} (\S+)$', text, re.MULTILINE)
    return int(float(value))


def guest_computing(machines: RayMachines) -> int:
    def look() -> int | None:
        return next((pid for pid in sorted(machines.head.guests()) if processor_ticks(pid) > 100), None)

    return wait_until("a guest", look, SETTLING_S)  # type: ignore[no-any-return] # not on mypy's path


def test_a_job_has_the_same_receipt_as_on_one_machine(machines: RayMachines, node: NodeProcess, nodes: Nodes) -> None:
    local = nodes.start("local", *ALONE)
    both = [receipt_of(one, submit(one, ANSWER)) for one in (node, local)]
    assert [both[0][name] for name in SAME_FOR_ALL] == [both[1][name] for name in SAME_FOR_ALL]
    assert places(node) == 2, "one for each processor of the head"
    assert places(local) == 8
    verified = node.ask("POST", "/mesh/verify", {"job_id": both[0]["job"]})
    assert verified["matches"], "re-executed on the cluster"


@pytest.mark.long
def test_places_follow_the_machines_in_bids_status_and_figures(machines: RayMachines, node: NodeProcess) -> None:
    machines.join()
    wait_until("four places", lambda: places(node) == 4, SETTLING_S)
    wait_until("four free places", lambda: in_figures(node, "free") == 4, SETTLING_S)
    jobs = [submit(node, ENDLESS, fuel=2**53 - 1, wall_ms=3_600_000) for _ in range(4)]
    wait_until("four jobs under way", lambda: in_figures(node, "in_use") == 4, SETTLING_S)
    wait_until("two guests there", lambda: len(machines.other.guests()) == 2)  # one more compiles, at first
    machines.other.kill()
    wait_until("two places", lambda: places(node) == 2, SETTLING_S)
    found = [node.ask("GET", f"/mesh/jobs/{job}")["status"] for job in jobs]
    assert not {"failed", "cancelled", "completed"} & set(found), "a machine that is lost is no job's end"
    for job in jobs:
        node.ask("POST", f"/mesh/jobs/{job}/cancel")
    assert {ended_job(node, job)["status"] for job in jobs} == {"cancelled"}


@pytest.mark.long
def test_a_lost_runner_is_a_failed_attempt_and_cancelling_ends_the_next(
    machines: RayMachines, node: NodeProcess
) -> None:
    job = submit(node, ENDLESS, fuel=2**53 - 1, wall_ms=3_600_000)
    with handle(guest_computing(machines)) as first:
        os.kill(machines.head.runner(), signal.SIGKILL)
        assert has_ended(first)
    found = wait_until("a failed attempt", lambda: node.ask("GET", f"/mesh/jobs/{job}")["failures"], SETTLING_S)
    assert "worker_lost" in found[0]["reason"]
    with handle(guest_computing(machines)) as second:
        node.ask("POST", f"/mesh/jobs/{job}/cancel")
        assert has_ended(second), "a cancelled guest goes on"
    assert ended_job(node, job)["status"] == "cancelled"


@pytest.mark.long
def test_a_node_that_is_killed_or_stopped_leaves_no_guest_on_the_cluster(
    machines: RayMachines, node: NodeProcess
) -> None:
    submit(node, ENDLESS, fuel=2**53 - 1, wall_ms=3_600_000)
    with handle(guest_computing(machines)) as guest:
        node.kill()
        assert has_ended(guest, within_s=20.0)
    node.start()  # what was accepted and not answered runs again
    with handle(guest_computing(machines)) as guest:
        code, took = node.stop()
        assert (code, has_ended(guest)) == (0, True)
    assert took < 6
    wait_until("no worker", lambda: not machines.head.guests())


def test_a_cluster_that_is_not_there_stops_the_start_and_is_named(machines: RayMachines, tmp_path: Path) -> None:
    address = f"{machines.head.machine.address}:1"
    ended = node_program("--no-p2p", "--no-metrics", *on_cluster(machines, address), cwd=tmp_path)
    assert ended.code == 6, ended.err
    assert f"{address} cannot be reached: nobody can be talked to there: Connection refused" in ended.err
