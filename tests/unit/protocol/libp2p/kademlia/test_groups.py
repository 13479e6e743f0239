import pytest

from icn.protocol.libp2p.kademlia.groups import Scope, group_of, scope_of, usable
from icn.protocol.libp2p.multiaddr import Multiaddr


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("8.8.4.4", "8.8.0.0/16"),
        ("::ffff:8.8.4.4", "8.8.0.0/16"),
        ("2a01:4f8:1::1", "2a01:4f8::/32"),
        ("127.0.0.1", None),
        ("10.1.2.3", None),
        ("fe80::1%eth0", None),
        ("node.example.org", None),
        ("", None),
    ],
)
def test_public_addresses_have_a_group_and_others_none(host, group):
    assert group_of(host) == group


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("127.0.0.1", Scope.MACHINE),
        ("::1", Scope.MACHINE),
        ("192.168.0.9", Scope.SITE),
        ("169.254.1.1", Scope.SITE),
        ("fd00::1", Scope.SITE),
        ("8.8.4.4", Scope.WORLD),
        ("node.example.org", Scope.WORLD),
    ],
)
def test_how_far_an_address_means_the_same_machine(host, scope):
    assert scope_of(host) is scope


@pytest.mark.parametrize(
    ("address", "told_at", "is_usable"),
    [
        ("/ip4/127.0.0.1/tcp/1", "127.0.0.1", True),
        ("/ip4/127.0.0.1/tcp/1", "10.0.0.1", False),
        ("/ip4/127.0.0.1/tcp/1", "8.8.4.4", False),
        ("/ip4/10.0.0.7/tcp/1", "10.0.0.1", True),
        ("/ip4/10.0.0.7/tcp/1", "8.8.4.4", False),
        ("/ip6/::1/tcp/1", "2a01:4f8::1", False),
        ("/ip4/8.8.8.8/tcp/1", "127.0.0.1", True),
        ("/dns4/node.example.org/tcp/1", "8.8.4.4", True),
        ("/ip4/8.8.8.8/tcp/0", "8.8.4.4", False),
        ("/ip4/0.0.0.0/tcp/1", "127.0.0.1", False),
        ("/ip4/224.0.0.251/tcp/1", "127.0.0.1", False),
        ("/ip6/::/tcp/1", "::1", False),
    ],
)
def test_nobody_has_us_call_machines_that_are_none_of_its_business(address, told_at, is_usable):
    assert usable(Multiaddr.parse(address), told_at) is is_usable
