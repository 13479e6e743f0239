import copy
import json
import pickle

import pytest

from icn.config.values import HostPort, Multiaddr, Secret
from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId

PEER = str(PeerId.from_public_key(bytes(range(32))))


@pytest.mark.parametrize("text", ["127.0.0.1:7845", "0.0.0.0:0", "[::1]:7845", "localhost:65535", "node-a.example:80"])
def test_an_address_is_printed_as_it_was_written(text):
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("127.0.0.1", "has no port"),
        (":7845", "0.0.0.0:7845"),
        ("127.0.0.1:", "is not a number"),
        ("127.0.0.1:65536", "0 to 65535"),
        ("127.0.0.1:+1", "is not a number"),
        ("127.0.0.1:٣", "is not a number"),
        ("127.0.0.256:1", "not an IPv4"),
        ("::1:7845", "brackets"),
        ("[127.0.0.1]:1", "not an IPv6"),
        ("bad host:1", "neither"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_the_reason(text, why):
    with pytest.raises(Invalid, match=why):
        HostPort.parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_only_this_machine_counts_as_loopback(text, loopback):
    assert HostPort.parse(text).is_loopback is loopback


@pytest.mark.parametrize(
    "text", ["/ip4/0.0.0.0/tcp/7000", f"/dns4/node.example/tcp/7000/p2p/{PEER}", f"/ip6/::1/tcp/0/p2p/{PEER}"]
)
def test_a_multiaddr_is_printed_as_it_was_written(text):
    assert str(Multiaddr.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ip4/1.2.3.4/tcp/1", "not of the form"),
        ("/ip4/1.2.3.4/udp/1", "this node speaks tcp"),
        ("/ip4/1.2.3.4/tcp/1/ws", "only /p2p/"),
        ("/ip4/1.2.3.4/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "Ed25519"),
        ("/ip4/node.example/tcp/1", "not an IPv4"),
        ("/unix/x/tcp/1", "begins with /unix"),
    ],
)
def test_a_multiaddr_this_node_cannot_use_is_refused_with_the_reason(text, why):
    with pytest.raises(Invalid, match=why):
        Multiaddr.parse(text)


def test_a_secret_is_printed_as_stars_in_every_way():
    secret = Secret("hunter2")
    ways = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r}",
        repr([secret]),
        json.dumps(str(secret)),
    ]
    assert not any("hunter2" in way for way in ways)
    assert secret.reveal() == "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy({"a": secret})


def test_secrets_are_equal_when_their_text_is():
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
