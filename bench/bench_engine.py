"""Commands per second and latency through the one writer, by store and number of concurrent callers.

    python bench/bench_engine.py [--seconds 3] [--callers 1 10 100 1000] [--folder DIR] [--output FILE]

As in the node: one thread, group commit, and beside a durable store the head mark, in the data directory and outside of
it, by the thread that lets effects leave. PostgreSQL is started here, where it is installed.

Baseline, beside every row and on the same disk: append of a record's bytes and fdatasync, one at a time, which is what
a durable command costs where nothing is grouped.
"""

import argparse
import asyncio
import json
import os
import tempfile
import threading
import time
from pathlib import Path

from node_history import FOUNDING, PAYEE, SIGNER, engine_over
from postgres_server import postgres_in

from icn.adapters.clock import SystemClock
from icn.adapters.head_marker import FILE_NAME, HeadMarkFiles
from icn.adapters.storage.opening import BACKENDS, StorageSettings, open_store
from icn.kernel.mana import Mana
from icn.node.writer import BatchDone, Writer
from icn.services.commands import NodeCommand, OpenAccountFor, Pay
from icn.services.inputs import Request

CALLERS = (1, 10, 100, 1000)
RECORD_BYTES = 400
FLOOR_SECS_MAX = 1.0


class Callers:
    """Asks the writer and waits, as the HTTP surface does."""

    def __init__(self, storage: StorageSettings, marker: HeadMarkFiles | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.waiting: dict[int, asyncio.Future[object]] = {}
        self.token = 0
        self.batches: list[int] = []
        self.writer = Writer(
            open_store=lambda _: open_store(storage),
            reopen_store=lambda: open_store(storage),
            open_engine=lambda store: engine_over(store, marker),
            clock=SystemClock(),
            elapsed=time.monotonic,
            on_author=lambda _store, _engine: None,
            on_report=lambda report: self.loop.call_soon_threadsafe(self.report, report),
            marker=marker,
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
        while not self.writer.offer(Request(self.token, command, SIGNER.did, key, b"d", "bench")).is_taken:
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


async def measure(
    storage: StorageSettings, marker: HeadMarkFiles | None, callers: int, seconds: float
) -> dict[str, float]:
    asking = Callers(storage, marker)
    await asking.ask(FOUNDING)
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
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each row runs")
    parser.add_argument("--callers", type=int, nargs="+", default=CALLERS)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on which disk; the default is the present one")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "engine.json")
    options = parser.parse_args()
    result: dict[str, object] = {}
    place = options.folder.resolve()
    with tempfile.TemporaryDirectory(dir=place, prefix="bench-engine-") as name, postgres_in(place) as cluster:
        for callers in options.callers:
            for backend in BACKENDS:
                if backend == "postgresql" and cluster is None:
                    continue
                folder = Path(name) / f"{backend}-{callers}"
                folder.mkdir()
                url = cluster.url(cluster.new_database()) if backend == "postgresql" and cluster is not None else None
                marker = None
                if backend != "memory":
                    marker = HeadMarkFiles(folder / "data" / FILE_NAME, folder / "data.head")
                base = floor(folder, min(FLOOR_SECS_MAX, options.seconds))
                storage = StorageSettings(backend, folder / "data" / "store", url)
                row = asyncio.run(measure(storage, marker, callers, options.seconds))
                if marker is not None:
                    marker.close()
                row["floor_append_fdatasync_per_second"] = round(base, 1)
                row["times_floor"] = round(row["per_second"] / base, 2)
                result[f"{backend}-{callers}"] = row
                print(f"{backend:10} {callers:5} callers: {row}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
