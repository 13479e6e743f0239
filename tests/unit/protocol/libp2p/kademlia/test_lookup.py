from dataclasses import replace

from icn.protocol.libp2p.kademlia.keyspace import place, place_of
from icn.protocol.libp2p.kademlia.lookup import TRIES_MAX, Lookup
from icn.protocol.libp2p.kademlia.messages import PeerInfo
from icn.protocol.libp2p.kademlia.settings import ADDRESSES_PER_PEER_MAX, KademliaSettings
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.kademlia_swarm import kad_info, kad_peer

OURS, TARGET = kad_peer(0), kad_peer(999)
SMALL = KademliaSettings(bucket_peers_max=4, alpha=2, heard_max=10)
BY_DISTANCE = sorted(range(1, 100), key=lambda n: place_of(kad_peer(n)) ^ place(TARGET.multihash))


def lookup(*seeds: int, settings: KademliaSettings = SMALL) -> Lookup:
    return Lookup(TARGET.multihash, [kad_info(n) for n in seeds], ours=OURS, settings=settings, now=0)


def due(search: Lookup, now: int = 0) -> list[int]:
    numbers = {kad_peer(n): n for n in (*range(100), 999)}
    return [numbers[info.peer] for info in search.due(now)]


def test_the_closest_are_asked_first_and_only_so_many_at_a_time():
    search = lookup(*reversed(BY_DISTANCE[:4]))
    assert due(search) == BY_DISTANCE[:2]
    assert due(search) == []
    search.answered(kad_peer(BY_DISTANCE[0]), [])
    assert due(search) == [BY_DISTANCE[2]]


def test_it_ends_when_the_closest_have_answered():
    search = lookup(*BY_DISTANCE[2:6])
    for number in due(search):
        search.answered(kad_peer(number), [kad_info(n) for n in BY_DISTANCE[:2]])
    assert due(search) == BY_DISTANCE[:2], "the closer ones that were heard of go first"
    for number in BY_DISTANCE[:2]:
        search.answered(kad_peer(number), [])
    assert search.is_done(1)
    assert search.result() == [kad_info(n) for n in BY_DISTANCE[:4]]
    assert due(search) == []


def test_who_fails_makes_room_for_the_next():
    search = lookup(*BY_DISTANCE[:6])
    for number in (*due(search), *due(search)):
        search.failed(kad_peer(number))
    assert due(search) == BY_DISTANCE[2:4]
    for number in BY_DISTANCE[2:4]:
        search.answered(kad_peer(number), [])
    assert due(search) == BY_DISTANCE[4:6]
    assert not search.is_done(0)


def test_it_ends_with_its_time_and_without_anybody():
    search = lookup(*BY_DISTANCE[:3])
    assert not search.is_done(SMALL.lookup_ms_max - 1)
    assert search.is_done(SMALL.lookup_ms_max)
    assert search.due(SMALL.lookup_ms_max) == []
    assert lookup().is_done(0)


def test_the_wanted_peer_ends_it_by_answering_and_not_by_being_told_of():
    search = lookup(*BY_DISTANCE[:2])
    search.due(0)
    search.answered(kad_peer(BY_DISTANCE[0]), [kad_info(999)])
    assert not search.is_done(0)
    assert due(search) == [999]
    search.answered(TARGET, [])
    assert search.is_done(0)
    assert search.wanted() == kad_info(999)


def test_what_was_told_of_a_peer_that_does_not_answer_is_known_at_the_end():
    search = lookup(BY_DISTANCE[0])
    search.due(0)
    search.answered(kad_peer(BY_DISTANCE[0]), [kad_info(999)])
    search.due(0)
    search.failed(TARGET)
    assert search.is_done(0)
    assert search.wanted() == kad_info(999)
    assert search.result() == [kad_info(BY_DISTANCE[0])]
    assert lookup(BY_DISTANCE[0]).wanted() is None


def test_who_failed_is_tried_again_at_other_addresses_and_a_few_times_only():
    search = lookup(*BY_DISTANCE[:4])
    [first, second] = due(search)
    search.failed(kad_peer(first))
    search.answered(kad_peer(second), [kad_info(first)])
    assert first not in due(search), "the same address again is no news"
    tellers = BY_DISTANCE[2:4]
    for attempt in range(5):
        search._candidates[kad_peer(tellers[0])].stage = search._candidates[kad_peer(second)].stage
        search._hear([kad_info(first, f"8.8.8.{attempt}")])
        if first in due(search):
            search.failed(kad_peer(first))
    assert search._candidates[kad_peer(first)].tries == TRIES_MAX


def test_addresses_of_one_peer_add_up_within_a_bound():
    search = lookup(BY_DISTANCE[0])
    search.due(0)
    told = [kad_info(999, f"8.8.8.{n}") for n in range(20)]
    search.answered(kad_peer(BY_DISTANCE[0]), told)
    [info] = search.due(0)
    assert info.addresses == tuple(Multiaddr.parse(f"/ip4/8.8.8.{n}/tcp/7000") for n in range(ADDRESSES_PER_PEER_MAX))


def test_the_closest_that_were_heard_of_are_kept_and_no_more():
    search = lookup(BY_DISTANCE[50])
    search.due(0)
    search.answered(kad_peer(BY_DISTANCE[50]), [kad_info(n) for n in BY_DISTANCE[:40]])
    assert len(search._candidates) == SMALL.heard_max
    assert due(search) == BY_DISTANCE[:2]


def test_invented_peers_make_us_call_so_often_and_no_more():
    search = lookup(*BY_DISTANCE[:2], settings=replace(SMALL, asked_max=7, heard_max=100))
    calls = 0
    while asked := due(search):
        calls += len(asked)
        for number in asked:
            if calls == 2:
                search.answered(kad_peer(number), [kad_info(n) for n in BY_DISTANCE])
            else:
                search.failed(kad_peer(number))
    assert calls == 7
    assert search.is_done(0)


def test_what_is_under_way_when_no_more_may_be_asked_still_counts():
    search = lookup(*BY_DISTANCE[:4], settings=replace(SMALL, asked_max=1))
    [only] = due(search)
    assert not search.is_done(0)
    search.answered(kad_peer(only), [])
    assert search.is_done(0)
    assert search.result() == [kad_info(only)]


def test_neither_we_nor_who_has_no_address_is_asked():
    search = lookup(0)
    search._hear([PeerInfo(kad_peer(1), ())])
    assert search.due(0) == []


def test_answers_that_nobody_waits_for_change_nothing():
    search = lookup(*BY_DISTANCE[:2])
    search.answered(kad_peer(BY_DISTANCE[0]), [kad_info(999)])
    search.failed(kad_peer(77))
    assert search.wanted() is None
