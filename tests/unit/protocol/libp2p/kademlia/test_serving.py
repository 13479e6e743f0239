import pytest

from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo, Reach
from icn.protocol.libp2p.kademlia.routing_table import Contact, RoutingTable
from icn.protocol.libp2p.kademlia.serving import Refused, Requests, answer
from icn.protocol.libp2p.kademlia.settings import KademliaSettings
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.kademlia_swarm import host_of, kad_info, kad_peer

SETTINGS = KademliaSettings(bucket_peers_max=3, requests_per_minute_max=2, requesters_max=2)
HOST = host_of(9)
LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/7000")
US = PeerInfo(kad_peer(0), (*kad_info(0).addresses, LOOPBACK))


def table(*numbers: int) -> RoutingTable:
    made = RoutingTable(kad_peer(0), KademliaSettings())
    for number in numbers:
        made.see(Contact(kad_info(number), host_of(number), 0))
    return made


def asked(request: Message, known: RoutingTable, host: str = HOST) -> Message | None:
    return answer(request, kad_peer(9), host, table=known, us=US, settings=SETTINGS)


@pytest.mark.parametrize("kind", [Kind.FIND_NODE, Kind.GET_VALUE, Kind.GET_PROVIDERS])
def test_the_closest_are_told_without_the_asker_and_nothing_is_stored(kind):
    said = asked(Message(kind, b"anything"), table(1, 2, 3, 4, 9))
    assert (said.kind, said.key, said.providers, said.has_record) == (kind, b"anything", (), False)
    assert len(said.closer) == 3
    assert kad_peer(9) not in [info.peer for info in said.closer]
    assert {info.reach for info in said.closer} == {Reach.CAN_CONNECT}


def test_a_peer_we_know_is_the_first_that_is_told_of_it():
    said = asked(Message(Kind.FIND_NODE, kad_peer(3).multihash), table(1, 2, 3, 4))
    assert said.closer[0].peer == kad_peer(3)
    assert said.closer[0].addresses == kad_info(3).addresses


def test_who_looks_for_us_is_told_where_we_are_as_far_as_that_is_of_use():
    request = Message(Kind.FIND_NODE, kad_peer(0).multihash)
    [said] = asked(request, table(1, 2)).closer
    assert said.addresses == kad_info(0).addresses
    [nearby] = asked(request, table(1, 2), "127.0.0.1").closer
    assert LOOPBACK in nearby.addresses


def test_who_has_no_address_for_the_asker_is_not_told():
    known = table(1)
    known.see(Contact(PeerInfo(kad_peer(2), (LOOPBACK,)), "127.0.0.1", 0))
    assert [info.peer for info in asked(Message(Kind.FIND_NODE, b"x"), known).closer] == [kad_peer(1)]


def test_values_are_refused_and_providers_have_no_answer():
    with pytest.raises(Refused, match="stores no values"):
        asked(Message(Kind.PUT_VALUE, b"k", has_record=True), table(1))
    assert asked(Message(Kind.ADD_PROVIDER, b"k", providers=(kad_info(9),)), table(1)) is None


def test_a_ping_is_answered_with_a_ping():
    assert asked(Message(Kind.PING), table(1)) == Message(Kind.PING)


def test_a_peer_may_ask_so_often_in_a_minute():
    requests = Requests(SETTINGS)
    assert [requests.admit(kad_peer(1), ms) for ms in (60_000, 60_001, 60_002, 120_000)] == [True, True, False, True]


def test_who_is_counted_is_bounded():
    requests = Requests(SETTINGS)
    for number in range(50):
        assert requests.admit(kad_peer(number), 0)
    assert len(requests._counts) == SETTINGS.requesters_max
