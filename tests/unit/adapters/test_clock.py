"""The wall clock stands still rather than run backwards."""

from icn.adapters.clock import SystemClock


def test_a_clock_that_is_set_back_stands_still_until_time_has_caught_up():
    readings = iter([5_000_000, 7_999_999, 3_000_000, 7_000_000, 8_000_000])
    clock = SystemClock(lambda: next(readings))
    assert [clock.now() for _ in range(5)] == [5, 7, 7, 7, 8]
