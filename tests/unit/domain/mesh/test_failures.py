"""Which failure is tried again and which counts: the table of the module, line by line (semantics §5)."""

import pytest

from icn.domain.mesh import failures
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.failures import Judgement, Silence
from icn.domain.mesh.model import Blame, Status
from support import builders

JOB = builders.job(status=Status.EXECUTING)
GUESTS_OWN = (ExitKind.TRAPPED, ExitKind.OUT_OF_FUEL, ExitKind.OUTPUT_LIMIT, ExitKind.REFUSED)
BY_THE_MACHINE = (ExitKind.DEADLINE, ExitKind.STACK_OVERFLOW)
OF_THE_EXECUTOR = (ExitKind.WORKER_LOST, ExitKind.CANCELLED)


def judged(kind: ExitKind, **changes: object) -> Judgement | None:
    output = builders.cid("hello") if kind is ExitKind.COMPLETED else None
    return failures.of_receipt(JOB, builders.receipt(2, 1, **{"exit": kind, "output": output, **changes}))


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
    }
    assert all(judgement.may_retry for judgement in failures.OF_SILENCE.values())


def test_every_ending_is_judged() -> None:
    assert set(failures.OF_RECEIPT) == set(ExitKind)
