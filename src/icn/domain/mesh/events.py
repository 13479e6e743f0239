"""What happens to jobs. Those of the home come first, those that executors record in their own feeds last."""

from dataclasses import dataclass

from icn.domain.mesh.model import Assignee, JobSpec, Status
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """A job is opened; its price is held in the same block."""

    job: JobId
    nonce: bytes
    """The id is made of the home and this."""
    home_epoch: int
    payer: Did
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class BiddingOpened:
    """Bids for this attempt are taken until `closes_at`. Recorded again when none came."""

    job: JobId
    attempt: int
    closes_at: Instant


@dataclass(frozen=True, slots=True)
class JobAssigned:
    """Bidding is over."""

    job: JobId
    attempt: int
    deadline: Instant
    assignees: tuple[Assignee, ...]


@dataclass(frozen=True, slots=True)
class ExecutionStarted:
    """The executor said that it has begun."""

    job: JobId
    attempt: int
    executor: Did


@dataclass(frozen=True, slots=True)
class OutputCommitted:
    """With redundancy: the executor bound itself to an output that it has not shown yet."""

    job: JobId
    attempt: int
    executor: Did
    commitment: bytes
    """SHA-256(output CID ‖ nonce ‖ DID)."""


@dataclass(frozen=True, slots=True)
class RevealOpened:
    """With redundancy: whoever still takes part has bound itself, so nobody can copy any more. Receipts are due."""

    job: JobId
    attempt: int
    reveal_by: Instant
    """Who has shown nothing by then has failed."""


@dataclass(frozen=True, slots=True)
class OutputRevealed:
    """With redundancy: the receipt that an executor had pledged."""

    job: JobId
    attempt: int
    executor: Did
    receipt: bytes


@dataclass(frozen=True, slots=True)
class AssigneeFailed:
    """With redundancy: one executor brings nothing that counts; the attempt goes on without it."""

    job: JobId
    attempt: int
    executor: Did
    reason: str
    counts_against_executor: bool
    receipt: bytes
    """What it sent instead; empty where nothing came."""


@dataclass(frozen=True, slots=True)
class AttemptAbandoned:
    """With redundancy: no majority can come about any more, or its output could not be had; nobody is paid."""

    job: JobId
    attempt: int
    reason: str
    retry_at: Instant


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """This attempt brings no result; the next one may begin at `retry_at`."""

    job: JobId
    attempt: int
    executor: Did
    reason: str
    counts_against_executor: bool
    retry_at: Instant
    receipt: bytes
    """The executor's failure receipt; empty where none came."""


@dataclass(frozen=True, slots=True)
class FailureDeferred:
    """Follows a failure that may be the job's fault: it counts against the executor once another completes the job."""

    job: JobId
    attempt: int
    executor: Did


@dataclass(frozen=True, slots=True)
class JobCompleted:
    """The output is here and checked; the executor is paid in the same block."""

    job: JobId
    attempt: int
    executor: Did
    output: Cid
    paid: Mana
    receipt: bytes


@dataclass(frozen=True, slots=True)
class JobAgreed:
    """With redundancy: the majority's output is here and checked; each of the majority is paid in the same block."""

    job: JobId
    attempt: int
    output: Cid
    winners: tuple[Did, ...]
    dissenters: tuple[Did, ...]
    """Who showed another result under the same profile."""
    paid: Mana
    """To all of them together."""


@dataclass(frozen=True, slots=True)
class JobRolledBack:
    """The job ends without a result; its hold is released in the same block. What people call the RollbackEvent."""

    job: JobId
    outcome: Status
    """`FAILED` or `CANCELLED`."""
    reason: str
    attempts: int
    restored: Mana
    """What went back to the payer."""


@dataclass(frozen=True, slots=True)
class ReceiptKept:
    """A receipt that came too late: evidence, neither paid nor scored."""

    job: JobId
    attempt: int
    executor: Did
    receipt: bytes


@dataclass(frozen=True, slots=True)
class AssignmentDeclined:
    """The executor said that it is not going to run this attempt, whatever has become of the job meanwhile."""

    job: JobId
    attempt: int
    executor: Did
    reason: str


@dataclass(frozen=True, slots=True)
class ExecutorBanned:
    """An executor has failed too often in this home's jobs: it gets none until `until`, and then one for a trial."""

    executor: Did
    until: Instant
    failures: int
    """In a row, at this home."""
    reason: str
    """The last of them."""


@dataclass(frozen=True, slots=True)
class ExecutorPardoned:
    """A ban of this home is over, because the trial succeeded or the operator said so."""

    executor: Did
    reason: str


@dataclass(frozen=True, slots=True)
class AssignmentAccepted:
    """In the executor's feed: it is going to run this."""

    job: JobId
    attempt: int
    home: Did
    deadline: Instant
    assignment: bytes


@dataclass(frozen=True, slots=True)
class PledgeMade:
    """In the executor's feed, with redundancy: it is bound to a result that it does not show yet."""

    job: JobId
    attempt: int
    home: Did
    commitment: bytes
    """SHA-256(output CID ‖ nonce ‖ DID)."""


@dataclass(frozen=True, slots=True)
class DisputeRaised:
    """Two receipts for one job that cannot both be right, both signed: anybody can tell, and run the job again.

    In the feed of whoever found it: a home whose executors did not agree, or a node that ran the job again.
    """

    job: JobId
    attempt: int
    """Of `receipt`."""
    home: Did
    accused: Did
    """Who signed `receipt`."""
    receipt: bytes
    counter: bytes
    """The receipt that contradicts it."""


@dataclass(frozen=True, slots=True)
class ReceiptIssued:
    """In the executor's feed: what it signed, for everybody to see."""

    job: JobId
    attempt: int
    home: Did
    receipt: bytes


MeshEvent = (
    JobSubmitted
    | BiddingOpened
    | JobAssigned
    | ExecutionStarted
    | OutputCommitted
    | RevealOpened
    | OutputRevealed
    | AssigneeFailed
    | AttemptAbandoned
    | AttemptFailed
    | FailureDeferred
    | JobCompleted
    | JobAgreed
    | JobRolledBack
    | ReceiptKept
    | DisputeRaised
    | AssignmentDeclined
    | ExecutorBanned
    | ExecutorPardoned
    | AssignmentAccepted
    | PledgeMade
    | ReceiptIssued
)
