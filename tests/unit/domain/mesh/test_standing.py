"""Bans, trials and pardons: the table of the module, line by line, as decided, checked and applied (semantics §5)."""

from copy import deepcopy
from dataclasses import replace

import pytest

from icn.domain.context import EventRefused
from icn.domain.mesh.commands import (
    CancelJob,
    CloseBidding,
    GiveUpAttempt,
    MeshCommand,
    Offer,
    PardonExecutor,
    ReopenBidding,
    SubmitJob,
    TakeReceipt,
    TakeRefusal,
)
from icn.domain.mesh.events import (
    AssignmentDeclined,
    AttemptFailed,
    ExecutorBanned,
    ExecutorPardoned,
    FailureDeferred,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    MeshEvent,
)
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.failures import REFUSAL_PROMPT, Silence
from icn.domain.mesh.model import Assignee, Bid, Blame, FailedAttempt, Standing
from icn.domain.mesh.papers import seal_receipt
from icn.domain.mesh.refusals import NotBlacklisted
from icn.domain.mesh.retries import MeshTerms
from icn.domain.mesh.rules import check, decide
from icn.domain.mesh.standing import BAN_REASON_CHARS_MAX, consequences, scored, why_no_ban
from icn.domain.mesh.state import Mesh, apply
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant
from icn.kernel.mana import Mana
from support import builders

HOME, OTHER_HOME = builders.did(1), builders.did(9)
SPEC = builders.spec(deadline=Instant(builders.START + 10**9))
BAN_FOR = 600_000


class Home:
    """A home's mesh, told what happens; every event is decided, checked and applied, as on every replica."""

    def __init__(self, *, ban_after: int = 3) -> None:
        self.mesh = Mesh()
        self.now = builders.START
        self.terms = MeshTerms(Duration(1000), 9, ban_after=ban_after, ban_for=Duration(BAN_FOR))
        self.jobs = 0

    def ask(self, command: MeshCommand) -> list[MeshEvent]:
        context = builders.context(time=self.now)
        before = deepcopy(self.mesh)
        events = decide(self.mesh, command, context, self.terms)
        assert self.mesh == before, "decide changes nothing"
        for event in events:
            self.record(event)
        return events

    def record(self, event: MeshEvent, author: int = 1) -> None:
        context = builders.context(author, time=self.now)
        check(self.mesh, event, context)
        apply(self.mesh, event, context)

    def submit(self) -> JobId:
        self.jobs += 1
        nonce = builders.digest(f"job {self.jobs}")[:16]
        self.ask(SubmitJob(nonce, HOME, SPEC))
        return JobId.of(HOME, nonce)

    def assign(self, job: JobId, *bidders: int) -> Did | None:
        """Close the bidding with these offers; who got it."""
        attempt = self.mesh.jobs[job].attempt
        offers = tuple(Offer(Bid(job, attempt, HOME, builders.did(n), Mana(3), ()), builders.did(n)) for n in bidders)
        self.ask(CloseBidding(job, offers))
        assignees = self.mesh.jobs[job].assignees
        return assignees[0].executor if assignees else None

    def end(self, job: JobId, number: int, kind: ExitKind = ExitKind.COMPLETED) -> list[MeshEvent]:
        """The receipt of the attempt under way."""
        changes = {"job": job, "spec": SPEC.cid, "attempt": self.mesh.jobs[job].attempt, "exit": kind}
        if kind is not ExitKind.COMPLETED:
            changes["output"] = None
        receipt = builders.receipt(number, 1, **changes)
        return self.ask(TakeReceipt(receipt, seal_receipt(receipt, builders.signer(number))))

    def run(self, number: int, kind: ExitKind = ExitKind.COMPLETED) -> list[MeshEvent]:
        """A job that this executor gets and ends so."""
        job = self.submit()
        assert self.assign(job, number) == builders.did(number)
        events = self.end(job, number, kind)
        if job in self.mesh.jobs:
            self.ask(CancelJob(job, HOME))
        return events

    def gets_work(self, number: int) -> bool:
        job = self.submit()
        got = self.assign(job, number) is not None
        self.ask(CancelJob(job, HOME))
        return got

    def standing(self, number: int) -> Standing:
        return self.mesh.standings.get((HOME, builders.did(number)), Standing())


def banned(*, ban_after: int = 3) -> Home:
    """A home at which node 2 was banned just now."""
    home = Home(ban_after=ban_after)
    for _ in range(ban_after):
        home.run(2, ExitKind.WORKER_LOST)
    return home


def on_probation() -> Home:
    home = banned()
    home.now = Instant(home.now + BAN_FOR)
    return home


def named(events: list[MeshEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.mark.parametrize("ban_after", [1, 3])
def test_it_is_banned_at_the_last_of_so_many_failures_in_a_row_not_before(ban_after: int) -> None:
    home = Home(ban_after=ban_after)
    for _ in range(ban_after - 1):
        assert named(home.run(2, ExitKind.WORKER_LOST)) == ["AttemptFailed"]
        assert home.gets_work(2)
    failed, ban = home.run(2, ExitKind.WORKER_LOST)
    assert isinstance(failed, AttemptFailed)
    assert ban == ExecutorBanned(builders.did(2), Instant(home.now + BAN_FOR), ban_after, "worker_lost: ")
    assert not home.gets_work(2)
    assert home.gets_work(3)


def test_a_success_resets_the_count() -> None:
    home = Home()
    for kind in (ExitKind.WORKER_LOST, ExitKind.WORKER_LOST, ExitKind.COMPLETED) * 3:
        assert "ExecutorBanned" not in named(home.run(2, kind))
    assert home.standing(2) == Standing(completed=3)


@pytest.mark.parametrize(("passed", "gets"), [(0, False), (BAN_FOR - 1, False), (BAN_FOR, True)])
def test_a_ban_lasts_as_long_as_it_says(passed: int, gets: bool) -> None:
    home = banned()
    home.now = Instant(home.now + passed)
    assert home.gets_work(2) is gets


def test_a_banned_executor_is_passed_over_for_a_dearer_one_and_alone_it_gets_nothing() -> None:
    home = banned()
    assert home.assign(home.submit(), 2) is None
    assert home.assign(home.submit(), 2, 3) == builders.did(3)


def test_the_trial_is_one_job_at_a_time() -> None:
    home = on_probation()
    first, second = home.submit(), home.submit()
    assert home.assign(first, 2) == builders.did(2)
    assert home.assign(second, 2) is None
    home.ask(CancelJob(first, HOME))  # it says nothing about the executor: another trial
    assert home.assign(second, 2) == builders.did(2)


def test_the_trials_success_clears() -> None:
    home = on_probation()
    done, pardon = home.run(2)
    assert isinstance(done, JobCompleted)
    assert isinstance(pardon, ExecutorPardoned)
    assert home.standing(2) == Standing(completed=1)
    jobs = [home.submit() for _ in range(3)]
    assert [home.assign(job, 2) for job in jobs] == [builders.did(2)] * 3


def test_the_trials_failure_bans_again_at_once() -> None:
    home = on_probation()
    _, ban = home.run(2, ExitKind.WORKER_LOST)
    assert isinstance(ban, ExecutorBanned)
    assert (ban.until, ban.failures) == (home.now + BAN_FOR, 4)
    assert not home.gets_work(2)


def test_a_trial_that_fails_by_its_module_decides_nothing() -> None:
    home = on_probation()
    assert named(home.run(2, ExitKind.TRAPPED)) == ["AttemptFailed", "JobRolledBack"]
    assert home.gets_work(2)


def test_jobs_that_were_under_way_neither_lengthen_a_ban_nor_end_it() -> None:
    home = Home()
    jobs = [home.submit() for _ in range(5)]
    for job in jobs:
        home.assign(job, 2)
    assert [named(home.end(job, 2, ExitKind.WORKER_LOST)) for job in jobs[:4]] == [
        ["AttemptFailed"],
        ["AttemptFailed"],
        ["AttemptFailed", "ExecutorBanned"],
        ["AttemptFailed"],
    ]
    until = home.standing(2).ban
    home.now = Instant(home.now + 1000)
    assert named(home.end(jobs[4], 2)) == ["JobCompleted"]
    assert home.standing(2) == Standing(1, 0, until)
    assert not home.gets_work(2)


def silent(home: Home, job: JobId, number: int, silence: Silence = Silence.NO_RECEIPT) -> list[MeshEvent]:
    assert home.assign(job, number) == builders.did(number)
    events = home.ask(GiveUpAttempt(job, builders.did(number), silence))
    home.ask(ReopenBidding(job))
    return events


def test_a_deadline_counts_once_another_executor_completes_the_job() -> None:
    home = Home()
    for count in (1, 2, 3):
        job = home.submit()
        assert named(silent(home, job, 2)) == ["AttemptFailed", "FailureDeferred"]
        assert home.standing(2).failed_in_row == count - 1
        assert home.assign(job, 3) == builders.did(3)
        followed = named(home.end(job, 3))
        assert home.standing(2).failed_in_row == count
        assert followed == ["JobCompleted", "ExecutorBanned"] if count == 3 else ["JobCompleted"]
    ban = home.standing(2).ban
    assert ban is not None
    assert ban.reason == Silence.NO_RECEIPT.value


def test_a_deadline_never_counts_when_nobody_completes_the_job_or_the_same_executor_does() -> None:
    home = Home(ban_after=1)
    job = home.submit()
    for _ in range(4):
        silent(home, job, 2)
        silent(home, job, 3)
    home.ask(CancelJob(job, HOME))
    assert not home.mesh.standings
    job = home.submit()
    silent(home, job, 2)
    home.assign(job, 2)
    assert named(home.end(job, 2)) == ["JobCompleted"]
    assert home.standing(2) == Standing(1)


@pytest.mark.parametrize("silence", [Silence.LINK_LOST, Silence.NO_RECEIPT_CUT_OFF])
def test_trouble_on_our_own_links_never_counts(silence: Silence) -> None:
    home = Home(ban_after=1)
    job = home.submit()
    assert named(silent(home, job, 2, silence)) == ["AttemptFailed"]
    home.assign(job, 3)
    home.end(job, 3)
    assert home.standing(2) == Standing()


@pytest.mark.parametrize(("after", "counts"), [(0, True), (REFUSAL_PROMPT - 1, True), (REFUSAL_PROMPT, False)])
def test_a_refusal_counts_when_it_comes_promptly(after: int, counts: bool) -> None:
    home = Home(ban_after=1)
    job = home.submit()
    home.assign(job, 2)
    home.now = Instant(home.now + after)
    events = home.ask(TakeRefusal(job, 1, builders.did(2), "no place is free"))
    assert named(events) == ["AssignmentDeclined", "AttemptFailed", *(["ExecutorBanned"] if counts else [])]
    assert home.mesh.jobs[job].failures[0].reason == "declined by its executor: no place is free"


def test_a_refusal_of_what_is_over_is_noted_and_changes_nothing() -> None:
    home = Home(ban_after=1)
    job = home.submit()
    home.assign(job, 2)
    home.ask(CancelJob(job, HOME))
    assert named(home.ask(TakeRefusal(job, 1, builders.did(2), "too late"))) == ["AssignmentDeclined"]
    assert not home.mesh.standings


def test_the_operator_clears_a_ban_and_what_is_not_there_is_refused() -> None:
    home = banned()
    assert named(home.ask(PardonExecutor(builders.did(2)))) == ["ExecutorPardoned"]
    assert home.standing(2) == Standing()
    assert home.gets_work(2)
    with pytest.raises(NotBlacklisted):
        home.ask(PardonExecutor(builders.did(2)))
    home.run(2, ExitKind.WORKER_LOST)
    home.ask(PardonExecutor(builders.did(2)))  # failures in a row are forgotten as well
    assert home.standing(2).failed_in_row == 0


def test_each_home_judges_by_its_own_jobs() -> None:
    home = banned()
    assert not home.mesh.is_barred(OTHER_HOME, builders.did(2), home.now)
    assert home.mesh.is_barred(HOME, builders.did(2), home.now)


def _ban(home: Home, **changes: object) -> ExecutorBanned:
    failures = home.standing(2).failed_in_row
    return replace(ExecutorBanned(builders.did(2), Instant(home.now + 1), failures, ""), **changes)  # type: ignore[arg-type]  # fields by name


def test_what_no_home_may_record_of_an_executor() -> None:
    home = Home(ban_after=3)
    home.run(2, ExitKind.WORKER_LOST)
    for wrong in (
        _ban(home, until=home.now),
        _ban(home, failures=2),
        _ban(home, executor=builders.did(3), failures=0),
        _ban(home, reason="x" * (BAN_REASON_CHARS_MAX + 1)),
        ExecutorPardoned(builders.did(3), ""),
        ExecutorPardoned(builders.did(2), "x" * (BAN_REASON_CHARS_MAX + 1)),
        AssignmentDeclined(builders.job_id(HOME), 0, builders.did(2), ""),
        AssignmentDeclined(builders.job_id(HOME), 1, builders.did(2), "x" * 2000),
    ):
        with pytest.raises(EventRefused):
            home.record(wrong)
    with pytest.raises(EventRefused):
        home.record(_ban(home), author=9)  # it has seen no failure
    home.record(_ban(home))
    with pytest.raises(EventRefused, match="lengthened"):
        home.record(_ban(home))


def test_no_home_may_assign_to_whom_it_banned() -> None:
    home = banned()
    job = home.submit()
    assigned = JobAssigned(job, 1, Instant(home.now + 6000), (Assignee(builders.did(2), builders.did(2), Mana(3)),))
    with pytest.raises(EventRefused, match="banned executor"):
        home.record(assigned)
    home.now = Instant(home.now + BAN_FOR)
    assigned = replace(assigned, deadline=Instant(home.now + 6000))
    home.record(assigned)
    other = home.submit()
    with pytest.raises(EventRefused, match="one at a time"):
        home.record(replace(assigned, job=other))


def test_only_a_failure_that_did_not_count_is_deferred_and_once() -> None:
    home = Home()
    job = home.submit()
    deferred = FailureDeferred(job, 1, builders.did(2))
    with pytest.raises(EventRefused):
        home.record(deferred)
    home.assign(job, 2)
    home.end(job, 2, ExitKind.WORKER_LOST)
    with pytest.raises(EventRefused):
        home.record(deferred)
    home.ask(ReopenBidding(job))
    assert isinstance(silent(home, job, 2)[1], FailureDeferred)
    for wrong in (replace(deferred, attempt=2), replace(deferred, attempt=3)):
        with pytest.raises(EventRefused):
            home.record(wrong)
    with pytest.raises(EventRefused):
        home.record(replace(deferred, attempt=2), author=9)


def test_who_is_scored_twice_by_one_agreement_is_banned_for_both() -> None:
    """It did not answer in time, was tried again, and showed another result than the two that agreed."""
    executor = builders.did(2)
    late = FailedAttempt(1, executor, "no receipt", Blame.IF_ANOTHER_COMPLETES)
    job = builders.job(failures=(late,), attempt=2)
    agreed = JobAgreed(
        job.id, 2, builders.receipt(3, 1).output, (builders.did(3), builders.did(4)), (executor,), Mana(6)
    )
    terms = MeshTerms(Duration(1000), 9, ban_after=1, ban_for=Duration(BAN_FOR))
    (follows,) = consequences({}, job, [agreed], builders.START, terms)
    assert isinstance(follows, ExecutorBanned)
    twice = scored(scored(Standing(), succeeded=False), succeeded=False)
    assert not why_no_ban(twice, follows, builders.START), "which is what all others ask before they take it"
