"""Nodes that find each other, without a socket."""

import random

import pytest

from icn.protocol.libp2p.kademlia.machine import Ask, Finished, Kademlia, Learned
from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo
from icn.protocol.libp2p.kademlia.serving import Refused
from icn.protocol.libp2p.kademlia.settings import KademliaSettings
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.kademlia_swarm import Swarm, host_of, kad_info, kad_peer

NODES = 24
SETTINGS = KademliaSettings()


def chain(count: int = NODES) -> Swarm:
    """Each was told of one other only, and all have bootstrapped."""
    swarm = Swarm(count)
    for number in range(1, count):
        swarm.meet(number, (number - 1) // 2)
        swarm.tick(SETTINGS.first_refresh_ms)
    return swarm


def alone() -> Kademlia:
    return Kademlia(kad_peer(0), SETTINGS, b"secret")


@pytest.mark.slow
def test_nodes_that_were_told_of_one_other_find_everybody():
    swarm = chain()
    for number in range(0, NODES, 5):
        for wanted in (0, NODES // 2, NODES - 1):
            if wanted != number:
                assert swarm.find(number, wanted).addresses == kad_info(wanted).addresses


@pytest.mark.slow
def test_a_newcomer_is_known_to_those_near_it_after_its_bootstrap():
    swarm = chain()
    last = kad_peer(NODES - 1)
    assert sum(last in machine._table for machine in swarm.machines) >= SETTINGS.bucket_peers_max // 2
    assert len({info.peer for info in swarm.learned[NODES - 1]}) >= SETTINGS.bucket_peers_max


@pytest.mark.slow
def test_half_of_the_nodes_gone_at_once_hide_nobody_who_is_there():
    swarm = chain()
    swarm.dead = set(range(0, NODES, 2))
    for number in range(1, NODES, 6):
        for wanted in range(3, NODES, 6):
            if wanted != number:
                assert swarm.find(number, wanted).addresses == kad_info(wanted).addresses


@pytest.mark.slow
def test_where_one_request_in_five_goes_astray_nearly_everybody_is_found():
    chance = random.Random(0)
    swarm = chain()
    swarm.lost = lambda: chance.random() < 0.2
    pairs = [chance.sample(range(NODES), 2) for _ in range(30)]
    found = [swarm.find(number, wanted) for number, wanted in pairs]
    right = [
        info is not None and info.addresses == kad_info(wanted).addresses
        for info, (_, wanted) in zip(found, pairs, strict=True)
    ]
    assert sum(right) >= 28
    for _ in range(3):
        swarm.tick(2 * SETTINGS.refresh_every_ms)
    assert all(len(machine.contacts) > NODES // 3 for machine in swarm.machines), "nobody is driven out by bad luck"


@pytest.mark.slow
def test_who_is_gone_is_forgotten():
    swarm = chain(12)
    swarm.dead = {3}
    for _ in range(4):
        swarm.tick(SETTINGS.checked_after_ms)
    assert not any(kad_peer(3) in swarm.machines[number]._table for number in range(12) if number != 3)


@pytest.mark.slow
def test_a_search_costs_few_requests():
    swarm = chain()
    swarm.asks = 0
    swarm.find(1, NODES - 2)
    assert swarm.asks <= 2 * SETTINGS.bucket_peers_max


def test_bootstraps_come_again_at_times_that_differ_from_node_to_node():
    swarm = chain(5)
    due = [machine._refresh_at - swarm.now for machine in swarm.machines]
    low, high = SETTINGS.refresh_every_ms * 3 // 4, SETTINGS.refresh_every_ms * 5 // 4
    assert all(low - 10 * SETTINGS.first_refresh_ms <= at <= high for at in due)
    assert len(set(due)) == 5
    swarm.asks = 0
    swarm.tick(high)
    assert swarm.asks >= 5


def test_a_node_that_lost_everybody_begins_again_when_it_meets_somebody():
    swarm = chain(12)
    lonely = swarm.machines[11]
    for contact in lonely.contacts:
        lonely.left(contact.peer)
    swarm.dead = set(range(11))
    swarm.tick(2 * SETTINGS.refresh_every_ms)
    swarm.dead = set()
    swarm.meet(11, 0)
    swarm.tick(SETTINGS.first_refresh_ms)
    assert len(lonely.contacts) > 5


def test_requests_that_are_late_have_failed():
    machine = alone()
    machine.met(kad_info(1), host_of(1), 0)
    search, [ask] = machine.find(kad_peer(2), 0)
    assert isinstance(ask, Ask)
    assert ask.request == Message(Kind.FIND_NODE, kad_peer(2).multihash)
    assert not [one for one in machine.tick(SETTINGS.ask_ms_max - 1) if isinstance(one, Finished)]
    assert Finished(search, None) in machine.tick(SETTINGS.ask_ms_max)
    assert machine.contacts == []
    assert machine.answered(ask.number, Message(Kind.FIND_NODE), host_of(1), 0) == [], "too late"


def test_so_many_searches_and_no_more():
    machine = alone()
    machine.met(kad_info(1), host_of(1), 0)
    begun = [machine.find(kad_peer(2 + n), 0) for n in range(SETTINGS.lookups_max + 2)]
    assert [one is not None for one in begun] == [True] * SETTINGS.lookups_max + [False, False]
    machine.tick(SETTINGS.lookup_ms_max)
    assert machine.find(kad_peer(2), SETTINGS.lookup_ms_max) is not None


def test_a_search_of_a_node_that_knows_nobody_is_over_at_once():
    assert alone().find(kad_peer(2), 0) == (1, [Finished(1, None)])


def test_addresses_that_a_stranger_has_no_business_with_are_not_believed():
    machine = alone()
    machine.met(kad_info(1), host_of(1), 0)
    _, [ask] = machine.find(kad_peer(2), 0)
    inside = PeerInfo(kad_peer(2), (Multiaddr.parse("/ip4/10.0.0.1/tcp/22"), Multiaddr.parse("/ip4/127.0.0.1/tcp/22")))
    both = PeerInfo(kad_peer(3), (*inside.addresses, *kad_info(3).addresses))
    effects = machine.answered(ask.number, Message(Kind.FIND_NODE, closer=(inside, both)), host_of(1), 0)
    assert [one for one in effects if isinstance(one, Learned)] == [Learned(kad_info(3))]
    assert [one.peer for one in effects if isinstance(one, Ask)] == [kad_info(3)]


def test_of_one_answer_only_so_many_peers_count():
    machine = alone()
    machine.met(kad_info(1), host_of(1), 0)
    _, [ask] = machine.find(kad_peer(2), 0)
    many = tuple(kad_info(n) for n in range(3, 60))
    effects = machine.answered(ask.number, Message(Kind.FIND_NODE, closer=many), host_of(1), 0)
    assert sum(isinstance(one, Learned) for one in effects) == SETTINGS.bucket_peers_max


def test_neither_its_own_id_nor_a_lie_about_it_is_taken():
    machine = alone()
    machine.met(kad_info(0), host_of(0), 0)
    assert machine.contacts == []
    machine.met(kad_info(1), host_of(1), 0)
    _, [ask] = machine.find(kad_peer(2), 0)
    lie = Message(Kind.FIND_NODE, closer=(kad_info(0, "8.8.8.8"),))
    assert [one for one in machine.answered(ask.number, lie, host_of(1), 0) if isinstance(one, Learned)] == []


def test_a_newcomer_to_a_full_bucket_has_the_oldest_checked():
    settings = KademliaSettings(bucket_peers_max=1)
    machine = Kademlia(kad_peer(0), settings, b"secret")
    for number in range(1, 20):
        machine.met(kad_info(number), host_of(number), 0)
    before = {contact.peer for contact in machine.contacts}
    checks = [one for one in machine.tick(1) if isinstance(one, Ask)]
    assert checks
    assert {ask.peer.peer for ask in checks} <= before
    assert machine.tick(2) == [], "each is asked once"
    for ask in checks:
        machine.failed(ask.number, 3)
    after = {contact.peer for contact in machine.contacts}
    assert not after & {ask.peer.peer for ask in checks}
    assert len(after) == len(before)


def test_who_asks_too_often_is_refused():
    machine = Kademlia(kad_peer(0), KademliaSettings(requests_per_minute_max=3), b"secret")
    for _ in range(3):
        machine.serve(Message(Kind.PING), kad_peer(1), host_of(1), kad_info(0), 0)
    with pytest.raises(Refused, match="too many"):
        machine.serve(Message(Kind.PING), kad_peer(1), host_of(1), kad_info(0), 0)
