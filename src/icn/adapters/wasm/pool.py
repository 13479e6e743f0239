"""The executor of a single machine: a few persistent workers, each with a thread of the node that looks after it.

Callers never wait, because there are never more executions open than workers. This module counts, hands out and takes
back; what an attendant does with its worker is its own affair.

Not here: which job runs where (domain.mesh), trying again (the node).
"""

import queue
import threading

from icn.adapters.wasm import outcomes
from icn.adapters.wasm.admission import admit
from icn.adapters.wasm.attendant import Attendant, IsolationMissing
from icn.adapters.wasm.cache import ModuleCache
from icn.adapters.wasm.open_execution import OpenExecution
from icn.adapters.wasm.ports import Done
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.refusals import AlreadyExecuting, SandboxClosed, SandboxFull
from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.kernel.errors import Fault
from icn.kernel.ids import JobId


class NoWorker(Fault):
    """No worker process could be started; jobs end as lost until one can."""

    code = "sandbox.no_worker"
    retryable = True


class WorkerPool:
    """Satisfies `ports.Executor`. Workers start in the background; what is submitted meanwhile waits for them."""

    def __init__(self, settings: SandboxSettings, cache: ModuleCache) -> None:
        self._settings = settings
        self._profile = profile()
        self._lock = threading.Lock()
        self._open: dict[tuple[JobId, int], OpenExecution] = {}
        self._closed = False
        self._memory_denied = 0
        self._table_denied = 0
        # One place per execution that may be open, and one per thread for the None that ends it.
        self._waiting: queue.SimpleQueue[OpenExecution | None] = queue.SimpleQueue()  # bounded: workers, in submit()
        self._begun = threading.Event()
        self._attendants = [Attendant(settings, cache, self._profile) for _ in range(settings.workers)]
        self._threads = [
            threading.Thread(target=self._attend, args=(attendant,), name=f"sandbox-{number}", daemon=True)
            for number, attendant in enumerate(self._attendants)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def profile(self) -> str:
        """See `Executor.profile`."""
        return self._profile

    def isolation(self) -> frozenset[str]:
        """See `Executor.isolation`. The first worker speaks for all: they are started the same way."""
        self._begun.wait()
        first = self._attendants[0]
        if isinstance(first.failure, IsolationMissing):
            raise first.failure
        if not first.isolation:
            raise NoWorker(f"no worker could be started: {first.failure}") from first.failure
        return first.isolation

    def pids(self) -> tuple[int, ...]:
        """The worker processes alive now, for operators."""
        return tuple(pid for pid in (attendant.pid for attendant in self._attendants) if pid is not None)

    def capacity(self) -> int:
        """See `Executor.capacity`."""
        return self._settings.workers

    def free(self) -> int:
        """See `Executor.free`."""
        with self._lock:
            return 0 if self._closed else self._settings.workers - len(self._open)

    def submit(self, request: ExecutionRequest, module: bytes, done: Done) -> None:
        """See `Executor.submit`."""
        request.check()
        request.check_module(module)
        key = (request.job, request.attempt)
        with self._lock:
            if self._closed:
                raise SandboxClosed
            if key in self._open:
                raise AlreadyExecuting(str(request.job), request.attempt)
            if len(self._open) >= self._settings.workers:
                raise SandboxFull(self._settings.workers)
            self._open[key] = OpenExecution(request, module, done)
            self._waiting.put(self._open[key])

    def cancel(self, job: JobId, attempt: int) -> bool:
        """See `Executor.cancel`."""
        with self._lock:
            execution = self._open.get((job, attempt))
            if execution is None:
                return False
            execution.cancel()
            return True

    def check(self, module: bytes) -> None:
        """See `Executor.check`."""
        admit(module)

    def denials(self) -> tuple[int, int]:
        """See `Executor.denials`."""
        with self._lock:
            return self._memory_denied, self._table_denied

    def close(self) -> None:
        """See `Executor.close`. May be called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for execution in self._open.values():
                    execution.cancel()
                for _ in self._threads:
                    self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _attend(self, attendant: Attendant) -> None:
        try:
            attendant.prepare()
            if attendant is self._attendants[0]:
                self._begun.set()
            while (execution := self._waiting.get()) is not None:
                self._finish(execution, attendant.execute(execution))
                if execution.request.module is not None and not self._closed:
                    attendant.prepare()  # what is built in wears no worker
        finally:
            self._begun.set()
            attendant.discard()

    def _finish(self, execution: OpenExecution, outcome: ExecutionOutcome) -> None:
        request = execution.request
        with self._lock:
            del self._open[request.job, request.attempt]
            self._memory_denied += outcome.memory_growth_denied
            self._table_denied += outcome.table_growth_denied
        if execution.cancelled:
            # `cancel` said yes, so this is the outcome, even if the guest was quicker.
            outcome = outcomes.without_guest(ExitKind.CANCELLED, self._profile, "cancelled", outcome.wall_ms)
        execution.done(request, outcome)
