import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import signing
from icn.kernel.ids import Did
from icn.kernel.signing import SeedSigner, verify, verify_raw

SIGNER = SeedSigner(bytes(range(32)))
MESSAGE = b"five mana to the bakery"
TAGS = [signing.BLOCK, signing.BID, signing.RECEIPT, signing.ASSIGNMENT, signing.COMMITMENT]
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_what_is_signed_verifies(seed: bytes, message: bytes) -> None:
    signer = SeedSigner(seed)
    assert verify(signer.did, signing.BLOCK, message, signer.sign(signing.BLOCK, message))


def test_a_signature_under_one_tag_counts_under_no_other() -> None:
    assert len(set(TAGS)) == len(TAGS)
    for made in TAGS:
        signature = SIGNER.sign(made, MESSAGE)
        assert [tag for tag in TAGS if verify(SIGNER.did, tag, MESSAGE, signature)] == [made]


def test_no_tag_begins_another() -> None:
    """Else `tag ‖ message` could be read in two ways."""
    for tag in TAGS:
        assert not [other for other in TAGS if other != tag and other.startswith(tag)]


def test_any_flipped_bit_spoils_a_signature() -> None:
    signature = SIGNER.sign(signing.BID, MESSAGE)
    for bit in range(len(signature) * 8):
        spoilt = bytearray(signature)
        spoilt[bit // 8] ^= 1 << bit % 8
        assert not verify(SIGNER.did, signing.BID, MESSAGE, bytes(spoilt))


def test_another_key_did_not_sign() -> None:
    assert not verify(SeedSigner(bytes(32)).did, signing.BID, MESSAGE, SIGNER.sign(signing.BID, MESSAGE))


@pytest.mark.parametrize("length", [0, 32, 63, 65, 128])
def test_a_signature_of_another_length_is_no_signature(length: int) -> None:
    signature = (SIGNER.sign(signing.BID, MESSAGE) * 2)[:length]
    assert not verify(SIGNER.did, signing.BID, MESSAGE, signature)


def test_the_same_signature_with_the_group_order_added_is_refused() -> None:
    signature = SIGNER.sign(b"", MESSAGE)
    larger = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not verify_raw(SIGNER.did.public_key, MESSAGE, signature[:32] + larger.to_bytes(32, "little"))


SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_keys_of_small_order_sign_nothing(key: str) -> None:
    """With such a key, R = the neutral point and S = 0 pass the bare equation for many messages."""
    trivial = bytes.fromhex(SMALL_ORDER[0]) + bytes(32)
    for message in (bytes((number,)) for number in range(32)):
        assert not verify_raw(bytes.fromhex(key), message, trivial)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_signs_nothing(length: int) -> None:
    assert not verify_raw(bytes(length), MESSAGE, SIGNER.sign(b"", MESSAGE))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_garbage_is_refused_and_raises_nothing(key: bytes, signature: bytes) -> None:
    assert not verify(Did.from_public_key(key), signing.BLOCK, MESSAGE, signature)


def test_the_signer_is_known_by_its_public_key_alone() -> None:
    assert SIGNER.did == Did.from_public_key(SIGNER.did.public_key)
    assert bytes(range(32)).hex() not in repr(SIGNER)
