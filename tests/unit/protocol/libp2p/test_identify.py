import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.identify import TEXT_CHARS_MAX, Identification, decode, encode
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.protobuf import bytes_field
from icn.protocol.libp2p.routing_record import make
from support.libp2p_pair import keys

DID = keys(1).signer.did
PEER = PeerId.of(DID)
LIMITS = ConnectionLimits(identify_entries_max=3)


def test_what_is_said_is_heard():
    said = Identification(
        agent="icn/0.1",
        protocols=("/icn/feed/1", "/ipfs/ping/1.0.0"),
        listen_addresses=(Multiaddr.parse("/ip4/192.0.2.1/tcp/7000"),),
        observed=Multiaddr.parse("/ip6/::1/tcp/9"),
    )
    assert decode(encode(DID, said), PEER, LIMITS) == said


def test_an_empty_message_says_nothing():
    assert decode(b"", PEER, LIMITS) == Identification("", (), (), None)


def test_the_key_of_somebody_else_is_a_violation():
    other = encode(keys(2).signer.did, Identification("", (), (), None))
    with pytest.raises(PeerViolation, match="not that of the session"):
        decode(other, PEER, LIMITS)


def test_a_signed_record_counts_instead_of_the_addresses_beside_it():
    record = make(keys(1).signer, 3, (Multiaddr.parse("/ip4/192.0.2.7/tcp/7000"),))
    said = decode(
        encode(DID, Identification("", (), (Multiaddr.parse("/ip4/192.0.2.1/tcp/1"),), None, record)), PEER, LIMITS
    )
    assert said.record == record
    assert said.listen_addresses == record.addresses


@pytest.mark.parametrize("whose", ["another peer's", "altered", "garbage"])
def test_a_record_that_is_not_the_peers_is_discarded_and_the_rest_counts(whose):
    address = Multiaddr.parse("/ip4/192.0.2.1/tcp/1")
    envelope = make(keys(2 if whose == "another peer's" else 1).signer, 3, ()).envelope
    envelope = {"altered": envelope[:-1] + b"\0", "garbage": b"\xff"}.get(whose, envelope)
    plain = encode(DID, Identification("icn/1", (), (address,), None))
    said = decode(plain + bytes_field(8, envelope), PEER, LIMITS)
    assert said == Identification("icn/1", (), (address,), None)


def test_addresses_of_other_transports_are_left_out():
    quic = bytes.fromhex("047f000001910204d2cc03")
    assert decode(bytes_field(2, quic) + bytes_field(4, quic), PEER, LIMITS) == Identification("", (), (), None)


def test_lists_and_texts_are_bounded_and_printable():
    data = bytes_field(3, b"/p") * 9 + bytes_field(6, b"\xff\x1b[2J" + b"a" * 500)
    said = decode(data, PEER, LIMITS)
    assert said.protocols == ("/p",) * 3
    assert len(said.agent) == TEXT_CHARS_MAX
    assert said.agent.isprintable()


@given(st.binary(max_size=200))
def test_nothing_but_violations_comes_of_garbage(data):
    with contextlib.suppress(PeerViolation, Invalid):
        decode(data, PEER, LIMITS)
