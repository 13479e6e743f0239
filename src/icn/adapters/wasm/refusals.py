"""What the sandbox refuses. Apart from the port, so that a worker process can raise them without importing the rest."""

from icn.kernel.errors import Kind, Refusal


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


class AlreadyExecuting(Refusal):
    """This attempt at this job is open; a second execution of it would give one request two outcomes."""

    code = "sandbox.already_executing"
    kind = Kind.CONFLICT

    def __init__(self, job: str, attempt: int) -> None:
        self.job = job
        self.attempt = attempt
        super().__init__(f"attempt {attempt} at {job} is already being executed")


class SandboxClosed(Refusal):
    """The sandbox is shutting down and takes no more work."""

    code = "sandbox.closed"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("the sandbox is closed")
