"""Runs generated programs in a pool of this process's own, and says how each ended: one line of JSON per seed.

python wasm_programs_run.py FIRST COUNT WORKERS
"""

import json
import queue
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.kernel.ids import RAW, Cid
from support.wasm_pool import LIMITS, WAIT_S, pool, request
from support.wasm_programs import program

ROOM = replace(LIMITS, fuel=5 * 10**7, wall_ms=60_000)
"""More than any of them takes; a deadline would say something about this machine."""
INPUT = b"what standard input has to give" * 20


def main() -> None:
    """See the module."""
    first, count, workers = map(int, sys.argv[1:4])
    ended = queue.SimpleQueue[tuple[ExecutionRequest, ExecutionOutcome]]()
    with tempfile.TemporaryDirectory() as folder, pool(Path(folder), SandboxSettings(workers=workers)) as executor:
        under_way = 0
        for seed in range(first, first + count):
            module = program(seed)
            asked = replace(request(module, seed + 1, limits=ROOM), arguments=("one", "two"), input=INPUT)
            if under_way == workers:
                tell(*ended.get(timeout=2 * WAIT_S))
                under_way -= 1
            executor.submit(asked, module, lambda *answer: ended.put(answer))
            under_way += 1
        for _ in range(under_way):
            tell(*ended.get(timeout=2 * WAIT_S))


def tell(asked: ExecutionRequest, outcome: ExecutionOutcome) -> None:
    """Everything that must be the same; not how long it took."""
    said = {
        "seed": int.from_bytes(asked.job.data, "big") - 1,
        "module": str(asked.module),
        "output": str(Cid.of(outcome.output, RAW)),
        "exit": outcome.exit.value,
        "exit_code": outcome.exit_code,
        "fuel": outcome.fuel_used,
        "memory": outcome.memory_peak_bytes,
        "denied": [outcome.memory_growth_denied, outcome.table_growth_denied],
        "detail": outcome.detail,
        "profile": outcome.profile,
    }
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
