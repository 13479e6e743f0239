"""Executions between engine and sandbox: started when a place is free, told to the engine when they end."""

from collections import deque
from collections.abc import Callable

from icn.adapters.wasm.outcomes import without_guest
from icn.adapters.wasm.ports import Executor
from icn.adapters.wasm.refusals import AlreadyExecuting, SandboxClosed, SandboxFull
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.kernel.ids import JobId

WAITING_MAX = 4096
"""Executions that wait for a place. The engine accepts no more than the capacity; this is headroom, not a queue."""


class Executions:
    """Lives on the event loop's thread; `ended` is called there."""

    def __init__(
        self,
        executor: Executor,
        *,
        ended: Callable[[ExecutionRequest, ExecutionOutcome], None],
        to_loop: Callable[[Callable[[], None]], object],
    ) -> None:
        """`to_loop` runs a function on the loop's thread, from any thread."""
        self._executor = executor
        self._ended = ended
        self._to_loop = to_loop
        self._waiting: deque[tuple[ExecutionRequest, bytes]] = deque(maxlen=WAITING_MAX)
        self._is_over = False

    def run(self, request: ExecutionRequest, module: bytes) -> None:
        """Start, or wait for a place that is about to become free."""
        if not self._start(request, module):
            self._waiting.append((request, module))

    def _start(self, request: ExecutionRequest, module: bytes) -> bool:
        """False where there is no place."""
        try:
            self._executor.submit(request, module, self._done)
        except SandboxFull:
            return False
        except (SandboxClosed, AlreadyExecuting):
            # Closed: the node is stopping, and what was accepted runs again after its start. Already executing: the
            # engine asks twice after a fault of the store; the first one's outcome is the answer.
            pass
        return True

    def stop(self, job: JobId, attempt: int) -> None:
        """Stop an execution; one that still waits ends where it stands."""
        self._executor.cancel(job, attempt)
        for request, module in list(self._waiting):
            if (request.job, request.attempt) == (job, attempt):
                self._waiting.remove((request, module))
                detail = "cancelled before it ran"
                self._ended(request, without_guest(ExitKind.CANCELLED, self._executor.profile, detail))

    def try_waiting(self) -> None:
        """There may be more places than before: a machine has joined."""
        while self._waiting:
            request, module = self._waiting.popleft()
            if not self._start(request, module):
                self._waiting.appendleft((request, module))
                return

    def end(self) -> None:
        """The node stops: what is cut off now is nobody's failure. The engine has it run again after the next start."""
        self._is_over = True

    def _done(self, request: ExecutionRequest, outcome: ExecutionOutcome) -> None:
        """On a thread of the sandbox."""
        self._to_loop(lambda: self._finish(request, outcome))

    def _finish(self, request: ExecutionRequest, outcome: ExecutionOutcome) -> None:
        if self._is_over:
            return
        self._ended(request, outcome)
        self.try_waiting()
