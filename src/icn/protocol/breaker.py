"""A circuit breaker: whether a target that keeps failing is worth another call (Nygard, *Release It!*).

```
             failure_threshold failures in a row
   CLOSED ──────────────────────────────────────> OPEN
     ^  ^                                         |  ^
     |  └──────────── success                     |  | the trial fails
     |                          open_timeout later v  |
     └──────────────────────────────────────── HALF_OPEN: one trial
                the trial is answered
```

While it is open nobody calls: a target that is down is not made worse, and who wanted it knows at once. A trial that is
answered closes the breaker on probation: the very next failure opens it again, until a success says that the target
works and not merely answers.

One breaker per target. Time is an argument. Not here: how long to wait between the tries of one call (`backoff`).
"""

from dataclasses import dataclass
from enum import StrEnum

from icn.kernel.errors import require


class BreakerState(StrEnum):
    """What a caller may do."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When to stop calling, and for how long."""

    failure_threshold: int = 3
    """Failures in a row that open it."""
    open_timeout_ms: int = 5_000
    """From opening until a trial is let through."""


class Breaker:
    """Of one target. Not for two threads."""

    def __init__(self, settings: BreakerSettings) -> None:
        require(settings.failure_threshold >= 1, "a breaker opens after at least one failure")
        self._settings = settings
        self._failures = 0
        self._opened_at: int | None = None
        self._on_trial = False
        self.opened_count = 0
        """How often it has opened, for metrics."""

    @property
    def failures(self) -> int:
        """In a row."""
        return self._failures

    def state(self, now: int) -> BreakerState:
        """At `now`, in milliseconds of a clock that never goes backwards."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        due = now >= self._opened_at + self._settings.open_timeout_ms
        return BreakerState.HALF_OPEN if due else BreakerState.OPEN

    def trial_at(self) -> int | None:
        """When a trial is let through; None while calls are."""
        return None if self._opened_at is None else self._opened_at + self._settings.open_timeout_ms

    def admit(self, now: int) -> bool:
        """Whether a call may be made now. Half open, this takes the one trial: its result must be told."""
        match self.state(now):
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                taken, self._on_trial = self._on_trial, True
                return not taken

    def answered(self) -> None:
        """The target answered. That ends a trial; whether the target works is for `succeeded` to say."""
        if self._opened_at is not None:
            self._opened_at, self._on_trial = None, False
            self._failures = self._settings.failure_threshold - 1

    def succeeded(self) -> None:
        """A call did what it was made for."""
        self._failures, self._opened_at, self._on_trial = 0, None, False

    def failed(self, now: int) -> None:
        """A call failed."""
        self._failures += 1
        if self._opened_at is not None or self._failures >= self._settings.failure_threshold:
            self._open(now)

    def trip(self, now: int) -> None:
        """A call failed in a way that calling again soon cannot mend: open at once."""
        self._failures += 1
        self._open(now)

    def _open(self, now: int) -> None:
        # A call that began before it opened may fail afterwards: that is not another opening, nor a longer one.
        if self.state(now) is not BreakerState.OPEN:
            self.opened_count += 1
            self._opened_at = now
        self._on_trial = False
