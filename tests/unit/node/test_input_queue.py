"""What waits for the writer: who floods loses its own place, and nobody else's."""

import threading

import pytest

from icn.kernel.ids import Did
from icn.kernel.limits import MIB, QUEUE_BYTES_MAX, QUEUE_INPUTS_MAX
from icn.node.input_queue import SHARE_MIN, InputQueue
from icn.protocol.messages import Acknowledged, Announce
from icn.services.inputs import Gossiped, PeerUp, Received, Tick
from support import builders

FLOODER, MEMBER = builders.did(8), builders.did(9)


def said(by: Did, number: int = 1) -> Received:
    return Received(by, Acknowledged(number))


def test_who_floods_makes_way_for_others_with_all_that_it_said() -> None:
    queue = InputQueue()
    queue.offer(PeerUp(FLOODER))
    assert all(queue.offer(said(FLOODER)).is_taken for _ in range(QUEUE_INPUTS_MAX - 2))
    assert queue.offer(said(MEMBER)).is_taken
    offered = queue.offer(said(MEMBER, 2))
    assert offered.is_taken
    assert offered.ousted == FLOODER
    assert len(offered.dropped) == QUEUE_INPUTS_MAX - 2
    assert queue.take(QUEUE_INPUTS_MAX, 0) == [PeerUp(FLOODER), said(MEMBER), said(MEMBER, 2)]


def test_who_floods_is_not_heard_where_it_is_the_one_that_goes_on() -> None:
    queue = InputQueue()
    queue.offer(said(MEMBER))
    for _ in range(QUEUE_INPUTS_MAX - 1):
        queue.offer(said(FLOODER))
    offered = queue.offer(said(FLOODER))
    assert not offered.is_taken
    assert offered.ousted == FLOODER
    assert queue.take(QUEUE_INPUTS_MAX, 0) == [said(MEMBER)]


def test_what_waits_has_a_bound_in_bytes() -> None:
    queue = InputQueue()
    large = Gossiped(b"token", FLOODER, MEMBER, Announce((b"",)))
    assert queue.offer(said(MEMBER), MIB).is_taken
    for _ in range(QUEUE_BYTES_MAX // MIB - 1):
        assert queue.offer(large, MIB).is_taken
    offered = queue.offer(said(MEMBER, 2), MIB)
    assert offered.is_taken
    assert offered.ousted == FLOODER, "who brought it, not who is said to have written it"
    assert queue.take(QUEUE_INPUTS_MAX, 0) == [said(MEMBER), said(MEMBER, 2)]
    assert all(queue.offer(large, MIB).is_taken for _ in range(QUEUE_BYTES_MAX // MIB)), "what was taken counts no more"


def test_where_everybody_says_little_nobody_is_ousted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn.node.input_queue.QUEUE_INPUTS_MAX", SHARE_MIN)
    queue = InputQueue()
    for _ in range(SHARE_MIN):
        queue.offer(said(FLOODER) if len(queue) % 2 else Tick())
    offered = queue.offer(said(MEMBER))
    assert (offered.is_taken, offered.ousted) == (False, None)


def test_inputs_are_taken_in_order_as_soon_as_there_are_any() -> None:
    queue = InputQueue()
    for number in range(5):
        queue.offer(said(MEMBER, number))
    assert queue.take(3, 60) == [said(MEMBER, number) for number in range(3)]
    assert queue.take(3, 60) == [said(MEMBER, number) for number in range(3, 5)]
    taken: list[object] = []
    taking = threading.Thread(target=lambda: taken.extend(queue.take(3, 60)))
    taking.start()
    queue.offer(Tick())
    taking.join(60)
    assert taken == [Tick()]


def test_who_waits_can_be_woken() -> None:
    queue = InputQueue()
    queue.wake()
    assert queue.take(1, 60) == []
