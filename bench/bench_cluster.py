"""Executions of a trivial module per second: the pool of one machine beside a Ray cluster, in one run.

    python bench/bench_cluster.py [--jobs 2000] [--output FILE]

Both have two workers, and as many executions open. The cluster is two machines as network namespaces on this one, with
token and TLS, one worker each: what is measured is what it costs to ask from further away, not what more machines give.
Needs root, `ip`, and Ray (`make ray`); what is absent is said to be absent.
"""

import argparse
import json
import queue
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the cluster of the tests

import pytest

from icn.adapters.wasm.ports import Executor
from icn.adapters.wasm.settings import SandboxSettings
from icn.adapters.wasm.text import compile_text
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from support.ray_machines import ray_machines
from support.wasm_pool import LIMITS, pool, request

TRIVIAL = compile_text('(module (func (export "run") (result i64) (i64.const 42)))')
WORKERS = 2


def per_second(executor: Executor, jobs: int, open_at_once: int) -> float:
    """Outcomes in a second, with so many executions open."""
    ended: queue.SimpleQueue[ExecutionOutcome] = queue.SimpleQueue()

    def begin(number: int) -> None:
        executor.submit(request(TRIVIAL, 1, number, LIMITS), TRIVIAL, lambda _, outcome: ended.put(outcome))

    def run(first: int, count: int) -> None:
        given = first
        for given in range(first, first + open_at_once):
            begin(given)
        for done in range(count):
            if ended.get(timeout=60).exit is not ExitKind.COMPLETED:
                raise SystemExit("an execution did not complete")
            if done + open_at_once < count:
                given += 1
                begin(given)

    run(1, 50)  # compiled, loaded and warm
    begun = time.perf_counter()
    run(1001, jobs)
    return round(jobs / (time.perf_counter() - begun), 1)


def figures(executor: Executor, jobs: int) -> dict[str, float]:
    """One at a time, and as many as there are workers."""
    return {"one_open_per_second": per_second(executor, jobs, 1), "two_open_per_second": per_second(executor, jobs, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "cluster.json")
    options = parser.parse_args()
    result: dict[str, object] = {"jobs": options.jobs, "workers": WORKERS}
    with tempfile.TemporaryDirectory() as folder, pool(Path(folder), SandboxSettings(workers=WORKERS)) as local:
        local.isolation()
        result["local"] = figures(local, options.jobs)
    try:
        result |= on_machines(options.jobs)
    except pytest.skip.Exception as absent:
        result["absent"] = str(absent)
    print(json.dumps(result, indent=1))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


def on_machines(jobs: int) -> dict[str, object]:
    """What a cluster takes to start, of memory, and for executions."""
    result: dict[str, object] = {}
    with ray_machines() as machines:
        begun = time.perf_counter()
        machines.start_head()
        result["head_starts_s"] = round(time.perf_counter() - begun, 1)
        begun = time.perf_counter()
        machines.join()
        result["machine_joins_s"] = round(time.perf_counter() - begun, 1)
        result["head_mib"], result["machine_mib"] = (
            round(sum(map(_proportional_kib, machine.processes())) / 1024)
            for machine in (machines.head, machines.other)
        )
        begun = time.perf_counter()
        with machines.pool() as cluster:
            cluster.isolation()
            result["node_connects_s"] = round(time.perf_counter() - begun, 1)
            result["ray"] = figures(cluster, jobs)
    return result


def _proportional_kib(pid: int) -> int:
    """Memory of a process, what it shares divided by those who share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
