"""Who asks the wrong node is told which one decides, and how this one reaches it."""

from icn.domain.ledger.refusals import NotHome, UnknownAccount
from icn.http.homes import ADDRESSES_MAX, home_addresses
from icn.http.ports import DialInfo, PeerInfo, PeersInfo
from icn.kernel.ids import Did, PeerId
from icn.services.answers import refused
from support import builders

MEMBER, HOME, OTHER = builders.did(1), builders.did(2), builders.did(3)
AT_HOME = f"/p2p/{PeerId.of(HOME)}"
ELSEWHERE = refused(NotHome(MEMBER, HOME))


def peer(did: Did, address: str, direction: str) -> PeerInfo:
    return PeerInfo(PeerId.of(did), did, address, direction, None, 1, "", None, None, 0, 0, None)


def dialled(address: str) -> DialInfo:
    return DialInfo(address, "bootstrap", "connected", "closed", 1, None, None)


def test_it_is_named_with_the_addresses_that_lead_to_it() -> None:
    peers = PeersInfo(
        items=(peer(HOME, "/ip4/10.0.0.2/tcp/7000", "outbound"), peer(OTHER, "/ip4/10.0.0.3/tcp/7000", "outbound")),
        services=(),
        dialing=(dialled(f"/dns4/b.example/tcp/7000{AT_HOME}"), dialled(f"/dns4/c/tcp/1/p2p/{PeerId.of(OTHER)}")),
    )
    assert home_addresses(ELSEWHERE, peers) == {
        "home_addresses": [f"/ip4/10.0.0.2/tcp/7000{AT_HOME}", f"/dns4/b.example/tcp/7000{AT_HOME}"]
    }


def test_where_a_connection_came_from_is_no_address_to_call() -> None:
    peers = PeersInfo(items=(peer(HOME, "/ip4/10.0.0.2/tcp/53124", "inbound"),), dialing=(), services=())
    assert home_addresses(ELSEWHERE, peers) == {"home_addresses": []}


def test_they_are_few_and_each_is_there_once() -> None:
    many = [dialled(f"/ip4/10.0.0.{number}/tcp/1{AT_HOME}") for number in range(2 * ADDRESSES_MAX)]
    peers = PeersInfo(
        items=(peer(HOME, f"/ip4/10.0.0.0/tcp/1{AT_HOME}", "outbound"),), dialing=tuple(many), services=()
    )
    found = home_addresses(ELSEWHERE, peers)["home_addresses"]
    assert found == [state.address for state in many[:ADDRESSES_MAX]]


def test_other_refusals_name_none() -> None:
    assert home_addresses(refused(UnknownAccount(MEMBER)), PeersInfo((), (), ())) == {}
