"""What a node costs before it does anything: time from exec to ready, resident memory idle, and how long a stop takes.

    python bench/bench_idle.py [--runs 5]

Baseline of the same run: the Python interpreter importing uvicorn and FastAPI, which any such service pays.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "demo"))

from node_process import NodeProcess

IMPORTS = "import fastapi, uvicorn, uvloop, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    starts: list[float] = []
    again: list[float] = []
    stops: list[float] = []
    memory: list[float] = []
    workers: list[float] = []
    imports: list[float] = []
    imports_mb = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            begun = time.perf_counter()
            printed = subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True)
            imports.append(time.perf_counter() - begun)
            imports_mb = int(printed.stdout) / 1024
            node = NodeProcess("idle", Path(folder) / str(run))
            for times in (starts, again):
                begun = time.perf_counter()
                node.start()
                times.append(time.perf_counter() - begun)
                if times is again and node.process is not None:
                    memory.append(resident_mb(node.process.pid))
                    workers.append(sum(map(resident_mb, children(node.process.pid))))
                stops.append(node.stop()[1])
    result = {
        "start_seconds_first": round(statistics.median(starts), 3),
        "start_seconds_again": round(statistics.median(again), 3),
        "imports_only_seconds": round(statistics.median(imports), 3),
        "start_per_imports": round(statistics.median(again) / statistics.median(imports), 2),
        "stop_seconds_max": round(max(stops), 3),
        "resident_mb": round(statistics.median(memory), 1),
        "resident_mb_sandbox_workers": round(statistics.median(workers), 1),
        "imports_only_resident_mb": round(imports_mb, 1),
        "runs": runs,
    }
    print(json.dumps(result))
    out = Path(__file__).parent / "results" / "idle.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
