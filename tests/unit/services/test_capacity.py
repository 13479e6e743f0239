"""Places and memory: what is promised is not promised again, and nothing stays promised for ever."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from icn.kernel.instant import Duration, Instant, later
from icn.services.capacity import BidKey, Capacity, Reservation
from support import builders

NOW = builders.START
HOME, OTHER, US = builders.did(1), builders.did(2), builders.did(3)


def key(home: int = 1, name: str = "job", attempt: int = 1) -> BidKey:
    return builders.did(home), builders.job_id(builders.did(home), name), attempt


def promise(memory: int = 10, span: int = 100) -> Reservation:
    return Reservation(NOW, later(NOW, Duration(span)), memory)


def test_two_bids_never_promise_the_same_place() -> None:
    capacity = Capacity(places=1, memory_bytes=1000)
    capacity.reserve(key(), promise(), NOW)
    assert not capacity.fits(1, NOW)


def test_two_bids_never_promise_the_same_memory() -> None:
    capacity = Capacity(places=9, memory_bytes=100)
    capacity.reserve(key(), promise(memory=60), NOW)
    assert not capacity.fits(41, NOW)
    assert capacity.fits(40, NOW)


def test_what_is_in_use_counts_as_what_is_promised() -> None:
    capacity = Capacity(places=2, memory_bytes=100)
    capacity.begin((US, *key()[1:]), 60)
    assert not capacity.fits(41, NOW)
    capacity.reserve(key(name="another"), promise(memory=40), NOW)
    assert not capacity.fits(0, NOW)


def test_an_expired_promise_does_not_count_before_anybody_cleared_it_away() -> None:
    capacity = Capacity(places=1, memory_bytes=100)
    capacity.reserve(key(), promise(memory=100, span=100), NOW)
    expiry = later(NOW, Duration(100))
    assert not capacity.fits(1, later(NOW, Duration(99)))
    assert capacity.fits(100, expiry)
    assert capacity.take_up(key(), expiry) is None


def test_a_promise_is_called_in_once() -> None:
    capacity = Capacity(places=1, memory_bytes=100)
    capacity.reserve(key(), promise(), NOW)
    assert capacity.take_up(key(), NOW) == promise()
    assert capacity.take_up(key(), NOW) is None


def test_a_promise_is_renewed_while_it_holds_and_whatever_is_left() -> None:
    capacity = Capacity(places=1, memory_bytes=100)
    capacity.reserve(key(), promise(span=100), NOW)
    capacity.places = 0
    until = later(NOW, Duration(500))
    assert capacity.renew(key(), until, later(NOW, Duration(99)))
    assert capacity.take_up(key(), later(NOW, Duration(499))) is not None
    assert not capacity.renew(key(), until, NOW)


def test_a_promise_that_has_expired_is_not_renewed() -> None:
    capacity = Capacity(places=1, memory_bytes=100)
    capacity.reserve(key(), promise(span=100), NOW)
    assert not capacity.renew(key(), later(NOW, Duration(500)), later(NOW, Duration(100)))


def test_nobody_takes_up_the_promise_made_to_another_home() -> None:
    capacity = Capacity(places=1, memory_bytes=100)
    capacity.reserve(key(), promise(), NOW)
    assert capacity.take_up((OTHER, *key()[1:]), NOW) is None


def test_what_was_promised_to_a_home_that_is_gone_is_free() -> None:
    capacity = Capacity(places=2, memory_bytes=100)
    capacity.reserve(key(home=1), promise(), NOW)
    capacity.reserve(key(home=2), promise(), NOW)
    capacity.release_home(HOME)
    assert list(capacity.reserved) == [key(home=2)]


def test_fewer_places_than_are_taken_promise_nothing_and_end_nothing() -> None:
    capacity = Capacity(places=3, memory_bytes=100)
    for number in range(3):
        capacity.begin((US, *key(name=str(number))[1:]), 1)
    capacity.places = 1
    capacity.end((US, *key(name="0")[1:]))
    assert not capacity.fits(1, NOW)
    assert len(capacity.in_use) == 2


class Interleavings(RuleBasedStateMachine):
    """Announcements, assignments, ends, expiries, departures and crashes in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity = Capacity(places=3, memory_bytes=100)
        self.now = NOW
        self.made = 0
        self.running: list[tuple[BidKey, int]] = []

    @rule(home=st.integers(1, 3), memory=st.integers(1, 100), span=st.integers(0, 50))
    def announce(self, home: int, memory: int, span: int) -> None:
        self.made += 1
        if self.capacity.fits(memory, self.now):
            until = later(self.now, Duration(span))
            self.capacity.reserve(key(home, str(self.made)), Reservation(self.now, until, memory), self.now)

    @precondition(lambda self: self.capacity.reserved)
    @rule(data=st.data())
    def assign(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(list(self.capacity.reserved)))
        due = self.capacity.reserved[chosen].until > self.now
        promised = self.capacity.take_up(chosen, self.now)
        assert (promised is not None) == due, "an assignment within its reservation always has a place"
        if promised is not None:
            self.running.append((chosen, promised.memory_bytes))
            self.capacity.begin((US, *chosen[1:]), promised.memory_bytes)

    @rule(memory=st.integers(1, 100))
    def assign_without_a_bid(self, memory: int) -> None:
        self.made += 1
        if self.capacity.fits(memory, self.now):
            self.running.append((key(1, str(self.made)), memory))
            self.capacity.begin((US, *key(1, str(self.made))[1:]), memory)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.running))
        self.running.remove(chosen)
        self.capacity.end((US, *chosen[0][1:]))

    @rule(span=st.integers(0, 60), clears=st.booleans())
    def time_passes(self, span: int, clears: bool) -> None:
        self.now = Instant(self.now + span)
        if clears:
            self.capacity.expire(self.now)

    @precondition(lambda self: self.capacity.reserved)
    @rule(data=st.data(), span=st.integers(0, 50))
    def renew(self, data: st.DataObject, span: int) -> None:
        chosen = data.draw(st.sampled_from(list(self.capacity.reserved)))
        self.capacity.renew(chosen, later(self.now, Duration(span)), self.now)

    @precondition(lambda self: self.capacity.reserved)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.capacity.release(data.draw(st.sampled_from(list(self.capacity.reserved))))

    @rule(home=st.integers(1, 3))
    def home_goes(self, home: int) -> None:
        self.capacity.release_home(builders.did(home))

    @rule()
    def crash(self) -> None:
        self.capacity.clear()
        for each, memory in self.running:
            self.capacity.begin((US, *each[1:]), memory)

    @invariant()
    def never_over_capacity(self) -> None:
        assert self.capacity.usage(self.now).is_within

    @invariant()
    def sums_are_those_of_what_is_there(self) -> None:
        for span in (0, 25):
            at = later(self.now, Duration(span))
            promised = [one for one in self.capacity.reserved.values() if one.until > at]
            usage = self.capacity.usage(at)
            assert (usage.reserved, usage.memory_reserved) == (len(promised), sum(p.memory_bytes for p in promised))

    @invariant()
    def nothing_is_taken_for_ever(self) -> None:
        usage = self.capacity.usage(later(self.now, Duration(50)))
        assert usage.reserved == 0
        assert (usage.in_use, usage.memory_in_use) == (len(self.running), sum(m for _, m in self.running))


Interleavings.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestInterleavings = Interleavings.TestCase
