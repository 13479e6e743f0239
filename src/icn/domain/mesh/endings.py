"""How a job ends without a result, in the words that people read: its causes are kept, first ones first, bounded.

The first cause is what a person needs: later attempts often fail by what the first one left behind, or by something
beside the point. So a reason names every different cause once, with the attempts it ended, and what does not fit is
counted, never the beginning dropped.
"""

from collections.abc import Sequence

from icn.domain.mesh.events import JobRolledBack
from icn.domain.mesh.model import FailedAttempt, Job, Status

REASON_CHARS_MAX = 1024
CAUSE_CHARS_MAX = 200
"""Of one cause among several."""
CAUSES_TOLD_MAX = 4


def rolled_back(job: Job, outcome: Status, reason: str) -> JobRolledBack:
    """The end of a job whose hold goes back whole."""
    return JobRolledBack(job.id, outcome, reason[:REASON_CHARS_MAX], job.attempt, job.spec.price_held)


def used_up(job: Job, reason: str) -> JobRolledBack:
    """The end of a job whose last attempt failed for `reason`."""
    if job.attempt == 1:
        return rolled_back(job, Status.FAILED, f"the only attempt failed: {reason}")
    last = [(job.attempt, reason)]
    return rolled_back(job, Status.FAILED, f"{job.attempt} attempts failed: {_causes(job.failures, last)}")


def ran_out(job: Job, what: str) -> JobRolledBack:
    """The end of a job whose time is up; `what` says for what it waited."""
    told = f"{what}; before: {_causes(job.failures, [])}" if job.failures else what
    return rolled_back(job, Status.FAILED, told)


def _causes(failures: Sequence[FailedAttempt], last: Sequence[tuple[int, str]]) -> str:
    attempts_of: dict[str, list[int]] = {}
    for attempt, reason in [*((failure.attempt, failure.reason) for failure in failures), *last]:
        attempts = attempts_of.setdefault(reason[:CAUSE_CHARS_MAX], [])
        if attempt not in attempts:
            attempts.append(attempt)
    told = [f"{_numbers(attempts)}: {cause}" for cause, attempts in list(attempts_of.items())[:CAUSES_TOLD_MAX]]
    left_out = len(attempts_of) - len(told)
    return "; ".join(told) + (f"; and {left_out} other causes" if left_out else "")


def _numbers(attempts: list[int]) -> str:
    """`1`, `1 and 2`, `1 to 4`."""
    if len(attempts) > 2 and attempts == list(range(attempts[0], attempts[-1] + 1)):
        return f"{attempts[0]} to {attempts[-1]}"
    return " and ".join([", ".join(map(str, attempts[:-1])), str(attempts[-1])] if attempts[1:] else [str(attempts[0])])
