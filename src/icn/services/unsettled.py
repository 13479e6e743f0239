"""Receipts of this node that their home has not recorded: what it is owed, and by whom (semantics §5).

A home records every receipt it gets: it pays for it, scores it, or keeps it as evidence. One that is missing in its
feed long after the attempt's deadline says that the home does not pay, and everybody can see that.

Soft only in what follows from it: the rows are about this node's own dealings, and no other node's state knows them.
"""

from dataclasses import dataclass, field

from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptFailed,
    JobCompleted,
    OutputRevealed,
    ReceiptKept,
)
from icn.domain.mesh.model import Execution
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.services.effects import Committed
from icn.services.work import UnitOfWork
from icn.stores.dealings import UNSETTLED, UnsettledRow, attempt_key
from icn.stores.kv import Reader

UNSETTLED_PER_HOME_MAX = 1024
"""More of one home's are not noted: it is refused long before."""

RECORDS_A_RECEIPT = JobCompleted | AttemptFailed | AssigneeFailed | OutputRevealed | ReceiptKept
"""Events by which a home says that it has a receipt, and what became of it."""


@dataclass(slots=True)
class Unsettled:
    """All of them, by home, oldest first. Mirrors the store's rows."""

    by_home: dict[Did, dict[tuple[JobId, int], UnsettledRow]] = field(default_factory=dict)

    def load(self, reader: Reader) -> None:
        """What the store holds."""
        self.by_home.clear()
        for _, row in sorted(UNSETTLED.rows(reader), key=lambda found: found[1].issued_at):
            self.by_home.setdefault(row.home, {})[row.job, row.attempt] = row

    def note(self, work: UnitOfWork, execution: Execution) -> None:
        """The receipt of a completed execution goes out with this commit. To itself a node owes nothing."""
        row = UnsettledRow(execution.home, execution.job, execution.attempt, work.wall, execution.deadline)
        kept = self.by_home.get(row.home, {})
        if row.home != work.did and len(kept) < UNSETTLED_PER_HOME_MAX:
            self.by_home[row.home] = kept
            kept[row.job, row.attempt] = row
            UNSETTLED.put(work.batch, attempt_key(row.home, row.job, row.attempt), row)

    def take_records(self, work: UnitOfWork) -> list[UnsettledRow]:
        """Look at what homes recorded in this batch; the rows that are settled by it."""
        settled = []
        if self.by_home:
            for effect in work.effects:
                if isinstance(effect, Committed) and effect.author in self.by_home:
                    event = effect.record.event
                    if isinstance(event, RECORDS_A_RECEIPT) and event.executor == work.did and event.receipt:
                        settled += self._settle(work, effect.author, event.job, event.attempt)
        return settled

    def overdue(self, home: Did, now: Instant, patience: Duration) -> int:
        """How many of the home's are unsettled for longer than `patience` after the deadline of their attempt."""
        return sum(now >= overdue_at(row, patience) for row in self.by_home.get(home, {}).values())

    def _settle(self, work: UnitOfWork, home: Did, job: JobId, attempt: int) -> list[UnsettledRow]:
        kept = self.by_home.get(home, {})
        row = kept.pop((job, attempt), None)
        if row is None:
            return []
        UNSETTLED.put(work.batch, attempt_key(home, job, attempt), None)
        if not kept:
            del self.by_home[home]
        return [row]


def overdue_at(row: UnsettledRow, patience: Duration) -> Instant:
    """From when on it is held against its home."""
    return later(max(row.issued_at, row.deadline), patience)
