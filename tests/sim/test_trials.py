"""Executors that lie, in small: `make liars` measures the same with ten thousand jobs."""

from fractions import Fraction

import pytest

from icn.domain.mesh.events import AssigneeFailed
from icn.domain.mesh.execution import ExecutionRequest
from icn.sim.liars import Lie, lies, wrong_majority
from icn.sim.trials import Counts, Federation, Trial, describe, main, measure, what_is_wrong
from support import builders


def test_the_expectation_is_exact():
    assert wrong_majority(1, 200) == Fraction(1, 5)
    assert wrong_majority(3, 200) == Fraction(13, 125)
    assert wrong_majority(9, 500) == Fraction(1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("lie", [Lie.ALONE, Lie.COPY, Lie.FUEL])
def test_executors_that_lie_each_in_its_own_way_never_get_a_wrong_result_accepted(lie):
    trial = Trial(lie, 60)
    counts = measure(trial)
    assert counts.lies > 20
    assert (counts.accepted, counts.wrong, counts.paid_for_lies) == (60, 0, 0)
    assert what_is_wrong(trial, counts) == ""
    assert bool(counts.disputes) is (lie is not Lie.COPY)


@pytest.mark.slow
def test_who_copies_what_others_reveal_has_pledged_something_else():
    federation = Federation(Trial(Lie.COPY, 30), 0)
    federation.run(30)
    events = [e.record.event for e in federation.history()]
    reasons = {e.reason for e in events if isinstance(e, AssigneeFailed)}
    assert "what it showed is not what it had pledged" in reasons


@pytest.mark.slow
def test_colluders_win_as_often_as_the_binomial_says_and_never_where_the_home_runs_the_job_too():
    alone, confirmed = Trial(Lie.TOGETHER, 60), Trial(Lie.TOGETHER, 60, recheck=True)
    counts = measure(alone)
    assert counts.wrong > 0
    assert what_is_wrong(alone, counts) == ""
    assert "binomial 13/125" in describe(alone, counts, 0)
    counts = measure(confirmed)
    assert (counts.accepted, counts.wrong, counts.paid_for_lies) == (60, 0, 0)


@pytest.mark.slow
def test_without_redundancy_lies_are_believed():
    counts = measure(Trial(Lie.ALONE, 60, redundancy=1))
    assert counts.wrong == counts.lies > 0


def test_a_broken_promise_is_said():
    few = Trial(Lie.ALONE, 10)
    assert what_is_wrong(few, Counts(accepted=10)) == ""
    assert "wrong result" in what_is_wrong(few, Counts(accepted=10, wrong=1))
    assert "wrong result" in what_is_wrong(few, Counts(accepted=10, paid_for_lies=1))
    assert "not every job" in what_is_wrong(few, Counts(accepted=9))
    many = Trial(Lie.TOGETHER, 1000)
    assert what_is_wrong(many, Counts(accepted=1000, wrong=104)) == ""
    for wrong in (0, 30, 200):
        assert "binomial" in what_is_wrong(many, Counts(accepted=1000, wrong=wrong))


def test_each_execution_has_a_coin_of_its_own():
    job, limits = builders.job_id(builders.did(1)), builders.limits()
    asked = [
        ExecutionRequest(job=job, attempt=n, module=None, arguments=(), input=b"", limits=limits) for n in range(1, 400)
    ]
    drawn = [lies("seed", "did", request, per_thousand=200) for request in asked]
    assert 50 < sum(drawn) < 110
    assert drawn != [lies("seed", "other", request, per_thousand=200) for request in asked]


@pytest.mark.slow
def test_the_measurement_says_what_it_found(capsys):
    assert main(["--count", "10"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == [
        "independent",
        "colluding",
        "colluding, the home runs every job too",
        "copying",
        "wrong fuel",
    ]
