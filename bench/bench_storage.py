"""How much the storage port costs over its engines, and those over the disk.

In one run, on one disk: appending to a file with fdatasync (the floor of any durable write), SQLite used directly with
the same durability and the same table, and our adapters. Compare the ratios between runs, not the figures: they carry
the machine. Ratios are of medians, of calls that took turns. Everything goes to `bench/results/storage.json`.

    python bench/bench_storage.py [--seconds 1.0] [--folder DIR] [--output FILE]
"""

import argparse
import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.sqlite import SqliteStore
from icn.adapters.storage.sqlite_format import PAGE_BYTES
from icn.stores.kv import Batch, KeyValueStore

KEYS_AT_START = 50_000
SCATTERED_KEYS = 50_000
VALUE_BYTES = 200
SEED = 1

Step = Callable[[], int]
"""Does a bit of work and says how many operations it was."""


class Rows:
    """The same keys and values for every contender: each asks for its own fresh sequence."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)
        self.value = self.random.randbytes(VALUE_BYTES)
        # From a bounded pool, or the fastest contender would be punished with the largest store.
        self.scattered = [b"n" + self.random.randbytes(16) for _ in range(SCATTERED_KEYS)]

    def start(self) -> dict[bytes, bytes]:
        return {b"k%08d" % number: self.value for number in range(KEYS_AT_START)}

    def next(self, count: int) -> list[tuple[bytes, bytes]]:
        return [(key, self.value) for key in self.random.choices(self.scattered, k=count)]

    def known(self) -> bytes:
        return b"k%08d" % self.random.randrange(KEYS_AT_START)


def ours(store: KeyValueStore) -> dict[str, Step]:
    rows = Rows()
    fence = store.claim()
    store.commit(Batch(dict(rows.start())), fence)

    def put(count: int) -> Step:
        def step() -> int:
            batch = Batch()
            for key, value in rows.next(count):
                batch.put(key, value)
            store.commit(batch, fence)
            return count

        return step

    def get() -> int:
        for _ in range(100):
            store.get(rows.known())
        return 100

    def scan() -> int:
        return sum(1 for _ in store.scan(b"k"))

    def snapshot() -> int:
        view = store.snapshot()
        view.get(rows.known())
        view.close()
        return 1

    puts = {f"put {count}": put(count) for count in (1, 100, 1000)}
    return {"get": get, "scan": scan, "snapshot, get, close": snapshot, **puts}


def direct(path: Path) -> dict[str, Step]:
    """SQLite without the port: what the adapter is measured against."""
    rows = Rows()
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", PAGE_BYTES)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.pragma("cache_size", -16 * 1024)
    connection.execute("CREATE TABLE kv (id INTEGER PRIMARY KEY, k BLOB NOT NULL UNIQUE, v BLOB NOT NULL) STRICT")
    upsert = "INSERT INTO kv (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v"

    def write(pairs: list[tuple[bytes, bytes]]) -> int:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(upsert, pairs)
        connection.execute("COMMIT")
        return len(pairs)

    write(list(rows.start().items()))

    def get() -> int:
        for _ in range(100):
            connection.execute("SELECT v FROM kv WHERE k = ?", (rows.known(),)).get  # noqa: B018 - reads
        return 100

    def scan() -> int:
        statement = "SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k"
        return sum(1 for _ in connection.execute(statement, (b"k", b"l")))

    return {
        "get": get,
        "scan": scan,
        **{f"put {count}": (lambda count=count: write(rows.next(count))) for count in (1, 100, 1000)},
    }


def floor(path: Path) -> dict[str, Step]:
    """Append the bytes and wait for the disk; nothing could be less."""
    rows = Rows()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(count: int) -> int:
        os.write(descriptor, b"".join(key + value for key, value in rows.next(count)))
        os.fdatasync(descriptor)
        return count

    return {f"put {count}": (lambda count=count: write(count)) for count in (1, 100, 1000)}


def measure(steps: dict[str, Step], seconds: float) -> dict[str, dict[str, float]]:
    """Figures of each contender. They take turns call by call, so that a slow moment of the machine hits all alike."""
    samples: dict[str, list[float]] = {who: [] for who in steps}
    operations = dict.fromkeys(steps, 0)
    end = time.perf_counter() + seconds * len(steps)
    while time.perf_counter() < end:
        for who, step in steps.items():
            start = time.perf_counter()
            operations[who] += step()
            samples[who].append(time.perf_counter() - start)
    return {who: figures(sorted(samples[who]), operations[who]) for who in steps}


def figures(calls: list[float], operations: int) -> dict[str, float]:
    return {
        "per_second": operations / sum(calls),
        "microseconds_each": sum(calls) / operations * 1e6,
        "call_p50_ms": calls[len(calls) // 2] * 1e3,
        "call_p99_ms": calls[len(calls) * 99 // 100] * 1e3,
        "calls": len(calls),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each measurement runs")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on which disk; the default is the present one")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "storage.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-storage-") as name:
        folder = Path(name)
        contenders = {
            "append + fdatasync": floor(folder / "floor"),
            "SQLite directly": direct(folder / "direct.sqlite"),
            "sqlite": ours(SqliteStore.open(folder / "ours.sqlite")),
            "memory": ours(MemoryStore()),
        }
        results: dict[str, dict[str, dict[str, float]]] = {}
        for what in ("get", "scan", "snapshot, get, close", "put 1", "put 100", "put 1000"):
            able = {who: steps[what] for who, steps in contenders.items() if what in steps}
            results[what] = measure(able, options.seconds)
    print(f"{'':22}{'':20}{'per second':>12}{'µs each':>10}{'p50 ms':>9}{'p99 ms':>9}  {'× SQLite':>8}  {'× floor':>8}")
    for what, found in results.items():
        for who, row in found.items():
            ratios = [
                f"{row['call_p50_ms'] / found[base]['call_p50_ms']:8.2f}" if base in found else " " * 8
                for base in ("SQLite directly", "append + fdatasync")
            ]
            print(
                f"{what:22}{who:20}{row['per_second']:12,.0f}{row['microseconds_each']:10.2f}"
                f"{row['call_p50_ms']:9.3f}{row['call_p99_ms']:9.3f}  {'  '.join(ratios)}"
            )
    machine = {
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "keys_at_start": KEYS_AT_START,
        "value_bytes": VALUE_BYTES,
        "seconds": options.seconds,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
