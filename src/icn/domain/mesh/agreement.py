"""How several executors of one attempt agree without copying from each other: pledge, reveal, count (semantics §5).

```
 JobAssigned      OutputCommitted        RevealOpened           OutputRevealed            JobAgreed
   └─> ASSIGNED ───────────────> PLEDGED ───────────> (PLEDGED) ───────────────> REVEALED ─────────> AGREED
           │                        │      all pledged     │                        │        └─────> DISSENTED
           └──────────── AssigneeFailed ───────────────────┴────────────────────────┴──> FAILED
```

An executor first binds itself with SHA-256(output ‖ nonce ‖ DID), which tells nobody anything, and shows its receipt
when everybody is bound. Its own DID is in there, so a commitment that was copied fits no receipt of the copier.

What is counted is the whole verdict of a receipt: output, how it ended, and the fuel, under one profile. A module gives
all of that alike on every node, so who differs in any of it is wrong, and more than half of all assigned (not of those
who answered) decide.

Only values and functions of them. Not here: which records make them change (rules), who is paid how much (ledger).
"""

import hashlib
from dataclasses import dataclass, replace
from enum import Enum

from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Assignee, Receipt
from icn.domain.mesh.papers import open_receipt
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Instant

PLEDGE_NONCE_BYTES = 32
COMMITMENT_BYTES = 32


class Part(Enum):
    """Where one executor of an attempt stands."""

    ASSIGNED = "assigned"
    PLEDGED = "pledged"
    REVEALED = "revealed"
    FAILED = "failed"
    """Brings nothing that counts: it failed, was silent, or did not show what it had pledged."""
    AGREED = "agreed"
    """One of the majority, and paid."""
    DISSENTED = "dissented"


@dataclass(frozen=True, slots=True)
class Ballot:
    """One executor's part in an attempt."""

    executor: Did
    part: Part
    commitment: bytes
    """Empty before it pledged."""
    receipt: bytes
    """Sealed; empty before it showed one."""


@dataclass(frozen=True, slots=True)
class Poll:
    """The attempt of a job that more than one executor runs."""

    job: JobId
    attempt: int
    ballots: tuple[Ballot, ...]
    """In the order of the assignment."""
    reveal_by: Instant | None
    """Until when receipts are waited for; none while executors pledge."""

    @property
    def majority(self) -> int:
        """How many must agree: more than half of all assigned."""
        return len(self.ballots) // 2 + 1

    def ballot(self, executor: Did) -> Ballot | None:
        """The part of `executor`."""
        return next((ballot for ballot in self.ballots if ballot.executor == executor), None)

    def of(self, *parts: Part) -> tuple[Ballot, ...]:
        """Those who stand there, in order."""
        return tuple(ballot for ballot in self.ballots if ballot.part in parts)

    def with_part(self, executor: Did, part: Part, *, commitment: bytes = b"", receipt: bytes = b"") -> "Poll":
        """The poll with one executor moved on."""
        return replace(
            self,
            ballots=tuple(
                replace(b, part=part, commitment=commitment or b.commitment, receipt=receipt or b.receipt)
                if b.executor == executor
                else b
                for b in self.ballots
            ),
        )

    @property
    def may_agree(self) -> bool:
        """Whether a majority can still come about."""
        undecided = len(self.of(Part.ASSIGNED, Part.PLEDGED))
        return max((len(group) for group in tally(self).values()), default=0) + undecided >= self.majority


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receipt says of the job: everything that is the same on every node of one profile."""

    profile: str
    output: Cid | None
    exit: ExitKind
    exit_code: int
    fuel_used: int

    @classmethod
    def of(cls, receipt: Receipt) -> "Verdict":
        """The verdict of a receipt."""
        return cls(receipt.profile, receipt.output, receipt.exit, receipt.exit_code, receipt.fuel_used)


def open_poll(job: JobId, attempt: int, assignees: tuple[Assignee, ...]) -> Poll:
    """The poll as the assignment leaves it."""
    return Poll(job, attempt, tuple(Ballot(a.executor, Part.ASSIGNED, b"", b"") for a in assignees), None)


def commitment_to(receipt: Receipt) -> bytes:
    """SHA-256(output CID ‖ nonce ‖ DID). An ending without output stands for it by its name.

    Nonce and DID have fixed lengths, and no CID begins like the name of an ending, so no two results share a preimage.
    """
    output = receipt.exit.value.encode() if receipt.output is None else receipt.output.data
    return hashlib.sha256(output + receipt.nonce + receipt.executor.text.encode()).digest()


def fits(receipt: Receipt, commitment: bytes) -> bool:
    """Whether `commitment` was made for this very receipt's output, nonce and executor."""
    return len(receipt.nonce) == PLEDGE_NONCE_BYTES and commitment_to(receipt) == commitment


def is_withdrawal(receipt: Receipt) -> bool:
    """Whether an executor that pledged shows nothing after all, because its attempt is over."""
    return receipt.exit is ExitKind.CANCELLED and receipt.output is None


def tally(poll: Poll) -> dict[Verdict, tuple[Ballot, ...]]:
    """Who said the same, in the order in which it was first said."""
    found: dict[Verdict, tuple[Ballot, ...]] = {}
    for ballot in poll.of(Part.REVEALED):
        verdict = Verdict.of(open_receipt(ballot.receipt))
        found[verdict] = (*found.get(verdict, ()), ballot)
    return found


def agreed(poll: Poll) -> tuple[Verdict, tuple[Ballot, ...]] | None:
    """The verdict of the majority and who gave it; None where there is none."""
    for verdict, ballots in tally(poll).items():
        if len(ballots) >= poll.majority:
            return verdict, ballots
    return None


def agreed_output(poll: Poll) -> Cid | None:
    """The output that a majority named; None where there is no majority, or it has none."""
    found = agreed(poll)
    return None if found is None else found[0].output


def dissenting(poll: Poll, verdict: Verdict) -> tuple[Ballot, ...]:
    """Who contradicts `verdict`. A receipt of another profile can neither support nor contradict it."""
    return tuple(
        ballot
        for ballot in poll.of(Part.REVEALED)
        if (other := Verdict.of(open_receipt(ballot.receipt))) != verdict and other.profile == verdict.profile
    )


def why_no_contradiction(receipt: Receipt, other: Receipt) -> str:
    """Why the two receipts do not prove that one of their executors is wrong; empty where they do.

    Anybody can tell from the two papers alone. Endings that are accidents of one machine prove nothing.
    """
    if receipt.executor == other.executor:
        return "both are of one executor"
    if (receipt.job, receipt.spec) != (other.job, other.spec):
        return "they are for different jobs"
    if not receipt.profile or receipt.profile != other.profile:
        return "they are of different profiles"
    if not (receipt.exit.repeatable and other.exit.repeatable):
        return "one of them ended by accident, not as every node would"
    if Verdict.of(receipt) == Verdict.of(other):
        return "they say the same"
    return ""
