"""Prices: exact, rounded up once, and known from the specification alone."""

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.mesh.pricing import Rates, price_of, transferred_bytes
from icn.kernel.limits import CONTENT_BYTES_MAX, FUEL_MAX, GIB, JOB_MEMORY_BYTES_MAX, JOB_OUTPUT_BYTES_MAX, MIB
from icn.kernel.mana import MANA_MAX
from support import builders

NOTHING = builders.spec(limits=builders.limits(fuel=1, memory_bytes=1, output_bytes=1))


@pytest.mark.parametrize(("fuel", "price"), [(1, 1), (1_000_000, 2), (1_000_001, 3)])
def test_fuel_is_paid_by_the_million_rounded_up_and_not_below_the_minimum(fuel: int, price: int) -> None:
    asked = builders.spec(limits=builders.limits(fuel=fuel))
    assert price_of(asked, Rates(minimum=1, per_million_fuel=2)) == price
    assert price_of(asked, Rates(minimum=7, per_million_fuel=2)) == 7


@pytest.mark.parametrize(("memory", "price"), [(GIB, 16), (64 * MIB, 1), (64 * MIB + 1, 2), (1, 1)])
def test_memory_is_paid_by_the_gib(memory: int, price: int) -> None:
    asked = replace(NOTHING, limits=replace(NOTHING.limits, memory_bytes=memory))
    assert price_of(asked, Rates(minimum=0, per_million_fuel=0, per_gib_memory=16)) == price


def test_what_is_sent_is_input_output_and_the_most_that_a_name_may_stand_for() -> None:
    limits = builders.limits(output_bytes=1000)
    assert transferred_bytes(builders.spec(limits=limits, input=b"12345")) == 1005
    named = builders.spec(limits=limits, module=builders.cid("m"), input_cid=builders.cid("i"))
    assert transferred_bytes(named) == 1000 + 2 * CONTENT_BYTES_MAX
    assert price_of(named, Rates(minimum=0, per_million_fuel=0, per_gib_transferred=1024)) == 17


def test_the_parts_are_added_before_they_are_rounded() -> None:
    limits = builders.limits(fuel=400_000, memory_bytes=GIB * 3 // 10, output_bytes=GIB // 1000)
    rates = Rates(minimum=0, per_million_fuel=1, per_gib_memory=1, per_gib_transferred=1)
    assert price_of(builders.spec(limits=limits), rates) == 1  # 0.4 + 0.3 + 0.001


amounts = st.integers(0, MANA_MAX)


@given(
    rates=st.builds(Rates, amounts, amounts, amounts, amounts),
    fuel=st.integers(1, FUEL_MAX),
    memory=st.integers(1, JOB_MEMORY_BYTES_MAX),
    output=st.integers(1, JOB_OUTPUT_BYTES_MAX),
)
def test_a_price_is_the_exact_sum_rounded_up(rates: Rates, fuel: int, memory: int, output: int) -> None:
    asked = builders.spec(limits=builders.limits(fuel=fuel, memory_bytes=memory, output_bytes=output))
    exact = (
        Fraction(fuel * rates.per_million_fuel, 1_000_000)
        + Fraction(memory * rates.per_gib_memory, GIB)
        + Fraction(output * rates.per_gib_transferred, GIB)
    )
    assert price_of(asked, rates) == max(rates.minimum, ceil(exact))
