"""The port behind which jobs are executed.

One request is executed at most once: what was lost is reported as lost, and trying again is the node's decision
(semantics §5). Limits are enforced where the guest runs, never by whoever places the work.

Not here: what follows from an outcome (domain.mesh), the processes behind it (pool).
"""

from collections.abc import Callable
from typing import Protocol

from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.kernel.ids import JobId

Done = Callable[[ExecutionRequest, ExecutionOutcome], None]
"""Told how an execution ended. It must not raise, and should only pass the news on: it holds a place meanwhile."""


class Executor(Protocol):
    """Runs job modules within limits, away from the node's own process.

    Contract, held by tests/contract/test_execution.py:

    - `submit` returns at once. `done` is called exactly once per accepted request, from a thread of the executor,
      also when the guest, its worker or the executor itself ends before its time. A refused submit calls nothing.
    - Same module, arguments, input, job, limits and profile give the same output, exit kind, exit code and fuel,
      wherever `ExitKind.repeatable` says so.
    - A guest gets no clock, entropy, file, environment or network; what it may know is in the request.
    - A module that fails `check` is not run: its outcome is `REFUSED`.
    """

    @property
    def profile(self) -> str:
        """Names engine, version and configuration: receipts carry it, since only equal profiles compare."""
        ...

    def isolation(self) -> frozenset[str]:
        """What guests are sealed with. Waits until the first worker is there, or cannot be.

        Raises `IsolationMissing` when that is less than was asked for, so that nothing can be run, and `NoWorker`.
        """
        ...

    def capacity(self) -> int:
        """How many executions may be open at once. May change while it runs; what is open is not ended by that."""
        ...

    def free(self) -> int:
        """How many more `submit` would accept now."""
        ...

    def submit(self, request: ExecutionRequest, module: bytes, done: Done) -> None:
        """Execute `request` once. `module` is the content behind `request.module`; empty for the built-in echo.

        Raises `SandboxFull`, `SandboxClosed`, `AlreadyExecuting`, or `Invalid` when the request is out of bounds or
        `module` is not what its CID names.
        """
        ...

    def cancel(self, job: JobId, attempt: int) -> bool:
        """Stop the execution, guest included; its outcome is `CANCELLED`. False when no such execution is open."""
        ...

    def check(self, module: bytes) -> None:
        """Raise `ModuleRefused` when `module` cannot be a job. Cheap: reads declarations, compiles nothing."""
        ...

    def denials(self) -> tuple[int, int]:
        """Growth of memories and of tables refused since the start, for the two metrics of semantics §6."""
        ...

    def close(self) -> None:
        """End every guest and worker, answer what is open with `CANCELLED`, and wait until all has ended."""
        ...
