"""Which of two connections is kept: both sides must choose the same one."""

from dataclasses import dataclass
from typing import Any

import pytest

from icn.adapters.network.peers import LinkRecord, PeerRecord
from icn.adapters.network.ports import Direction
from support.libp2p_network import peer_of

LOW, HIGH = sorted((peer_of("a"), peer_of("b")))
SIMULTANEOUS_MS = 100


@dataclass(eq=False)
class End:
    """One side's end of a connection, as far as the choice looks."""

    direction: Direction
    name: str
    open: bool = False


def ends(name: str, by_low: bool, at: int) -> tuple[LinkRecord, LinkRecord]:
    """The ends of one connection at the lower and at the higher peer."""
    low: Any = End(Direction.DIALLED if by_low else Direction.ACCEPTED, name)
    high: Any = End(Direction.ACCEPTED if by_low else Direction.DIALLED, name)
    return LinkRecord(low, at, name.encode()), LinkRecord(high, at, name.encode())


def kept(record: PeerRecord) -> str:
    link: Any = record.current.link
    return link.name


@pytest.mark.parametrize("low_sees_its_own_first", [True, False])
@pytest.mark.parametrize("high_sees_its_own_first", [True, False])
def test_of_two_that_cross_the_one_dialled_by_the_lower_id_is_kept(low_sees_its_own_first, high_sees_its_own_first):
    mine, yours = ends("low dialled", True, 0), ends("high dialled", False, 50)
    first, second = (mine[0], yours[0]) if low_sees_its_own_first else (yours[0], mine[0])
    at_low = PeerRecord(HIGH, 0, [first])
    at_low.settle(second, LOW, SIMULTANEOUS_MS)
    first, second = (yours[1], mine[1]) if high_sees_its_own_first else (mine[1], yours[1])
    at_high = PeerRecord(LOW, 0, [first])
    at_high.settle(second, HIGH, SIMULTANEOUS_MS)
    assert kept(at_low) == kept(at_high) == "low dialled"
    assert [record.retired_at is None for record in at_low.records] == [False, True]


@pytest.mark.parametrize("by_low", [True, False])
def test_of_two_far_apart_the_newer_is_kept(by_low):
    old, new = ends("old", not by_low, 0), ends("new", by_low, 10_000)
    at_low, at_high = PeerRecord(HIGH, 0, [old[0]]), PeerRecord(LOW, 0, [old[1]])
    at_low.settle(new[0], LOW, SIMULTANEOUS_MS)
    at_high.settle(new[1], HIGH, SIMULTANEOUS_MS)
    assert kept(at_low) == kept(at_high) == "new"


def test_of_two_by_the_same_dialler_both_keep_the_same_in_whatever_order_they_see_them():
    one, two = ends("one", True, 0), ends("two", True, 10)
    at_low, at_high = PeerRecord(HIGH, 0, [one[0]]), PeerRecord(LOW, 0, [two[1]])
    at_low.settle(two[0], LOW, SIMULTANEOUS_MS)
    at_high.settle(one[1], HIGH, SIMULTANEOUS_MS)
    assert kept(at_low) == kept(at_high) == "one"


def test_a_retired_connection_is_taken_back_when_the_other_ends():
    old, new = ends("old", True, 0)[0], ends("new", True, 10_000)[0]
    record = PeerRecord(HIGH, 0, [old])
    record.settle(new, LOW, SIMULTANEOUS_MS)
    assert old.retired_at is not None
    assert record.remove(new)
    assert kept(record) == "old"
    assert old.retired_at is None


def test_dropping_a_queue_gives_its_bytes_back():
    record = PeerRecord(HIGH, 0, [ends("only", True, 0)[0]])
    record.queue("/a", b"12345")
    record.queue("/b", b"123")
    record.drop_queue("/a")
    record.drop_queue("/never")
    assert record.queued_bytes == 3
