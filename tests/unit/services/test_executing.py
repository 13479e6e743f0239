"""An accepted job until its receipt: whoever cancels, leaves or dies, nothing runs that nobody waits for."""

import pytest

from icn.domain.mesh.events import JobRolledBack, ReceiptIssued
from icn.domain.mesh.execution import ExecutionRequest, ExitKind
from icn.domain.mesh.papers import open_receipt
from icn.kernel.instant import Instant
from icn.protocol.messages import Acknowledged, ExecutionCancelled, JobAnnounced
from icn.services.commands import Cancel
from icn.services.effects import ExecutionPhase, PhaseEnded, Send, StopJob
from icn.services.inputs import Executed, Received, Tick
from icn.stores.kv import StoreUnavailable
from support import builders
from support.executor import EXECUTOR, LIMITS, announce, assign, executor, heard, said, tell, wait
from support.world import World, terms

LONG = builders.limits(wall_ms=600_000)


def cancel(world: World, message: JobAnnounced, home: str = "a") -> None:
    tell(world, Received(world[home].did, ExecutionCancelled(901, message.job, message.attempt)))


def running(world: World) -> list[ExecutionRequest]:
    return world[EXECUTOR].runs


def stopped(world: World) -> list[StopJob]:
    return [effect for name, effect in world.trace if name == EXECUTOR and isinstance(effect, StopJob)]


def issued(world: World) -> list[tuple[ExitKind, str]]:
    receipts = [open_receipt(event.receipt) for event in world[EXECUTOR].happened(ReceiptIssued)]
    return [(receipt.exit, receipt.detail) for receipt in receipts]


def end(world: World, kind: ExitKind) -> None:
    asked = running(world)[-1]
    tell(world, Executed(asked, builders.outcome(asked, kind, "as the sandbox says")))


def places_in_use(world: World) -> int:
    return len(world[EXECUTOR].engine.executor.capacity.in_use)


def restart(world: World) -> None:
    world.restart(EXECUTOR)
    running(world).clear()
    tell(world, Tick())


def test_a_cancellation_stops_the_guest_and_its_place_is_free_when_it_has_ended() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    cancel(world, message)
    assert stopped(world) == [StopJob(message.job, 1)]
    assert places_in_use(world) == 1
    end(world, ExitKind.CANCELLED)
    assert issued(world) == [(ExitKind.CANCELLED, "cancelled by its home")]
    assert places_in_use(world) == 0
    assert not world[EXECUTOR].engine.executor._cancelled.has(world["a"].did, message.job, 1)


def test_a_cancellation_is_acknowledged_with_the_commit_that_remembers_it() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    world.trace.clear()
    cancel(world, message)
    sent = [e.message for name, e in world.trace if name == EXECUTOR and isinstance(e, Send)]
    assert Acknowledged(901) in sent
    assert world[EXECUTOR].engine.executor._cancelled.has(world["a"].did, message.job, 1)


def test_an_assignment_that_comes_after_its_cancellation_never_runs() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    cancel(world, message)
    said(world)
    assign(world, "a", message)
    assert heard(world) == [("a", "it was cancelled before it came")]
    assert running(world) == []


def test_nor_does_it_after_a_restart() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    cancel(world, message)
    restart(world)
    world.link("a", EXECUTOR)
    world.settle()
    said(world)
    assign(world, "a", message)
    assert running(world) == []
    assert heard(world) == [("a", "it was cancelled before it came")]


def test_what_was_cancelled_while_it_ran_does_not_run_again_after_a_restart() -> None:
    """Its cancellation had been acknowledged, and nothing of it was durable."""
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    cancel(world, message)
    restart(world)
    assert running(world) == []
    assert issued(world) == [(ExitKind.CANCELLED, "cancelled by its home")]
    assert places_in_use(world) == 0


def test_what_was_not_cancelled_does() -> None:
    world = executor("a")
    assign(world, "a", announce(world, "a", "one"))
    restart(world)
    assert len(running(world)) == 1


def test_nobody_cancels_the_job_of_another_home() -> None:
    world = executor("a", "b")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    cancel(world, message, home="b")
    assert stopped(world) == []
    restart(world)
    assert len(running(world)) == 1


def test_a_cancellation_frees_what_the_bid_had_promised() -> None:
    world = executor("a", "b")
    message = announce(world, "a", "one")
    announce(world, "b", "two")
    said(world)
    cancel(world, message)
    assert heard(world) == [("b", "offers for 1")]


def test_a_cancellation_after_the_receipt_changes_nothing() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    end(world, ExitKind.COMPLETED)
    cancel(world, message)
    assert [kind for kind, _ in issued(world)] == [ExitKind.COMPLETED]
    assert not world[EXECUTOR].engine.executor._cancelled.has(world["a"].did, message.job, 1)


def test_a_guest_that_ended_before_it_could_be_stopped_has_its_receipt() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    cancel(world, message)
    end(world, ExitKind.COMPLETED)
    assert issued(world) == [(ExitKind.COMPLETED, "as the sandbox says")]


def test_a_home_that_is_gone_for_long_has_its_jobs_stopped() -> None:
    """A provider kept working elsewhere though the payer was gone."""
    world = executor("a")
    assign(world, "a", announce(world, "a", "one", limits=LONG, within=3_000_000))
    world.cut("a", EXECUTOR)
    world.settle()
    absence = world[EXECUTOR].terms.home_absence
    tell(world, Tick())
    wait(world, absence - 1)
    assert stopped(world) == []
    wait(world, 1)
    assert len(stopped(world)) == 1
    wait(world, 1)
    wait(world, absence)
    assert len(stopped(world)) == 1
    end(world, ExitKind.CANCELLED)
    assert issued(world) == [(ExitKind.CANCELLED, "its home was gone for 300 s")]


def test_a_home_that_comes_back_in_time_has_its_job_done() -> None:
    world = executor("a")
    assign(world, "a", announce(world, "a", "one", limits=LONG, within=3_000_000))
    absence = world[EXECUTOR].terms.home_absence
    world.cut("a", EXECUTOR)
    world.settle()
    wait(world, absence - 1)
    world.link("a", EXECUTOR)
    world.settle()
    wait(world, 1)
    world.cut("a", EXECUTOR)
    world.settle()
    wait(world, absence - 1)
    assert stopped(world) == []
    assert len(running(world)) == 1  # and neither was a second copy begun


def test_the_engine_asks_to_be_woken_when_the_home_has_been_gone_for_long() -> None:
    world = executor("a")
    assign(world, "a", announce(world, "a", "one", limits=LONG, within=3_000_000))
    world.cut("a", EXECUTOR)
    world.settle()
    tell(world, Tick())
    engine = world[EXECUTOR].engine
    due = Instant(world.clock.time + world[EXECUTOR].terms.home_absence)
    assert engine.executor.wake_at(engine.state.mesh.executions) == due


def three() -> World:
    """A home, an executor and somebody who brings blocks from the one to the other."""
    world = World()
    world.add("a", terms(capacity=0))
    world.add(EXECUTOR, terms(capacity=2), run=lambda _: None)
    world.add("c", terms(capacity=0))
    world.found("a", founders=(EXECUTOR, "c"))
    world.link_all()
    world.pass_time(2_000)
    return world


def test_a_job_that_its_home_rolled_back_is_stopped_though_the_home_cannot_say_so() -> None:
    world = three()
    job = world.submit("a", world.spec(limits=LIMITS))
    world.pass_time(200)
    assert len(running(world)) == 1
    world.cut("a", EXECUTOR)
    world.settle()
    world.do("a", Cancel(job))
    assert world["a"].happened(JobRolledBack)
    world.pass_time(1_000)
    assert stopped(world) == [StopJob(job, 1)]


def test_a_job_that_ended_while_its_executor_was_down_is_not_begun_again() -> None:
    world = three()
    job = world.submit("a", world.spec(limits=LIMITS))
    world.pass_time(200)
    world.isolate(EXECUTOR)
    world.settle()
    world.do("a", Cancel(job))
    world.restart(EXECUTOR)
    running(world).clear()
    world.pass_time(200)
    assert len(running(world)) == 1  # it knows of nothing
    world.link("c", EXECUTOR)
    world.pass_time(2_000)
    world.trace.clear()
    assert issued(world) == []
    world.restart(EXECUTOR)
    running(world).clear()
    world.pass_time(200)
    assert running(world) == []
    assert issued(world) == [(ExitKind.CANCELLED, "its home has given up the attempt")]


def test_a_reconnecting_home_neither_starts_nor_ends_a_second_copy() -> None:
    """A reconnecting node elsewhere started a second copy, and killed it."""
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    assigned = next(e for e in [running(world)[0]])
    for _ in range(3):
        world.cut("a", EXECUTOR)
        world.settle()
        world.link("a", EXECUTOR)
        world.settle()
        assign(world, "a", message)
    assert running(world) == [assigned]
    assert stopped(world) == []


def test_a_fault_of_the_store_starts_no_second_copy() -> None:
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    cancel(world, message)
    world[EXECUTOR].store.fail_next = 1
    with pytest.raises(StoreUnavailable):
        cancel(world, JobAnnounced(builders.job_id(world["a"].did, "another"), 1, 0, message.spec))
    world.trace.clear()
    tell(world, Tick())
    assert len(running(world)) == 1
    assert stopped(world)[:1] == [StopJob(message.job, 1)]


def test_a_guest_that_had_ended_when_it_was_begun_again_after_a_fault_leaves_none_that_runs_for_nobody() -> None:
    """Its outcome was on its way to the engine, so that nothing showed that it lived no more."""
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    world[EXECUTOR].store.fail_next = 1
    with pytest.raises(StoreUnavailable):
        cancel(world, JobAnnounced(builders.job_id(world["a"].did, "another"), 1, 0, message.spec))
    tell(world, Tick())
    assert len(running(world)) == 2
    assert stopped(world) == []
    end(world, ExitKind.COMPLETED)
    assert stopped(world) == [StopJob(message.job, 1)]
    assert places_in_use(world) == 0


def test_a_guest_whose_outcome_comes_with_the_batch_after_a_fault_is_not_begun_again() -> None:
    """Its execution is taken up in that batch, before the outcome is read."""
    world = executor("a")
    assign(world, "a", announce(world, "a", "one"))
    asked = list(running(world))
    world[EXECUTOR].store.fail_next = 1
    with pytest.raises(StoreUnavailable):
        cancel(world, JobAnnounced(builders.job_id(world["a"].did, "another"), 1, 0, world.spec()))
    end(world, ExitKind.COMPLETED)
    assert running(world) == asked
    assert stopped(world) == []
    assert [kind for kind, _ in issued(world)] == [ExitKind.COMPLETED]
    assert places_in_use(world) == 0


def test_a_guest_whose_deadline_passed_during_a_fault_of_the_store_is_stopped() -> None:
    """It was answered and its place was given away while it went on."""
    world = executor("a")
    message = announce(world, "a", "one")
    assign(world, "a", message)
    world[EXECUTOR].store.fail_next = 1
    with pytest.raises(StoreUnavailable):
        cancel(world, JobAnnounced(builders.job_id(world["a"].did, "another"), 1, 0, message.spec))
    wait(world, 20_000)
    assert stopped(world) == [StopJob(message.job, 1)]
    assert places_in_use(world) == 0


def test_how_long_fetching_and_running_took_is_told() -> None:
    world = executor("a")
    assign(world, "a", announce(world, "a", "one"))
    wait(world, 250)
    end(world, ExitKind.COMPLETED)
    told = [effect for _, effect in world.trace if isinstance(effect, PhaseEnded)]
    assert [(effect.phase, effect.took) for effect in told] == [
        (ExecutionPhase.WAIT, 0),
        (ExecutionPhase.FETCH, 0),
        (ExecutionPhase.RUN, 250),
    ]
