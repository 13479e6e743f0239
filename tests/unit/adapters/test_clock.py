"""The wall clock goes on slowly rather than run backwards."""

from collections.abc import Iterator

from icn.adapters.clock import SystemClock

MS = 1_000_000


def clock(*read: tuple[int, int]) -> SystemClock:
    """What the machine's clock says, and how much time has passed, at each look, in milliseconds."""
    walls: Iterator[int] = iter([wall * MS for wall, _ in read])
    passed: Iterator[int] = iter([0, *(elapsed * MS for _, elapsed in read)])
    return SystemClock(lambda: next(walls), lambda: next(passed))


def test_a_clock_that_is_set_back_goes_on_at_half_speed_until_time_has_caught_up() -> None:
    made = clock((1_000, 0), (1_100, 100), (500, 200), (700, 400), (2_000, 1_700), (2_100, 1_800))
    assert [made.now() for _ in range(6)] == [1_000, 1_100, 1_150, 1_250, 2_000, 2_100]


def test_looks_in_quick_succession_add_up() -> None:
    looks = [(0, 1_000 + each) for each in range(11)]
    made = clock((5_000, 1_000), *looks)
    assert [made.now() for _ in range(12)][-1] == 5_005


def test_a_clock_that_is_set_ahead_is_followed() -> None:
    made = clock((1_000, 0), (9_000, 10))
    assert [made.now(), made.now()] == [1_000, 9_000]
