"""Public failure stories of systems like ours, one test each, named after the story: here they end well.

Dialogues with the real engine; where the story is about guests, with the real sandbox.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.events import (
    AssignmentAccepted,
    AssignmentDeclined,
    AttemptFailed,
    ExecutionStarted,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    ReceiptIssued,
    ReceiptKept,
)
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Blame, Standing, Status
from icn.kernel.ids import JobId
from icn.kernel.instant import Duration
from icn.kernel.limits import FUEL_MAX
from icn.kernel.mana import Mana
from icn.protocol.messages import (
    Acknowledged,
    AssignmentSent,
    BidDeclined,
    BidOffered,
    Chunk,
    ExecutionBegun,
    ExecutionCancelled,
    JobAnnounced,
    Message,
    ReceiptSent,
)
from icn.services import rows
from icn.services.commands import Cancel
from icn.services.inputs import Executed
from icn.services.queries import jobs
from icn.services.queries.jobs import Cancellation
from support import builders
from support.wasm_guests import HOSTILE
from support.wasm_pool import LIMITS, Driver, pool
from support.world import Run, World, echo, terms

HOME = "a"


def never(_request: ExecutionRequest) -> ExecutionOutcome | None:
    return None


def loses(request: ExecutionRequest) -> ExecutionOutcome | None:
    return builders.outcome(request, ExitKind.WORKER_LOST, "the worker died")


def mesh(*executors: str, run: Run = echo, capacity: int = 4, attempts: int = 5, homes: tuple[str, ...] = ()) -> World:
    """A home without places of its own, perhaps more of them, and executors."""
    world = World()
    world.add(HOME, terms(capacity=0, attempts=attempts))
    for name in homes:
        world.add(name, terms(capacity=0, attempts=attempts))
    for name in executors:
        world.add(name, terms(capacity=capacity), run)
    world.found(HOME, founders=(*homes, *executors))
    world.link_all()
    world.pass_time(2_000)
    return world


def job_of(world: World, job: JobId, home: str = HOME) -> jobs.JobView:
    return jobs.job(world[home].store, job)


def ended(world: World, job: JobId, home: str = HOME) -> bool:
    return job_of(world, job, home).status.has_ended


def starts(world: World, name: str) -> list[tuple[JobId, int]]:
    """Executions that a node began, also before it was restarted."""
    events = [record.event for author, record in world[name].events if author == world[name].did]
    return [(event.job, event.attempt) for event in events if isinstance(event, AssignmentAccepted)]


def quiet(world: World) -> None:
    """At the end nothing is held, reserved or under way, and everybody agrees."""
    world.pass_time(15_000, step=500)
    for node in world.nodes.values():
        state = node.engine.state
        assert state == rows.load(node.store)
        assert (state.ledger.supply.held, state.ledger.supply.in_transit) == (0, 0)
        assert state.ledger.supply.is_balanced
        assert not state.mesh.jobs
        assert not state.mesh.executions
        assert not node.engine.outbox.waiting
    assert len(dict.fromkeys(world.roots())) == 1


def drop_first(*kinds: type[Message], times: int = 1) -> Callable[[str, str, Message], bool]:
    """Loses the first messages of these kinds on every way."""
    lost: dict[tuple[str, str, type[Message]], int] = {}

    def drop(sender: str, receiver: str, message: Message) -> bool:
        way = (sender, receiver, type(message))
        if not isinstance(message, kinds) or lost.get(way, 0) >= times:
            return False
        lost[way] = lost.get(way, 0) + 1
        return True

    return drop


def test_an_executor_is_not_stuck_in_bidding_with_its_capacity_reserved_for_ever() -> None:
    world = mesh("b", capacity=1, homes=("c",))
    world.drop = lambda _sender, receiver, message: isinstance(message, BidOffered) and receiver == HOME
    lost = world.submit(HOME, world.spec(within=8_000))  # its offer reserves the only place, and never arrives
    other = world.submit("c")
    world.pass_time(25_000, step=500)
    assert job_of(world, other, "c").status is Status.COMPLETED
    world.pass_time(10_000, step=500)
    assert job_of(world, lost).status is Status.FAILED
    quiet(world)


def test_two_bids_are_not_accepted_with_a_concurrency_of_one() -> None:
    world = mesh("b", capacity=1, homes=("c",), run=never)
    first, second = world.submit(HOME), world.submit("c")
    world.pass_time(3_000)
    assert len(world["b"].runs) == 1
    assert world["b"].engine.state.mesh.executions.keys() == {(world["b"].did, world["b"].runs[0].job, 1)}
    world["b"].run = echo
    world["b"].inbox.append(Executed(world["b"].runs[0], builders.outcome(world["b"].runs[0])))
    world.pass_time(20_000, step=500)
    assert job_of(world, first).status is job_of(world, second, "c").status is Status.COMPLETED
    quiet(world)


def test_a_rejected_bid_is_no_error() -> None:
    world = mesh("b", "c")
    world.submit(HOME)
    world.pass_time(3_000)
    (assigned,) = world[HOME].happened(JobAssigned)
    (loser,) = [n for n in ("b", "c") if world[n].did != assigned.assignees[0].executor]  # type: ignore[union-attr]  # a JobAssigned
    assert world[loser].disconnects == []
    assert not world[HOME].happened(AttemptFailed)
    assert (world[HOME].did, world[loser].did) not in world[HOME].engine.state.mesh.standings
    quiet(world)


def test_the_first_rejection_does_not_fail_the_whole_job() -> None:
    world = mesh("b", "c")
    refused: list[str] = []

    def lose_its_places(_sender: str, receiver: str, message: Message) -> bool:
        # Who was chosen first has lost its places, and what it had promised, when the assignment comes.
        if isinstance(message, AssignmentSent) and not refused:
            refused.append(receiver)
            capacity = world[receiver].engine.executor.capacity
            capacity.places = 0
            capacity.clear()
        return False

    world.drop = lose_its_places
    job = world.submit(HOME)
    world.pass_time(5_000)
    found = job_of(world, job)
    assert (found.status, found.attempt) == (Status.COMPLETED, 2)
    (failure,) = found.failures
    assert world.name_of(failure.executor) == refused[0]
    assert failure.reason.startswith("declined by its executor: ")
    assert len(world[HOME].happened(AssignmentDeclined)) == 1
    quiet(world)


LOSABLE = (
    JobAnnounced,
    BidOffered,
    BidDeclined,
    AssignmentSent,
    ExecutionBegun,
    ReceiptSent,
    Acknowledged,
    Chunk,
)


@pytest.mark.parametrize("kind", LOSABLE, ids=lambda kind: kind.__name__)
def test_a_lost_message_does_not_hang_the_job(kind: type[Message]) -> None:
    world = mesh("b", "c")
    for name in ("b", "c"):  # an output that is fetched, so that chunks travel
        world[name].run = lambda request: replace(builders.outcome(request), output=b"long" * 70_000)
    world.drop = drop_first(kind)
    job = world.submit(HOME, world.spec(within=60_000))
    world.pass_time(59_000, step=500)
    assert job_of(world, job).status is Status.COMPLETED
    world.drop = None
    quiet(world)


def test_a_failure_is_noticed_when_it_happens_and_not_at_the_time_out() -> None:
    world = mesh("b", "c", run=loses)
    job = world.submit(HOME, world.spec(within=600_000))
    world.pass_time(1_300)
    failed = world[HOME].happened(AttemptFailed)
    assert failed, "no deadline is anywhere near"
    assert not ended(world, job)


def test_a_failure_is_tried_again_on_another_node() -> None:
    world = mesh("b", run=lambda request: (loses if request.attempt == 1 else echo)(request))
    world.add("c", terms(price=3))  # dearer, so that only the failure speaks against the other one
    world.link_all()
    world.pass_time(2_000)
    job = world.submit(HOME)
    world.pass_time(5_000)
    found = job_of(world, job)
    assert (found.status, found.attempt) == (Status.COMPLETED, 2)
    (first,) = [failure.executor for failure in found.failures]
    assert (first, found.executor) == (world["b"].did, world["c"].did)
    quiet(world)


@pytest.mark.parametrize("kind", [ExitKind.WORKER_LOST, ExitKind.TRAPPED])
def test_nothing_is_tried_again_when_no_retries_were_wanted(kind: ExitKind) -> None:
    attempts = 1 if kind is ExitKind.WORKER_LOST else 5
    world = mesh("b", "c", attempts=attempts, run=lambda request: builders.outcome(request, kind, "why"))
    job = world.submit(HOME)
    world.pass_time(10_000)
    found = job_of(world, job)
    assert (found.status, found.attempt) == (Status.FAILED, 1)
    assert "why" in found.reason
    assert len(starts(world, "b") + starts(world, "c")) == 1
    quiet(world)


def test_the_retry_counter_is_not_forgotten_when_nodes_are_lost() -> None:
    world = mesh("b", "c", attempts=3, run=never)
    job = world.submit(HOME, world.spec(within=300_000, limits=builders.limits(wall_ms=100_000)))
    for attempt in (1, 2, 3):
        world.pass_time(3_000)
        assert job_of(world, job).attempt == attempt
        (assignee,) = world[HOME].engine.state.mesh.jobs[job].assignees
        world.isolate(world.name_of(assignee.executor))
        world.pass_time(1_000)
        world.isolate(HOME)
        world.restart(HOME)
        for name in ("b", "c"):
            if world[name].did != assignee.executor:
                world.link(HOME, name)
        world.pass_time(11_000, step=500)
        world.link_all()
    found = job_of(world, job)
    assert (found.status, found.attempt) == (Status.FAILED, 3)
    assert found.reason == "3 attempts failed: 1 to 3: the executor's connection was lost"
    assert not world[HOME].engine.state.mesh.standings, "trouble on our own links never counts"


def test_a_job_is_not_pending_for_ever_when_a_stopped_node_returns() -> None:
    world = mesh("b", "c", run=never)
    job = world.submit(HOME, world.spec(limits=builders.limits(wall_ms=50_000)))
    world.pass_time(2_000)
    (runner,) = [n for n in ("b", "c") if world[n].runs]
    other = "c" if runner == "b" else "b"
    world[other].run = echo
    world.isolate(runner)
    world.pass_time(14_000, step=500)
    assert job_of(world, job).status is Status.COMPLETED
    world.restart(runner)  # it finds an execution that it had accepted, and begins it again
    world.link_all()
    world.pass_time(1_000)
    assert world[runner].stops == [(job, 1)], "its home's word reached it"
    (request,) = world[runner].runs
    world[runner].inbox.append(Executed(request, builders.outcome(request, ExitKind.CANCELLED)))
    quiet(world)
    assert [type(e) for e in world[runner].happened(ReceiptIssued)][:1] == [ReceiptIssued]
    assert len(world[HOME].happened(JobCompleted)) == 1


def test_a_home_that_was_stopped_goes_on_with_its_jobs_when_it_returns() -> None:
    world = mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(2_000)
    world.isolate(HOME)
    (request,) = world["b"].runs
    world["b"].inbox.append(Executed(request, builders.outcome(request)))
    world.pass_time(3_000)
    world.restart(HOME)
    world.link_all()
    world.pass_time(2_000)
    assert job_of(world, job).status is Status.COMPLETED
    quiet(world)


def test_a_reconnecting_node_neither_starts_a_second_copy_nor_kills_the_first() -> None:
    world = mesh("b", run=never)
    world.submit(HOME, world.spec(limits=builders.limits(wall_ms=50_000)))
    world.pass_time(2_000)
    for _ in range(3):
        world.cut(HOME, "b")
        world.pass_time(1_000)
        world.link(HOME, "b")
        world.pass_time(1_000)
    assert (len(world["b"].runs), world["b"].stops) == (1, [])
    (request,) = world["b"].runs
    world["b"].inbox.append(Executed(request, builders.outcome(request)))
    world.pass_time(1_000)
    assert len(world[HOME].happened(JobCompleted)) == 1
    assert len(world[HOME].happened(ExecutionStarted)) == 1
    quiet(world)


def test_a_provider_does_not_keep_working_though_its_payer_is_gone() -> None:
    world = mesh("b", run=never)
    world["b"].engine.executor.terms = replace(world["b"].engine.executor.terms, home_absence=Duration(5_000))
    spec = world.spec(within=3_000_000, limits=builders.limits(wall_ms=2_000_000))
    job = world.submit(HOME, spec)
    world.pass_time(2_000)
    world.isolate(HOME)
    world.pass_time(8_000, step=500)
    assert world["b"].stops == [(job, 1)]


def test_an_acceptance_that_comes_before_its_announcement_was_processed_is_good() -> None:
    world = mesh("b")
    held: list[Message] = []

    def hold_assignments(_sender: str, _receiver: str, message: Message) -> bool:
        if isinstance(message, AssignmentSent) and not held:
            held.append(message)
            return True
        return False

    world.drop = hold_assignments
    job = world.submit(HOME)
    world.pass_time(1_500)
    assert held
    world.restart("b")  # it has forgotten the announcement, its offer, and the place it had reserved
    world.link_all()
    world.pass_time(3_000)
    assert job_of(world, job).status is Status.COMPLETED
    assert job_of(world, job).failures == ()
    quiet(world)


def test_a_side_message_neither_fails_work_that_succeeded_nor_hides_the_true_cause() -> None:
    world = mesh("b")
    world.drop = lambda _sender, _receiver, message: isinstance(message, ExecutionBegun)  # never arrives
    job = world.submit(HOME)
    world.pass_time(3_000)
    assert job_of(world, job).status is Status.COMPLETED
    assert job_of(world, job).failures == ()


def test_later_failures_do_not_hide_the_first_cause() -> None:
    world = mesh("b", "c", attempts=3)
    world["b"].run = world["c"].run = lambda request: builders.outcome(
        request, ExitKind.WORKER_LOST, "the true cause" if request.attempt == 1 else "something beside the point"
    )
    job = world.submit(HOME)
    world.pass_time(10_000)
    (rollback,) = world[HOME].happened(JobRolledBack)
    assert rollback.reason == (  # type: ignore[union-attr]  # a JobRolledBack
        "3 attempts failed: 1: worker_lost: the true cause; 2 and 3: worker_lost: something beside the point"
    )
    assert job_of(world, job).reason == rollback.reason  # type: ignore[union-attr]  # a JobRolledBack


def test_retries_are_not_endless_and_the_caller_sees_every_one() -> None:
    world = mesh("b", "c", run=loses)
    job = world.submit(HOME, world.spec(within=100_000))
    world.pass_time(60_000, step=500)
    found = job_of(world, job)
    assert (found.status, found.attempt) == (Status.FAILED, 5)
    assert [failure.attempt for failure in found.failures] == [1, 2, 3, 4, 5]
    assert all(failure.reason == "worker_lost: the worker died" for failure in found.failures)
    assert [failure.blame for failure in found.failures] == [Blame.AT_ONCE] * 5
    quiet(world)


def test_a_reservation_of_mana_that_has_expired_is_not_counted_any_more() -> None:
    world = mesh("b", run=never)
    account = world[HOME].engine.state.ledger.account(world[HOME].did, world[HOME].did)
    assert account is not None
    before = account.balance
    job = world.submit(HOME, world.spec(within=4_000, max_price=Mana(700)))
    world.pass_time(5_000)
    assert job_of(world, job).status is Status.FAILED
    world.submit(HOME, world.spec(within=4_000, max_price=Mana(700)))  # it could not be held beside the first
    world.pass_time(5_000)
    for request in world["b"].runs:
        world["b"].inbox.append(Executed(request, builders.outcome(request, ExitKind.CANCELLED)))
    quiet(world)
    account = world[HOME].engine.state.ledger.account(world[HOME].did, world[HOME].did)
    assert account is not None
    assert account.balance == before


def test_a_job_that_waits_is_not_starved_by_later_ones() -> None:
    world = mesh("b", capacity=1, run=never)
    order = [world.submit(HOME, world.spec(within=600_000), data=b"%d" % number) for number in range(4)]
    for count in range(1, 5):
        for _ in range(40):
            world.pass_time(500)
            if len(world["b"].runs) == count:
                break
        later = world.submit(HOME, world.spec(within=600_000), data=b"later %d" % count)
        order.append(later)
        request = world["b"].runs[-1]
        world["b"].inbox.append(Executed(request, builders.outcome(request)))
    assert [request.job for request in world["b"].runs][:4] == order[:4]


def test_nothing_runs_after_its_cancellation_was_confirmed() -> None:
    world = mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(2_000)
    world.drop = lambda _sender, _receiver, message: isinstance(message, ExecutionCancelled | Acknowledged)
    world.done(HOME, Cancel(job))
    assert job_of(world, job).cancellation is Cancellation.REQUESTED
    world.restart("b")  # it runs again what it had accepted: nobody has told it otherwise
    world.drop = None
    world.link_all()
    world.pass_time(1_000)
    for request in world["b"].runs:
        outcome = builders.outcome(request, ExitKind.CANCELLED, "stopped")
        world["b"].inbox.append(Executed(request, outcome))
    world.pass_time(2_000)
    assert job_of(world, job).cancellation is Cancellation.CONFIRMED
    assert len(world[HOME].happened(ReceiptKept)) == 1
    ran = len(world["b"].runs)
    world.restart("b")
    world.link_all()
    world.pass_time(20_000, step=500)
    assert len(world["b"].runs) == 0, f"after {ran} before"
    assert world[HOME].engine.state.mesh.standings.get((world[HOME].did, world["b"].did), Standing()) == Standing()
    quiet(world)


def test_a_job_that_nobody_was_given_is_cancelled_at_once_for_good() -> None:
    world = mesh()
    job = world.submit(HOME)
    world.done(HOME, Cancel(job))
    assert job_of(world, job).cancellation is Cancellation.CONFIRMED


@pytest.mark.slow
def test_an_untrusted_guest_without_caps_does_not_hang_its_host(tmp_path: Path) -> None:
    greedy = replace(LIMITS, fuel=FUEL_MAX, wall_ms=300)
    with pool(tmp_path / "compiled", SandboxSettings(workers=1)) as executor:
        driver = Driver(executor)
        for name in ("endless loop", "memory bomb", "table bomb", "deep recursion", "output flood"):
            outcome = driver.outcome(HOSTILE[name], limits=greedy)
            assert outcome.exit in {ExitKind.DEADLINE, ExitKind.STACK_OVERFLOW, ExitKind.OUTPUT_LIMIT}, name
        assert driver.outcome('(module (func (export "run") (result i64) i64.const 7))').exit is ExitKind.COMPLETED


@pytest.mark.slow
def test_a_guest_that_sleeps_burns_fuel(tmp_path: Path) -> None:
    with pool(tmp_path / "compiled", SandboxSettings(workers=1)) as executor:
        assert Driver(executor).outcome(HOSTILE["WASI sleep"], limits=LIMITS).exit is ExitKind.OUT_OF_FUEL
