import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import cbor_items, encoding
from icn.kernel.errors import Invalid

EDGES = [edge + step for edge in (0, 24, 2**8, 2**16, 2**32, 2**63, 2**64) for step in (-1, 0)]


@pytest.mark.parametrize(
    "number", [edge for edge in EDGES if edge < 2**64] + [-1 - edge for edge in EDGES if edge >= 0]
)
def test_integers_have_the_shortest_head(number: int) -> None:
    if -(2**64) <= number < 2**64:
        assert cbor_items.integer(number) == encoding.encode(number)


@pytest.mark.parametrize("number", [2**64, -(2**64) - 1])
def test_an_integer_that_does_not_fit_64_bits_is_refused(number: int) -> None:
    with pytest.raises(Invalid, match="64 bits"):
        cbor_items.integer(number)


def test_what_is_no_integer_is_never_taken_for_one_that_equals_it() -> None:
    assert cbor_items.integer(1) == b"\x01"
    with pytest.raises(TypeError):
        cbor_items.integer(1.0)  # type: ignore[arg-type]  # that is the point


@given(st.text(max_size=300))
def test_text_is_that_of_the_general_encoder(value: str) -> None:
    assert cbor_items.text(value) == cbor_items.name(value) == encoding.encode(value)


def test_text_that_utf8_cannot_carry_is_refused() -> None:
    with pytest.raises(Invalid, match="UTF-8"):
        cbor_items.text("\ud800")


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65_535, 65_536])
def test_bytes_and_lists_have_the_shortest_head(length: int) -> None:
    assert cbor_items.byte_string(bytes(length)) == encoding.encode(bytes(length))
    assert cbor_items.list_of([b"\x00"] * length) == encoding.encode([0] * length)


def test_what_has_few_values_is_that_of_the_general_encoder() -> None:
    for value in (True, False):
        assert cbor_items.boolean(value) == encoding.encode(value)
    assert encoding.encode(None) == cbor_items.NOTHING
