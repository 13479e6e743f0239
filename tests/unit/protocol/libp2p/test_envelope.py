import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.envelope import Opened, open_envelope, seal
from icn.protocol.libp2p.protobuf import bytes_field
from icn.protocol.libp2p.secure_channel import public_key_message
from support.libp2p_pair import keys

SIGNER = keys(1).signer
PEER = PeerId.of(SIGNER.did)
SEALED = seal(SIGNER, "test", b"\x01\x02", b"payload")


def test_what_was_sealed_is_opened_with_its_signer():
    assert open_envelope(SEALED, "test", b"\x01\x02") == Opened(PEER, b"payload")


@pytest.mark.parametrize(
    ("domain", "payload_type", "why"),
    [("other", b"\x01\x02", "signature is not valid"), ("test", b"\x01\x03", "another type")],
)
def test_an_envelope_is_good_for_its_own_purpose_only(domain, payload_type, why):
    with pytest.raises(PeerViolation, match=why):
        open_envelope(SEALED, domain, payload_type)


def test_every_bit_of_an_envelope_is_signed():
    for position in range(len(SEALED)):
        for bit in (0x01, 0x80):
            altered = bytearray(SEALED)
            altered[position] ^= bit
            with pytest.raises((PeerViolation, Invalid)):
                open_envelope(bytes(altered), "test", b"\x01\x02")


def test_parts_do_not_flow_into_each_other():
    """Each has its length in front where it is signed: bytes moved from one to the next are another message."""
    signature = seal(SIGNER, "test", b"\x01", b"\x02payload")[-64:]
    key = bytes_field(1, public_key_message(SIGNER.did))
    forged = key + bytes_field(2, b"\x01\x02") + bytes_field(3, b"payload") + bytes_field(5, signature)
    with pytest.raises(PeerViolation, match="signature is not valid"):
        open_envelope(forged, "test", b"\x01\x02")


def test_what_is_missing_is_said():
    with pytest.raises(PeerViolation, match="missing"):
        open_envelope(bytes_field(2, b"\x01\x02"), "test", b"\x01\x02")


@given(st.binary(max_size=300))
def test_nothing_but_refusals_comes_of_garbage(data):
    with contextlib.suppress(PeerViolation, Invalid):
        open_envelope(data, "test", b"")
