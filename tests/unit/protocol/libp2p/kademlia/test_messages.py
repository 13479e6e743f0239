import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid
from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo, Reach, decode, encode
from icn.protocol.libp2p.kademlia.settings import ADDRESSES_PER_PEER_MAX, KEY_BYTES_MAX, PEERS_PER_MESSAGE_MAX
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.protobuf import bytes_field, number_field
from support.kademlia_swarm import kad_info, kad_peer

HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/7000")
ID = bytes_field(1, kad_peer(1).multihash)


@pytest.mark.parametrize(
    "message",
    [
        Message(Kind.PUT_VALUE),
        Message(Kind.FIND_NODE, kad_peer(1).multihash),
        Message(Kind.GET_PROVIDERS, b"key", closer=(kad_info(1), kad_info(2)), providers=(kad_info(3),)),
        Message(Kind.FIND_NODE, b"k", closer=(PeerInfo(kad_peer(1), (), Reach.CANNOT_CONNECT),)),
    ],
)
def test_what_is_said_is_heard(message):
    assert decode(encode(message)) == message


def test_the_layout_is_that_of_the_specification():
    message = Message(Kind.FIND_NODE, b"key", closer=(PeerInfo(kad_peer(1), (HERE,), Reach.CONNECTED),))
    peer = f"0a26{kad_peer(1).multihash.hex()}" + "120804c0000201061b58" + "1801"
    assert encode(message).hex() == "0804" + "12036b6579" + f"42{len(peer) // 2:02x}{peer}"


def test_nothing_is_a_request_to_put_nothing():
    assert decode(b"") == Message(Kind.PUT_VALUE)


def test_what_others_send_and_we_do_not_use_is_passed_over():
    record = bytes_field(3, bytes_field(1, b"k") + bytes_field(2, b"v"))
    assert decode(number_field(1, 1) + number_field(10, 1) + record) == Message(Kind.GET_VALUE, has_record=True)


@pytest.mark.parametrize(
    "data",
    [
        number_field(1, 6),
        bytes_field(1, b"4"),
        bytes_field(2, bytes(KEY_BYTES_MAX + 1)),
        bytes_field(8, ID) * (PEERS_PER_MESSAGE_MAX + 1),
        bytes_field(9, ID) * (PEERS_PER_MESSAGE_MAX + 1),
        bytes_field(8, b"\xff"),
        bytes_field(8, bytes_field(1, bytes(65))),
        b"\xff" * 30,
    ],
)
def test_what_is_out_of_bounds_is_refused(data):
    with pytest.raises(Invalid):
        decode(data)


def test_peers_and_addresses_that_are_not_for_us_are_left_out():
    rsa = bytes_field(1, b"\x12\x20" + bytes(32))
    quic = bytes_field(2, bytes.fromhex("047f000001910204d2cc03"))
    with_id = bytes_field(2, HERE.with_peer(kad_peer(1)).to_bytes())
    of_another = bytes_field(2, Multiaddr.parse(f"/ip4/192.0.2.2/tcp/1/p2p/{kad_peer(2)}").to_bytes())
    closer = bytes_field(8, rsa) + bytes_field(8, ID + quic + with_id + of_another + with_id + number_field(3, 9))
    assert decode(number_field(1, 4) + closer).closer == (PeerInfo(kad_peer(1), (HERE,)),)


def test_the_addresses_of_a_peer_are_bounded():
    many = b"".join(bytes_field(2, Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{port}").to_bytes()) for port in range(1, 500))
    [info] = decode(number_field(1, 4) + bytes_field(8, ID + many)).closer
    assert len(info.addresses) == ADDRESSES_PER_PEER_MAX


@given(st.binary(max_size=300))
def test_nothing_but_refusals_comes_of_garbage(data):
    for message in (data, bytes_field(8, data), bytes_field(8, ID + bytes_field(2, data))):
        with contextlib.suppress(Invalid):
            decode(message)
