"""A real worker pool for tests, with a call that waits for an outcome."""

import itertools
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from icn.adapters.wasm.cache import ModuleCache
from icn.adapters.wasm.pool import WorkerPool
from icn.adapters.wasm.ports import Executor
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, Limits
from icn.kernel.ids import RAW, Cid, JobId
from support.wasm_guests import compiled

MIB = 1 << 20
LIMITS = Limits(fuel=10**8, memory_bytes=16 * MIB, table_elements=10_000, wall_ms=10_000, output_bytes=MIB)
FOR_EVER = 10**15
"""Fuel that no test burns."""
WAIT_S = 60
"""Longer than anything may take; only a broken executor makes a test wait as long."""


def job(number: int) -> JobId:
    """One id per number."""
    return JobId.from_bytes(number.to_bytes(20, "big"))


def request(module: bytes | None, number: int = 1, attempt: int = 1, limits: Limits = LIMITS) -> ExecutionRequest:
    """A request without arguments or input."""
    cid = None if module is None else Cid.of(module, RAW)
    return ExecutionRequest(job=job(number), attempt=attempt, module=cid, arguments=(), input=b"", limits=limits)


@dataclass
class Driver:
    """Submits to an executor and waits."""

    executor: Executor
    attempts: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def begin(self, asked: ExecutionRequest, module: bytes) -> "queue.SimpleQueue[ExecutionOutcome]":
        """Submit; the outcome will be in the queue."""
        outcomes: queue.SimpleQueue[ExecutionOutcome] = queue.SimpleQueue()
        self.executor.submit(asked, module, lambda _request, outcome: outcomes.put(outcome))
        return outcomes

    def outcome(
        self,
        text: str | bytes,
        *,
        arguments: tuple[str, ...] = (),
        given: bytes = b"",
        number: int = 1,
        limits: Limits = LIMITS,
    ) -> ExecutionOutcome:
        """Run a module, given as text or binary, under a fresh attempt number."""
        module = text if isinstance(text, bytes) else compiled(text)
        asked = request(module, number, next(self.attempts), limits)
        asked = replace(asked, arguments=arguments, input=given)
        return self.begin(asked, module).get(timeout=WAIT_S)


def cache_in(folder: Path, bytes_max: int = 64 * MIB, key: bytes = bytes(32)) -> ModuleCache:
    """A cache as the pool would have it."""
    return ModuleCache(folder, key=key, bytes_max=bytes_max, profile=profile())


@contextmanager
def pool(folder: Path, settings: SandboxSettings | None = None) -> Iterator[WorkerPool]:
    """A pool that is closed at the end."""
    found = WorkerPool(settings or SandboxSettings(workers=1), cache_in(folder))
    try:
        yield found
    finally:
        found.close()


def wait_until_it_computes(pid: int) -> None:
    """Until a process has used the processor for some hundredths of a second more: then its guest is running."""
    before, deadline = _ticks(pid), time.monotonic() + WAIT_S
    while _ticks(pid) < before + 3:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not compute")


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])
