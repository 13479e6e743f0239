import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, Kind
from icn.kernel.mana import MANA_MAX, ZERO, mana


@given(st.integers(0, MANA_MAX))
def test_whole_amounts_within_bounds_are_themselves(value: int) -> None:
    assert mana(value) == value


@pytest.mark.parametrize("value", [-1, MANA_MAX + 1, 2**64, True, False, 1.0, 1.5, "1", None, b"1"])
def test_anything_else_is_no_amount(value: object) -> None:
    with pytest.raises(Invalid, match="mana") as caught:
        mana(value)  # type: ignore[arg-type]  # what a caller from outside may pass
    assert caught.value.kind is Kind.INVALID


def test_the_largest_amount_survives_a_json_number() -> None:
    """A float has 53 bits; readers in other languages keep JSON numbers as floats."""
    assert int(float(MANA_MAX)) == MANA_MAX
    assert int(float(MANA_MAX + 2)) != MANA_MAX + 2
    assert mana(0) == ZERO
