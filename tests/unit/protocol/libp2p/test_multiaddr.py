import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import _CODE, Host, Multiaddr
from support.vectors import vector_text

PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def test_codes_are_those_of_the_published_table():
    table = {
        row[2].strip(): int(row[0])
        for row in list(csv.reader(vector_text("codec/multiaddr/protocols.csv").splitlines()))[1:]
    }
    assert {kind.value: code for kind, code in _CODE.items()} == {kind.value: table[kind.value] for kind in Host}
    assert (table["tcp"], table["p2p"]) == (6, 421)


@pytest.mark.parametrize(
    ("text", "binary"),
    [
        ("/ip4/127.0.0.1/tcp/4001", "047f000001060fa1"),
        ("/ip6/::1/tcp/80", "2900000000000000000000000000000001060050"),
        ("/dns4/example.org/tcp/443", "360b6578616d706c652e6f72670601bb"),
        ("/dns6/example.org/tcp/443", "370b6578616d706c652e6f72670601bb"),
        ("/dns/example.org/tcp/443", "350b6578616d706c652e6f72670601bb"),
    ],
)
def test_text_and_binary_are_the_same_address(text, binary):
    assert Multiaddr.parse(text).to_bytes().hex() == binary
    assert str(Multiaddr.from_bytes(bytes.fromhex(binary))) == text


def test_the_expected_peer_travels_with_the_address():
    address = Multiaddr.parse(f"/ip4/10.0.1.100/tcp/7000/p2p/{PEER}")
    assert (address.host, address.port, address.peer) == ("10.0.1.100", 7000, PeerId.parse(PEER))
    assert Multiaddr.from_bytes(address.to_bytes()) == address
    assert Multiaddr.parse("/ip4/10.0.1.100/tcp/7000").with_peer(PeerId.parse(PEER)) == address
    assert Multiaddr.parse(f"/ip4/10.0.1.100/tcp/7000/ipfs/{PEER}") == address


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("/ip6/2001:DB8:0::1/tcp/7", "/ip6/2001:db8::1/tcp/7"),
        ("/dns4/Example.ORG./tcp/7", "/dns4/example.org/tcp/7"),
        ("/ip4/1.2.3.4/tcp/7/", "/ip4/1.2.3.4/tcp/7"),
    ],
)
def test_an_address_has_one_spelling(text, canonical):
    assert str(Multiaddr.parse(text)) == canonical


@pytest.mark.parametrize("placeholder", ["QmBootstrapPeerId", "QmBootstrapPeer", "QmOtherPeer", "PEER_ID", ""])
def test_a_placeholder_of_an_example_is_named_as_such(placeholder):
    with pytest.raises(Invalid, match=r"placeholder or mistyped|more behind|does not look"):
        Multiaddr.parse(f"/ip4/10.0.1.100/tcp/7000/p2p/{placeholder}/")


def test_a_peer_with_another_kind_of_key_is_named_as_such():
    with pytest.raises(Invalid, match="not Ed25519"):
        Multiaddr.parse("/ip4/10.0.1.100/tcp/7000/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "10.0.0.1:7000",
        "/ip4",
        "/ip4/10.0.0.1",
        "/ip4/bootstrap-ip/tcp/7000",
        "/ip4/10.0.0.256/tcp/1",
        "/ip4/010.0.0.1/tcp/1",
        "/ip4/10.0.0.1/udp/1",
        "/ip4/10.0.0.1/tcp/65536",
        "/ip4/10.0.0.1/tcp/-1",
        "/ip4/10.0.0.1/tcp/٣",
        "/ip4/10.0.0.1/tcp/1/ws",
        "/ip6/fe80::1%eth0/tcp/1",
        "/ip6/10.0.0.1/tcp/1",
        "/dns4/-bad/tcp/1",
        "/dns4/a..b/tcp/1",
        "/dns4/" + "a" * 64 + "/tcp/1",
        "/unix/tmp/socket",
        "/ip4/1.2.3.4/tcp/1/p2p/" + PEER + "/p2p-circuit",
        "/" * 1000,
    ],
)
def test_what_is_not_an_address_is_refused(text):
    with pytest.raises(Invalid):
        Multiaddr.parse(text)


@given(st.binary(max_size=80))
def test_nothing_but_invalid_comes_of_garbage(data):
    try:
        address = Multiaddr.from_bytes(data)
    except Invalid:
        return
    assert Multiaddr.from_bytes(address.to_bytes()) == address


@given(st.text(max_size=80), st.sampled_from(["", "/ip4/", "/dns4/x/tcp/", "/ip4/1.1.1.1/tcp/1/p2p/"]))
def test_nothing_but_invalid_comes_of_odd_text(text, prefix):
    try:
        address = Multiaddr.parse(prefix + text)
    except Invalid:
        return
    assert Multiaddr.parse(str(address)) == address
    assert Multiaddr.from_bytes(address.to_bytes()) == address
