"""Attempts that their home has cancelled and that must not run any more, whenever their assignment comes.

A cancellation is acknowledged once it is durable, and its assignment may arrive after it, or the node may die while the
guest is being stopped. So a cancellation stands in a row of its own until the attempt was answered, or could not be
accepted any more because its deadline has passed.
"""

from dataclasses import dataclass, field

from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.limits import JOB_WALL_MS_MAX
from icn.services.work import UnitOfWork
from icn.stores.dealings import CANCELLED, CancelledRow, attempt_key
from icn.stores.kv import Reader

ATTEMPT_MS_MAX = Duration(2 * JOB_WALL_MS_MAX)
"""A home may say any deadline; an assignment whose module never comes keeps its place no longer than this, and what was
cancelled as long ago is refused by its deadline."""

CANCELLED_PER_HOME_MAX = 4096
"""More of one home's, and its oldest are forgotten: as many messages may wait for one peer."""


Attempt = tuple[JobId, int]


@dataclass(slots=True)
class Cancellations:
    """Those that are remembered, by home, oldest first. Mirrors the store's rows."""

    _at: dict[Did, dict[Attempt, Instant]] = field(default_factory=dict)

    def load(self, reader: Reader) -> None:
        """What the store holds."""
        self._at.clear()
        for _, row in sorted(CANCELLED.rows(reader), key=lambda found: found[1].at):
            self._at.setdefault(row.home, {})[row.job, row.attempt] = row.at

    def has(self, home: Did, job: JobId, attempt: int) -> bool:
        """Whether the home has cancelled this attempt."""
        return (job, attempt) in self._at.get(home, {})

    def note(self, work: UnitOfWork, home: Did, job: JobId, attempt: int) -> None:
        """Remember it with this commit."""
        if self.has(home, job, attempt):
            return
        kept = self._at.setdefault(home, {})
        old = [each for each, at in kept.items() if work.wall >= later(at, ATTEMPT_MS_MAX)]
        for each in old or list(kept)[: max(0, len(kept) - CANCELLED_PER_HOME_MAX + 1)]:
            self.forget(work, home, *each)
        self._at.setdefault(home, {})[job, attempt] = work.wall
        CANCELLED.put(work.batch, attempt_key(home, job, attempt), CancelledRow(home, job, attempt, work.wall))

    def forget(self, work: UnitOfWork, home: Did, job: JobId, attempt: int) -> None:
        """It was answered. Nothing happens for one that is not remembered."""
        kept = self._at.get(home, {})
        if kept.pop((job, attempt), None) is None:
            return
        CANCELLED.put(work.batch, attempt_key(home, job, attempt), None)
        if not kept:
            del self._at[home]
