from dataclasses import replace

from icn.adapters.network.places import Room, Standing, room_for
from icn.adapters.network.settings import NetworkSettings
from icn.kernel.ids import PeerId

SETTINGS = NetworkSettings(listen=(), peers_max=4, peers_low=2, grace_ms=100, busy_ms_max=1_000)
NOW = 1_000


def peer(number: int) -> PeerId:
    return PeerId.from_public_key(number.to_bytes(32, "big"))


def standing(number: int, **changes: object) -> Standing:
    """A peer of some worth that came long ago, later the higher its number."""
    plain = Standing(peer(number), number, is_wanted=False, is_busy=False, speaks_ours=True, score=0, dialled=False)
    return replace(plain, **changes)


def room(*standings: Standing, wanted: bool = False) -> Room:
    return room_for(standings, newcomer_is_wanted=wanted, now=NOW, settings=SETTINGS)


def test_nobody_goes_while_there_are_places():
    assert room(*map(standing, range(3))) == Room((), admitted=True)


def test_at_the_high_water_mark_the_least_valuable_go_down_to_the_low_one():
    assert room(*map(standing, range(4))) == Room((peer(3), peer(2), peer(1)), admitted=True)


def test_the_order_is_strangers_bad_gossips_those_who_came_to_us_the_young():
    order = [
        standing(1, speaks_ours=False, dialled=True),
        standing(2, score=-5, dialled=True),
        standing(9),
        standing(3),
        standing(4, dialled=True),
    ]
    settings = replace(SETTINGS, peers_max=5, peers_low=1)
    for shown in (order, order[::-1]):
        found = room_for(shown, newcomer_is_wanted=False, now=NOW, settings=settings)
        assert found.leaving == tuple(one.peer for one in order)


def test_a_good_score_does_not_push_out_who_came_earlier():
    settings = replace(SETTINGS, peers_max=2, peers_low=2)
    shown = [standing(1), standing(2, score=99)]
    assert room_for(shown, newcomer_is_wanted=False, now=NOW, settings=settings).leaving == (peer(2),)


def test_wanted_busy_and_new_peers_keep_their_places():
    keepers = [standing(1, is_wanted=True), standing(2, is_busy=True), standing(3, since_ms=NOW - 99)]
    assert room(*keepers, standing(4)) == Room((peer(4),), admitted=True)
    assert room(*keepers, standing(4, since_ms=NOW)) == Room((), admitted=False)
    assert room(*keepers, standing(4, since_ms=NOW - 100)) == Room((peer(4),), admitted=True)


def test_who_is_wanted_takes_the_place_of_one_that_is_not_even_if_that_is_new_or_busy():
    shown = [standing(number, is_busy=True) for number in range(4)]
    assert room(*shown, wanted=True) == Room((peer(3),), admitted=True)
    all_wanted = [replace(one, is_wanted=True) for one in shown]
    assert room(*all_wanted, wanted=True) == Room((), admitted=False)


def test_being_busy_does_not_keep_a_place_for_ever():
    shown = [standing(number, since_ms=number, is_busy=True) for number in range(4)]
    assert room(*shown) == Room((peer(0),), admitted=True), "only one has been here for so long"
    assert room(*shown[1:], standing(5, is_wanted=True)) == Room((), admitted=False)


def test_one_place_is_one_place():
    settings = replace(SETTINGS, peers_max=1, peers_low=0)
    assert room_for([standing(1)], newcomer_is_wanted=False, now=NOW, settings=settings) == Room((peer(1),), True)
