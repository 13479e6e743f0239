"""An attempt that three executors run, through every order of pledges, receipts, failures and deadlines."""

import itertools
from copy import deepcopy
from dataclasses import replace

import pytest

from icn.domain.context import EventRefused
from icn.domain.mesh.agreement import Part, commitment_to
from icn.domain.mesh.commands import (
    AbandonAttempt,
    AcceptAgreed,
    CancelJob,
    CloseRound,
    GiveUpAttempt,
    MeshCommand,
    TakePledge,
    TakeReceipt,
)
from icn.domain.mesh.events import (
    AssigneeFailed,
    AssignmentAccepted,
    AttemptAbandoned,
    AttemptFailed,
    BiddingOpened,
    DisputeRaised,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    MeshEvent,
    OutputCommitted,
    OutputRevealed,
    PledgeMade,
    ReceiptIssued,
    ReceiptKept,
    RevealOpened,
)
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.failures import Silence
from icn.domain.mesh.model import Assignee, Receipt, Status
from icn.domain.mesh.papers import seal_assignment, seal_receipt
from icn.domain.mesh.refusals import JobNotOpen
from icn.domain.mesh.retries import MeshTerms
from icn.domain.mesh.rules import check, decide
from icn.domain.mesh.state import Mesh, apply
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Duration, Instant
from icn.kernel.mana import Mana
from support import builders

SEED = builders.digest("job")[:16]
HOME = builders.did(1)
A, B, C = 2, 3, 4
JOB = JobId.of(HOME, SEED)
TERMS = MeshTerms(Duration(1000), 3)
NOW = builders.START
SPEC = builders.spec(redundancy=3)
DUE = Instant(NOW + 6000)
RIGHT, WRONG = builders.cid("right"), builders.cid("wrong")


def did(number: int) -> Did:
    return builders.did(number)


ASSIGNED = JobAssigned(JOB, 1, DUE, tuple(Assignee(did(n), did(n), Mana(n)) for n in (A, B, C)))
OPENING: list[MeshEvent] = [
    JobSubmitted(JOB, SEED, 0, HOME, SPEC),
    BiddingOpened(JOB, 1, Instant(NOW + 1000)),
    ASSIGNED,
]


def receipt(executor: int, output: Cid | None = RIGHT, **changes: object) -> Receipt:
    return builders.receipt(
        executor,
        1,
        **{
            "job": JOB,
            "spec": SPEC.cid,
            "output": output,
            "nonce": builders.digest(f"nonce {executor}"),
            "exit": ExitKind.COMPLETED if output is not None else ExitKind.TRAPPED,
            **changes,
        },
    )


def sealed(said: Receipt) -> bytes:
    return seal_receipt(said, builders.signer(next(n for n in range(1, 9) if did(n) == said.executor)))


def pledge(said: Receipt) -> TakePledge:
    return TakePledge(JOB, said.attempt, said.executor, commitment_to(said))


def show(said: Receipt) -> TakeReceipt:
    return TakeReceipt(said, sealed(said))


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


@pytest.fixture
def mesh() -> Mesh:
    """Assigned to three."""
    made = Mesh()
    for event in OPENING:
        check(made, event, builders.context())
        apply(made, event, builders.context())
    return made


def pledged(mesh: Mesh, *said: Receipt) -> Mesh:
    for one in said:
        ask(mesh, pledge(one))
    return mesh


def parts(mesh: Mesh) -> list[Part]:
    return [ballot.part for ballot in mesh.touched.polls[JOB].ballots]


def kinds(events: list[MeshEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_revealing_is_opened_by_the_last_pledge(mesh: Mesh) -> None:
    assert kinds(ask(mesh, pledge(receipt(A)))) == ["OutputCommitted"]
    assert kinds(ask(mesh, pledge(receipt(B)))) == ["OutputCommitted"]
    committed, opened = ask(mesh, pledge(receipt(C)))
    assert opened == RevealOpened(JOB, 1, Instant(NOW + TERMS.reveal_window))
    assert mesh.jobs[JOB].due_at == NOW + TERMS.reveal_window
    assert isinstance(committed, OutputCommitted)


@pytest.mark.parametrize("late", [-1, 0, 20_000])
def test_revealing_that_is_opened_at_the_end_of_the_job_has_no_time_and_is_no_error(mesh: Mesh, late: int) -> None:
    """A block is dated after its parents, whatever the home's own clock says. Found by simulation."""
    now = SPEC.deadline + late
    ask(mesh, pledge(receipt(A)), now)
    ask(mesh, pledge(receipt(B)), now)
    _, opened = ask(mesh, pledge(receipt(C)), now)
    assert opened == RevealOpened(JOB, 1, Instant(max(now, SPEC.deadline)))


def test_the_majority_is_paid_and_who_dissents_loses_standing(mesh: Mesh) -> None:
    said = [receipt(A), receipt(B, WRONG), receipt(C)]
    pledged(mesh, *said)
    for one in said:
        assert kinds(ask(mesh, show(one))) == ["OutputRevealed"]
    dispute, agreed = ask(mesh, AcceptAgreed(JOB))
    assert agreed == JobAgreed(JOB, 1, RIGHT, (did(A), did(C)), (did(B),), Mana(A + C))
    assert dispute == DisputeRaised(JOB, 1, HOME, did(B), sealed(said[1]), sealed(said[0]))
    assert parts(mesh) == [Part.AGREED, Part.DISSENTED, Part.AGREED]
    assert [mesh.standings[HOME, did(n)].failed_in_row for n in (A, B, C)] == [0, 1, 0]
    assert [mesh.standings[HOME, did(n)].completed for n in (A, B, C)] == [1, 0, 1]
    ended = mesh.touched.jobs[JOB]
    assert (ended.status, ended.output, ended.paid, ended.receipt) == (
        Status.COMPLETED,
        RIGHT,
        A + C,
        sealed(said[0]),
    )
    assert not mesh.jobs
    assert not mesh.polls


def test_nothing_is_accepted_before_all_that_is_due_was_shown(mesh: Mesh) -> None:
    pledged(mesh, receipt(A), receipt(B), receipt(C))
    ask(mesh, show(receipt(A)))
    ask(mesh, show(receipt(B)))
    assert ask(mesh, AcceptAgreed(JOB)) == []
    (failed,) = ask(mesh, CloseRound(JOB), mesh.jobs[JOB].due_at)
    assert isinstance(failed, AssigneeFailed)
    assert failed.executor == did(C)
    assert not failed.counts_against_executor
    (agreed,) = ask(mesh, AcceptAgreed(JOB))
    assert isinstance(agreed, JobAgreed)
    assert agreed.winners == (did(A), did(B))


def test_a_pledge_that_is_repeated_or_changed_counts_as_it_was_first(mesh: Mesh) -> None:
    pledged(mesh, receipt(A))
    assert ask(mesh, pledge(receipt(A))) == []
    assert ask(mesh, pledge(receipt(A, WRONG))) == []
    assert mesh.polls[JOB].ballots[0].commitment == commitment_to(receipt(A))


def test_a_pledge_of_another_attempt_or_of_a_stranger_is_none(mesh: Mesh) -> None:
    assert ask(mesh, replace(pledge(receipt(A)), attempt=2)) == []
    assert ask(mesh, replace(pledge(receipt(A)), executor=did(8))) == []


def test_a_late_pledge_is_none(mesh: Mesh) -> None:
    pledged(mesh, receipt(A), receipt(B))
    failed, opened = ask(mesh, CloseRound(JOB), DUE)
    assert isinstance(failed, AssigneeFailed)
    assert (failed.executor, failed.counts_against_executor) == (did(C), False)
    assert isinstance(opened, RevealOpened)
    assert ask(mesh, pledge(receipt(C))) == []
    (kept,) = ask(mesh, show(receipt(C)))
    assert isinstance(kept, ReceiptKept)


def test_closing_a_round_before_its_time_changes_nothing(mesh: Mesh) -> None:
    assert ask(mesh, CloseRound(JOB), DUE - 1) == []
    pledged(mesh, receipt(A), receipt(B), receipt(C))
    assert ask(mesh, CloseRound(JOB), mesh.jobs[JOB].due_at - 1) == []


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (receipt(A, WRONG), "not what it had pledged"),
        (receipt(A, nonce=builders.digest("nonce 3")), "not what it had pledged"),
        (receipt(A, None), "not what it had pledged"),
        (receipt(A, None, exit=ExitKind.CANCELLED), "cancelled"),
        (receipt(A, spec=builders.cid("another")), "completed"),
        (receipt(A, None, exit=ExitKind.COMPLETED), "contradicts itself"),
    ],
)
def test_who_shows_something_else_than_it_pledged_is_out_and_loses_standing(
    mesh: Mesh, shown: Receipt, why: str
) -> None:
    pledged(mesh, receipt(A), receipt(B), receipt(C))
    (failed,) = ask(mesh, show(shown))
    assert isinstance(failed, AssigneeFailed)
    assert why in failed.reason
    assert failed.counts_against_executor
    ask(mesh, show(receipt(B)))
    ask(mesh, show(receipt(C)))
    (agreed,) = ask(mesh, AcceptAgreed(JOB))
    assert isinstance(agreed, JobAgreed)
    assert agreed.winners == (did(B), did(C))


def test_a_copied_commitment_is_worth_nothing(mesh: Mesh) -> None:
    """B repeats the commitment of A, and later A's output and nonce, which everybody has seen then."""
    pledged(mesh, receipt(A), receipt(C))
    ask(mesh, TakePledge(JOB, 1, did(B), commitment_to(receipt(A))))
    ask(mesh, show(receipt(A)))
    (failed,) = ask(mesh, show(receipt(B, nonce=receipt(A).nonce)))
    assert isinstance(failed, AssigneeFailed)
    assert failed.counts_against_executor


def test_a_receipt_without_a_pledge_or_before_its_time_is_worth_nothing(mesh: Mesh) -> None:
    (unpledged,) = ask(mesh, show(receipt(A)))
    assert isinstance(unpledged, AssigneeFailed)
    assert "without a pledge" in unpledged.reason
    pledged(mesh, receipt(B))
    early, abandoned = ask(mesh, show(receipt(B)))
    assert isinstance(early, AssigneeFailed)
    assert "before all had pledged" in early.reason
    assert isinstance(abandoned, AttemptAbandoned)


def test_an_executor_that_fails_does_not_end_the_attempt_while_a_majority_is_left(mesh: Mesh) -> None:
    (failed,) = ask(mesh, show(receipt(A, None, exit=ExitKind.WORKER_LOST, nonce=b"")))
    assert isinstance(failed, AssigneeFailed)
    ask(mesh, pledge(receipt(B)))
    _, opened = ask(mesh, pledge(receipt(C)))
    assert isinstance(opened, RevealOpened)


def test_the_failure_of_the_last_that_was_waited_for_opens_revealing(mesh: Mesh) -> None:
    pledged(mesh, receipt(A), receipt(B))
    failed, opened = ask(mesh, GiveUpAttempt(JOB, did(C), Silence.LINK_LOST))
    assert kinds([failed, opened]) == ["AssigneeFailed", "RevealOpened"]


def test_who_has_pledged_is_waited_for_though_it_is_gone(mesh: Mesh) -> None:
    pledged(mesh, receipt(A))
    assert ask(mesh, GiveUpAttempt(JOB, did(A), Silence.LINK_LOST)) == []


def test_without_a_possible_majority_the_attempt_is_over_at_once_and_the_next_has_others(mesh: Mesh) -> None:
    pledged(mesh, receipt(A))
    ask(mesh, GiveUpAttempt(JOB, did(B), Silence.LINK_LOST))
    failed, abandoned = ask(mesh, GiveUpAttempt(JOB, did(C), Silence.LINK_LOST))
    assert isinstance(abandoned, AttemptAbandoned)
    assert abandoned.retry_at > NOW
    job = mesh.jobs[JOB]
    assert (job.status, job.assignees, job.due_at) == (Status.SUBMITTED, (), abandoned.retry_at)
    assert [failure.executor for failure in job.failures] == [did(B), did(C), did(A)]
    assert not mesh.polls
    assert isinstance(failed, AssigneeFailed)


def test_three_different_results_are_disputed_and_nobody_is_paid(mesh: Mesh) -> None:
    said = [receipt(A), receipt(B, WRONG), receipt(C, builders.cid("worse"))]
    pledged(mesh, *said)
    ask(mesh, show(said[0]))
    ask(mesh, show(said[1]))
    events = ask(mesh, show(said[2]))
    assert kinds(events) == ["OutputRevealed", "DisputeRaised", "DisputeRaised", "AttemptAbandoned"]
    assert not mesh.standings, "nobody knows yet who was right"
    assert ask(mesh, AcceptAgreed(JOB)) == []


def test_the_last_attempt_rolls_the_job_back(mesh: Mesh) -> None:
    terms = replace(TERMS, attempts_max=1)
    ask(mesh, GiveUpAttempt(JOB, did(B), Silence.LINK_LOST), terms=terms)
    events = ask(mesh, GiveUpAttempt(JOB, did(C), Silence.LINK_LOST), terms=terms)
    assert kinds(events) == ["AssigneeFailed", "AttemptAbandoned", "JobRolledBack"]
    end = events[-1]
    assert isinstance(end, JobRolledBack)
    assert end.restored == SPEC.price_held
    assert not mesh.jobs
    assert not mesh.polls


def test_a_module_that_fails_everywhere_ends_the_job_and_one_liar_does_not(mesh: Mesh) -> None:
    said = [receipt(A, None), receipt(B), receipt(C, None)]
    pledged(mesh, *said)
    ask(mesh, show(said[0]))
    ask(mesh, show(said[1]))
    events = ask(mesh, show(said[2]))
    assert kinds(events) == [
        "OutputRevealed",
        "DisputeRaised",
        "AssigneeFailed",
        "AttemptAbandoned",
        "JobRolledBack",
    ]
    assert mesh.standings[HOME, did(B)].failed_in_row == 1
    assert (HOME, did(A)) not in mesh.standings


def test_one_that_says_the_module_failed_does_not_end_the_job(mesh: Mesh) -> None:
    said = [receipt(A, None), receipt(B), receipt(C)]
    pledged(mesh, *said)
    for one in said:
        ask(mesh, show(one))
    dispute, agreed = ask(mesh, AcceptAgreed(JOB))
    assert kinds([dispute, agreed]) == ["DisputeRaised", "JobAgreed"]


def test_who_ran_under_another_profile_is_neither_paid_nor_scored(mesh: Mesh) -> None:
    said = [receipt(A), receipt(B, profile="other"), receipt(C)]
    pledged(mesh, *said)
    for one in said:
        ask(mesh, show(one))
    failed, agreed = ask(mesh, AcceptAgreed(JOB))
    assert isinstance(failed, AssigneeFailed)
    assert (failed.executor, failed.counts_against_executor) == (did(B), False)
    assert isinstance(agreed, JobAgreed)
    assert (HOME, did(B)) not in mesh.standings


def test_what_cannot_be_had_is_not_paid(mesh: Mesh) -> None:
    said = [receipt(A), receipt(B), receipt(C)]
    pledged(mesh, *said)
    for one in said:
        ask(mesh, show(one))
    (abandoned,) = ask(mesh, AbandonAttempt(JOB, "its output could not be had"))
    assert isinstance(abandoned, AttemptAbandoned)


def test_a_cancelled_job_pays_nobody_whatever_was_shown(mesh: Mesh) -> None:
    said = [receipt(A), receipt(B), receipt(C)]
    pledged(mesh, *said)
    for one in said:
        ask(mesh, show(one))
    (end,) = ask(mesh, CancelJob(JOB, HOME))
    assert isinstance(end, JobRolledBack)
    with pytest.raises(JobNotOpen):
        ask(mesh, AcceptAgreed(JOB))


def test_every_order_in_which_pledges_and_receipts_come_pays_the_same_two() -> None:
    said = {A: receipt(A), B: receipt(B, WRONG), C: receipt(C)}
    for pledges, shows in itertools.product(itertools.permutations(said), itertools.permutations(said)):
        mesh = Mesh()
        for event in OPENING:
            apply(mesh, event, builders.context())
        pledged(mesh, *(said[n] for n in pledges))
        for number in shows:
            ask(mesh, show(said[number]))
            assert JOB in mesh.jobs
        *_, agreed = ask(mesh, AcceptAgreed(JOB))
        assert isinstance(agreed, JobAgreed)
        assert agreed.winners == (did(A), did(C))


def _shown(mesh: Mesh) -> Mesh:
    said = [receipt(A), receipt(B, WRONG), receipt(C)]
    pledged(mesh, *said)
    for one in said:
        ask(mesh, show(one))
    return mesh


AGREED = JobAgreed(JOB, 1, RIGHT, (did(A), did(C)), (did(B),), Mana(A + C))


@pytest.mark.parametrize(
    "wrong",
    [
        replace(AGREED, winners=(did(A), did(B), did(C)), dissenters=()),
        replace(AGREED, winners=(did(C), did(A))),
        replace(AGREED, winners=(did(A),)),
        replace(AGREED, winners=(did(A), did(A))),
        replace(AGREED, dissenters=()),
        replace(AGREED, output=WRONG),
        replace(AGREED, output=WRONG, winners=(did(B),), dissenters=(did(A), did(C)), paid=Mana(B)),
        replace(AGREED, paid=Mana(A + B + C)),
        replace(AGREED, attempt=2),
        JobCompleted(JOB, 1, did(A), RIGHT, Mana(A), sealed(receipt(A))),
        AttemptFailed(JOB, 1, did(A), "gone", counts_against_executor=False, retry_at=NOW, receipt=b""),
        RevealOpened(JOB, 1, DUE),
        OutputCommitted(JOB, 1, did(A), b"c" * 32),
        OutputRevealed(JOB, 1, did(A), sealed(receipt(A))),
    ],
)
def test_a_home_may_not_end_the_count_otherwise(mesh: Mesh, wrong: MeshEvent) -> None:
    _shown(mesh)
    check(mesh, AGREED, builders.context())
    with pytest.raises(EventRefused):
        check(mesh, wrong, builders.context())
    with pytest.raises(EventRefused):
        check(mesh, AGREED, builders.context(2))


def test_a_home_may_not_count_before_all_were_heard(mesh: Mesh) -> None:
    pledged(mesh, receipt(A), receipt(B), receipt(C))
    ask(mesh, show(receipt(A)))
    ask(mesh, show(receipt(B)))
    with pytest.raises(EventRefused, match="passed over"):
        check(mesh, JobAgreed(JOB, 1, RIGHT, (did(A), did(B)), (), Mana(A + B)), builders.context())


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        ((), "has pledged before anybody reveals"),
        ((receipt(A), receipt(B)), "has pledged before anybody reveals"),
        ((receipt(A), receipt(B), receipt(C)), "once"),
    ],
)
def test_a_home_may_not_open_revealing_otherwise(mesh: Mesh, said: tuple[Receipt, ...], rule: str) -> None:
    pledged(mesh, *said)
    with pytest.raises(EventRefused, match=rule):
        check(mesh, RevealOpened(JOB, 1, DUE), builders.context())


def test_revealing_needs_a_majority_of_pledges(mesh: Mesh) -> None:
    pledged(mesh, receipt(A))
    for number in (B, C):
        event = AssigneeFailed(JOB, 1, did(number), "gone", counts_against_executor=False, receipt=b"")
        check(mesh, event, builders.context())
        apply(mesh, event, builders.context())
    with pytest.raises(EventRefused, match="a majority has pledged"):
        check(mesh, RevealOpened(JOB, 1, DUE), builders.context())


@pytest.mark.parametrize(
    "wrong",
    [
        OutputRevealed(JOB, 1, did(A), sealed(receipt(A, WRONG))),
        OutputRevealed(JOB, 1, did(A), sealed(receipt(B))),
        OutputRevealed(JOB, 1, did(A), b"no receipt"),
        OutputRevealed(JOB, 1, did(8), sealed(receipt(8))),
        OutputRevealed(JOB, 1, did(A), sealed(receipt(A, attempt=2))),
    ],
)
def test_a_home_records_what_was_pledged_and_nothing_else(mesh: Mesh, wrong: MeshEvent) -> None:
    pledged(mesh, receipt(A), receipt(B), receipt(C))
    check(mesh, OutputRevealed(JOB, 1, did(A), sealed(receipt(A))), builders.context())
    with pytest.raises(EventRefused):
        check(mesh, wrong, builders.context())


@pytest.mark.parametrize("commitment", [b"", b"short", b"c" * 33])
def test_a_commitment_is_a_hash(mesh: Mesh, commitment: bytes) -> None:
    with pytest.raises(EventRefused, match="SHA-256"):
        check(mesh, OutputCommitted(JOB, 1, did(A), commitment), builders.context())


def _accepted() -> Mesh:
    """Executor A has accepted its assignment."""
    mesh = Mesh()
    given = seal_assignment(builders.assignment(A, 1, job=JOB, spec=SPEC, deadline=DUE), builders.signer(1))
    event = AssignmentAccepted(JOB, 1, HOME, DUE, given)
    check(mesh, event, builders.context(A))
    apply(mesh, event, builders.context(A))
    return mesh


def test_a_pledge_in_the_executors_feed_binds_it() -> None:
    mesh = _accepted()
    made = PledgeMade(JOB, 1, HOME, commitment_to(receipt(A)))
    for wrong in (
        replace(made, home=did(B)),
        replace(made, attempt=2),
        replace(made, commitment=b"short"),
    ):
        with pytest.raises(EventRefused):
            check(mesh, wrong, builders.context(A))
    with pytest.raises(EventRefused):
        check(mesh, made, builders.context(B))
    check(mesh, made, builders.context(A))
    apply(mesh, made, builders.context(A))
    with pytest.raises(EventRefused, match="once"):
        check(mesh, made, builders.context(A))
    for belied in (receipt(A, WRONG), receipt(A, None), receipt(A, nonce=b"")):
        with pytest.raises(EventRefused, match="what was pledged, or nothing"):
            check(mesh, ReceiptIssued(JOB, 1, HOME, sealed(belied)), builders.context(A))
    for good in (receipt(A), receipt(A, None, exit=ExitKind.CANCELLED, nonce=b"")):
        after = deepcopy(mesh)
        check(after, ReceiptIssued(JOB, 1, HOME, sealed(good)), builders.context(A))
        apply(after, ReceiptIssued(JOB, 1, HOME, sealed(good)), builders.context(A))
        assert not after.pledges
        assert not after.executions


def test_a_dispute_is_checked_by_its_two_papers_alone() -> None:
    dispute = DisputeRaised(JOB, 1, HOME, did(B), sealed(receipt(B, WRONG)), sealed(receipt(A)))
    for author in (1, A, 7):
        check(Mesh(), dispute, builders.context(author))
    for wrong in (
        replace(dispute, accused=did(A)),
        replace(dispute, attempt=2),
        replace(dispute, home=did(B)),
        replace(dispute, job=builders.job_id(HOME, "another")),
        replace(dispute, counter=dispute.receipt),
        replace(dispute, counter=sealed(receipt(A, None, exit=ExitKind.DEADLINE))),
        replace(dispute, receipt=b""),
    ):
        with pytest.raises(EventRefused):
            check(Mesh(), wrong, builders.context(7))
    mesh = Mesh()
    apply(mesh, dispute, builders.context(7))
    assert mesh.touched.disputes == {(JOB, 1, did(B), did(7)): (NOW, dispute)}
