"""What runs on each machine of the cluster: one actor, which owns that machine's sandbox.

It does nothing that the local sandbox does not do: it is asked from further away. It executes what it is asked to,
once, and ends itself with its guests when it is not asked anything any more (lease).

Not here: Ray (ray_runner makes an actor of it), which machine gets what (foreman).
"""

import asyncio
import os
import threading
import time
from dataclasses import dataclass, field, replace

from icn import __version__
from icn.adapters.cluster import bounds, messages
from icn.adapters.cluster.lease import Lease
from icn.adapters.cluster.machine_cache import MachineCacheUnusable, open_machine_cache
from icn.adapters.cluster.messages import RunnerState, RunnerTerms
from icn.adapters.wasm import outcomes
from icn.adapters.wasm.attendant import IsolationMissing
from icn.adapters.wasm.pool import NoWorker, WorkerPool
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.settings import Isolation, SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.kernel.errors import Refusal
from icn.kernel.ids import JobId

LEASE_THREAD = "lease"
_LOOK_S = 1.0


@dataclass(slots=True)
class _Given:
    """What a runner has been given to do."""

    pool: WorkerPool
    lease: Lease
    ended: threading.Event = field(default_factory=threading.Event)
    """Nothing runs any more, and nothing will: the lease binds nobody."""
    running: dict[int, tuple[JobId, int]] = field(default_factory=dict)
    """Executions by their number."""
    not_to_run: dict[int, None] = field(default_factory=dict)
    """Stopped before they came: calls overtake each other when an argument is on its way. Cleared by `ping`."""


class Runner:
    """Calls come on one event loop; arguments and answers are bytes and whole numbers."""

    def __init__(self) -> None:
        self._given: _Given | None = None

    async def begin(self, terms: bytes, places: int) -> bytes:
        """Start the sandbox with so many workers: an encoded `RunnerState`."""
        said = messages.decode(RunnerTerms, terms)
        return messages.encode(await asyncio.to_thread(self._begin, said, places))

    async def execute(self, number: int, request: bytes, module: bytes, given: bytes) -> bytes:
        """Run it to its end: an encoded `ExecutionOutcome`. `given` is its input."""
        asked = replace(messages.decode(ExecutionRequest, request), input=given)
        outcome = await self._execute(number, asked, module)
        return messages.encode(outcome)

    async def cancel(self, number: int) -> None:
        """Stop it, also if it has not come yet."""
        here = self._here()
        if number in here.running:
            here.pool.cancel(*here.running[number])
        else:
            here.not_to_run[number] = None

    async def ping(self, oldest: int) -> None:
        """Whoever asks is there. Executions with a number below `oldest` have ended."""
        here = self._here()
        here.lease.pinged(_now())
        for number in [number for number in here.not_to_run if number < oldest]:
            del here.not_to_run[number]

    async def end(self) -> None:
        """End every guest and worker, and leave the process to whoever has it."""
        if self._given is not None:
            await asyncio.to_thread(self._given.pool.close)
            self._given.ended.set()

    def _here(self) -> _Given:
        if self._given is None:
            raise NoWorker("this runner has not begun")
        return self._given

    def _begin(self, terms: RunnerTerms, places: int) -> RunnerState:
        ours = profile()
        if (terms.profile, terms.version) != (ours, __version__):
            return _refused(f"it has icn {__version__} ({ours}), the node icn {terms.version} ({terms.profile})")
        settings = SandboxSettings(
            workers=places,
            isolation=Isolation(terms.isolation),
            compile_ms=terms.compile_ms,
            executions_per_worker=terms.executions_per_worker,
            worker_memory_bytes=terms.worker_memory_bytes,
        )
        try:
            cache = open_machine_cache(
                terms.cache_path, owner=terms.owner, bytes_max=settings.cache_bytes_max, profile=ours
            )
        except MachineCacheUnusable as error:
            return _refused(str(error))
        pool = WorkerPool(settings, cache)
        try:
            isolation = pool.isolation()
        except IsolationMissing as error:
            pool.close()
            return _refused(str(error), error.lacks)
        except NoWorker as error:
            pool.close()
            return _refused(str(error))
        self._given = _Given(pool, Lease(_now(), bounds.LEASE_S))
        threading.Thread(target=_end_with, args=(self._given,), name=LEASE_THREAD, daemon=True).start()
        return RunnerState(places=places, isolation=tuple(sorted(isolation)), refusal="", lacks=())

    async def _execute(self, number: int, asked: ExecutionRequest, module: bytes) -> ExecutionOutcome:
        here, loop = self._here(), asyncio.get_running_loop()
        if number in here.not_to_run:
            del here.not_to_run[number]
            return outcomes.without_guest(ExitKind.CANCELLED, here.pool.profile, "cancelled before it ran")
        ended: asyncio.Future[ExecutionOutcome] = loop.create_future()

        def done(_: ExecutionRequest, outcome: ExecutionOutcome) -> None:
            loop.call_soon_threadsafe(ended.set_result, outcome)

        try:
            here.pool.submit(asked, module, done)
        except Refusal as refusal:  # the sandbox is ending
            return outcomes.without_guest(ExitKind.WORKER_LOST, here.pool.profile, str(refusal))
        here.running[number] = (asked.job, asked.attempt)
        try:
            return await ended
        finally:
            del here.running[number]


def _refused(why: str, lacks: list[str] | None = None) -> RunnerState:
    return RunnerState(places=0, isolation=(), refusal=why, lacks=tuple(lacks or ()))


def _end_with(given: _Given) -> None:
    """On a thread of its own. The workers die with the threads that started them (hardening.die_with_parent)."""
    lease = given.lease
    while not lease.is_over(now := _now()):
        # What a suspended machine waited through is longer.
        if given.ended.wait(min(max(0.01, lease.until - now), _LOOK_S)):
            return
    os._exit(1)


def _now() -> float:
    """Seconds, those for which the machine was suspended too: its lease ran on."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
