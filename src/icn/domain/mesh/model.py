"""Jobs and what executors say about them.

A job is open until it is completed or rolled back; what has ended is not part of the live state (its row stays in the
store), so the state is bounded by what is under way.
"""

from dataclasses import dataclass
from enum import Enum

from icn.domain.mesh.execution import ExitKind, Limits
from icn.kernel import limits
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of
from icn.kernel.ids import DAG_CBOR, Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.mana import MANA_MAX, Mana

INPUT_INLINE_BYTES_MAX = 4 * limits.KIB
"""A longer input is stored as a content block and named by CID: specifications travel often, inputs once."""
CAPABILITIES_MAX = 16
CAPABILITY_CHARS_MAX = 64


class Status(Enum):
    """Where a job is. `ASSIGNED` and `EXECUTING` belong to one attempt."""

    SUBMITTED = "submitted"
    """Held and recorded; waits for bidding to open, at first or again after a failed attempt."""
    BIDDING = "bidding"
    ASSIGNED = "assigned"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def has_ended(self) -> bool:
        """Nothing further can happen to the job."""
        return self in _ENDINGS


_ENDINGS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Everything an executor needs to know; its CID stands in the receipt."""

    module: Cid | None
    """The WASM module; None for the built-in `echo`."""
    arguments: tuple[str, ...]
    input: bytes
    """Inline standard input, up to `INPUT_INLINE_BYTES_MAX`; empty where `input_cid` names it."""
    input_cid: Cid | None
    limits: Limits
    max_price: Mana
    """What the submitter pays at most, per executor."""
    capabilities: tuple[str, ...]
    """What an executor must offer, sorted."""
    deadline: Instant
    """When the job as a whole is given up."""
    redundancy: int
    """How many executors run it; odd."""

    @property
    def cid(self) -> Cid:
        """The name of this very specification."""
        return Cid.of(shape_of(JobSpec).encode(self), DAG_CBOR)

    @property
    def price_held(self) -> Mana:
        """What submitting sets aside."""
        return Mana(self.max_price * self.redundancy)

    def check(self) -> None:
        """Raise `Invalid` for the first field out of bounds."""
        self.limits.check()
        if len(self.arguments) > limits.JOB_ARGUMENTS_MAX:
            raise Invalid("arguments", f"at most {limits.JOB_ARGUMENTS_MAX}")
        for argument in self.arguments:
            if len(argument.encode()) > limits.JOB_ARGUMENT_BYTES_MAX or "\0" in argument:
                raise Invalid("argument", f"at most {limits.JOB_ARGUMENT_BYTES_MAX} bytes, none of them zero")
        if len(self.input) > INPUT_INLINE_BYTES_MAX:
            raise Invalid("input", f"at most {INPUT_INLINE_BYTES_MAX} bytes inline; more goes by CID")
        if self.input and self.input_cid is not None:
            raise Invalid("input", "either inline or by CID")
        if not self.max_price >= 1 or self.price_held > MANA_MAX:
            raise Invalid("max_price", "at least 1 mana, and an amount when multiplied by the redundancy")
        if list(self.capabilities) != sorted(dict.fromkeys(self.capabilities)):
            raise Invalid("capabilities", "sorted and distinct")
        if len(self.capabilities) > CAPABILITIES_MAX or any(
            not 1 <= len(name) <= CAPABILITY_CHARS_MAX for name in self.capabilities
        ):
            raise Invalid("capabilities", f"at most {CAPABILITIES_MAX} of 1 to {CAPABILITY_CHARS_MAX} characters")
        if not 0 <= self.deadline <= limits.INSTANT_MAX:
            raise Invalid("deadline", "is not a point in time")
        if not 1 <= self.redundancy <= limits.REDUNDANCY_MAX or self.redundancy % 2 == 0:
            raise Invalid("redundancy", f"odd, at most {limits.REDUNDANCY_MAX}")


@dataclass(frozen=True, slots=True)
class Assignee:
    """An executor chosen for an attempt, and what it is paid if it succeeds."""

    executor: Did
    executor_home: Did
    """Home of the account it is paid to."""
    price: Mana


class Blame(Enum):
    """Whether a failure counts against its executor. Which failure has which: `failures`."""

    NONE = "none"
    AT_ONCE = "at_once"
    IF_ANOTHER_COMPLETES = "if_another_completes"
    """It counts once another executor completes the same job; until then, and otherwise, it does not."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that did not bring a result."""

    attempt: int
    executor: Did
    reason: str
    blame: Blame = Blame.NONE


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its home has it."""

    id: JobId
    home: Did
    home_epoch: int
    payer: Did
    spec: JobSpec
    submitted_at: Instant
    status: Status
    attempt: int
    """1 for the first. 0 before bidding opened."""
    due_at: Instant
    """When its home must act unless something happens before: open or close bidding, give up the attempt."""
    assignees: tuple[Assignee, ...]
    assigned_at: Instant | None
    """When the newest attempt was assigned; none before the first."""
    failures: tuple[FailedAttempt, ...]
    ended_at: Instant | None
    reason: str
    """Why it failed or was cancelled."""
    output: Cid | None
    paid: Mana
    receipt: bytes
    """The sealed receipt that completed it."""

    def assignee(self, executor: Did) -> Assignee | None:
        """The assignment of `executor` in the current attempt."""
        for assignee in self.assignees:  # nearly always one, and asked for with every record
            if assignee.executor == executor:
                return assignee
        return None


@dataclass(frozen=True, slots=True)
class Bid:
    """An executor's offer, valid for one attempt of one job, signed under `icn/bid/1`."""

    job: JobId
    attempt: int
    home: Did
    executor: Did
    price: Mana
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """The home's order to run, complete, signed under `icn/assignment/1`."""

    job: JobId
    attempt: int
    home: Did
    executor: Did
    price: Mana
    deadline: Instant
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an executor signs for an execution, under `icn/receipt/1`: anybody can check it, and run the job again."""

    job: JobId
    attempt: int
    home: Did
    executor: Did
    spec: Cid
    module: Cid | None
    output: Cid | None
    """None where the execution brought no output that counts."""
    exit: ExitKind
    exit_code: int
    fuel_used: int
    memory_peak_bytes: int
    wall_ms: int
    memory_growth_denied: int
    table_growth_denied: int
    profile: str
    """The deterministic profile: only receipts of one profile are comparable."""
    detail: str
    finished_at: Instant
    nonce: bytes
    """With redundancy: what the commitment was made with."""


@dataclass(frozen=True, slots=True)
class Execution:
    """An assignment that an executor accepted and has not yet signed a receipt for."""

    executor: Did
    job: JobId
    attempt: int
    home: Did
    deadline: Instant
    assignment: bytes
    """Sealed by the home."""


@dataclass(frozen=True, slots=True)
class Ban:
    """An executor gets no job of a home until then, and one for a trial afterwards."""

    since: Instant
    until: Instant
    failures: int
    """In a row, when it was banned."""
    reason: str
    """The failure that led to it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a home has seen of an executor in its own jobs; `standing` says how it changes."""

    completed: int = 0
    failed_in_row: int = 0
    ban: Ban | None = None
