import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p import envelope
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.protobuf import bytes_field, number_field
from icn.protocol.libp2p.routing_record import ADDRESSES_MAX, DOMAIN, PAYLOAD_TYPE, make, verify
from support.libp2p_pair import keys

SIGNER = keys(1).signer
PEER = PeerId.of(SIGNER.did)
HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/7000")
THERE = Multiaddr.parse("/dns4/node.example.org/tcp/7000")
KEY = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"


def sealed(payload: bytes, *, number: int = 1) -> bytes:
    return envelope.seal(keys(number).signer, DOMAIN, PAYLOAD_TYPE, payload)


def test_a_record_says_where_its_signer_is():
    record = make(SIGNER, 7, (HERE, THERE))
    assert verify(record.envelope) == record
    assert (record.peer, record.sequence, record.addresses) == (PEER, 7, (HERE, THERE))


def test_the_layout_is_that_of_the_specification():
    peer_id, address = f"0a26002408011220{KEY}", "1a0a0a0804c0000201061b58"
    payload = f"{peer_id}1007{address}"
    signature = (
        "72ea1c9386fd13ec1ada8eec00fd3ec90a08b4307cc96b421c5fe65ebcbd9f39"
        "c66074ef647a1ec37ffb83a5e9a984710edb0fede9a920a86dc5376d40386c0d"
    )
    wire = f"0a2408011220{KEY}" + "12020301" + f"1a36{payload}" + f"2a40{signature}"
    assert make(SIGNER, 7, (HERE,)).envelope.hex() == wire


def test_a_record_about_somebody_else_is_refused():
    other = PeerId.of(keys(2).signer.did)
    with pytest.raises(PeerViolation, match="another peer"):
        verify(sealed(bytes_field(1, other.multihash) + number_field(2, 1)))


def test_a_record_about_nobody_is_refused():
    with pytest.raises(PeerViolation, match="another peer"):
        verify(sealed(number_field(2, 1)))


def test_an_envelope_of_another_kind_is_refused():
    with pytest.raises(PeerViolation, match="another type"):
        verify(envelope.seal(SIGNER, DOMAIN, b"\x03\x02", b""))
    with pytest.raises(PeerViolation, match="not valid"):
        verify(envelope.seal(SIGNER, "libp2p-routing-state", PAYLOAD_TYPE, b""))


def test_addresses_of_other_transports_are_left_out_and_the_rest_bounded():
    quic = bytes_field(3, bytes_field(1, bytes.fromhex("047f000001910204d2cc03")))
    tcp = bytes_field(3, bytes_field(1, HERE.to_bytes()))
    empty = bytes_field(3, b"")
    record = verify(sealed(bytes_field(1, PEER.multihash) + quic + empty + tcp * (ADDRESSES_MAX + 5)))
    assert record.addresses == (HERE,) * (ADDRESSES_MAX - 2)
    assert record.sequence == 0


def test_only_a_newer_record_supersedes():
    old, new = make(SIGNER, 7, (HERE,)), make(SIGNER, 8, ())
    assert new.supersedes(old)
    assert new.supersedes(None)
    assert not old.supersedes(new)
    assert not old.supersedes(old)


@given(st.binary(max_size=300))
def test_nothing_but_refusals_comes_of_garbage(payload):
    with contextlib.suppress(PeerViolation, Invalid):
        verify(payload)
    with contextlib.suppress(PeerViolation, Invalid):
        verify(sealed(bytes_field(1, PEER.multihash) + payload))
