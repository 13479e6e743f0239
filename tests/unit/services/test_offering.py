"""What an executor answers to announcements, and how long it keeps its word."""

from dataclasses import replace

import pytest

from icn.domain.mesh.events import JobCompleted
from icn.kernel.ids import Did
from icn.kernel.instant import Duration
from icn.kernel.limits import MIB
from icn.kernel.mana import Mana
from icn.protocol.messages import JobAnnounced, ReceiptSent
from icn.services.effects import BidOutcome, ExecutionPhase, PhaseEnded
from icn.services.inputs import Conditions, Executed, Received, Strain, Tick
from icn.services.offering import RESERVATION_GRACE, RESERVED_WINDOW_MAX
from icn.services.waiting import WAITING_PER_HOME_MAX
from support import builders
from support.executor import EXECUTOR, LIMITS, WINDOW, announce, assign, executor, heard, outcomes, said, tell, wait
from support.world import World, terms


def test_one_place_is_offered_once_and_the_next_is_told_to_wait() -> None:
    world = executor("a", "b")
    announce(world, "a", "one")
    announce(world, "b", "two")
    assert outcomes(world) == [BidOutcome.OFFERED, BidOutcome.BUSY]
    assert heard(world) == [("a", "offers for 1"), ("b", "busy")]


def test_memory_is_offered_once_though_places_are_free() -> None:
    world = executor("a", "b", capacity=8, memory=15 * MIB)
    announce(world, "a", "one")
    announce(world, "b", "two")
    assert heard(world) == [("a", "offers for 1"), ("b", "busy")]


def test_a_job_that_needs_more_memory_than_there_is_is_told_so_and_does_not_wait() -> None:
    world = executor("a", memory=5 * MIB)
    announce(world, "a", "one")
    assert outcomes(world) == [BidOutcome.MEMORY]
    assert heard(world) == [("a", "its limit of memory is 10 MiB, and all jobs here share 5")]
    assert len(world[EXECUTOR].engine.executor.offering.waiting) == 0


def test_who_offers_too_little_is_told_the_price() -> None:
    world = executor("a")
    announce(world, "a", "one", limits=builders.limits(fuel=12_000_000), max_price=Mana(11))
    assert outcomes(world) == [BidOutcome.PRICE]
    assert heard(world) == [("a", "the price here is 12")]


def test_who_waits_gets_an_offer_when_the_promise_expires() -> None:
    """An expired reservation was still counted elsewhere."""
    world = executor("a", "b")
    announce(world, "a", "one")
    announce(world, "b", "two")
    said(world)
    wait(world, WINDOW + RESERVATION_GRACE - 1)
    assert heard(world) == []
    wait(world, 1)
    assert heard(world) == [("b", "offers for 1")]


def test_who_waits_gets_an_offer_when_an_execution_ends() -> None:
    world = executor("a", "b")
    assign(world, "a", announce(world, "a", "one"))
    announce(world, "b", "two")
    said(world)
    running = world[EXECUTOR].runs[0]
    tell(world, Executed(running, builders.outcome(running)))
    assert heard(world) == [("b", "offers for 1")]


def test_an_assignment_within_its_reservation_always_has_a_place_at_the_price_of_the_bid() -> None:
    world = executor("a", "b")
    announced = announce(world, "a", "one")
    announce(world, "b", "two")
    said(world)
    wait(world, WINDOW + RESERVATION_GRACE - 1)
    assign(world, "a", announced)
    assert heard(world) == [("a", "begins")]


def test_what_was_promised_is_kept_though_there_is_less_now() -> None:
    world = executor("a")
    announced = announce(world, "a", "one")
    world[EXECUTOR].engine.executor.capacity.places = 0
    assign(world, "a", announced)
    assert heard(world) == [("a", "offers for 1"), ("a", "begins")]


def test_an_assignment_of_more_than_was_promised_takes_nobodys_memory() -> None:
    world = executor("a", "b", capacity=2, memory=20 * MIB)
    announced = announce(world, "a", "one")
    announce(world, "b", "two")
    said(world)
    larger = replace(announced, spec=replace(announced.spec, limits=builders.limits(memory_bytes=11 * MIB)))
    assign(world, "a", larger)
    assert heard(world) == [("a", "no place is free")]


def test_an_assignment_that_comes_after_its_reservation_takes_nobodys_place() -> None:
    world = executor("a", "b")
    announced = announce(world, "a", "one")
    announce(world, "b", "two")
    wait(world, WINDOW + RESERVATION_GRACE)
    said(world)
    assign(world, "a", announced)
    assert heard(world) == [("a", "no place is free")]


def test_an_assignment_before_its_announcement_is_taken_when_there_is_room() -> None:
    """Acceptance arrives before its announcement was processed."""
    world = executor("a")
    early = JobAnnounced(builders.job_id(world["a"].did, "one"), 1, WINDOW, world.spec(limits=LIMITS))
    assign(world, "a", early)
    assert heard(world) == [("a", "begins")]
    tell(world, Received(world["a"].did, early))
    usage = world[EXECUTOR].engine.executor.capacity.usage(world.clock.time)
    assert (usage.in_use, usage.reserved) == (1, 0)
    assert heard(world) == []


def test_an_announcement_that_comes_again_gets_the_same_offer_and_no_second_place() -> None:
    world = executor("a", capacity=2)
    message = announce(world, "a", "one")
    tell(world, Received(world["a"].did, message))
    assert heard(world) == [("a", "offers for 1")] * 2
    assert len(world[EXECUTOR].engine.executor.capacity.reserved) == 1


def test_an_offer_is_made_again_though_there_is_less_to_offer_now() -> None:
    world = executor("a", capacity=2)
    message = announce(world, "a", "one")
    tell(world, Conditions(places=0, strain=Strain.MEMORY))
    wait(world, WINDOW)
    tell(world, Received(world["a"].did, message))
    assert heard(world) == [("a", "offers for 1")] * 2
    wait(world, WINDOW + RESERVATION_GRACE - 1)
    assign(world, "a", message)
    assert heard(world) == [("a", "begins")]


def test_a_later_attempt_frees_what_the_earlier_one_kept() -> None:
    world = executor("a")
    announce(world, "a", "one")
    announce(world, "a", "one", attempt=2)
    assert heard(world) == [("a", "offers for 1")] * 2
    assert [key[2] for key in world[EXECUTOR].engine.executor.capacity.reserved] == [2]


def test_a_home_that_says_an_endless_window_keeps_a_place_for_a_minute() -> None:
    world = executor("a")
    job = builders.job_id(world["a"].did, "one")
    tell(world, Received(world["a"].did, JobAnnounced(job, 1, 2**50, world.spec(limits=LIMITS))))
    wait(world, RESERVED_WINDOW_MAX + RESERVATION_GRACE)
    assert not world[EXECUTOR].engine.executor.capacity.reserved


def test_nobody_keeps_a_place_for_the_job_of_another_home() -> None:
    world = executor("a", "b", capacity=2)
    message = announce(world, "a", "one")
    tell(world, Received(world["b"].did, message))
    assert [home for home, _ in said(world)] == ["a", "b"]


def test_what_was_promised_to_who_is_gone_is_offered_to_who_waits() -> None:
    world = executor("a", "b")
    announce(world, "a", "one")
    announce(world, "b", "two")
    said(world)
    world.cut("a", EXECUTOR)
    world.settle()
    assert heard(world) == [("b", "offers for 1")]


def test_homes_take_turns_and_one_cannot_fill_the_list() -> None:
    world = executor("a", "b")
    announce(world, "a", "running")
    for number in range(WAITING_PER_HOME_MAX):
        announce(world, "a", str(number))
    said(world)
    announce(world, "a", "one too many")
    announce(world, "b", "two")
    assert heard(world) == [("a", "busy, and as many wait already as may"), ("b", "busy")]
    wait(world, WINDOW + RESERVATION_GRACE)
    assert [home for home, _ in said(world)] == ["a"]
    wait(world, WINDOW + RESERVATION_GRACE)
    assert [home for home, _ in said(world)] == ["b"]


def test_room_to_wait_is_made_by_what_waits_in_vain() -> None:
    world = executor("a")
    announce(world, "a", "running")
    announce(world, "a", "first of those who wait")
    for number in range(WAITING_PER_HOME_MAX - 1):
        announce(world, "a", str(number), within=1_000)
    said(world)
    wait(world, 1_000)
    announce(world, "a", "late")
    assert heard(world) == [("a", "busy")]


def test_after_a_restart_executions_under_way_still_take_their_places() -> None:
    world = executor("a", capacity=1)
    assign(world, "a", announce(world, "a", "one"))
    world.restart(EXECUTOR)
    tell(world, Tick())
    usage = world[EXECUTOR].engine.executor.capacity.usage(world.clock.time)
    assert (usage.in_use, usage.memory_in_use) == (1, 10 * MIB)


def test_a_stranger_gets_no_answer() -> None:
    world = executor("a")
    stranger: Did = builders.did(99)
    message = JobAnnounced(builders.job_id(stranger), 1, WINDOW, world.spec())
    tell(world, Received(stranger, message))
    assert heard(world) == []


@pytest.mark.parametrize("strain", Strain)
def test_a_node_that_is_short_of_something_declines_and_lets_nobody_wait(strain: Strain) -> None:
    world = executor("a")
    tell(world, Conditions(places=1, strain=strain))
    announce(world, "a", "one")
    assert outcomes(world) == [BidOutcome.STRAINED]
    ((home, reason),) = heard(world)
    assert (home, reason.split(":")[0]) == ("a", "this node takes no jobs at present")
    tell(world, Conditions(places=1, strain=None))
    assert heard(world) == []
    announce(world, "a", "two")
    assert heard(world) == [("a", "offers for 1")]


def test_who_waited_before_is_offered_nothing_until_there_is_enough_again() -> None:
    world = executor("a", "b")
    announce(world, "a", "one")
    announce(world, "b", "two")
    said(world)
    tell(world, Conditions(places=1, strain=Strain.DISK))
    wait(world, WINDOW + RESERVATION_GRACE)
    assert heard(world) == []
    tell(world, Conditions(places=1, strain=None))
    assert heard(world) == [("b", "offers for 1")]


def test_a_strained_node_keeps_what_it_promised() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    tell(world, Conditions(places=1, strain=Strain.MEMORY))
    assign(world, "a", message)
    assert heard(world)[-1] == ("a", "begins")


def test_no_more_is_offered_than_the_backend_can_run_nor_than_is_configured() -> None:
    world = executor("a", capacity=2)
    tell(world, Conditions(places=1, strain=None))
    announce(world, "a", "one")
    announce(world, "a", "two")
    assert outcomes(world) == [BidOutcome.OFFERED, BidOutcome.BUSY]
    tell(world, Conditions(places=99, strain=None))
    announce(world, "a", "three")
    assert world[EXECUTOR].engine.executor.capacity.places == 2
    assert outcomes(world)[2:] == [BidOutcome.OFFERED, BidOutcome.BUSY]


def owe(world: World, home: str, count: int) -> None:
    """That many completed jobs whose receipts the home never records."""
    for number in range(count):
        assign(world, home, announce(world, home, f"owed {number}"))
        asked = world[EXECUTOR].runs[-1]
        tell(world, Executed(asked, builders.outcome(asked)))
    world.trace.clear()


def test_a_home_that_does_not_settle_gets_no_bids() -> None:
    world = executor("a", "b")
    owe(world, "a", 11)
    patience = world[EXECUTOR].terms.executor.unsettled_after
    wait(world, patience + 20_000 - 1)
    announce(world, "a", "before", within=patience * 2)
    wait(world, WINDOW + RESERVATION_GRACE)
    said(world)
    announce(world, "a", "after", within=patience * 2)
    announce(world, "b", "another", within=patience * 2)
    assert outcomes(world) == [BidOutcome.UNPAID, BidOutcome.OFFERED]
    assert heard(world) == [("a", "11 receipts of this node are overdue at that home"), ("b", "offers for 1")]


def test_nor_is_it_worked_for_when_it_asks_for_no_bid() -> None:
    world = executor("a")
    owe(world, "a", 11)
    patience = world[EXECUTOR].terms.executor.unsettled_after
    wait(world, patience + 20_000)
    assign(world, "a", not_announced(world, "a", patience * 2))
    assert heard(world) == [("a", "11 receipts of this node are overdue at that home")]


def test_a_node_that_is_short_of_something_takes_no_assignment_for_which_it_made_no_offer() -> None:
    world = executor("a")
    tell(world, Conditions(places=1, strain=Strain.DISK))
    assign(world, "a", not_announced(world, "a", 60_000))
    assert heard(world) == [("a", "this node takes no jobs at present: it is short of disk space")]


def not_announced(world: World, home: str, within: int) -> JobAnnounced:
    return JobAnnounced(builders.job_id(world[home].did, "new"), 1, WINDOW, world.spec(within, limits=LIMITS))


def test_so_many_may_be_overdue() -> None:
    world = executor("a")
    owe(world, "a", 10)
    patience = world[EXECUTOR].terms.executor.unsettled_after
    wait(world, patience + 20_000)
    announce(world, "a", "after", within=patience * 2)
    assert outcomes(world) == [BidOutcome.OFFERED]


def test_a_home_that_settles_gets_bids_again() -> None:
    world = World()
    world.add("a", terms(capacity=0, attempts=1))
    impatient = terms()
    strict = replace(impatient.executor, unsettled_max=1, unsettled_after=Duration(0))
    world.add(EXECUTOR, replace(impatient, executor=strict))
    world.found("a", founders=(EXECUTOR,))
    world.link_all()
    world.pass_time(2_000)
    world.drop = lambda _from, _to, message: isinstance(message, ReceiptSent)
    for _ in range(2):
        world.submit("a")
    world.pass_time(10_000, step=500)
    world.restart(EXECUTOR)
    world.link("a", EXECUTOR)
    world.pass_time(500)
    job = world.submit("a", world.spec(within=120_000))
    world.pass_time(2_000, step=500)
    assert outcomes(world)[-1] is BidOutcome.UNPAID
    assert world[EXECUTOR].engine.executor.offering.unsettled.by_home
    world.drop = None
    world.pass_time(40_000, step=1_000)
    assert not world[EXECUTOR].engine.executor.offering.unsettled.by_home
    assert [event.job for event in world["a"].happened(JobCompleted)] == [job]
    assert ExecutionPhase.SETTLE in [e.phase for _, e in world.trace if isinstance(e, PhaseEnded)]


def test_how_long_somebody_waited_is_told() -> None:
    world = executor("a", "b")
    announce(world, "a", "one")
    announce(world, "b", "two")
    wait(world, WINDOW + RESERVATION_GRACE)
    waits = [Duration(0), Duration(WINDOW + RESERVATION_GRACE)]
    assert [e for _, e in world.trace if isinstance(e, PhaseEnded)] == [
        PhaseEnded(ExecutionPhase.WAIT, took) for took in waits
    ]
