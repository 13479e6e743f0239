"""How much the storage port costs over its engines, and those over the disk.

In one run, on one disk, for all five backends: our adapter, its engine used directly with the same settings and
durability, and the floor, which is append and fdatasync for what is written, SHA-256 for what is read, SHA-256 and
signature for what is replayed (`storage_contenders.py`). Compare the ratios between runs, not the figures: they carry
the machine. Ratios are of medians, of calls that took turns. PostgreSQL is started here, where it is installed; its
engine used directly is one statement over all rows. Everything goes to `bench/results/storage.json`.

Two operations are of a node's history of `--blocks` signed blocks. "load the state" is what a start does: rows of the
state to the state; the engine only reads those rows. "replay" is what `icn-cli dag verify --deep` does: every name,
index and signature, and every record applied again; the engine reads the blocks and does the floor's work.

    python bench/bench_storage.py [--seconds 1.0] [--blocks 500] [--folder DIR] [--output FILE]
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import apsw
from node_history import Author
from postgres_server import Cluster, postgres_in
from storage_contenders import (
    GET,
    KEYS_AT_START,
    LOAD,
    OPEN,
    PUTS,
    REPLAY,
    SCAN,
    SNAPSHOT,
    VALUE_BYTES,
    History,
    Lmdb,
    Postgres,
    Rocksdb,
    Sqlite,
    Step,
    Steps,
    direct,
    floor,
    ours,
)

from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.opening import StorageSettings

OPERATIONS = (*(f"put {count}" for count in PUTS), GET, SCAN, SNAPSHOT, OPEN, LOAD, REPLAY)
TRANSFERS_PER_BLOCK = 5
ROUNDS_MIN = 5
FLOOR = "floor"
ENGINE_OF = {
    "sqlite": "SQLite directly",
    "sled": "LMDB directly",
    "rocksdb": "RocksDB directly",
    "postgresql": "PostgreSQL directly",
}


def contenders(folder: Path, cluster: Cluster | None, history: History) -> dict[str, Steps]:
    """All of them, each followed by its engine."""

    def places(backend: str) -> list[StorageSettings]:
        if backend == "postgresql" and cluster is not None:
            return [StorageSettings(backend, url=cluster.url(cluster.new_database())) for _ in range(3)]
        return [StorageSettings(backend, folder / f"{backend}-{what}") for what in ("main", "open", "past")]

    def of(backend: str) -> Steps:
        return ours(*places(backend), history)

    def at(kind: type[Sqlite] | type[Lmdb] | type[Rocksdb], name: str) -> Steps:
        main, again, past = (folder / f"{name}-{what}" for what in ("main", "open", "past"))
        return direct(lambda: kind(main), lambda: kind(again), kind(past), history)

    found = {FLOOR: floor(folder / "floor", history), "memory": of("memory")}
    kinds = {"sqlite": Sqlite, "sled": Lmdb, "rocksdb": Rocksdb}
    for backend, kind in kinds.items():
        found |= {backend: of(backend), ENGINE_OF[backend]: at(kind, f"direct-{backend}")}
    if cluster is not None:
        main, again, past = (cluster.url(cluster.new_database()) for _ in range(3))
        engine = direct(lambda: Postgres(main), lambda: Postgres(again), Postgres(past), history)
        found |= {"postgresql": of("postgresql"), ENGINE_OF["postgresql"]: engine}
    return found


def measure(steps: dict[str, Step], seconds: float) -> dict[str, dict[str, float]]:
    """Figures of each contender. They take turns call by call, so that a slow moment of the machine hits all alike."""
    samples: dict[str, list[float]] = {who: [] for who in steps}
    operations = dict.fromkeys(steps, 0)
    end = time.perf_counter() + seconds * len(steps)
    rounds = 0
    while rounds < ROUNDS_MIN or time.perf_counter() < end:
        rounds += 1
        for who, step in steps.items():
            start = time.perf_counter()
            operations[who] += step()
            samples[who].append(time.perf_counter() - start)
    return {who: figures(sorted(samples[who]), operations[who]) for who in steps}


def figures(calls: list[float], operations: int) -> dict[str, float]:
    return {
        "per_second": operations / sum(calls),
        "microseconds_each": sum(calls) / operations * 1e6,
        "call_p50_ms": statistics.median(calls) * 1e3,
        "call_p99_ms": calls[len(calls) * 99 // 100] * 1e3,
        "calls": len(calls),
    }


def add_ratios(found: dict[str, dict[str, float]]) -> None:
    """Of each backend's median call to that of its engine, and of everybody's to the floor's."""
    for who, row in found.items():
        for name, base in (("times_engine", ENGINE_OF.get(who)), ("times_floor", FLOOR)):
            if base in found and base != who:
                row[name] = row["call_p50_ms"] / found[base]["call_p50_ms"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each contender has for each operation")
    parser.add_argument("--blocks", type=int, default=500, help="signed blocks of the history")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on which disk; the default is the present one")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "storage.json")
    options = parser.parse_args()
    memory = MemoryStore()
    author = Author(memory)
    author.found()
    author.pay(options.blocks - 2, TRANSFERS_PER_BLOCK)
    history = History.of(memory)
    results: dict[str, dict[str, dict[str, float]]] = {}
    place = options.folder.resolve()
    with tempfile.TemporaryDirectory(dir=place, prefix="bench-storage-") as name, postgres_in(place) as cluster:
        able = contenders(Path(name), cluster, history)
        columns = f"{'per second':>12}{'µs each':>11}{'p50 ms':>9}{'p99 ms':>9}  {'× engine':>8}  {'× floor':>8}"
        print(" " * 46 + columns)
        for what in OPERATIONS:
            found = measure({who: steps[what] for who, steps in able.items() if what in steps}, options.seconds)
            add_ratios(found)
            results[what] = found
            for who, row in found.items():
                ratios = "  ".join(
                    f"{row[ratio]:8.2f}" if ratio in row else " " * 8 for ratio in ("times_engine", "times_floor")
                )
                print(
                    f"{what:26}{who:20}{row['per_second']:12,.0f}{row['microseconds_each']:11.2f}"
                    f"{row['call_p50_ms']:9.3f}{row['call_p99_ms']:9.3f}  {ratios}"
                )
    machine = {
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        **{package: version(package) for package in ("lmdb", "rocksdict", "psycopg")},
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "keys_at_start": KEYS_AT_START,
        "value_bytes": VALUE_BYTES,
        "signed_blocks": history.signed,
        "transfers_per_block": TRANSFERS_PER_BLOCK,
        "seconds": options.seconds,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
