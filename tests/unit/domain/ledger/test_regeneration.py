"""The law of regeneration: semantics §4."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from icn.domain.ledger.model import Account
from icn.domain.ledger.regeneration import MS_PER_HOUR, growth
from icn.kernel.instant import Instant
from icn.kernel.mana import MANA_MAX, Mana
from support import builders

AMOUNTS = st.integers(0, 10_000)
RATES = st.integers(0, 10_000_000)
SPANS = st.integers(0, 10 * MS_PER_HOUR)


def account(balance: int = 0, cap: int = 10_000, rate: int = 10, carry: int = 0) -> Account:
    one = builders.did(1)
    return Account(one, one, 0, 0, True, Mana(balance), Mana(cap), rate, Instant(0), carry)


def settle(was: Account, now: int) -> Account:
    due = growth(was, Instant(now))
    return replace(was, balance=Mana(was.balance + due.gained), settled_at=due.settled_at, carry=due.carry)


def test_ten_an_hour_are_ten_after_an_hour_and_the_remainder_is_carried() -> None:
    assert growth(account(), Instant(MS_PER_HOUR)).gained == 10
    half = growth(account(), Instant(MS_PER_HOUR // 20))
    assert (half.gained, half.carry) == (0, MS_PER_HOUR // 2)


def test_at_the_cap_growth_ends_and_the_remainder_is_forgotten() -> None:
    for tenths, gained, carry in ((9, 9, 0), (10, 10, 0), (11, 10, 0), (25, 10, 0)):
        due = growth(account(cap=10), Instant(MS_PER_HOUR * tenths // 10))
        assert (due.gained, due.carry) == (gained, carry)
    nearly = growth(account(cap=10), Instant(MS_PER_HOUR - 1))
    assert (nearly.gained, nearly.carry) == (9, MS_PER_HOUR - 10)


@given(AMOUNTS, AMOUNTS, RATES, st.lists(SPANS, max_size=20))
def test_reading_often_or_rarely_gives_the_same(balance: int, cap: int, rate: int, spans: list[int]) -> None:
    rarely = settle(account(balance, cap, rate), sum(spans))
    often = account(balance, cap, rate)
    for index in range(len(spans)):
        often = settle(often, sum(spans[: index + 1]))
    assert (often.balance, often.carry) == (rarely.balance, rarely.carry)


@given(AMOUNTS, AMOUNTS, RATES, SPANS)
def test_a_balance_grows_to_the_cap_at_most_and_never_shrinks(balance: int, cap: int, rate: int, span: int) -> None:
    after = settle(account(balance, cap, rate), span)
    assert balance <= after.balance <= max(balance, cap)
    if after.balance >= cap and rate and span:
        assert after.carry == 0
    assert 0 <= after.carry < MS_PER_HOUR


@given(st.integers(0, MANA_MAX), RATES, SPANS, st.integers(0, MS_PER_HOUR - 1))
def test_it_is_whole_numbers_all_the_way(balance: int, rate: int, span: int, carry: int) -> None:
    due = growth(account(balance, MANA_MAX, rate, carry), Instant(span))
    assert type(due.gained) is int
    assert type(due.carry) is int
    if span and rate and balance + due.gained < MANA_MAX:
        assert due.gained * MS_PER_HOUR + due.carry == rate * span + carry


@given(AMOUNTS, RATES, st.integers(1, 10**9))
def test_time_that_ran_backwards_changes_nothing(balance: int, rate: int, back: int) -> None:
    due = growth(account(balance, rate=rate, carry=7), Instant(-back))
    assert (due.gained, due.settled_at, due.carry) == (0, 0, 7)


def test_time_above_the_cap_does_not_count_as_time_to_grow() -> None:
    rich = settle(account(balance=20, cap=10, rate=1), 100 * MS_PER_HOUR)
    assert (rich.balance, rich.settled_at) == (20, 100 * MS_PER_HOUR)
