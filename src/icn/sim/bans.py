"""What the history must say of executors that failed: who was banned when, and that nobody was who did not deserve it.

Counts again from the records of each home, without the rules that the nodes run. Each checker raises a `Finding`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from icn.domain.mesh.events import (
    AssigneeFailed,
    AssignmentDeclined,
    AttemptAbandoned,
    AttemptFailed,
    ExecutorBanned,
    ExecutorPardoned,
    FailureDeferred,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
)
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.papers import open_receipt
from icn.kernel.ids import Did, JobId
from icn.sim.checkers import Entry
from icn.sim.findings import expect

BLAMED = (ExitKind.WORKER_LOST,)
"""Endings that count against the executor wherever they happen."""
OPEN = (ExitKind.COMPLETED, ExitKind.CANCELLED)
"""Those of which the record does not tell: a result may be refuted, who stopped may have been cut off from its home."""
GUESTS_OWN = (ExitKind.TRAPPED, ExitKind.OUT_OF_FUEL, ExitKind.OUTPUT_LIMIT, ExitKind.REFUSED)


@dataclass(slots=True)
class _Home:
    """What one home's records add up to."""

    did: Did
    ban_after: int
    in_row: dict[Did, int] = field(default_factory=dict)
    banned_until: dict[Did, int] = field(default_factory=dict)
    assigned: dict[JobId, tuple[Did, ...]] = field(default_factory=dict)
    deferred: dict[JobId, list[Did]] = field(default_factory=dict)
    due: dict[Did, None] = field(default_factory=dict)
    """Who must be banned before the block ends."""

    def take(self, entry: Entry, declined: Sequence[tuple[JobId, Did]]) -> None:
        now, event = entry.time, entry.record.event
        where = f"{self.did} at {now}"
        match event:
            case JobAssigned(job, _, _, assignees):
                for assignee in assignees:
                    self._may_get(job, assignee.executor, now, where)
                self.assigned[job] = tuple(assignee.executor for assignee in assignees)
            case AttemptFailed(job, _, executor, reason, counts, _, receipt):
                self.assigned.pop(job, None)
                failure_is_fair(where, executor, reason, receipt, counts=counts, declined=(job, executor) in declined)
                if counts:
                    self._failed(executor, now)
            case AssigneeFailed(_, _, executor, counts_against_executor=True):
                self._failed(executor, now)
            case FailureDeferred(job, _, executor):
                self.deferred.setdefault(job, []).append(executor)
            case JobCompleted(job, _, executor):
                self._ended(job, (executor,), now)
            case JobAgreed(job, winners=winners, dissenters=dissenters):
                self._ended(job, winners, now)
                for executor in dissenters:
                    self._failed(executor, now)
            case AttemptAbandoned(job):
                self.assigned.pop(job, None)
            case JobRolledBack(job):
                self.assigned.pop(job, None)
                self.deferred.pop(job, None)
            case ExecutorBanned(executor, until, failures):
                expect(self.in_row.get(executor, 0) == failures, "bans are kept", f"{where}: {executor} by {failures}")
                expect(self.due.pop(executor, 0) is None, "bans are kept", f"{where}: {executor}, for no reason")
                self.banned_until[executor] = until
            case ExecutorPardoned(executor):
                self.banned_until.pop(executor, None)
                self.in_row[executor] = 0
            case _:
                pass

    def _may_get(self, job: JobId, executor: Did, now: int, where: str) -> None:
        until = self.banned_until.get(executor)
        if until is None:
            return
        expect(now >= until, "bans are kept", f"{where}: {job} went to {executor}, which is banned until {until}")
        busy = [other for other, executors in self.assigned.items() if executor in executors]
        expect(not busy, "one trial at a time", f"{where}: {job} went to {executor}, which is on trial with {busy}")

    def _failed(self, executor: Did, now: int) -> None:
        self.in_row[executor] = self.in_row.get(executor, 0) + 1
        until = self.banned_until.get(executor)
        if (until is None and self.in_row[executor] >= self.ban_after) or (until is not None and now >= until):
            self.due[executor] = None

    def _ended(self, job: JobId, completed: tuple[Did, ...], now: int) -> None:
        self.assigned.pop(job, None)
        for executor in self.deferred.pop(job, []):
            if executor not in completed:
                self._failed(executor, now)
        for executor in completed:
            self.in_row[executor] = 0


def bans_are_kept(entries: Sequence[Entry], ban_after: Mapping[Did, int]) -> int:
    """Who fails too often is banned in the same block, gets nothing until its time is up, and then one job at a time.

    Gives how many bans there were.
    """
    homes: dict[Did, _Home] = {}
    bans = 0
    for _, group in groupby(entries, key=lambda entry: entry.cid):
        block = list(group)
        home = homes.setdefault(block[0].author, _Home(block[0].author, ban_after[block[0].author]))
        events = [entry.record.event for entry in block]
        declined = [(event.job, event.executor) for event in events if isinstance(event, AssignmentDeclined)]
        for entry in block:
            home.take(entry, declined)
        bans += sum(isinstance(event, ExecutorBanned) for event in events)
        expect(not home.due, "bans are kept", f"{home.did} did not ban {list(home.due)}, which failed too often")
    return bans


def failure_is_fair(where: str, executor: Did, reason: str, receipt: bytes, *, counts: bool, declined: bool) -> None:
    """A failure counts at once only where its executor said that it was its own."""
    if not receipt:
        expect(not counts or declined, "failures are attributed", f"{where}: {executor} is blamed for {reason!r}")
        return
    said = open_receipt(receipt).exit
    fair = counts if said in OPEN else said in BLAMED
    expect(counts == fair, "failures are attributed", f"{where}: {said.value} of {executor} counts: {counts}")
    expect(not (counts and said in GUESTS_OWN), "failures are attributed", f"{where}: the guest's own fault counts")
