"""What isolation costs: jobs through the worker pool against the same jobs in this process, in one run.

One job does nothing, the other computes for about a millisecond. "Directly" is the engine as it comes, with nothing of
ours: no fuel, no deadline, no rewriting, no host functions, in this process. "In process" is the engine as our profile
configures it, the rewritten module and our host functions, without processes in between. Also: how long a worker takes
to start, and a module to be compiled or loaded from the cache. Compare ratios between runs, not figures: those carry
the machine. Everything goes to `bench/results/sandbox.json`.

    python bench/bench_sandbox.py [--seconds 3.0] [--output FILE]
"""

import argparse
import json
import os
import platform
import queue
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from wasmtime import Engine, Instance, Module, Store

from icn.adapters.wasm.artifact import Artifact
from icn.adapters.wasm.cache import ModuleCache
from icn.adapters.wasm.child import Child
from icn.adapters.wasm.compiling import compile_module
from icn.adapters.wasm.engine import build_engine
from icn.adapters.wasm.messages import Run
from icn.adapters.wasm.pool import WorkerPool
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.running import Runner
from icn.adapters.wasm.settings import SandboxSettings
from icn.adapters.wasm.text import compile_text
from icn.adapters.wasm.watchdog import Watchdog
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind, Limits
from icn.kernel.ids import RAW, Cid, JobId

LIMITS = Limits(fuel=10**9, memory_bytes=1 << 24, table_elements=100, wall_ms=5_000, output_bytes=1_000)
START_MS = 30_000
TRIVIAL = '(module (memory (export "memory") 1) (func (export "_start")))'
LOOP = """(module (memory (export "memory") 1) (func (export "_start") (local $n i32)
  (loop $on
    (i32.store (i32.const 0) (i32.mul (local.get $n) (i32.const 7)))
    (br_if $on (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {rounds}))))))"""


class InProcess:
    """The sandbox's own runner, here."""

    def __init__(self) -> None:
        self.engine = build_engine()
        watchdog = Watchdog(self.engine)
        watchdog.start()
        self.runner = Runner(self.engine, watchdog)

    def prepare(self, module: bytes) -> tuple[Artifact, Module]:
        artifact = compile_module(self.engine, module)
        return artifact, Module.deserialize(self.engine, artifact.native)

    def run(self, prepared: tuple[Artifact, Module]) -> None:
        asked = Run(key=b"", limits=LIMITS, seed=b"", input=b"", arguments=())
        self.runner.run(*prepared, asked, lambda _ended: None)


class Directly:
    """The engine with its defaults: instantiate and call."""

    def __init__(self) -> None:
        self.engine = Engine()

    def prepare(self, module: bytes) -> Module:
        return Module(self.engine, module)

    def run(self, prepared: Module) -> None:
        store = Store(self.engine)
        entry = Instance(store, prepared, []).exports(store)["_start"]
        entry(store)
        store.close()


class Pool:
    """Keeps `workers` executions open until the time is over."""

    def __init__(self, folder: Path, workers: int) -> None:
        cache = ModuleCache(folder, key=bytes(32), bytes_max=1 << 28, profile=profile())
        settings = SandboxSettings(workers=workers, executions_per_worker=10**9)
        self.pool = WorkerPool(settings, cache)
        self.ended: queue.SimpleQueue[ExecutionOutcome] = queue.SimpleQueue()
        self.attempt = 0

    def submit(self, module: bytes, cid: Cid) -> None:
        self.attempt += 1
        request = ExecutionRequest(
            job=JobId(bytes(20)), attempt=self.attempt, module=cid, arguments=(), input=b"", limits=LIMITS
        )
        self.pool.submit(request, module, lambda _request, outcome: self.ended.put(outcome))

    def wait(self) -> None:
        outcome = self.ended.get(timeout=60)
        if outcome.exit is not ExitKind.COMPLETED:
            raise SystemExit(f"a job ended with {outcome.exit}: {outcome.detail}")

    def per_second(self, module: bytes, seconds: float) -> float:
        cid = Cid.of(module, RAW)
        for _ in range(self.pool.capacity()):
            self.submit(module, cid)
        done, end = 0, time.perf_counter() + seconds
        began = time.perf_counter()
        while time.perf_counter() < end:
            self.wait()
            done += 1
            self.submit(module, cid)
        elapsed = time.perf_counter() - began
        for _ in range(self.pool.capacity()):
            self.wait()
        return done / elapsed


def milliseconds(action: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        found.append((time.perf_counter() - began) * 1000)
    return found


def spread(figures: list[float]) -> dict[str, float]:
    return {"least": min(figures), "median": statistics.median(figures), "most": max(figures)}


def calibrated(inside: InProcess) -> bytes:
    """A loop of about a millisecond on this machine."""
    rounds = 500_000
    for _ in range(3):
        prepared = inside.prepare(compile_text(LOOP.format(rounds=rounds)))
        took = statistics.median(milliseconds(lambda found=prepared: inside.run(found), 20))
        rounds = max(1000, int(rounds / took))
    return compile_text(LOOP.format(rounds=rounds))


def jobs(inside: InProcess, module: bytes, seconds: float, folder: Path) -> dict[str, float]:
    """One after the other, in turns, so that a busy machine is busy for all."""
    directly = Directly()
    here: dict[str, Callable[[], None]] = {
        "directly": partial(directly.run, directly.prepare(module)),
        "in process": partial(inside.run, inside.prepare(module)),
    }
    pools = {"pool of 1": Pool(folder / "one", 1), "pool of 2": Pool(folder / "two", 2)}
    for pool in pools.values():
        pool.per_second(module, 0.2)
    found: dict[str, list[float]] = {name: [] for name in (*here, *pools)}
    for _ in range(5):
        for name, run in here.items():
            done, began = 0, time.perf_counter()
            while time.perf_counter() - began < seconds / 5:
                run()
                done += 1
            found[name].append(done / (time.perf_counter() - began))
        for name, pool in pools.items():
            found[name].append(pool.per_second(module, seconds / 5))
    for pool in pools.values():
        pool.pool.close()
    return {name: statistics.median(figures) for name, figures in found.items()}


def large_module(functions: int) -> bytes:
    body = "(f64.add (f64.mul (local.get 0) (local.get 1)) " * 20 + "(local.get 0)" + ")" * 20
    function = f"(func (param f64 f64) (result f64) (drop (memory.grow (i32.const 0))) {body})"
    return compile_text(f'(module (memory 1) {function * functions} (func (export "_start")))')


def modules() -> dict[str, object]:
    found: dict[str, object] = {}
    child = Child.start(START_MS)
    for name, module in (("small", compile_text(LOOP.format(rounds=1))), ("large", large_module(5000))):
        artifact = child.compile(module, START_MS).encode()
        asked = Run(key=name.encode(), limits=LIMITS, seed=b"", input=b"", arguments=())

        def load(encoded: bytes = artifact, wanted: Run = asked) -> None:
            child.load(wanted.key, encoded, START_MS)
            child.run(wanted, start_ms=START_MS, grace_ms=50)

        def again(wanted: Run = asked) -> None:
            child.run(wanted, start_ms=START_MS, grace_ms=50)

        found[name] = {
            "module_bytes": len(module),
            "native_bytes": len(artifact),
            "compile_ms": spread(milliseconds(lambda source=module: child.compile(source, START_MS), 5)),
            "load_and_run_ms": spread(milliseconds(load, 20)),
            "run_loaded_ms": spread(milliseconds(again, 20)),
        }
    child.end()
    return found


def start_ms() -> dict[str, float]:
    return spread(milliseconds(lambda: Child.start(START_MS).end(), 10))


def resident_kib() -> dict[str, int]:
    child = Child.start(START_MS)
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    child.end()
    wanted = {"VmRSS": "resident", "RssAnon": "of that its own"}
    return {wanted[key]: int(line.split()[1]) for line in lines if (key := line.split(":")[0]) in wanted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "sandbox.json")
    asked = parser.parse_args()
    inside = InProcess()
    measured = {"trivial": compile_text(TRIVIAL), "of 1 ms": calibrated(inside)}
    with tempfile.TemporaryDirectory() as folder:
        per_second = {
            name: jobs(inside, module, asked.seconds, Path(folder) / name) for name, module in measured.items()
        }
    report = {
        "machine": {"python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count()},
        "profile": profile(),
        "jobs_per_second": per_second,
        "times_as_long_as_directly": {
            name: {way: figures["directly"] / figure for way, figure in figures.items() if way != "directly"}
            for name, figures in per_second.items()
        },
        "isolation_ms_per_trivial_job": 1000 / per_second["trivial"]["pool of 1"]
        - 1000 / per_second["trivial"]["in process"],
        "worker_start_ms": start_ms(),
        "worker_kib": resident_kib(),
        "modules": modules(),
    }
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
