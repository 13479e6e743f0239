"""What a home thinks of an executor, from its own jobs: failures in a row, a ban, a trial (semantics §5).

```
            failures in a row reach `ban_after`: ExecutorBanned
   GOOD ─────────────────────────────────────────────────────> BANNED  gets no job, and nobody waits for its bid
    ^                                                            │  the time is up
    │  ExecutorPardoned: the trial succeeded, or the operator    v
    └──────────────────────────────────────────────────────── ON PROBATION  gets one job at a time
                                                                 │  a failure: ExecutorBanned, at once
                                                                 └──────────────────────> BANNED
```

| | success | failure that counts | failure that does not |
|---|---|---|---|
| good | the count is 0 | one more; at `ban_after` banned | nothing |
| banned | the count is 0, the ban stays | one more, the ban stays as it is | nothing |
| on probation | pardoned | banned again | nothing: it may try again |

What surprises: jobs that were under way when their executor was banned still end while it is, and are scored; they
neither lengthen the ban nor end it. The first job that is scored after the ban's time decides, whenever it was
assigned. No trial is stored: an executor on probation is on trial while an attempt of this home is assigned to it, and
gets no other one until that job goes on without it.

A failure that counts only once another executor completes the job (`Blame.IF_ANOTHER_COMPLETES`) is scored with the
completion, before the success. Each home keeps standing from its own jobs; nobody believes another's.

Not here: which failure counts (`failures`), who is eligible besides (`placement`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptFailed,
    ExecutorBanned,
    ExecutorPardoned,
    FailureDeferred,
    JobAgreed,
    JobCompleted,
    MeshEvent,
)
from icn.domain.mesh.model import Ban, Blame, FailedAttempt, Job, Standing
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.ids import Did
from icn.kernel.instant import Instant, later
from icn.kernel.making import changed

BAN_REASON_CHARS_MAX = 512
DISSENT = "its result is not that of the majority"
PARDONED_BY_TRIAL = "it completed a job after its ban"
PARDONED_BY_OPERATOR = "cleared by the operator"


def is_banned(standing: Standing, now: Instant) -> bool:
    """Whether it gets no job, however few it has."""
    return standing.ban is not None and now < standing.ban.until


def is_on_probation(standing: Standing, now: Instant) -> bool:
    """Whether its ban's time is up, and no job has decided yet."""
    return standing.ban is not None and now >= standing.ban.until


def scored(standing: Standing, *, succeeded: bool) -> Standing:
    """The standing after one job that counts."""
    if succeeded:
        return changed(standing, completed=standing.completed + 1, failed_in_row=0)
    return changed(standing, failed_in_row=standing.failed_in_row + 1)


def scores(event: MeshEvent, failures: Sequence[FailedAttempt]) -> tuple[tuple[Did, bool], ...]:
    """Who is scored by an event of a job with these failures, in order: (executor, whether it succeeded)."""
    match event:
        case AttemptFailed(_, _, executor, counts_against_executor=True) | AssigneeFailed(
            _, _, executor, counts_against_executor=True
        ):
            return ((executor, False),)
        case JobCompleted(_, _, executor):
            return (*_deferred(failures, (executor,)), (executor, True))
        case JobAgreed(winners=winners, dissenters=dissenters):
            agreed = tuple((executor, True) for executor in winners)
            return (*_deferred(failures, winners), *agreed, *((executor, False) for executor in dissenters))
        case _:
            return ()


def _deferred(failures: Sequence[FailedAttempt], completed: tuple[Did, ...]) -> tuple[tuple[Did, bool], ...]:
    """The failures that count now that others have completed the job."""
    return tuple(
        (failure.executor, False)
        for failure in failures
        if failure.blame is Blame.IF_ANOTHER_COMPLETES and failure.executor not in completed
    )


def consequences(
    standings: Mapping[tuple[Did, Did], Standing], job: Job, events: Sequence[MeshEvent], now: Instant, terms: MeshTerms
) -> list[MeshEvent]:
    """The bans and pardons that `events`, just decided about `job`, lead to. `standings` are by home and executor.

    They are recorded behind all of `events`, so they follow from what all of these make of a standing: an executor that
    failed an earlier attempt and dissents in a later one is scored twice by one agreement.
    """
    seen: dict[Did, Standing] = {}
    last: dict[Did, tuple[bool, str]] = {}
    failures = list(job.failures)
    for event in events:
        for executor, succeeded in scores(event, failures):
            was = seen.get(executor) or standings.get((job.home, executor), Standing())
            seen[executor] = scored(was, succeeded=succeeded)
            last[executor] = succeeded, _reason(event, failures, executor)
        failures = _with(failures, event)
    followed = [
        _follows(executor, seen[executor], reason, now, terms, succeeded=succeeded)
        for executor, (succeeded, reason) in last.items()
    ]
    return [each for each in followed if each is not None]


def _follows(
    executor: Did, standing: Standing, reason: str, now: Instant, terms: MeshTerms, *, succeeded: bool
) -> ExecutorBanned | ExecutorPardoned | None:
    """What follows at once from a standing that was just scored."""
    if succeeded:
        return ExecutorPardoned(executor, PARDONED_BY_TRIAL) if is_on_probation(standing, now) else None
    ends_trial = is_on_probation(standing, now)
    is_too_many = standing.ban is None and standing.failed_in_row >= terms.ban_after
    if not (ends_trial or is_too_many):
        return None
    return ExecutorBanned(executor, later(now, terms.ban_for), standing.failed_in_row, reason[:BAN_REASON_CHARS_MAX])


def after(standing: Standing, event: ExecutorBanned | ExecutorPardoned, now: Instant) -> Standing:
    """The standing as a ban or a pardon leaves it."""
    if isinstance(event, ExecutorBanned):
        return replace(standing, ban=Ban(now, event.until, event.failures, event.reason))
    return replace(standing, failed_in_row=0, ban=None)


def why_no_ban(standing: Standing, event: ExecutorBanned, now: Instant) -> str:
    """The rule that a ban would break; empty where it keeps to them. A home's own numbers are its own affair."""
    if event.until <= now:
        return "a ban lasts"
    if not 1 <= event.failures == standing.failed_in_row:
        return "a ban follows as many failures as it says"
    if is_banned(standing, now):
        return "a ban is not lengthened while it lasts"
    return ""


def _with(failures: list[FailedAttempt], event: MeshEvent) -> list[FailedAttempt]:
    match event:
        case AttemptFailed(_, attempt, executor, reason, counts) | AssigneeFailed(_, attempt, executor, reason, counts):
            return [*failures, FailedAttempt(attempt, executor, reason, Blame.AT_ONCE if counts else Blame.NONE)]
        case FailureDeferred(_, attempt, executor):
            return list(with_deferred(failures, attempt, executor))
        case _:
            return failures


def with_deferred(failures: Sequence[FailedAttempt], attempt: int, executor: Did) -> tuple[FailedAttempt, ...]:
    """The same failures, with that one to count once another executor completes the job."""
    return tuple(
        replace(failure, blame=Blame.IF_ANOTHER_COMPLETES)
        if (failure.attempt, failure.executor) == (attempt, executor)
        else failure
        for failure in failures
    )


def _reason(event: MeshEvent, failures: Sequence[FailedAttempt], executor: Did) -> str:
    if isinstance(event, AttemptFailed | AssigneeFailed):
        return event.reason
    if isinstance(event, JobAgreed) and executor in event.dissenters:
        return DISSENT
    return next((failure.reason for failure in reversed(failures) if failure.executor == executor), "")
