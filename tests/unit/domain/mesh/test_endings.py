"""What a person reads of a job that ended without a result: its causes, the first ones first, within bounds."""

from dataclasses import replace

from icn.domain.mesh.endings import CAUSES_TOLD_MAX, REASON_CHARS_MAX, ran_out, used_up
from icn.domain.mesh.model import FailedAttempt, Job
from support import builders

JOB = builders.job()


def failed(*reasons: str) -> Job:
    return replace(
        JOB,
        attempt=len(reasons) + 1,
        failures=tuple(FailedAttempt(n, builders.did(2), reason) for n, reason in enumerate(reasons, 1)),
    )


def test_every_cause_is_told_once_with_its_attempts() -> None:
    end = used_up(failed("the disk is full", "gone", "the disk is full"), "gone")
    assert end.reason == "4 attempts failed: 1 and 3: the disk is full; 2 and 4: gone"
    end = used_up(failed("gone", "gone", "gone"), "gone")
    assert end.reason == "4 attempts failed: 1 to 4: gone"


def test_the_first_cause_is_never_what_is_left_out() -> None:
    end = used_up(failed("the true cause", *(f"{n} " + "y" * 900 for n in range(20))), "last")
    assert end.reason.startswith("22 attempts failed: 1: the true cause; 2: 0 yyy")
    assert end.reason.endswith(f"; and {22 - CAUSES_TOLD_MAX} other causes")
    assert len(end.reason) <= REASON_CHARS_MAX


def test_time_that_ran_out_says_for_what_and_what_was_before() -> None:
    assert ran_out(JOB, "nobody offered").reason == "nobody offered"
    assert ran_out(failed("gone", "gone"), "nobody offered").reason == "nobody offered; before: 1 and 2: gone"


def test_what_goes_back_is_all_that_was_held() -> None:
    end = used_up(JOB, "gone")
    assert end.reason == "the only attempt failed: gone"
    assert (end.attempts, end.restored) == (JOB.attempt, JOB.spec.price_held)
