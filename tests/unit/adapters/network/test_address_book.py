from icn.adapters.network.address_book import (
    ADDRESSES_MAX,
    FAILURES_MAX,
    FIRST_PAUSE_MS,
    FORGOTTEN_AFTER_MS,
    LEFT_ALONE_MS,
    PEERS_MAX,
    AddressBook,
)
from icn.adapters.network.ports import Origin
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import Multiaddr

HEARD = Origin.DISCOVERED


def peer(number: int) -> PeerId:
    return PeerId.from_public_key(number.to_bytes(32, "big"))


def at(number: int) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{number}")


def book(*told: tuple[int, int, int]) -> AddressBook:
    """Of (peer, port, told at)."""
    made = AddressBook()
    for number, port, now in told:
        made.tell(peer(number), (at(port),), HEARD, now)
    return made


def called(made: AddressBook, now: int) -> list[tuple[PeerId, Multiaddr]]:
    return [(who, address) for who, address, _ in made.callable_now(now)]


def test_whom_one_was_told_of_last_is_called_first_and_each_at_one_address():
    made = book((1, 1, 0), (2, 2, 1), (1, 3, 2))
    assert called(made, 5) == [(peer(1), at(3)), (peer(2), at(2))]
    assert made.addresses_of(peer(1)) == (at(3), at(1))
    assert made.addresses_of(peer(9)) == ()


def test_how_it_became_known_is_kept():
    made = AddressBook()
    made.tell(peer(1), (at(1),), Origin.MDNS, 0)
    made.tell(peer(1), (at(1),), HEARD, 1)
    assert made.callable_now(1) == [(peer(1), at(1), Origin.MDNS)]


def test_what_failed_waits_twice_as_long_each_time_and_is_forgotten_in_the_end():
    made, now = book((1, 1, 0)), 0
    for failure in range(FAILURES_MAX - 1):
        made.failed(peer(1), at(1), now)
        pause = FIRST_PAUSE_MS * 2**failure
        assert called(made, now + pause - 1) == []
        assert called(made, now + pause) == [(peer(1), at(1))]
        now += pause
    made.failed(peer(1), at(1), now)
    assert made.addresses_of(peer(1)) == ()
    made.tell(peer(1), (at(1),), HEARD, now)
    assert called(made, now + LEFT_ALONE_MS - 1) == [], "whoever tells of it again"
    assert called(made, now + LEFT_ALONE_MS) == [(peer(1), at(1))]


def test_who_cannot_be_reached_and_is_not_told_of_again_is_forgotten():
    made = book((1, 1, 0))
    for _ in range(FAILURES_MAX + 1):
        made.failed(peer(1), at(1), 0)
    assert (len(made), called(made, LEFT_ALONE_MS), len(made)) == (1, [], 0)


def test_another_address_of_the_same_peer_is_tried_meanwhile():
    made = book((1, 1, 0), (1, 2, 0))
    made.failed(peer(1), at(2), 0)
    assert called(made, 1) == [(peer(1), at(1))]


def test_being_reached_makes_good_for_failures():
    made = book((1, 1, 0))
    made.failed(peer(1), at(1), 0)
    made.reached(peer(1))
    made.reached(peer(2))
    assert called(made, 0) == [(peer(1), at(1))]


def test_a_stranger_is_left_alone_for_a_while_whoever_tells_of_it():
    made = book((1, 1, 0))
    made.estrange(peer(1), 0)
    made.tell(peer(1), (at(2),), HEARD, 1)
    assert called(made, LEFT_ALONE_MS - 1) == []
    assert called(made, LEFT_ALONE_MS) == [(peer(1), at(2))]
    made.estrange(peer(9), 0)
    assert len(made) == 1


def test_what_is_not_told_again_is_forgotten():
    made = book((1, 1, 0), (2, 2, 10))
    assert called(made, FORGOTTEN_AFTER_MS) == [(peer(2), at(2))]
    assert len(made) == 1


def test_neither_peers_nor_addresses_grow_without_bound():
    made = AddressBook()
    for number in range(PEERS_MAX + 5):
        made.tell(peer(number), (at(1),), HEARD, number)
    assert len(made) == PEERS_MAX
    assert made.addresses_of(peer(4)) == ()
    for port in range(1, 50):
        made.tell(peer(1000), (at(port),), HEARD, 0)
    assert len(made.addresses_of(peer(1000))) == ADDRESSES_MAX


def test_nothing_told_is_nothing_known():
    made = AddressBook()
    made.tell(peer(1), (), HEARD, 0)
    assert len(made) == 0
