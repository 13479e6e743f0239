from hypothesis import given
from hypothesis import strategies as st

from icn.protocol.backoff import RetrySettings, delay_ms

SETTINGS = RetrySettings(attempts_max=3, initial_delay_ms=100, delay_ms_max=1_000)


def test_the_wait_doubles_up_to_its_bound():
    middle = b"\x80\x00"
    assert [delay_ms(SETTINGS, tries, middle) for tries in (1, 2, 3, 4, 5, 1000)] == [100, 200, 400, 800, 1000, 1000]


def test_chance_spreads_it_from_half_to_one_and_a_half():
    assert delay_ms(SETTINGS, 1, b"\x00\x00") == 50
    assert delay_ms(SETTINGS, 1, b"\xff\xff") == 150


@given(st.integers(1, 10_000), st.binary(min_size=2, max_size=2))
def test_no_chance_brings_it_above_the_maximum(tries: int, chance: bytes):
    assert 50 <= delay_ms(SETTINGS, tries, chance) <= SETTINGS.delay_ms_max
