import pytest

from icn.kernel.errors import InvariantBroken
from icn.protocol.breaker import Breaker, BreakerSettings, BreakerState

SETTINGS = BreakerSettings(failure_threshold=3, open_timeout_ms=5_000)


def opened(at: int = 1_000) -> Breaker:
    breaker = Breaker(SETTINGS)
    for _ in range(3):
        breaker.failed(at)
    return breaker


def test_calls_pass_until_the_threshold_of_failures_in_a_row():
    breaker = Breaker(SETTINGS)
    breaker.failed(0)
    breaker.failed(0)
    assert breaker.admit(0)
    breaker.failed(0)
    assert not breaker.admit(0)
    assert breaker.state(0) is BreakerState.OPEN


def test_a_success_begins_the_count_anew():
    breaker = Breaker(SETTINGS)
    for _ in range(10):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) is BreakerState.CLOSED


def test_nobody_calls_until_the_time_is_over():
    breaker = opened(at=1_000)
    assert not breaker.admit(5_999)
    assert breaker.trial_at() == 6_000
    assert breaker.admit(6_000)


def test_one_trial_at_a_time():
    breaker = opened(at=1_000)
    assert [breaker.admit(6_000) for _ in range(3)] == [True, False, False]
    assert breaker.state(6_000) is BreakerState.HALF_OPEN


def test_a_trial_that_fails_opens_it_for_as_long_again():
    breaker = opened(at=1_000)
    assert breaker.admit(6_000)
    breaker.failed(6_500)
    assert not breaker.admit(11_499)
    assert breaker.admit(11_500)
    assert breaker.opened_count == 2


def test_a_trial_that_succeeds_closes_it():
    breaker = opened(at=1_000)
    assert breaker.admit(6_000)
    breaker.succeeded()
    breaker.failed(6_001)
    breaker.failed(6_001)
    assert breaker.admit(6_001)


def test_a_target_that_only_answers_is_on_probation():
    breaker = opened(at=1_000)
    assert breaker.admit(6_000)
    breaker.answered()
    assert breaker.admit(6_001)
    breaker.failed(6_002)
    assert not breaker.admit(6_003)


def test_an_answer_while_closed_forgives_nothing():
    breaker = Breaker(SETTINGS)
    breaker.failed(0)
    breaker.failed(0)
    breaker.answered()
    breaker.failed(0)
    assert breaker.state(0) is BreakerState.OPEN


def test_calls_that_fail_after_it_opened_do_not_lengthen_it():
    breaker = opened(at=1_000)
    breaker.failed(4_000)
    assert breaker.trial_at() == 6_000
    assert breaker.opened_count == 1


def test_what_cannot_pass_by_itself_opens_it_at_once():
    breaker = Breaker(SETTINGS)
    breaker.trip(1_000)
    assert not breaker.admit(1_001)
    assert breaker.trial_at() == 6_000


def test_a_threshold_of_none_is_a_bug():
    with pytest.raises(InvariantBroken):
        Breaker(BreakerSettings(failure_threshold=0))
