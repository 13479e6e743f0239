import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.base_encodings import BASE58_CHARS_MAX, base32_decode, base32_encode, base58_decode, base58_encode
from icn.kernel.errors import Invalid


@given(st.binary(max_size=90))
def test_base58_comes_back(data: bytes) -> None:
    assert base58_decode(base58_encode(data)) == data


@given(st.binary(max_size=200))
def test_base32_comes_back(data: bytes) -> None:
    assert base32_decode(base32_encode(data)) == data


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "z 6", "zé", "z\n"])
def test_base58_refuses_signs_outside_its_alphabet(text: str) -> None:
    with pytest.raises(Invalid, match="alphabet"):
        base58_decode(text)


def test_base58_refuses_long_texts_before_spending_time_on_them() -> None:
    assert base58_decode("z" * BASE58_CHARS_MAX)
    with pytest.raises(Invalid, match="longer"):
        base58_decode("z" * 10_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "MY",  # upper case
        "my======",  # padding
        "mz",  # the same byte with stray bits
        "m",  # no whole byte
        "m1",  # 1 is not in the alphabet
        "mé",
        "my\n",
    ],
)
def test_base32_has_one_spelling_only(text: str) -> None:
    assert base32_decode("my") == b"f"
    with pytest.raises(Invalid):
        base32_decode(text)
