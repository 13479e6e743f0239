"""Dishonest executors: what a lying node's sandbox would answer, and one that copies what others have shown.

Whether an executor lies in an attempt is a coin of its own for each, so the number of liars among those chosen has the
binomial distribution, whomever the home chooses and whatever it has learnt about them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from math import comb

from icn.domain.mesh.agreement import Part
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.papers import open_receipt, seal_receipt
from icn.domain.mesh.state import ExecutionKey
from icn.kernel.instant import Instant
from icn.protocol.messages import ReceiptSent
from icn.services import rows
from icn.services.pledging import PledgingService
from icn.services.work import UnitOfWork

ONE = 2**32


class Lie(Enum):
    """How those who lie do it."""

    ALONE = "independent"
    """A wrong output that nobody else gives."""
    TOGETHER = "colluding"
    """The same wrong output from all of them."""
    FUEL = "wrong fuel"
    """The right output, and a wrong account of the work, in which nobody else agrees."""
    COPY = "copying"
    """A commitment to nothing, and then whatever another one has revealed."""


def lies(seed: str, executor: str, request: ExecutionRequest, *, per_thousand: int) -> bool:
    """Whether this executor lies in this attempt."""
    coin = hashlib.sha256(f"{seed}/{executor}/{request.job}/{request.attempt}".encode()).digest()[:4]
    return int.from_bytes(coin, "big") * 1000 < per_thousand * ONE


def lied(lie: Lie, executor: str, request: ExecutionRequest, honest: ExecutionOutcome) -> ExecutionOutcome:
    """The outcome that a liar reports instead of the honest one."""
    if lie is Lie.FUEL:
        own = int.from_bytes(hashlib.sha256(executor.encode()).digest()[:4], "big")
        return replace(honest, fuel_used=honest.fuel_used + 1 + own)
    together = f"wrong/{request.job}"
    output = together if lie is Lie.TOGETHER else f"{together}/{request.attempt}/{executor}"
    return replace(honest, exit=ExitKind.COMPLETED, output=output.encode(), detail="")


def wrong_majority(executors: int, per_thousand: int) -> Fraction:
    """The chance that more than half of so many independent draws lie."""
    lie = Fraction(per_thousand, 1000)
    return sum(
        (
            comb(executors, liars) * lie**liars * (1 - lie) ** (executors - liars)
            for liars in range(executors // 2 + 1, executors + 1)
        ),
        start=Fraction(0),
    )


@dataclass
class CopyingPledging(PledgingService):
    """Of a node that copies: it commits itself to anything, and sends the receipt of whoever reveals first as its own.

    Not through its feed: no other node would take such a block.
    """

    copies: Callable[[ExecutionKey], bool] = field(kw_only=True)
    sent: dict[ExecutionKey, None] = field(default_factory=dict, kw_only=True)

    def _look_at(self, work: UnitOfWork, key: ExecutionKey, until: Instant) -> None:
        _, job, attempt = key
        poll = work.state.mesh.polls.get(job)
        own = None if poll is None or poll.attempt != attempt else poll.ballot(work.did)
        is_asked = poll is not None and poll.reveal_by is not None and own is not None and own.part is Part.PLEDGED
        if poll is None or not is_asked or not self.copies(key):
            super()._look_at(work, key, until)
            return
        sealed, shown = rows.pledged_receipt(work.get, *key), poll.of(Part.REVEALED)
        if sealed is None or not shown or key in self.sent:
            return
        other = open_receipt(shown[0].receipt)
        copied = replace(open_receipt(sealed), output=other.output, nonce=other.nonce, fuel_used=other.fuel_used)
        self.sent[key] = None
        number = work.outbox.reserve()
        work.post(copied.home, number, ReceiptSent(number, seal_receipt(copied, work.signer), b""))
