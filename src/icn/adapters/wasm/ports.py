"""The port behind which jobs are executed, and the refusals it answers with.

One request is executed at most once: what was lost is reported as lost, and trying again is the node's decision
(semantics §5). Limits are enforced where the guest runs, never by whoever places the work.

Not here: what to do with an outcome (domain.mesh), the processes behind it (pool), another backend's placement.
"""

from collections.abc import Callable
from typing import Protocol

from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import JobId

Done = Callable[[ExecutionRequest, ExecutionOutcome], None]


class ModuleRefused(Refusal):
    """The module cannot be a job: not WebAssembly, too large, an import that is not allowed, no entry point."""

    code = "sandbox.module_refused"
    kind = Kind.INVALID

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"module refused: {why}")


class SandboxFull(Refusal):
    """Every place is taken; the caller offers the job elsewhere or later."""

    code = "sandbox.full"
    kind = Kind.TOO_MANY

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        super().__init__(f"all {capacity} places of the sandbox are taken")


class SandboxClosed(Refusal):
    """The sandbox is shutting down and takes no more work."""

    code = "sandbox.closed"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("the sandbox is closed")


class Executor(Protocol):
    """Runs job modules within limits, away from the node's own process.

    Contract, held by tests/contract/test_execution.py:

    - `submit` returns at once. `done` is called exactly once per accepted request, from a thread of the executor,
      also when the guest, its worker or the executor itself ends before its time. A refused submit calls nothing.
    - Same module, arguments, input, limits and profile give the same output, exit kind, exit code and fuel, wherever
      `ExitKind.repeatable` says so.
    - A guest gets no clock, entropy, file, environment or network; what it may know is in the request.
    - A module that fails `check` is not run: its outcome is `REFUSED`.
    """

    @property
    def profile(self) -> str:
        """Names engine, version and configuration: receipts carry it, since only equal profiles compare."""
        ...

    def capacity(self) -> int:
        """How many executions may run at once."""
        ...

    def free(self) -> int:
        """How many more `submit` would accept now."""
        ...

    def submit(self, request: ExecutionRequest, module: bytes, done: Done) -> None:
        """Execute `request` once. `module` is the content behind `request.module`; empty for the built-in echo.

        Raises `SandboxFull`, `SandboxClosed`, or `Invalid` when the request is out of bounds or `module` is not what
        its CID names.
        """
        ...

    def cancel(self, job: JobId, attempt: int) -> bool:
        """Stop the execution, guest included; its outcome is `CANCELLED`. False when no such execution is open."""
        ...

    def check(self, module: bytes) -> None:
        """Raise `ModuleRefused` when `module` cannot be a job, cheaply and without running anything."""
        ...

    def denials(self) -> tuple[int, int]:
        """Growth of memories and of tables refused since the start, for the two metrics of semantics §6."""
        ...

    def close(self) -> None:
        """End every guest and worker, answer what is open with `CANCELLED`, and wait until all has ended."""
        ...
