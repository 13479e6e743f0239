"""What a receipt says of an execution, and what the home knows of one that came."""

from dataclasses import replace

from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Assignee, FailedAttempt, Job, Status
from icn.kernel.ids import Did
from icn.kernel.mana import Mana
from icn.services import receipts, rows
from icn.services.work import UnitOfWork
from support import builders
from support.world import federation

EXECUTOR, OTHER = builders.did(31), builders.did(32)


def begin() -> UnitOfWork:
    engine = federation("a")["a"].engine
    now = engine.clock.now()
    return UnitOfWork(engine.state, engine.store, engine.signer, engine.outbox, engine.replies, now, now)


def given(work: UnitOfWork, executor: Did = EXECUTOR, **changes: object) -> Job:
    """A job of this home whose second attempt an executor has."""
    assignees = (Assignee(executor, executor, Mana(1)),)
    made = builders.job(
        id=builders.job_id(work.did), home=work.did, status=Status.ASSIGNED, attempt=2, assignees=assignees
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # whatever a job has


def test_a_receipt_says_what_the_outcome_was_and_who_ran_it() -> None:
    work, spec = begin(), builders.spec()
    outcome = replace(receipts.not_run(ExitKind.COMPLETED, "x" * 600), output=b"out", fuel_used=3, profile="p")
    receipt = receipts.receipt_of(work, builders.job_id(OTHER), 2, OTHER, spec, outcome, output=builders.cid("out"))
    assert (receipt.executor, receipt.home, receipt.attempt) == (work.did, OTHER, 2)
    assert (receipt.spec, receipt.output, receipt.fuel_used, receipt.profile) == (spec.cid, builders.cid("out"), 3, "p")
    assert receipt.finished_at == work.now
    assert len(receipt.detail) == receipts.DETAIL_CHARS_MAX, "what a guest says does not fill records"


def test_what_was_not_run_has_used_nothing() -> None:
    outcome = receipts.not_run(ExitKind.CANCELLED, "why")
    assert (outcome.exit, outcome.detail, outcome.output) == (ExitKind.CANCELLED, "why", b"")
    assert (outcome.fuel_used, outcome.memory_peak_bytes, outcome.wall_ms) == (0, 0, 0)


def test_a_receipt_counts_for_the_attempt_under_way_by_whom_it_was_given_to() -> None:
    work = begin()
    job = given(work)
    work.state.mesh.jobs[job.id] = job
    receipt = builders.receipt(1, 2, job=job.id, attempt=2, executor=EXECUTOR)
    assert receipts.is_current(work, receipt)
    assert not receipts.is_current(work, replace(receipt, attempt=1))
    assert not receipts.is_current(work, replace(receipt, executor=OTHER))
    assert not receipts.is_current(work, replace(receipt, job=builders.job_id(OTHER)))


def test_an_attempt_was_somebody_s_while_it_is_under_way_and_after_it_failed() -> None:
    work = begin()
    job = given(work, failures=(FailedAttempt(1, OTHER, "lost"),))
    for place in (work.state.mesh.jobs, work.state.mesh.touched.jobs):
        place[job.id] = job
        assert receipts.was_assigned(work, job.id, 2, EXECUTOR)
        assert receipts.was_assigned(work, job.id, 1, OTHER)
        assert not receipts.was_assigned(work, job.id, 1, EXECUTOR)
        assert not receipts.was_assigned(work, job.id, 2, OTHER)
        place.clear()
    assert not receipts.was_assigned(work, job.id, 2, EXECUTOR)
    rows.JOBS.put(work.batch, job.id.data, job)
    work.store.commit(work.batch, work.store.claim())  # type: ignore[attr-defined]  # a work reads; this is all of it
    assert receipts.was_assigned(work, job.id, 2, EXECUTOR), "jobs that ended are in their rows only"


def test_another_home_s_job_says_nothing_of_what_this_one_gave() -> None:
    work = begin()
    job = given(work, home=OTHER)
    work.state.mesh.jobs[job.id] = job
    assert not receipts.was_assigned(work, job.id, 2, EXECUTOR)


def test_receipts_of_two_executors_or_attempts_are_taken_apart() -> None:
    receipt = builders.receipt(1, 2)
    others = (receipt, replace(receipt, executor=OTHER), replace(receipt, attempt=2))
    assert len(dict.fromkeys(map(receipts.key_of, others))) == 3
