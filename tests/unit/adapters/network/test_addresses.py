from icn.adapters.network.addresses import announced, reachable
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.libp2p_network import peer_of


def test_a_real_host_is_itself():
    assert reachable("127.0.0.1", 7) == [Multiaddr.parse("/ip4/127.0.0.1/tcp/7")]
    assert reachable("::1", 7) == [Multiaddr.parse("/ip6/::1/tcp/7")]


def test_a_wildcard_becomes_the_addresses_of_this_machine():
    found = reachable("0.0.0.0", 7) + reachable("::", 7)
    hosts = {address.host for address in found}
    assert {"127.0.0.1", "::1"} <= hosts
    assert not hosts & {"0.0.0.0", "::"}


def test_what_the_operator_announces_wins():
    said = Multiaddr.parse("/dns4/coop.example/tcp/7000")
    assert announced(reachable("127.0.0.1", 7), (said,), peer_of("a")) == [said.with_peer(peer_of("a"))]
