"""Nothing leaves before the mark it needs, in order, and the writer goes on meanwhile, within a bound."""

import threading

import pytest

from icn.kernel.signing import SeedSigner
from icn.node.departures import BATCHES_WAITING_MAX, Departures, MayLeave
from icn.services.effects import Disconnect
from icn.services.ports import HeadMark, HeadMarkFailed

DID = SeedSigner(b"1" * 32).did
WAIT_SECS_MAX = 10.0


class Gate:
    """A marker that writes when it is told to."""

    def __init__(self) -> None:
        self.marks: list[int] = []
        self.may_write = threading.Event()
        self.asked = threading.Semaphore(0)
        self.fault: HeadMarkFailed | None = None

    def read(self) -> tuple[HeadMark, ...]:
        return ()

    def write(self, mark: HeadMark) -> None:
        self.asked.release()
        assert self.may_write.wait(WAIT_SECS_MAX)
        if self.fault is not None:
            raise self.fault
        self.marks.append(mark.count)


def mark(count: int) -> HeadMark:
    return HeadMark(DID, None, count, None)


def batch(number: int) -> MayLeave:
    return MayLeave([Disconnect(DID, str(number))])


def made(gate: Gate) -> tuple[Departures, list[str]]:
    left: list[str] = []
    return Departures(gate, lambda leaving: left.extend(e.reason for e in leaving.effects)), left


def test_what_needs_no_mark_leaves_at_once() -> None:
    departures, left = made(Gate())
    departures.put(None, batch(1))
    assert left == ["1"]
    departures.close()


def test_nothing_leaves_before_the_mark_and_what_comes_later_waits_its_turn() -> None:
    gate = Gate()
    departures, left = made(gate)
    departures.put(mark(1), batch(1))
    assert gate.asked.acquire(timeout=WAIT_SECS_MAX)
    departures.put(None, batch(2))
    departures.put(mark(3), batch(3))
    departures.put(mark(4), batch(4))
    assert (left, gate.marks) == ([], [])
    gate.may_write.set()
    departures.drain()
    assert left == ["1", "2", "3", "4"]
    assert gate.marks == [1, 4], "one write serves all that waited"
    departures.close()


def test_the_end_lets_what_waits_go() -> None:
    gate = Gate()
    departures, left = made(gate)
    for number in range(5):
        departures.put(mark(number), batch(number))
    gate.may_write.set()
    departures.close()
    assert left == ["0", "1", "2", "3", "4"]


def test_where_the_mark_fails_nothing_leaves_and_the_writer_hears_of_it() -> None:
    gate = Gate()
    gate.fault = HeadMarkFailed("the disk is gone")
    departures, left = made(gate)
    departures.put(mark(1), batch(1))
    gate.may_write.set()
    with pytest.raises(HeadMarkFailed):
        departures.drain()
    with pytest.raises(HeadMarkFailed):
        departures.put(None, batch(2))
    departures.close()
    assert left == []


def test_a_writer_far_ahead_of_the_disk_waits() -> None:
    gate = Gate()
    departures, left = made(gate)
    departures.put(mark(0), batch(0))
    assert gate.asked.acquire(timeout=WAIT_SECS_MAX)
    for number in range(BATCHES_WAITING_MAX):
        departures.put(mark(number), batch(number))
    one_more = threading.Thread(target=departures.put, args=(mark(99), batch(99)))
    one_more.start()
    assert len(departures._waiting) == BATCHES_WAITING_MAX
    assert one_more.is_alive()
    gate.may_write.set()
    one_more.join(WAIT_SECS_MAX)
    departures.drain()
    assert len(left) == BATCHES_WAITING_MAX + 2
    departures.close()
