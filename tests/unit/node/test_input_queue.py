"""What waits for the writer: who floods loses its own place, and nobody else's."""

import threading
from collections.abc import Callable

import pytest

from icn.kernel.ids import Did
from icn.kernel.limits import MIB, QUEUE_BYTES_MAX, QUEUE_INPUTS_MAX
from icn.node.input_queue import SHARE_MIN, Gathering, InputQueue
from icn.node.writer import GATHERING, GATHERING_FROM, gathering_after
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


class Watched(threading.Condition):
    """Tells when somebody is about to wait, and does something else in its place, if told to."""

    def __init__(self, instead: Callable[[], object] | None = None) -> None:
        super().__init__()
        self.is_waited_for, self.waits, self.instead = threading.Event(), 0, instead

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        self.is_waited_for.set()
        if self.instead is not None:
            self.instead()
            return False
        return super().wait(timeout)


def gathering_one() -> tuple[InputQueue, threading.Thread, list[object]]:
    """A queue with one input whose taker waits for two more, for a minute."""
    queue, taken, watched = InputQueue(), list[object](), Watched()
    queue._changed = watched
    queue.offer(Tick())
    gathering = Gathering(pause_secs=60, pauses_max=1)
    taker = threading.Thread(target=lambda: taken.extend(queue.take(3, 60, gathering)))
    taker.start()
    assert watched.is_waited_for.wait(30)
    return queue, taker, taken


def test_who_gathers_gets_what_comes_meanwhile_and_no_later_than_there_is_enough() -> None:
    queue, taker, taken = gathering_one()
    queue.offer(said(MEMBER, 1))
    queue.offer(said(MEMBER, 2))
    taker.join(30)
    assert taken == [Tick(), said(MEMBER, 1), said(MEMBER, 2)]


def test_who_gathers_is_woken_as_anybody() -> None:
    queue, taker, taken = gathering_one()
    queue.wake()
    taker.join(30)
    assert taken == [Tick()]


def test_who_was_woken_gathers_nothing() -> None:
    queue = InputQueue()
    queue._changed = watched = Watched(lambda: None)
    queue.offer(Tick())
    queue.wake()
    assert queue.take(3, 0, Gathering(pause_secs=60, pauses_max=4)) == [Tick()]
    assert watched.waits == 0


def test_who_gathers_goes_on_when_nothing_more_comes() -> None:
    queue = InputQueue()
    queue._changed = watched = Watched(lambda: None)
    queue.offer(Tick())
    assert queue.take(3, 0, Gathering(pause_secs=60, pauses_max=4)) == [Tick()]
    assert watched.waits == 1


def test_gathering_has_an_end_while_more_comes_and_comes() -> None:
    queue = InputQueue()
    queue._changed = Watched(lambda: queue.offer(Tick()))
    queue.offer(Tick())
    assert len(queue.take(100, 0, Gathering(pause_secs=60, pauses_max=4))) == 1 + 4


def test_after_gathering_the_first_input_is_told_of_again() -> None:
    queue, taken = InputQueue(), list[object]()
    queue.offer(Tick())
    queue._changed = Watched(lambda: None)
    queue.take(3, 0, Gathering(pause_secs=60, pauses_max=1))
    queue._changed = watched = Watched()
    taker = threading.Thread(target=lambda: taken.extend(queue.take(3, 60)))
    taker.start()
    assert watched.is_waited_for.wait(30)
    queue.offer(said(MEMBER))
    taker.join(30)
    assert taken == [said(MEMBER)]


def test_only_a_busy_writer_keeps_anybody_waiting() -> None:
    assert gathering_after(1) is None
    assert gathering_after(GATHERING_FROM) == GATHERING
    assert GATHERING.pause_secs * GATHERING.pauses_max <= 0.02, "callers wait for it"
