"""How long the jobs of this home stay in each phase, and how they end: what metrics say, from records as they commit.

Of a job that was open when this process began, only what happens from its next record on is measured. Bounded: one
entry per open job, and the newest spans of each phase.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from icn.domain.mesh.events import (
    AttemptAbandoned,
    AttemptFailed,
    BiddingOpened,
    ExecutionStarted,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
)
from icn.domain.mesh.model import Status
from icn.domain.records import Event
from icn.kernel.ids import JobId
from icn.kernel.instant import Duration, Instant

SPANS_KEPT = 1_000
"""Of each phase: the quantiles are those of the newest so many."""
QUANTILES = ((50, 100), (90, 100), (99, 100))


class Phase(Enum):
    """A part of a job's life at its home. What a job goes through twice is measured twice."""

    WAITING = "waiting"
    """From a failed attempt to the next."""
    BIDDING = "bidding"
    ASSIGNED = "assigned"
    """Until the executor says that it has begun."""
    EXECUTING = "executing"
    """Until the result is accepted, or the attempt is given up."""
    WHOLE = "whole"
    """From submission to the end, once per job."""


@dataclass(frozen=True, slots=True)
class Span:
    """A phase that ended."""

    phase: Phase
    duration: Duration


@dataclass(frozen=True, slots=True)
class PhaseFigures:
    """The newest spans of a phase, in milliseconds; each figure is one that occurred."""

    phase: Phase
    count: int
    """Since this process began."""
    p50_ms: int | None
    p90_ms: int | None
    p99_ms: int | None
    longest_ms: int | None


@dataclass(frozen=True, slots=True)
class JobFigures:
    """Jobs of this home since this process began."""

    submitted: int
    ended: dict[str, int]
    """By outcome."""
    attempts_failed: int
    attempts_failed_by_executor: int
    """Of those, the ones that count against their executors."""
    phases: tuple[PhaseFigures, ...]


@dataclass(slots=True)
class _Open:
    submitted_at: Instant | None
    phase: Phase
    since: Instant


@dataclass(slots=True)
class JobTimes:
    """Told every record of this home, in order."""

    submitted: int = 0
    attempts_failed: int = 0
    attempts_failed_by_executor: int = 0
    ended: dict[str, int] = field(default_factory=lambda: {status.value: 0 for status in Status if status.has_ended})
    _open: dict[JobId, _Open] = field(default_factory=dict)  # bounded: JOBS_OPEN_MAX, by the rules
    _counts: dict[Phase, int] = field(default_factory=dict)
    _newest: dict[Phase, deque[int]] = field(default_factory=dict)

    def take(self, event: Event, at: Instant) -> list[Span]:
        """A record of this home's; gives the phases it ended."""
        match event:
            case JobSubmitted(job):
                self.submitted += 1
                self._open[job] = _Open(at, Phase.WAITING, at)
                return []
            case BiddingOpened(job):
                return self._go_on(job, Phase.BIDDING, at)
            case JobAssigned(job):
                return self._go_on(job, Phase.ASSIGNED, at)
            case ExecutionStarted(job):
                return self._go_on(job, Phase.EXECUTING, at)
            case AttemptFailed(job, _, _, _, counts):
                self.attempts_failed += 1
                self.attempts_failed_by_executor += counts
                return self._go_on(job, Phase.WAITING, at)
            case AttemptAbandoned(job):
                self.attempts_failed += 1
                return self._go_on(job, Phase.WAITING, at)
            case JobCompleted(job) | JobAgreed(job):
                return self._end(job, Status.COMPLETED, at)
            case JobRolledBack(job, outcome):
                return self._end(job, outcome, at)
            case _:
                return []

    def figures(self) -> JobFigures:
        """As of now."""
        return JobFigures(
            submitted=self.submitted,
            ended=dict(self.ended),
            attempts_failed=self.attempts_failed,
            attempts_failed_by_executor=self.attempts_failed_by_executor,
            phases=tuple(self._figures_of(phase) for phase in Phase),
        )

    def _go_on(self, job: JobId, phase: Phase, at: Instant) -> list[Span]:
        was = self._open.get(job)
        if was is None:
            self._open[job] = _Open(None, phase, at)
            return []
        if was.phase is phase:
            return []  # bids are asked for again
        # Bidding for the first attempt opens with the submission: there is no wait to speak of.
        first = was.phase is Phase.WAITING and was.since == was.submitted_at
        spans = [] if first else [Span(was.phase, Duration(max(0, at - was.since)))]
        was.phase, was.since = phase, at
        return self._noted(spans)

    def _end(self, job: JobId, outcome: Status, at: Instant) -> list[Span]:
        self.ended[outcome.value] += 1
        was = self._open.pop(job, None)
        if was is None:
            return []
        spans = [] if was.since == at and was.phase is Phase.WAITING else [Span(was.phase, Duration(at - was.since))]
        if was.submitted_at is not None:
            spans.append(Span(Phase.WHOLE, Duration(max(0, at - was.submitted_at))))
        return self._noted(spans)

    def _noted(self, spans: list[Span]) -> list[Span]:
        for span in spans:
            self._counts[span.phase] = self._counts.get(span.phase, 0) + 1
            self._newest.setdefault(span.phase, deque(maxlen=SPANS_KEPT)).append(span.duration)
        return spans

    def _figures_of(self, phase: Phase) -> PhaseFigures:
        newest = sorted(self._newest.get(phase, ()))
        if not newest:
            return PhaseFigures(phase, 0, None, None, None, None)
        p50, p90, p99 = (newest[-(-len(newest) * part // whole) - 1] for part, whole in QUANTILES)
        return PhaseFigures(phase, self._counts[phase], p50, p90, p99, newest[-1])
