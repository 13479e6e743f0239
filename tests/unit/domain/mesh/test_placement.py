"""Who gets a job, and that nobody can buy it by choosing a name (semantics §5)."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from icn.domain.mesh.commands import Offer
from icn.domain.mesh.model import Bid, FailedAttempt, Job, Standing
from icn.domain.mesh.placement import choose, is_eligible
from icn.domain.mesh.retries import MeshTerms, may_retry, retry_at
from icn.kernel.instant import Duration
from icn.kernel.mana import Mana
from support import builders

HOME = builders.did(1)
JOB = builders.job()
TERMS = MeshTerms(Duration(1000), 5)


def offer(number: int, price: int = 3, **changes: object) -> Offer:
    bid = Bid(JOB.id, JOB.attempt, HOME, builders.did(number), Mana(price), ())
    return Offer(replace(bid, **changes), builders.did(number))  # type: ignore[arg-type]  # fields by name


def winner(offers: list[Offer], standings: dict[object, Standing] | None = None, job: Job = JOB) -> object:
    chosen = choose(job, offers, standings or {})  # type: ignore[arg-type]  # keyed by Did
    return chosen[0].bid.executor if chosen else None


def test_the_lowest_price_wins_then_the_best_standing_then_the_lot() -> None:
    assert winner([offer(2, 4), offer(3, 3), offer(4, 5)]) == builders.did(3)
    bad = {builders.did(3): Standing(9, 2), builders.did(4): Standing(0, 1)}
    assert winner([offer(3), offer(4)], bad) == builders.did(4)
    lots = {
        n: hashlib.sha256(JOB.id.data + (1).to_bytes(4, "big") + builders.did(n).text.encode()).digest()
        for n in range(2, 9)
    }
    assert winner([offer(n) for n in lots]) == builders.did(min(lots, key=lots.__getitem__))


def test_the_lot_is_drawn_anew_for_each_job_and_attempt() -> None:
    winners = {
        str(winner([offer(n, job=job.id, attempt=job.attempt) for n in range(2, 9)], job=job)): None
        for attempt in range(1, 30)
        for job in [replace(JOB, attempt=attempt)]
    }
    assert len(winners) > 3


@given(st.permutations([offer(n, 1 + n % 3) for n in range(2, 12)]))
def test_the_order_of_offers_does_not_matter(offers: list[Offer]) -> None:
    assert winner(offers) == winner(sorted(offers, key=lambda o: o.bid.executor))


def test_who_failed_this_job_is_passed_over_while_there_is_another() -> None:
    failed = replace(JOB, failures=(FailedAttempt(1, builders.did(2), ""),))
    assert winner([offer(2, 1), offer(3, 9)], job=failed) == builders.did(3)
    assert winner([offer(2, 1)], job=failed) == builders.did(2)


def test_eligibility_comes_before_price() -> None:
    for wrong in (
        offer(2, 11),
        offer(2, -1),
        offer(2, attempt=2),
        offer(2, job=builders.job_id(HOME, "other")),
        offer(2, home=builders.did(9)),
    ):
        assert not is_eligible(JOB, wrong)
        assert winner([wrong]) is None
        assert winner([wrong, offer(3, 10)]) == builders.did(3)
    able = replace(JOB, spec=builders.spec(capabilities=("gpu",)))
    assert not is_eligible(able, offer(2))
    assert is_eligible(able, offer(2, capabilities=("cpu", "gpu")))


def test_nobody_offers_nobody_wins() -> None:
    assert winner([]) is None


@given(st.integers(1, 100))
def test_the_pause_doubles_is_jittered_and_bounded_and_the_same_on_replay(attempt: int) -> None:
    job = replace(JOB, attempt=attempt)
    pause = retry_at(job, builders.START, TERMS) - builders.START
    whole = min(200 * 2 ** min(attempt - 1, 20), TERMS.retry_pause_max)
    assert whole // 2 <= pause <= whole
    assert retry_at(job, builders.START, TERMS) == builders.START + pause


def test_the_most_attempts_are_as_configured() -> None:
    assert [may_retry(replace(JOB, attempt=n), TERMS) for n in (1, 4, 5, 6)] == [True, True, False, False]
    assert not may_retry(JOB, MeshTerms(Duration(1000), 1))


def chosen_of(offers: list[Offer], job: Job) -> list[object]:
    return [won.bid.executor for won in choose(job, offers, {})]


def test_a_job_that_several_run_gets_as_many_different_executors_or_none() -> None:
    job = replace(JOB, spec=replace(JOB.spec, redundancy=3))
    offers = [offer(2, 5), offer(3, 1), offer(4, 2), offer(5, 3)]
    assert chosen_of(offers, job) == [builders.did(n) for n in (3, 4, 5)]
    assert chosen_of(offers[:2], job) == []
    assert chosen_of([*offers[:2], offer(6, 99)], job) == [], "who is not eligible does not count"


def test_who_failed_this_job_fills_up_what_others_leave() -> None:
    failed = tuple(FailedAttempt(1, builders.did(n), "gone") for n in (3, 4))
    job = replace(JOB, spec=replace(JOB.spec, redundancy=3), failures=failed)
    assert chosen_of([offer(2, 5), offer(3, 1), offer(4, 2), offer(5, 3)], job) == [builders.did(n) for n in (5, 2, 3)]
