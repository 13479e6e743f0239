"""A federation's jobs beside tasks of Ray and Dask, and beside running the module directly, in one run.

    python bench/bench_tasks.py [--tasks 2000] [--python VENV/bin/python] [--output FILE]

A task runs the same trivial module as `bench_federation --wasm`; every contender keeps two workers on this machine and
64 tasks open. A federation's job is signed by three nodes, durable on three, paid, and checked by whoever asks; a task
of Ray or Dask is a message to a process and back. So the figures are no race: they say what the difference costs.

`ray` and `dask[distributed]` are no dependencies of the project: `--python` names an interpreter that has them beside
`wasmtime`, in an environment of its own. What is absent is said to be absent.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wasmtime import Instance, Module, Store

from icn.adapters.wasm.engine import build_engine
from icn.adapters.wasm.text import compile_text

TRIVIAL = '(module (func (export "run") (result i64) (i64.const 42)))'
OPEN = 64
WORKERS = 2
SECS_MAX = 300

COMMON = """
import json, sys, time
module, tasks, open_at_once, workers = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def run(module):
    import wasmtime
    known = globals().setdefault("_known", {})
    if module not in known:
        engine = wasmtime.Engine()
        known[module] = engine, wasmtime.Module(engine, module)
    engine, compiled = known[module]
    store = wasmtime.Store(engine)
    return wasmtime.Instance(store, compiled, []).exports(store)["run"](store)
"""

RAY = (
    COMMON
    + """
import ray
ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
task = ray.remote(max_retries=0)(run)

def keep_open(count):
    given, waiting = 0, []
    while given < count or waiting:
        while given < count and len(waiting) < open_at_once:
            waiting.append(task.remote(module))
            given += 1
        done, waiting = ray.wait(waiting, num_returns=1)
        assert ray.get(done) == [42]

keep_open(open_at_once)
begun = time.perf_counter()
keep_open(tasks)
print(json.dumps({"per_second": tasks / (time.perf_counter() - begun), "version": ray.__version__}))
"""
)

DASK = (
    COMMON
    + """
import distributed

def main():
    with distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            def keep_open(count):
                first = min(count, open_at_once)
                waiting = distributed.as_completed([client.submit(run, module, pure=False) for _ in range(first)])
                given = first
                for done in waiting:
                    assert done.result() == 42
                    if given < count:
                        waiting.add(client.submit(run, module, pure=False))
                        given += 1

            keep_open(open_at_once)
            begun = time.perf_counter()
            keep_open(tasks)
            took = time.perf_counter() - begun
    print(json.dumps({"per_second": tasks / took, "version": distributed.__version__}))

if __name__ == "__main__":
    main()
"""
)


def directly(module: bytes, tasks: int) -> float:
    """The module in this process, by the sandbox's engine: instantiated anew each time, as tasks do."""
    engine = build_engine()
    compiled = Module(engine, module)
    begun = time.perf_counter()
    for _ in range(tasks):
        store = Store(engine)
        store.set_fuel(100_000)
        store.set_epoch_deadline(1)
        exports = Instance(store, compiled, []).exports(store)
        if exports["run"](store) != 42:
            raise SystemExit("the module gave something else")
    return tasks / (time.perf_counter() - begun)


def elsewhere(python: str, name: str, program: str, module: bytes, tasks: int) -> dict[str, object]:
    """One contender, in a process of an interpreter of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "contender.py"
        path.write_text(program)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        command = [python, str(path), module.hex(), str(tasks), str(OPEN), str(WORKERS)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECS_MAX, env=environment, check=False)
    if done.returncode:
        return {"absent": (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]}
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return {"name": name, **found}


def federation(tasks: int, folder: Path) -> list[dict[str, object]]:
    """The same module as jobs: three nodes in one process, and in three."""
    out = folder / "federation.json"
    program = str(Path(__file__).with_name("bench_federation.py"))
    arguments = ["--wasm", "--links", "loopback", "processes", "--jobs", str(tasks), "--open", str(OPEN)]
    command = [sys.executable, program, *arguments, "--alone", "1", "--output", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=SECS_MAX)
    found: list[dict[str, object]] = json.loads(out.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has ray and dask")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "tasks.json")
    options = parser.parse_args()
    module = compile_text(TRIVIAL)
    result: dict[str, object] = {"tasks": options.tasks, "open": OPEN, "workers": WORKERS}
    result["directly_per_second"] = direct = round(directly(module, options.tasks), 1)
    for name, program in (("ray", RAY), ("dask", DASK)):
        row = elsewhere(options.python, name, program, module, options.tasks)
        if "per_second" in row:
            row["per_second"] = round(float(str(row["per_second"])), 1)
        result[name] = row
    with tempfile.TemporaryDirectory() as folder:
        for row in federation(options.tasks, Path(folder)):
            rate = float(str(row["lifecycles_per_second"]))
            shown = {"lifecycles_per_second": rate, "direct_runs_per_lifecycle": round(direct / rate, 1)}
            for name in ("ray", "dask"):
                other = result[name]
                if isinstance(other, dict) and "per_second" in other:
                    shown[f"{name}_tasks_per_lifecycle"] = round(float(str(other["per_second"])) / rate, 2)
            result[f"federation-{row['links']}"] = shown
    print(json.dumps(result, indent=1))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
