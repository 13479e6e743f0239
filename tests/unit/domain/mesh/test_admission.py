"""One principal submits at a bounded rate, by exact integers; others are not touched by it (semantics §5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.mesh import admission
from icn.domain.mesh.admission import BURST_MIN, Admission
from icn.domain.mesh.refusals import TooManySubmissions
from icn.kernel.instant import Instant
from support import builders

ALICE, BOB = builders.did(1), builders.did(2)
NOW = builders.START


def taken(rate: Admission, count: int, now: int = NOW) -> int:
    """How many of `count` submissions at one moment are taken."""
    number = 0
    for _ in range(count):
        try:
            rate.admit(ALICE, Instant(now))
        except TooManySubmissions:
            continue
        number += 1
    return number


@pytest.mark.parametrize(("per_minute", "burst"), [(1, 1), (2, 2), (30, BURST_MIN), (600, 60)])
def test_a_burst_is_taken_and_then_as_many_as_the_rate_says(per_minute: int, burst: int) -> None:
    rate = Admission(per_minute)
    assert taken(rate, burst + 20) == burst
    assert taken(rate, 20, NOW + 60_000 // per_minute - 1) == 0
    assert taken(rate, 20, NOW + 60_000 // per_minute) == 1


def test_who_is_refused_is_told_when_to_come_again_and_is_taken_then() -> None:
    rate = Admission(7)
    taken(rate, 7)
    with pytest.raises(TooManySubmissions) as refused:
        rate.admit(ALICE, NOW)
    assert refused.value.retry_after_seconds == 9  # 60 s / 7, rounded up
    assert refused.value.fields() == {"per_minute": 7, "retry_after_seconds": 9}
    assert taken(rate, 5, NOW + 9_000) == 1


def test_asking_in_vain_does_not_move_the_moment_on() -> None:
    rate = Admission(60)
    taken(rate, 1000)
    assert taken(rate, 1000, NOW + 1_000) == 1


def test_others_are_not_touched() -> None:
    rate = Admission(1)
    taken(rate, 1)
    rate.admit(BOB, NOW)


@given(st.lists(st.integers(0, 5_000), max_size=80), st.integers(1, 100))
def test_no_minute_takes_more_than_the_rate_and_a_burst(gaps: list[int], per_minute: int) -> None:
    rate, now, when = Admission(per_minute), NOW, []
    for gap in gaps:
        now = Instant(now + gap)
        if taken(rate, 1, now):
            when.append(now)
    burst = min(per_minute, max(BURST_MIN, per_minute // 10))
    for start in when:
        assert sum(start <= moment < start + 60_000 for moment in when) <= per_minute + burst


def test_what_is_remembered_is_bounded_and_the_quiet_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PRINCIPALS_MAX", 3)
    rate = Admission(1)
    rate.admit(ALICE, NOW)
    for number in range(2, 9):
        rate.admit(builders.did(number), Instant(NOW + 60_000))
    rate.admit(ALICE, Instant(NOW + 60_000))
    with pytest.raises(TooManySubmissions):
        rate.admit(ALICE, Instant(NOW + 60_000))
