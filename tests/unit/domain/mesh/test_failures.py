"""Which failure is tried again and which counts: the table of the module, line by line (semantics §5)."""

import pytest

from icn.domain.mesh import failures
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.failures import Judgement, Silence
from icn.domain.mesh.model import Blame, Status
from icn.kernel.instant import Duration, Instant
from support import builders

JOB = builders.job(status=Status.EXECUTING)
GUESTS_OWN = (ExitKind.TRAPPED, ExitKind.OUT_OF_FUEL, ExitKind.OUTPUT_LIMIT, ExitKind.REFUSED)
BY_THE_MACHINE = (ExitKind.DEADLINE, ExitKind.STACK_OVERFLOW)
OF_THE_EXECUTOR = (ExitKind.WORKER_LOST, ExitKind.CANCELLED)


GRACE = Duration(5_000)


def judged(kind: ExitKind, *, cut_off: bool = False, **changes: object) -> Judgement | None:
    output = builders.cid("hello") if kind is ExitKind.COMPLETED else None
    receipt = builders.receipt(2, 1, **{"exit": kind, "output": output, **changes})
    return failures.of_receipt(JOB, receipt, cut_off=cut_off)


def declined(after: int, left: int) -> Blame:
    """So many milliseconds after it was assigned, when the job had so many left."""
    assigned = builders.START
    spec = builders.spec(limits=builders.limits(wall_ms=1_000), deadline=Instant(assigned + left))
    job = builders.job(status=Status.ASSIGNED, assigned_at=assigned, spec=spec)
    return failures.of_refusal(job, Instant(assigned + after), GRACE).blame


def test_a_result_is_no_failure() -> None:
    assert judged(ExitKind.COMPLETED) is None


@pytest.mark.parametrize("kind", GUESTS_OWN)
def test_what_the_module_does_everywhere_is_not_tried_again_and_never_counts(kind: ExitKind) -> None:
    assert judged(kind) == Judgement(may_retry=False, blame=Blame.NONE)
    assert kind.guest_fault


@pytest.mark.parametrize("kind", BY_THE_MACHINE)
def test_what_a_job_can_bring_about_counts_only_when_another_executor_manages(kind: ExitKind) -> None:
    assert judged(kind) == Judgement(may_retry=True, blame=Blame.IF_ANOTHER_COMPLETES)


@pytest.mark.parametrize("kind", OF_THE_EXECUTOR)
def test_what_the_executor_did_counts_at_once(kind: ExitKind) -> None:
    assert judged(kind) == Judgement(may_retry=True, blame=Blame.AT_ONCE)


def test_what_the_executor_stopped_when_it_heard_nothing_of_its_home_counts_against_nobody() -> None:
    assert judged(ExitKind.CANCELLED, cut_off=True) == Judgement(may_retry=True, blame=Blame.NONE)
    assert judged(ExitKind.WORKER_LOST, cut_off=True) == judged(ExitKind.WORKER_LOST)


def test_who_declines_what_it_offered_is_blamed_if_it_does_so_at_once_and_the_attempt_had_its_time() -> None:
    assert declined(after=0, left=6_000) is Blame.AT_ONCE
    assert declined(after=failures.REFUSAL_PROMPT, left=6_000) is Blame.NONE
    assert declined(after=0, left=5_999) is Blame.NONE, "whoever submits chooses the deadline"


def test_content_that_did_not_come_counts_against_nobody() -> None:
    assert judged(ExitKind.UNAVAILABLE) == Judgement(may_retry=True, blame=Blame.NONE)


@pytest.mark.parametrize("kind", list(ExitKind))
def test_a_receipt_for_another_job_counts_at_once_whatever_it_says(kind: ExitKind) -> None:
    assert judged(kind, spec=builders.cid("other")) == Judgement(may_retry=True, blame=Blame.AT_ONCE)


def test_a_result_without_an_output_counts_at_once() -> None:
    assert judged(ExitKind.COMPLETED, output=None) == Judgement(may_retry=True, blame=Blame.AT_ONCE)


def test_silence_counts_only_over_a_link_that_held_and_when_another_manages() -> None:
    blames = {silence: judgement.blame for silence, judgement in failures.OF_SILENCE.items()}
    assert blames == {
        Silence.NO_RECEIPT: Blame.IF_ANOTHER_COMPLETES,
        Silence.NO_RECEIPT_CUT_OFF: Blame.NONE,
        Silence.LINK_LOST: Blame.NONE,
        Silence.NO_ACCOUNT: Blame.NONE,
    }
    assert all(judgement.may_retry for judgement in failures.OF_SILENCE.values())


def test_every_ending_is_judged() -> None:
    assert set(failures.OF_RECEIPT) == set(ExitKind)
