"""Which event may follow in which state, exhaustively, and what a home decides (semantics §5)."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import NoReturn

import pytest

from icn.domain.context import EventRefused
from icn.domain.mesh.commands import (
    CancelJob,
    CloseBidding,
    ExpireJob,
    GiveUpAttempt,
    MeshCommand,
    NoteStart,
    Offer,
    ReopenBidding,
    SubmitJob,
    TakeReceipt,
)
from icn.domain.mesh.events import (
    AssignmentAccepted,
    AttemptFailed,
    BiddingOpened,
    ExecutionStarted,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    MeshEvent,
    OutputCommitted,
    ReceiptIssued,
    ReceiptKept,
)
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.failures import Silence
from icn.domain.mesh.model import Assignee, Bid, Job, Standing, Status
from icn.domain.mesh.papers import RECEIPT_BYTES_MAX, seal_assignment, seal_receipt
from icn.domain.mesh.refusals import DeadlinePassed, JobNotOpen, NotYourJob, TooManyJobs, TooManyJobsOfYours
from icn.domain.mesh.retries import MeshTerms
from icn.domain.mesh.rules import check, decide
from icn.domain.mesh.state import Mesh, apply
from icn.kernel.errors import Invalid, Refusal
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant
from icn.kernel.limits import JOB_ATTEMPTS_MAX, JOBS_OPEN_MAX
from icn.kernel.mana import Mana
from support import builders

NONCE = builders.digest("job")[:16]
HOME, EXECUTOR, OTHER = builders.did(1), builders.did(2), builders.did(3)
JOB = JobId.of(HOME, NONCE)
TERMS = MeshTerms(Duration(1000), 3)
NOW = builders.START
SPEC = builders.spec()

SUBMITTED = JobSubmitted(JOB, NONCE, 0, HOME, SPEC)
OPENED = BiddingOpened(JOB, 1, Instant(NOW + 1000))
ASSIGNED = JobAssigned(JOB, 1, Instant(NOW + 6000), (Assignee(EXECUTOR, EXECUTOR, Mana(3)),))
STARTED = ExecutionStarted(JOB, 1, EXECUTOR)
RECEIPT = seal_receipt(builders.receipt(2, 1, job=JOB), builders.signer(2))
COMPLETED = JobCompleted(JOB, 1, EXECUTOR, builders.cid("hello"), Mana(3), RECEIPT)
FAILED = AttemptFailed(JOB, 1, EXECUTOR, "gone", counts_against_executor=True, retry_at=NOW, receipt=b"")

PATHS: dict[str, list[MeshEvent]] = {
    "nothing": [],
    "submitted": [SUBMITTED],
    "bidding": [SUBMITTED, OPENED],
    "assigned": [SUBMITTED, OPENED, ASSIGNED],
    "executing": [SUBMITTED, OPENED, ASSIGNED, STARTED],
    "completed": [SUBMITTED, OPENED, ASSIGNED, STARTED, COMPLETED],
    "rolled back": [SUBMITTED, OPENED, JobRolledBack(JOB, Status.FAILED, "", 1, Mana(10))],
    "failed once": [SUBMITTED, OPENED, ASSIGNED, STARTED, FAILED],
}

EVENTS: dict[str, Callable[[Job | None], MeshEvent]] = {
    "JobSubmitted": lambda _: SUBMITTED,
    "BiddingOpened next": lambda job: replace(OPENED, attempt=(job.attempt if job else 0) + 1),
    "BiddingOpened again": lambda job: replace(OPENED, attempt=job.attempt if job else 0),
    "JobAssigned": lambda job: replace(ASSIGNED, attempt=job.attempt if job else 1),
    "ExecutionStarted": lambda job: replace(STARTED, attempt=job.attempt if job else 1),
    "OutputCommitted": lambda job: OutputCommitted(JOB, job.attempt if job else 1, EXECUTOR, b"x"),
    "AttemptFailed": lambda job: replace(FAILED, attempt=job.attempt if job else 1),
    "JobCompleted": lambda _: COMPLETED,
    "JobRolledBack": lambda job: JobRolledBack(JOB, Status.CANCELLED, "", job.attempt if job else 0, Mana(10)),
}

ALLOWED = {
    "nothing": {"JobSubmitted"},
    "submitted": {"BiddingOpened next", "JobRolledBack"},
    "bidding": {"BiddingOpened again", "JobAssigned", "JobRolledBack"},
    "assigned": {"ExecutionStarted", "AttemptFailed", "JobCompleted", "JobRolledBack"},
    "executing": {"AttemptFailed", "JobCompleted", "JobRolledBack"},
    "completed": {"JobSubmitted"},
    "rolled back": {"JobSubmitted"},
    "failed once": {"BiddingOpened next", "JobRolledBack"},
}
"""Where one executor runs an attempt nobody commits itself; where several do: test_agreement_rules.

A home that opens an ended job again deceives its own payer only; the live state has forgotten what has ended."""


def mesh_at(state: str) -> Mesh:
    mesh = Mesh()
    for event in PATHS[state]:
        check(mesh, event, builders.context())
        apply(mesh, event, builders.context())
    return mesh


@pytest.mark.parametrize("state", list(PATHS))
@pytest.mark.parametrize("name", list(EVENTS))
def test_every_event_in_every_state(state: str, name: str) -> None:
    mesh = mesh_at(state)
    event = EVENTS[name](mesh.jobs.get(JOB))
    before = deepcopy(mesh)
    if name in ALLOWED[state]:
        check(mesh, event, builders.context())
        assert mesh == before
        apply(mesh, event, builders.context())
    else:
        with pytest.raises(EventRefused):
            check(mesh, event, builders.context())
        assert mesh == before


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "JobSubmitted"])
@pytest.mark.parametrize("state", list(PATHS))
def test_only_the_home_decides_about_a_job(state: str, name: str) -> None:
    mesh = mesh_at(state)
    with pytest.raises(EventRefused):
        check(mesh, EVENTS[name](mesh.jobs.get(JOB)), builders.context(2))


def _forged(**changes: object) -> bytes:
    return seal_receipt(builders.receipt(2, 1, **{"job": JOB, **changes}), builders.signer(2))


TAMPERED: dict[str, tuple[str, MeshEvent]] = {
    "id of another": ("nothing", replace(SUBMITTED, job=builders.job_id(OTHER))),
    "another nonce": ("nothing", replace(SUBMITTED, nonce=b"x" * 16)),
    "epoch": ("nothing", replace(SUBMITTED, home_epoch=1)),
    "no time": ("nothing", replace(SUBMITTED, spec=replace(SPEC, deadline=NOW))),
    "specification out of bounds": ("nothing", replace(SUBMITTED, spec=replace(SPEC, redundancy=2))),
    "price of nothing": ("nothing", replace(SUBMITTED, spec=replace(SPEC, max_price=Mana(0)))),
    "attempt skipped": ("submitted", replace(OPENED, attempt=2)),
    "closes in the past": ("submitted", replace(OPENED, closes_at=Instant(NOW - 1))),
    "assigned too late": ("bidding", replace(ASSIGNED, deadline=Instant(NOW - 1))),
    "too dear": ("bidding", replace(ASSIGNED, assignees=(Assignee(EXECUTOR, EXECUTOR, Mana(11)),))),
    "a price below nothing": ("bidding", replace(ASSIGNED, assignees=(Assignee(EXECUTOR, EXECUTOR, Mana(-1)),))),
    "nobody": ("bidding", replace(ASSIGNED, assignees=())),
    "two for one": ("bidding", replace(ASSIGNED, assignees=ASSIGNED.assignees * 2)),
    "started by another": ("assigned", replace(STARTED, executor=OTHER)),
    "failed by another": ("assigned", replace(FAILED, executor=OTHER)),
    "an endless reason": ("assigned", replace(FAILED, reason="x" * 2000)),
    "paid more": ("executing", replace(COMPLETED, paid=Mana(4))),
    "paid less": ("executing", replace(COMPLETED, paid=Mana(2))),
    "paid to another": ("executing", replace(COMPLETED, executor=OTHER)),
    "another output": ("executing", replace(COMPLETED, output=builders.cid("bye"))),
    "no receipt": ("executing", replace(COMPLETED, receipt=b"")),
    "a receipt of another attempt": ("executing", replace(COMPLETED, receipt=_forged(attempt=2))),
    "a receipt of another job": ("executing", replace(COMPLETED, receipt=_forged(spec=builders.cid("other")))),
    "a receipt for another home": ("executing", replace(COMPLETED, receipt=_forged(home=OTHER))),
    "a receipt of a failure": ("executing", replace(COMPLETED, receipt=_forged(exit=ExitKind.TRAPPED))),
    "a receipt signed by another": (
        "executing",
        replace(COMPLETED, receipt=seal_receipt(builders.receipt(2, 1, job=JOB), builders.signer(3))),
    ),
    "restores too much": ("bidding", JobRolledBack(JOB, Status.FAILED, "", 1, Mana(11))),
    "restores too little": ("bidding", JobRolledBack(JOB, Status.FAILED, "", 1, Mana(9))),
    "rolled back to completed": ("bidding", JobRolledBack(JOB, Status.COMPLETED, "", 1, Mana(10))),
    "kept for another home": ("nothing", ReceiptKept(JOB, 1, EXECUTOR, _forged(home=OTHER))),
    "issued without acceptance": ("nothing", ReceiptIssued(JOB, 1, HOME, RECEIPT)),
}


@pytest.mark.parametrize("what", list(TAMPERED))
def test_what_no_home_may_record(what: str) -> None:
    state, event = TAMPERED[what]
    mesh = mesh_at(state)
    with pytest.raises(EventRefused):
        check(mesh, event, builders.context())


def test_an_execution_is_accepted_once_and_answered_once() -> None:
    given = builders.assignment(2, 1, job=JOB)
    sealed = seal_assignment(given, builders.signer(1))
    accepted = AssignmentAccepted(JOB, 1, HOME, given.deadline, sealed)
    issued = ReceiptIssued(JOB, 1, HOME, RECEIPT)
    mesh, executor = Mesh(), builders.context(2)
    for wrong in (
        replace(accepted, home=OTHER),
        replace(accepted, attempt=2),
        replace(accepted, deadline=Instant(1)),
        replace(accepted, assignment=seal_assignment(given, builders.signer(3))),
        replace(accepted, assignment=b""),
    ):
        with pytest.raises(EventRefused):
            check(mesh, wrong, executor)
    with pytest.raises(EventRefused):
        check(mesh, accepted, builders.context(3))
    check(mesh, accepted, executor)
    apply(mesh, accepted, executor)
    with pytest.raises(EventRefused, match="once"):
        check(mesh, accepted, executor)
    with pytest.raises(EventRefused):
        check(mesh, issued, builders.context(3))
    check(mesh, issued, executor)
    apply(mesh, issued, executor)
    with pytest.raises(EventRefused):
        check(mesh, issued, executor)


def bid(number: int, price: int = 3, attempt: int = 1) -> Offer:
    return Offer(Bid(JOB, attempt, HOME, builders.did(number), Mana(price), ()), builders.did(number))


def ask(mesh: Mesh, command: MeshCommand, time: int = NOW, terms: MeshTerms = TERMS) -> list[MeshEvent]:
    """Decide, then check and apply as every replica does."""
    context = builders.context(time=time)
    before = deepcopy(mesh)
    events = decide(mesh, command, context, terms)
    assert mesh == before, "decide changes nothing"
    for event in events:
        check(mesh, event, context)
        apply(mesh, event, context)
    return events


def test_submitting_opens_the_first_bidding() -> None:
    assert ask(Mesh(), SubmitJob(NONCE, HOME, SPEC)) == [SUBMITTED, OPENED]


REFUSED: list[tuple[str, MeshCommand, type[Refusal]]] = [
    ("nothing", SubmitJob(NONCE, HOME, replace(SPEC, redundancy=2)), Invalid),
    ("nothing", SubmitJob(NONCE, HOME, replace(SPEC, max_price=Mana(0))), Invalid),
    ("nothing", SubmitJob(NONCE, HOME, replace(SPEC, deadline=NOW)), DeadlinePassed),
    ("nothing", CancelJob(JOB, HOME), JobNotOpen),
    ("completed", CancelJob(JOB, HOME), JobNotOpen),
    ("bidding", CancelJob(JOB, OTHER), NotYourJob),
    ("completed", CloseBidding(JOB, ()), JobNotOpen),
    ("completed", ExpireJob(JOB), JobNotOpen),
    ("completed", GiveUpAttempt(JOB, EXECUTOR, Silence.LINK_LOST), JobNotOpen),
]


@pytest.mark.parametrize(("state", "command", "refusal"), REFUSED)
def test_what_is_refused(state: str, command: MeshCommand, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        ask(mesh_at(state), command)


def test_a_home_has_few_jobs_open() -> None:
    mesh = Mesh(open_by_home={HOME: JOBS_OPEN_MAX})
    with pytest.raises(TooManyJobs):
        ask(mesh, SubmitJob(NONCE, HOME, SPEC))
    with pytest.raises(EventRefused, match="few jobs"):
        check(mesh, SUBMITTED, builders.context())


def test_one_principal_has_few_of_them() -> None:
    mesh, terms = Mesh(), replace(TERMS, open_per_payer=2)
    for number in range(2):
        ask(mesh, SubmitJob(builders.digest(str(number))[:16], HOME, SPEC), terms=terms)
    with pytest.raises(TooManyJobsOfYours):
        ask(mesh, SubmitJob(NONCE, HOME, SPEC), terms=terms)
    ask(mesh, SubmitJob(NONCE, OTHER, SPEC), terms=terms)
    ask(mesh, CancelJob(JobId.of(HOME, builders.digest("0")[:16]), HOME))
    ask(mesh, SubmitJob(builders.digest("2")[:16], HOME, SPEC), terms=terms)


def test_bidding_without_an_offer_is_opened_again_until_the_deadline() -> None:
    mesh = mesh_at("bidding")
    (again,) = ask(mesh, CloseBidding(JOB, ()))
    assert again == BiddingOpened(JOB, 1, Instant(NOW + TERMS.bid_renewal))
    (end,) = ask(mesh, CloseBidding(JOB, ()), SPEC.deadline)
    assert isinstance(end, JobRolledBack)
    assert end.outcome is Status.FAILED


@pytest.mark.parametrize("late", [0, 1, 15_000])
def test_an_offer_at_or_after_the_deadline_ends_the_job(late: int) -> None:
    (end,) = ask(mesh_at("bidding"), CloseBidding(JOB, (bid(2),)), SPEC.deadline + late)
    assert isinstance(end, JobRolledBack)


def test_an_attempts_deadline_is_within_the_jobs() -> None:
    (assigned,) = ask(mesh_at("bidding"), CloseBidding(JOB, (bid(2),)), SPEC.deadline - 10)
    assert isinstance(assigned, JobAssigned)
    assert assigned.deadline == SPEC.deadline


@pytest.mark.parametrize("state", ["submitted", "assigned", "executing"])
def test_closing_what_is_not_open_changes_nothing(state: str) -> None:
    assert ask(mesh_at(state), CloseBidding(JOB, (bid(2),))) == []


@pytest.mark.parametrize("state", ["bidding", "assigned", "executing"])
def test_opening_again_what_does_not_wait_changes_nothing(state: str) -> None:
    assert ask(mesh_at(state), ReopenBidding(JOB)) == []


def test_the_next_attempt_is_counted() -> None:
    mesh = mesh_at("failed once")
    (opened,) = ask(mesh, ReopenBidding(JOB))
    assert opened == BiddingOpened(JOB, 2, Instant(NOW + 1000))


def test_a_start_is_noted_once_and_of_the_assigned_only() -> None:
    mesh = mesh_at("assigned")
    assert ask(mesh, NoteStart(JOB, 1, OTHER)) == []
    assert ask(mesh, NoteStart(JOB, 2, EXECUTOR)) == []
    assert ask(mesh, NoteStart(JOB, 1, EXECUTOR)) == [STARTED]
    assert ask(mesh, NoteStart(JOB, 1, EXECUTOR)) == []


def _take(**changes: object) -> TakeReceipt:
    receipt = builders.receipt(2, 1, **{"job": JOB, **changes})
    return TakeReceipt(receipt, seal_receipt(receipt, builders.signer(2)))


@pytest.mark.parametrize("state", ["assigned", "executing"])
def test_a_receipt_completes_the_attempt_under_way(state: str) -> None:
    mesh = mesh_at(state)
    (done,) = ask(mesh, _take())
    assert isinstance(done, JobCompleted)
    assert done.paid == 3
    (kept,) = ask(mesh, _take())
    assert isinstance(kept, ReceiptKept)
    assert mesh.standings[HOME, EXECUTOR].completed == 1


@pytest.mark.parametrize("state", ["submitted", "bidding", "completed", "rolled back", "failed once"])
def test_a_late_receipt_is_kept_and_changes_nothing(state: str) -> None:
    mesh = mesh_at(state)
    jobs, standings = dict(mesh.jobs), dict(mesh.standings)
    (kept,) = ask(mesh, _take())
    assert isinstance(kept, ReceiptKept)
    assert (mesh.jobs, mesh.standings) == (jobs, standings)


@pytest.mark.parametrize("kind", [kind for kind in ExitKind if kind.guest_fault])
def test_a_fault_of_the_guest_ends_the_job_at_once_and_is_not_scored(kind: ExitKind) -> None:
    mesh = mesh_at("executing")
    failed, end = ask(mesh, _take(exit=kind, output=None, detail="why"))
    assert isinstance(failed, AttemptFailed)
    assert not failed.counts_against_executor
    assert isinstance(end, JobRolledBack)
    assert "why" in end.reason
    assert not mesh.standings


@pytest.mark.parametrize("kind", [k for k in ExitKind if not k.guest_fault and k is not ExitKind.COMPLETED])
def test_a_fault_of_the_executor_is_tried_again(kind: ExitKind) -> None:
    mesh = mesh_at("executing")
    failed, *_ = ask(mesh, _take(exit=kind, output=None))
    assert isinstance(failed, AttemptFailed)
    assert failed.retry_at > NOW
    assert mesh.jobs[JOB].status is Status.SUBMITTED


def test_a_receipt_for_another_specification_is_not_paid() -> None:
    (failed,) = ask(mesh_at("executing"), _take(spec=builders.cid("other")))
    assert isinstance(failed, AttemptFailed)


def test_the_last_attempt_rolls_back() -> None:
    mesh = mesh_at("executing")
    mesh.jobs[JOB] = replace(mesh.jobs[JOB], attempt=3)
    failed, end = ask(mesh, GiveUpAttempt(JOB, EXECUTOR, Silence.LINK_LOST))
    assert isinstance(failed, AttemptFailed)
    assert isinstance(end, JobRolledBack)
    assert (end.attempts, end.restored) == (3, 10)
    assert "connection was lost" in end.reason
    assert JOB not in mesh.jobs
    assert not mesh.open_by_home


@pytest.mark.parametrize("state", ["submitted", "bidding", "assigned", "executing", "failed once"])
def test_a_job_is_cancelled_in_every_open_state(state: str) -> None:
    mesh = mesh_at(state)
    (end,) = ask(mesh, CancelJob(JOB, HOME))
    assert isinstance(end, JobRolledBack)
    assert (end.outcome, end.restored) == (Status.CANCELLED, 10)
    assert not mesh.jobs


def test_a_job_expires_at_its_deadline_and_not_before() -> None:
    mesh = mesh_at("executing")
    assert ask(mesh, ExpireJob(JOB), SPEC.deadline - 1) == []
    (end,) = ask(mesh, ExpireJob(JOB), SPEC.deadline)
    assert isinstance(end, JobRolledBack)


def test_a_job_has_few_attempts_whatever_its_home_says() -> None:
    mesh = mesh_at("failed once")
    for attempt in range(1, JOB_ATTEMPTS_MAX):
        mesh.jobs[JOB] = replace(mesh.jobs[JOB], attempt=attempt, status=Status.SUBMITTED)
        check(mesh, replace(OPENED, attempt=attempt + 1), builders.context())
    mesh.jobs[JOB] = replace(mesh.jobs[JOB], attempt=JOB_ATTEMPTS_MAX)
    with pytest.raises(EventRefused, match="few attempts"):
        check(mesh, replace(OPENED, attempt=JOB_ATTEMPTS_MAX + 1), builders.context())


def test_what_stands_for_a_failure_receipt_is_no_longer_than_one() -> None:
    mesh = mesh_at("executing")
    check(mesh, replace(FAILED, receipt=bytes(RECEIPT_BYTES_MAX)), builders.context())
    with pytest.raises(EventRefused, match="receipt is short"):
        check(mesh, replace(FAILED, receipt=bytes(RECEIPT_BYTES_MAX + 1)), builders.context())


class Unread(dict[tuple[Did, Did], Standing]):
    """What may be looked up by its key, and not read through."""

    def items(self) -> NoReturn:
        raise AssertionError("all standings of all homes are read")

    __iter__ = keys = values = items


def test_whoever_offered_is_looked_up_and_not_everybody_that_any_home_has_seen() -> None:
    mesh = mesh_at("bidding")
    mesh.standings = Unread({(HOME, EXECUTOR): Standing(failed_in_row=1)})
    offers = tuple(Offer(builders.bid(number, 1, job=JOB), builders.did(number)) for number in (2, 3))
    (assigned,) = decide(mesh, CloseBidding(JOB, offers), builders.context(), TERMS)
    assert isinstance(assigned, JobAssigned)
    assert [assignee.executor for assignee in assigned.assignees] == [OTHER]
