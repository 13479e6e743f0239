import pytest

from icn.protocol.libp2p.kademlia.keyspace import bucket, place, place_of
from icn.protocol.libp2p.kademlia.routing_table import Contact, RoutingTable
from icn.protocol.libp2p.kademlia.settings import KademliaSettings
from support.kademlia_swarm import host_of, kad_info, kad_peer

OURS = kad_peer(0)
SMALL = KademliaSettings(bucket_peers_max=3, group_in_bucket_max=2, group_in_table_max=4)
FAR = [n for n in range(1, 400) if bucket(place_of(OURS), place_of(kad_peer(n))) == 255]
"""Numbers of peers of the same bucket."""


def contact(number: int, seen_at: int = 0, host: str = "") -> Contact:
    return Contact(kad_info(number), host or host_of(number), seen_at)


def table(*contacts: Contact) -> RoutingTable:
    made = RoutingTable(OURS, SMALL)
    for one in contacts:
        made.see(one)
    return made


def peers(made: RoutingTable) -> list[int]:
    return [FAR[[kad_peer(n) for n in FAR].index(one.peer)] for one in made.contacts()]


def test_who_is_seen_again_is_the_most_recent_with_its_new_addresses():
    made = table(contact(FAR[0]), contact(FAR[1]))
    made.see(Contact(kad_info(FAR[0], "8.8.8.8"), "8.8.8.8", 5))
    assert peers(made) == [FAR[1], FAR[0]]
    assert made.contacts()[1].info == kad_info(FAR[0], "8.8.8.8")
    assert len(made) == 2
    assert kad_peer(FAR[0]) in made
    assert kad_peer(FAR[5]) not in made
    assert OURS not in made


def test_a_full_bucket_keeps_whom_it_has_while_they_answer():
    made = table(*map(contact, FAR[:4]))
    assert peers(made) == FAR[:3]
    [doubtful] = made.doubtful(0)
    assert doubtful.peer == kad_peer(FAR[0])
    made.confirm(kad_peer(FAR[0]), 9)
    assert peers(made) == [FAR[1], FAR[2], FAR[0]]
    assert made.doubtful(9) == []
    made.remove(kad_peer(FAR[1]))
    assert peers(made) == [FAR[2], FAR[0]], "who waited is gone"


def test_who_waits_takes_the_place_of_who_does_not_answer():
    made = table(*map(contact, FAR[:4]))
    made.remove(kad_peer(FAR[0]))
    assert peers(made) == [FAR[1], FAR[2], FAR[3]]


def test_the_answer_of_another_than_the_least_recent_changes_nothing_for_who_waits():
    made = table(*map(contact, FAR[:4]))
    made.confirm(kad_peer(FAR[1]), 9)
    made.remove(kad_peer(FAR[0]))
    assert peers(made) == [FAR[2], FAR[1], FAR[3]]


def test_who_waits_and_leaves_takes_no_place():
    made = table(*map(contact, FAR[:4]))
    made.remove(kad_peer(FAR[3]))
    made.remove(kad_peer(FAR[0]))
    assert peers(made) == [FAR[1], FAR[2]]


def test_who_was_not_seen_for_long_is_doubtful_too():
    made = table(contact(FAR[0], seen_at=0), contact(FAR[1], seen_at=500))
    assert made.doubtful(SMALL.checked_after_ms - 1) == []
    assert [one.peer for one in made.doubtful(SMALL.checked_after_ms)] == [kad_peer(FAR[0])]


def test_one_network_owns_only_a_part_of_a_bucket_and_of_the_table():
    near = [n for n in range(1, 400) if bucket(place_of(OURS), place_of(kad_peer(n))) == 254]
    nearer = [n for n in range(1, 400) if bucket(place_of(OURS), place_of(kad_peer(n))) == 253]
    made = table(*(contact(n, host=f"8.8.0.{n % 250}") for n in FAR[:3] + near[:3] + nearer[:3]))
    assert [one.peer for one in made.contacts()] == [kad_peer(n) for n in near[:2] + FAR[:2]]
    made.see(contact(FAR[4]))
    assert len(made) == 5


def test_one_site_may_have_all_of_it():
    assert len(table(*(contact(n, host="10.0.0.1") for n in FAR[:3]))) == 3


def test_who_waits_is_not_let_in_above_the_bound_of_its_network():
    made = table(contact(FAR[0], host="8.8.0.1"), contact(FAR[1]), contact(FAR[2]))
    made.see(contact(FAR[3], host="8.8.0.3"))
    made.see(contact(FAR[0], host="8.8.0.1"))
    near = [n for n in range(1, 400) if bucket(place_of(OURS), place_of(kad_peer(n))) == 254]
    for number in near[:2]:
        made.see(contact(number, host="8.8.0.9"))
    nearer = [n for n in range(1, 400) if bucket(place_of(OURS), place_of(kad_peer(n))) == 253]
    made.see(contact(nearer[0], host="8.8.0.10"))
    made.remove(kad_peer(FAR[1]))
    assert kad_peer(FAR[3]) not in made


@pytest.mark.parametrize("count", [1, 5, 50])
def test_the_closest_are_the_closest(count):
    made = RoutingTable(OURS, KademliaSettings())
    for number in range(1, 200):
        made.see(contact(number))
    target = place(b"anything")
    everybody = sorted(made.contacts(), key=lambda one: place_of(one.peer) ^ target)
    assert made.closest(target, count) == everybody[:count]
    assert made.closest(target, count, without=everybody[0].peer) == everybody[1 : count + 1]


def test_nothing_grows_without_bound():
    made = RoutingTable(OURS, SMALL)
    for number in range(1, 3000):
        made.see(contact(number))
    assert all(len(contacts) <= 3 for contacts in made._buckets.values())
    assert len(made) <= 3 * 16
