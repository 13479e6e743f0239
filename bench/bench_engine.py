"""Commands per second and latency through the one writer, by store and number of concurrent callers.

    python bench/bench_engine.py [--seconds 3] [--folder DIR]

Baseline, in the same run on the same folder: append of a record's bytes and fdatasync, one at a time, which is what a
durable command costs where nothing is grouped.
"""

import argparse
import asyncio
import json
import os
import tempfile
import threading
import time
from pathlib import Path

from icn.adapters.clock import SystemClock
from icn.adapters.entropy import SystemEntropy
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.instant import Duration
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.node.writer import BatchDone, Writer
from icn.services.commands import Found, NodeCommand, OpenAccountFor, Pay
from icn.services.engine import Engine
from icn.services.inputs import Request
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms

SIGNER = SeedSigner(b"\x11" * 32)
PAYEE = SeedSigner(b"\x22" * 32).did
TERMS = NodeTerms("bench/1", MeshTerms(Duration(1000), 5), ExecutorTerms(0, 1, 1), ReplicationTerms(), joins=False)
RECORD_BYTES = 400


class Callers:
    """Asks the writer and waits, as the HTTP surface does."""

    def __init__(self, backend: str, path: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: dict[int, asyncio.Future[object]] = {}
        self.token = 0
        self.batches: list[int] = []
        clock = SystemClock()
        self.writer = Writer(
            open_store=lambda _: open_store(StorageSettings(backend, path)),
            open_engine=lambda store: Engine.open(
                store=store, clock=clock, entropy=SystemEntropy(), signer=SIGNER, terms=TERMS
            ),
            clock=clock,
            elapsed=time.monotonic,
            on_author=lambda _store, _engine: None,
            on_report=lambda report: self.loop.call_soon_threadsafe(self.report, report),
        )
        self.thread = threading.Thread(target=self.writer.run, daemon=True)
        self.thread.start()

    def report(self, report: object) -> None:
        if isinstance(report, BatchDone):
            self.batches.append(report.inputs)
            for reply in report.outcome.replies:
                self.waiting.pop(reply.token).set_result(reply.answer)

    async def ask(self, command: NodeCommand, key: str = "") -> None:
        self.token += 1
        future: asyncio.Future[object] = self.loop.create_future()
        self.waiting[self.token] = future
        while not self.writer.offer(Request(self.token, command, SIGNER.did, key, b"d", "bench")):
            await asyncio.sleep(0)
        await future


def floor(folder: Path, seconds: float) -> float:
    """Appends with fdatasync per second."""
    with (folder / "floor").open("wb", buffering=0) as file:
        count, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            file.write(b"x" * RECORD_BYTES)
            os.fdatasync(file.fileno())
            count += 1
    return count / seconds


async def measure(backend: str, folder: Path, callers: int, seconds: float) -> dict[str, float]:
    asking = Callers(backend, folder / f"{backend}-{callers}.sqlite")
    policy = Policy(JoinPolicy.OPEN, Mana(10**12), Mana(10**12), 10, 100)
    await asking.ask(Found("bench", (SIGNER.did,), policy))
    await asking.ask(OpenAccountFor(PAYEE))
    latencies: list[float] = []
    begun = time.perf_counter()
    until = begun + seconds

    async def caller(number: int) -> None:
        count = 0
        while time.perf_counter() < until:
            sent = time.perf_counter()
            await asking.ask(Pay(PAYEE, Mana(1), ""), f"{number}-{count}")
            latencies.append(time.perf_counter() - sent)
            count += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    took = time.perf_counter() - begun
    asking.writer.stop()
    await asyncio.to_thread(asking.thread.join)
    latencies.sort()
    return {
        "per_second": round(len(latencies) / took, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 3),
        "inputs_per_commit": round(sum(asking.batches) / max(1, len(asking.batches)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        base = floor(folder, min(2.0, arguments.seconds))
        result: dict[str, object] = {"floor_append_fdatasync_per_second": round(base, 1)}
        print(f"floor: append + fdatasync {base:,.0f}/s")
        for backend in ("memory", "sqlite"):
            for callers in (1, 10, 100, 1000):
                row = asyncio.run(measure(backend, folder, callers, arguments.seconds))
                row["times_floor"] = round(row["per_second"] / base, 2)
                result[f"{backend}-{callers}"] = row
                print(f"{backend:7} {callers:5} callers: {row}")
    out = Path(__file__).parent / "results" / "engine.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
