import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import varint
from icn.kernel.errors import Invalid


@given(st.integers(0, 2**63 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_a_number_comes_back_from_the_middle_of_other_bytes(number: int, before: bytes, behind: bytes) -> None:
    data = varint.encode(number)
    assert len(data) <= varint.VARINT_BYTES_MAX
    assert varint.decode(before + data + behind, len(before)) == (number, len(before) + len(data))


@given(st.integers(0, 2**63 - 1))
def test_a_number_cut_short_is_unfinished_and_not_wrong(number: int) -> None:
    data = varint.encode(number)
    for end in range(len(data)):
        assert varint.decode(data[:end]) is None


@pytest.mark.parametrize("data", ["8000", "818000", "ff00"])
def test_a_longer_spelling_than_needed_is_refused(data: str) -> None:
    with pytest.raises(Invalid, match="minimal"):
        varint.decode(bytes.fromhex(data))


@pytest.mark.parametrize("tail", [b"", b"\x01", b"\xff" * 100])
def test_nine_bytes_that_go_on_are_refused_at_once(tail: bytes) -> None:
    with pytest.raises(Invalid, match="longer"):
        varint.decode(b"\xff" * 9 + tail)


def test_eight_bytes_that_go_on_may_still_become_a_number() -> None:
    assert varint.decode(b"\xff" * 8) is None
    assert varint.decode(b"\xff" * 8 + b"\x7f") == (2**63 - 1, 9)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_numbers_outside_63_bits_have_no_varint(number: int) -> None:
    with pytest.raises(Invalid):
        varint.encode(number)


@given(st.binary(max_size=12))
def test_whatever_is_accepted_is_the_one_encoding(data: bytes) -> None:
    try:
        found = varint.decode(data)
    except Invalid:
        return
    if found is not None:
        number, end = found
        assert varint.encode(number) == data[:end]
