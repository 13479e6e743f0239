"""What an execution of a job is asked, and what it answers: pure data, shared by the rules and the sandbox.

An executor answers every request with one outcome. How it ended (`ExitKind`) decides what the mesh may conclude:
only some endings are the same on every node, and only those may be held against anybody (semantics §5).

Not here: running anything (adapters.wasm), who gets a job (placement), what follows from an outcome (rules).
"""

from dataclasses import dataclass
from enum import Enum

from icn.kernel import limits
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, JobId


class ExitKind(Enum):
    """How an execution ended. The values are stored and sent; they never change meaning."""

    COMPLETED = "completed"
    """The guest returned, or called `proc_exit`; its exit code may still say that it is unhappy."""
    TRAPPED = "trapped"
    """The guest did what the WebAssembly specification answers with a trap."""
    OUT_OF_FUEL = "out_of_fuel"
    DEADLINE = "deadline"
    OUTPUT_LIMIT = "output_limit"
    STACK_OVERFLOW = "stack_overflow"
    REFUSED = "refused"
    """The module was not run: not WebAssembly, a forbidden import, or it declares more than its limits."""
    CANCELLED = "cancelled"
    WORKER_LOST = "worker_lost"
    """The process that ran the guest died; says nothing about the guest."""
    UNAVAILABLE = "unavailable"
    """Not run: its module or input could not be had in time; says nothing about the guest."""

    @property
    def repeatable(self) -> bool:
        """Whether every node gets this ending from the same request. Others must not open disputes (semantics §5)."""
        return self not in _ACCIDENTAL

    @property
    def guest_fault(self) -> bool:
        """Whether the module fails like this everywhere, so that another attempt cannot succeed."""
        return self in _GUEST_FAULTS


_ACCIDENTAL = frozenset(
    (
        ExitKind.DEADLINE,
        ExitKind.STACK_OVERFLOW,
        ExitKind.CANCELLED,
        ExitKind.WORKER_LOST,
        ExitKind.UNAVAILABLE,
    )
)
_GUEST_FAULTS = frozenset((ExitKind.TRAPPED, ExitKind.OUT_OF_FUEL, ExitKind.OUTPUT_LIMIT, ExitKind.REFUSED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one execution may use. Checked by `check` against the bounds of `icn.kernel.limits`."""

    fuel: int
    memory_bytes: int
    """Linear memory. A refused growth is not an ending: the guest sees −1 and the refusal is counted."""
    table_elements: int
    """Per table."""
    wall_ms: int
    output_bytes: int

    def check(self) -> None:
        """Raise `Invalid` for the first field that is not positive or lies above its bound, in the order of fields."""
        _within("fuel", self.fuel, limits.FUEL_MAX)
        _within("memory_bytes", self.memory_bytes, limits.JOB_MEMORY_BYTES_MAX)
        _within("table_elements", self.table_elements, limits.JOB_TABLE_ELEMENTS_MAX)
        _within("wall_ms", self.wall_ms, limits.JOB_WALL_MS_MAX)
        _within("output_bytes", self.output_bytes, limits.JOB_OUTPUT_BYTES_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRequest:
    """One attempt at a job, complete: the same request gives the same output and fuel on any node."""

    job: JobId
    attempt: int
    module: Cid | None
    """None asks for the built-in `echo`, whose output is its input (semantics §5)."""
    arguments: tuple[str, ...]
    """What follows the program's own name."""
    input: bytes
    limits: Limits

    def check(self) -> None:
        """Raise `Invalid` when something lies above its bound."""
        _within("attempt", self.attempt, limits.FUEL_MAX)
        _within("arguments", len(self.arguments), limits.JOB_ARGUMENTS_MAX, least=0)
        for argument in self.arguments:
            _check_argument(argument)
        _within("input bytes", len(self.input), limits.CONTENT_BYTES_MAX, least=0)
        self.limits.check()

    def check_module(self, module: bytes) -> None:
        """Raise `Invalid` when these bytes are not the module that is asked for."""
        if self.module is not None and not self.module.names(module):
            raise Invalid("module", f"is not what {self.module} names")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionOutcome:
    """How one execution ended, what it produced and what it used."""

    exit: ExitKind
    exit_code: int
    """What the guest said with `proc_exit`; 0 where it said nothing."""
    output: bytes
    detail: str
    """For a person: the trap, the refusal, the end of what the guest wrote to standard error. Bounded."""
    fuel_used: int
    memory_peak_bytes: int
    wall_ms: int
    memory_growth_denied: int
    table_growth_denied: int
    profile: str
    """The deterministic profile it ran under; results of different profiles are not comparable."""


def _check_argument(argument: str) -> None:
    try:
        encoded = argument.encode()
    except UnicodeEncodeError:
        raise Invalid("argument", "contains a surrogate, which UTF-8 cannot carry") from None
    _within("argument bytes", len(encoded), limits.JOB_ARGUMENT_BYTES_MAX, least=0)
    if b"\0" in encoded:
        raise Invalid("argument", "contains a zero byte, which ends an argument in WASI")


def _within(what: str, value: int, most: int, *, least: int = 1) -> None:
    if not least <= value <= most:
        raise Invalid(what, f"{value} is not between {least} and {most}")
