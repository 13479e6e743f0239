"""What a store's journal says about holds, jobs and receipts, added up record by record without the domains' code.

A history never changes; `after` gives the next one. It also says when something happened twice that may happen once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from icn.domain.ledger.events import HoldReleased, HoldSettled, HoldShared, ManaHeld
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptFailed,
    JobAgreed,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    OutputRevealed,
    ReceiptIssued,
    ReceiptKept,
)
from icn.domain.mesh.model import Status
from icn.kernel.ids import Did
from icn.services.effects import Committed
from icn.sim.findings import expect

HELD = "held"
SETTLED = "settled"
RELEASED = "released"
OPEN = "open"

_TAKES = JobCompleted | AttemptFailed | ReceiptKept | OutputRevealed | AssigneeFailed
Receipt = tuple[Did, bytes, int, Did]
"""Home, job, attempt, executor."""
Name = tuple[Did, bytes]
"""Home, and the name of a job or of its hold: they are the same."""


@dataclass(frozen=True, slots=True)
class History:
    """Of one store."""

    holds: Mapping[Name, str] = field(default_factory=dict)
    """`HELD`, `SETTLED` or `RELEASED`."""
    jobs: Mapping[Name, str] = field(default_factory=dict)
    """`OPEN`, or the value of the status it ended with."""
    issued: Mapping[Receipt, None] = field(default_factory=dict)
    """Receipts that executors recorded."""
    taken: Mapping[Receipt, None] = field(default_factory=dict)
    """Receipts that homes settled, scored or kept."""

    @property
    def name(self) -> tuple[object, ...]:
        """Equal for histories in which the same happened."""
        unanswered = sorted(str(each) for each in self.issued.keys() - self.taken.keys())
        holds = sorted((str(key), how, self.jobs.get(key)) for key, how in self.holds.items())
        return tuple(holds), len(self.jobs), tuple(unanswered)

    def after(self, committed: Sequence[Committed]) -> "History":
        """With these records."""
        if not committed:
            return self
        holds, jobs = dict(self.holds), dict(self.jobs)
        issued, taken = dict(self.issued), dict(self.taken)
        for effect in committed:
            author, event = effect.author, effect.record.event
            match event:
                case ManaHeld(hold):
                    expect((author, hold) not in holds, "one hold for a job", f"{hold.hex()} is held again")
                    holds[author, hold] = HELD
                case HoldSettled(hold) | HoldShared(hold):
                    _end_once(holds, (author, hold), SETTLED)
                case HoldReleased(hold):
                    _end_once(holds, (author, hold), RELEASED)
                case JobSubmitted(job):
                    expect((author, job.data) not in jobs, "jobs end once", f"{job} is submitted again")
                    jobs[author, job.data] = OPEN
                case JobRolledBack(job, status):
                    was = jobs.get((author, job.data))
                    expect(was == OPEN, "jobs end once", f"{job} is {was}, and rolled back")
                    jobs[author, job.data] = status.value
                case _:
                    pass
            if isinstance(event, JobCompleted | JobAgreed):
                was = jobs.get((author, event.job.data))
                expect(was == OPEN, "jobs end once", f"{event.job} is {was}, and completed")
                jobs[author, event.job.data] = Status.COMPLETED.value
            if isinstance(event, ReceiptIssued):
                issued[event.home, event.job.data, event.attempt, author] = None
            if isinstance(event, _TAKES) and event.receipt:
                key = (author, event.job.data, event.attempt, event.executor)
                expect(key not in taken, "a receipt is taken once", f"that for {event.job} attempt {event.attempt}")
                taken[key] = None
        return History(holds, jobs, issued, taken)


def _end_once(holds: dict[Name, str], name: Name, how: str) -> None:
    was = holds.get(name)
    expect(was == HELD, "exactly-once settlement", f"hold {name[1].hex()} is {was}, and then {how}")
    holds[name] = how
