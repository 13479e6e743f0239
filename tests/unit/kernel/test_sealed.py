import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import encoding, signing
from icn.kernel.errors import Invalid
from icn.kernel.ids import RAW, Cid
from icn.kernel.sealed import open_sealed, seal
from icn.kernel.signing import SeedSigner

ALICE, BOB = SeedSigner(b"a" * 32), SeedSigner(b"b" * 32)
BODIES = st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.binary(max_size=5), max_size=4)


@given(BODIES)
def test_what_is_sealed_opens_and_is_known_by_its_signer_and_tag(body: dict[str, object]) -> None:
    sealed = open_sealed(seal(ALICE, signing.BID, body))
    assert sealed.body == body
    assert sealed.is_signed_by(ALICE.did, signing.BID)
    assert not sealed.is_signed_by(BOB.did, signing.BID)
    assert not sealed.is_signed_by(ALICE.did, signing.RECEIPT)


def test_the_seal_is_one_dag_cbor_array_so_that_ipfs_tools_follow_its_links() -> None:
    link = Cid.of(b"module", RAW)
    value = encoding.decode(seal(ALICE, signing.BLOCK, {"module": link}))
    assert value[0] == {"module": link}
    assert len(value) == 2
    assert len(value[1]) == signing.SIGNATURE_BYTES


def test_any_flipped_bit_is_malformed_or_unsigned() -> None:
    data = seal(ALICE, signing.BID, {"price": 40})
    for bit in range(len(data) * 8):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        try:
            sealed = open_sealed(bytes(spoilt))
        except Invalid:
            continue
        assert not sealed.is_signed_by(ALICE.did, signing.BID)


SIGNATURE = b"\x58\x40" + bytes(64)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x82",
        SIGNATURE,
        b"\x82" + SIGNATURE,  # no body
        b"\x83\x00\x00" + SIGNATURE,
        b"\x81" + SIGNATURE,
        b"\x82\x00" + SIGNATURE + b"\0",
        b"\x82\x00\x58\x3f" + bytes(63),
        b"\x82\x18\x01" + SIGNATURE,  # a body that is not canonical
        b"\x82\x58\x45" + bytes(3) + SIGNATURE + b"\x00",
        b"\x82\x00\x78\x40" + bytes(64),  # text where the signature belongs
        b"\x82" * 1_000_000 + SIGNATURE,
    ],
)
def test_what_is_no_sealed_value_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        open_sealed(data)


@given(st.binary(max_size=80))
def test_a_signature_shaped_tail_inside_the_body_does_not_pass_for_one(body: bytes) -> None:
    """The array's second element must be the signature itself, not bytes that end like one."""
    inner = encoding.encode([body, bytes(64)])
    swallowed = b"\x82\x00" + encoding.encode(inner)
    with pytest.raises(Invalid):
        open_sealed(swallowed)
