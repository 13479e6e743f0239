"""What may be asked of the mesh. Times that run out are commands too: the home asks itself."""

from dataclasses import dataclass

from icn.domain.mesh.failures import Silence
from icn.domain.mesh.model import Bid, JobSpec, Receipt
from icn.kernel.ids import Did, JobId


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Open a job and its first bidding."""

    nonce: bytes
    payer: Did
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class Offer:
    """A verified bid with the home of the account its executor is paid to."""

    bid: Bid
    account_home: Did


@dataclass(frozen=True, slots=True)
class CloseBidding:
    """Choose among the offers, or open bidding again."""

    job: JobId
    offers: tuple[Offer, ...]
    declined: tuple[str, ...] = ()
    """Why executors made none, each reason once: what the submitter is told when the job's time is up."""


@dataclass(frozen=True, slots=True)
class ReopenBidding:
    """The pause after a failed attempt is over."""

    job: JobId


@dataclass(frozen=True, slots=True)
class NoteStart:
    """The executor of the current attempt has begun."""

    job: JobId
    attempt: int
    executor: Did


@dataclass(frozen=True, slots=True)
class TakeReceipt:
    """A receipt with a good signature; where it claims an output, that output is here and has that name."""

    receipt: Receipt
    data: bytes
    cut_off: bool = False
    """The link to the executor was down during the attempt, or this home."""


@dataclass(frozen=True, slots=True)
class GiveUpAttempt:
    """No receipt came by the attempt's deadline, or the executor is gone."""

    job: JobId
    executor: Did
    silence: Silence


@dataclass(frozen=True, slots=True)
class TakeRefusal:
    """An executor that was assigned this attempt says that it is not going to run it."""

    job: JobId
    attempt: int
    executor: Did
    reason: str


@dataclass(frozen=True, slots=True)
class TakePledge:
    """With redundancy: an executor binds itself to a result."""

    job: JobId
    attempt: int
    executor: Did
    commitment: bytes


@dataclass(frozen=True, slots=True)
class CloseRound:
    """With redundancy: the time to pledge, or to show what was pledged, is over."""

    job: JobId


@dataclass(frozen=True, slots=True)
class AcceptAgreed:
    """With redundancy: the output of the majority is here and has its name."""

    job: JobId


@dataclass(frozen=True, slots=True)
class AbandonAttempt:
    """With redundancy: what the majority agreed on cannot be had, or is wrong by our own execution."""

    job: JobId
    reason: str


@dataclass(frozen=True, slots=True)
class CancelJob:
    """The submitter wants it no more."""

    job: JobId
    principal: Did


@dataclass(frozen=True, slots=True)
class ExpireJob:
    """The job's own deadline has passed."""

    job: JobId
    declined: tuple[str, ...] = ()
    """As in `CloseBidding`."""


@dataclass(frozen=True, slots=True)
class PardonExecutor:
    """The operator wants an executor to get jobs of this home again."""

    executor: Did


@dataclass(frozen=True, slots=True)
class RejectResult:
    """The home ran the job itself, and a result that was to be accepted is not confirmed."""

    job: JobId
    reason: str
    receipt: bytes
    """The sealed receipt that was to be paid; empty where several executors agreed on it."""
    counter: bytes
    """The home's own, which contradicts it; empty where nothing is proven."""


PollCommand = TakePledge | CloseRound | AcceptAgreed | AbandonAttempt
MeshCommand = (
    SubmitJob
    | CloseBidding
    | ReopenBidding
    | NoteStart
    | TakeReceipt
    | GiveUpAttempt
    | TakeRefusal
    | PollCommand
    | RejectResult
    | CancelJob
    | ExpireJob
    | PardonExecutor
)
