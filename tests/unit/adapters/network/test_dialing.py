from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.network.dialing import backoff_ms
from icn.adapters.network.settings import DialSettings

SETTINGS = DialSettings(backoff_ms_min=500, backoff_ms_max=60_000)


def test_the_wait_doubles_up_to_its_bound():
    waits = [backoff_ms(SETTINGS, attempts, b"\xff\xff") for attempts in (1, 2, 3, 8, 9, 1000)]
    assert waits == [500, 1000, 2000, 60_000, 60_000, 60_000]


@given(st.integers(1, 10_000), st.binary(min_size=2, max_size=2))
def test_chance_shortens_the_wait_by_no_more_than_half(attempts, chance):
    longest = backoff_ms(SETTINGS, attempts, b"\xff\xff")
    assert longest // 2 <= backoff_ms(SETTINGS, attempts, chance) <= longest
