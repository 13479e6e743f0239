"""Jobs from submission to settlement, and everything on the way that went wrong elsewhere (semantics §5)."""

from dataclasses import replace

import pytest

from icn.domain.mesh.events import (
    AssignmentAccepted,
    AssignmentDeclined,
    AttemptFailed,
    BiddingOpened,
    ExecutionStarted,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    ReceiptIssued,
    ReceiptKept,
)
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Blame, Standing, Status
from icn.domain.mesh.papers import open_receipt, seal_bid
from icn.kernel import limits
from icn.kernel.ids import JobId
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.protocol.messages import (
    OUTPUT_INLINE_BYTES_MAX,
    AssignmentRefused,
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
from icn.services.answers import Done, Refused
from icn.services.commands import Cancel, ClearBan, OpenAccountFor, Submit
from icn.services.effects import Send
from icn.services.inputs import Executed, Received, Tick
from support import builders
from support.world import Node, Run, World, echo, federation, terms

HOME = "a"


def _mesh(*executors: str, run: Run | None = None, capacity: int = 4) -> World:
    """A home without places of its own, and executors."""
    world = World()
    world.add(HOME, terms(capacity=0))
    for name in executors:
        node = world.add(name, terms(capacity=capacity))
        if run is not None:
            node.run = run
    world.found(HOME, founders=executors)
    world.link_all()
    world.pass_time(2_000)
    return world


def never(_request: ExecutionRequest) -> ExecutionOutcome | None:
    return None


def fails(_request: ExecutionRequest) -> ExecutionOutcome | None:
    return builders.outcome(_request, ExitKind.WORKER_LOST, "the worker died")


def traps(_request: ExecutionRequest) -> ExecutionOutcome | None:
    return builders.outcome(_request, ExitKind.TRAPPED, "unreachable")


def _with_a_long_output(world: World) -> JobId:
    """A job whose output does not come with its receipt but is fetched."""
    long = b"long" * OUTPUT_INLINE_BYTES_MAX
    world["b"].run = lambda request: replace(builders.outcome(request), output=long)
    return world.submit(HOME)


def _status(world: World, job: JobId) -> Status:
    found = rows.JOBS.get(world[HOME].store, job.data)
    assert found is not None
    return found.status


def _balance(world: World, name: str) -> int:
    account = world[HOME].engine.state.ledger.account(world[name].did, world[name].did)
    assert account is not None
    return account.balance


def _chosen(world: World, job: JobId) -> Node:
    found = world[HOME].engine.state.mesh.jobs[job]
    return world[world.name_of(found.assignees[0].executor)]


def _sent(world: World, kind: type[Message]) -> list[Message]:
    return [e.message for _, e in world.trace if isinstance(e, Send) and isinstance(e.message, kind)]


def _sound(world: World) -> None:
    """At the end nothing is held, reserved or under way, and everybody agrees."""
    world.pass_time(12_000, step=500)
    for node in world.nodes.values():
        state = node.engine.state
        assert state == rows.load(node.store)
        assert state.ledger.supply.is_balanced
        assert state.ledger.supply.held == 0
        assert state.ledger.supply.in_transit == 0
        assert not state.mesh.jobs
        assert not state.mesh.executions
        assert not node.engine.outbox.waiting
    assert len(dict.fromkeys(world.roots())) == 1


def test_a_job_is_paid_once_and_the_rest_of_its_hold_goes_back() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME)
    assert world[HOME].engine.state.ledger.supply.held == 10
    assert _balance(world, HOME) == 990
    world.handle("b", Executed(world["b"].runs[0], builders.outcome(world["b"].runs[0])))
    world.pass_time(2_000)
    assert _status(world, job) is Status.COMPLETED
    assert world[HOME].happened(JobCompleted)[0].paid == 1
    _sound(world)
    assert (_balance(world, HOME), _balance(world, "b")) == (999, 1001)


def test_the_output_is_here_before_it_is_paid() -> None:
    world = _mesh("b")
    world.drop = lambda _from, _to, message: isinstance(message, Chunk)
    job = _with_a_long_output(world)
    world.pass_time(1_500)
    assert _status(world, job) is Status.EXECUTING
    assert not world[HOME].happened(JobCompleted)


def test_an_output_with_another_name_is_not_paid_and_its_sender_is_let_go() -> None:
    world = _mesh("b")
    world.drop = lambda _from, _to, message: isinstance(message, Chunk)
    _with_a_long_output(world)
    world.pass_time(1_500)
    receipt = open_receipt(next(iter(world["b"].happened(ReceiptIssued))).receipt)
    assert receipt.output is not None
    wrong = Chunk(receipt.output, 0, 5, b"wrong")
    assert world[HOME].engine.content._fetches
    world.handle(HOME, Received(world["b"].did, wrong))
    assert [peer for peer, _ in world[HOME].disconnects] == [world["b"].did]
    assert not world[HOME].happened(JobCompleted)


def test_a_receipt_whose_output_could_not_be_fetched_comes_again() -> None:
    world = _mesh("b")
    world.drop = lambda _from, _to, message: isinstance(message, Chunk)
    job = _with_a_long_output(world)
    world.pass_time(1_500)
    world.drop = None
    world.cut(HOME, "b")
    world.settle()
    world.link(HOME, "b")
    world.pass_time(500)
    assert _status(world, job) is Status.COMPLETED
    _sound(world)


def test_a_receipt_that_comes_twice_is_paid_once() -> None:
    world = _mesh("b")
    job = world.submit(HOME)
    world.pass_time(2_000)
    receipt = next(m for m in _sent(world, ReceiptSent) if isinstance(m, ReceiptSent))
    before = world[HOME].engine.state.feeds.block_count
    world.handle(HOME, Received(world["b"].did, receipt), Received(world["b"].did, receipt))
    world.handle(HOME, Received(world["b"].did, receipt))
    assert world[HOME].engine.state.feeds.block_count == before
    assert _status(world, job) is Status.COMPLETED
    _sound(world)
    assert _balance(world, "b") == 1001


def test_an_assignment_that_comes_twice_is_run_once() -> None:
    world = _mesh("b")
    world["b"].run = never
    world.submit(HOME)
    world.pass_time(200)
    assigned = next(m for m in _sent(world, AssignmentSent) if isinstance(m, AssignmentSent))
    world.handle("b", Received(world[HOME].did, assigned))
    world.handle("b", Executed(world["b"].runs[0], builders.outcome(world["b"].runs[0])))
    world.handle("b", Received(world[HOME].did, assigned))
    assert len(world["b"].runs) == 1
    assert len(world["b"].happened(AssignmentAccepted)) == 1


def test_a_failed_attempt_goes_to_another_executor() -> None:
    world = _mesh("b", "c", run=never)
    job = world.submit(HOME)
    world.pass_time(200)
    first = _chosen(world, job)
    other = world["c" if first.name == "b" else "b"]
    other.run = builders.outcome
    world.handle(first.name, Executed(first.runs[0], builders.outcome(first.runs[0], ExitKind.WORKER_LOST, "gone")))
    world.pass_time(3_000)
    assert _status(world, job) is Status.COMPLETED
    assert [e.executor for e in world[HOME].happened(AttemptFailed)] == [first.did]
    assert [e.executor for e in world[HOME].happened(JobCompleted)] == [other.did]
    _sound(world)


def test_the_same_executor_tries_again_when_there_is_no_other() -> None:
    world = _mesh("b")
    answers = [fails, fails]
    world["b"].run = lambda request: answers.pop()(request) if answers else builders.outcome(request)
    job = world.submit(HOME)
    world.pass_time(6_000)
    assert _status(world, job) is Status.COMPLETED
    assert [e.attempt for e in world[HOME].happened(AttemptFailed)] == [1, 2]
    _sound(world)


def test_attempts_are_counted_across_a_restart_and_used_up() -> None:
    world = _mesh("b", "c", run=fails)
    job = world.submit(HOME)
    world.pass_time(400)
    world.restart(HOME)
    world.link_all()
    world.pass_time(20_000, step=200)
    assert _status(world, job) is Status.FAILED
    assert [e.attempt for e in world[HOME].happened(AttemptFailed)] == [1, 2, 3, 4, 5]
    rolled = world[HOME].happened(JobRolledBack)
    assert [(e.attempts, e.restored) for e in rolled] == [(5, 10)]
    _sound(world)
    assert _balance(world, HOME) == 1000


def test_a_module_that_fails_everywhere_fails_at_once() -> None:
    world = _mesh("b", "c", run=traps)
    job = world.submit(HOME)
    world.pass_time(1_500)
    assert _status(world, job) is Status.FAILED
    assert len(world[HOME].happened(AttemptFailed)) == 1
    rolled = world[HOME].happened(JobRolledBack)
    assert "unreachable" in rolled[0].reason
    assert not [s for s in world[HOME].engine.state.mesh.standings.values() if s.failed_in_row]
    _sound(world)


def test_an_executor_that_is_gone_has_its_attempt_given_up_and_is_not_scored() -> None:
    world = _mesh("b", "c", run=never)
    job = world.submit(HOME, world.spec(limits=builders.limits(wall_ms=60_000)))
    world.pass_time(200)
    first = _chosen(world, job)
    other = world["c" if first.name == "b" else "b"]
    other.run = builders.outcome
    world.isolate(first.name)
    world.pass_time(9_000)
    assert _status(world, job) in {Status.ASSIGNED, Status.EXECUTING}  # it may come back in time
    world.pass_time(5_000)
    assert _status(world, job) is Status.COMPLETED
    assert [e.counts_against_executor for e in world[HOME].happened(AttemptFailed)] == [False]


def test_a_late_receipt_is_kept_and_neither_paid_nor_scored() -> None:
    world = _mesh("b", "c", run=never)
    job = world.submit(HOME, world.spec(limits=builders.limits(wall_ms=60_000)))
    world.pass_time(200)
    first = _chosen(world, job)
    other = world["c" if first.name == "b" else "b"]
    other.run = builders.outcome
    world.isolate(first.name)
    world.pass_time(14_000, step=500)
    world.handle(first.name, Executed(first.runs[0], builders.outcome(first.runs[0])))
    world.link_all()
    world.pass_time(3_000)
    kept = world[HOME].happened(ReceiptKept)
    assert [(e.job, e.attempt, e.executor) for e in kept] == [(job, 1, first.did)]
    assert _status(world, job) is Status.COMPLETED
    assert (world[HOME].did, first.did) not in world[HOME].engine.state.mesh.standings
    _sound(world)
    assert _balance(world, first.name) == 1000
    assert _balance(world, other.name) == 1001


def test_an_executor_that_comes_back_in_time_is_not_given_up() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME, world.spec(limits=builders.limits(wall_ms=60_000)))
    world.pass_time(200)
    world.cut(HOME, "b")
    world.pass_time(8_000, step=500)
    world.link(HOME, "b")
    world.pass_time(8_000, step=500)
    assert not world[HOME].happened(AttemptFailed)
    world.handle("b", Executed(world["b"].runs[0], builders.outcome(world["b"].runs[0])))
    world.pass_time(500)
    assert _status(world, job) is Status.COMPLETED
    assert len(world["b"].runs) == 1  # coming back did not start a second copy


def test_an_attempt_without_a_receipt_ends_at_its_deadline_and_is_not_scored() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(7_000)
    failed = world[HOME].happened(AttemptFailed)
    assert [(e.attempt, e.counts_against_executor) for e in failed][:1] == [(1, False)]
    assert "deadline" in failed[0].reason
    assert _status(world, job) is not Status.FAILED


def test_a_job_without_executors_waits_and_fails_at_its_deadline() -> None:
    world = _mesh()
    job = world.submit(HOME, world.spec(within=40_000))
    world.pass_time(39_000, step=500)
    assert _status(world, job) is Status.BIDDING
    assert len(world[HOME].happened(BiddingOpened)) >= 2
    world.pass_time(2_000)
    assert _status(world, job) is Status.FAILED
    assert "no executor offered" in world[HOME].happened(JobRolledBack)[0].reason or "deadline" in (
        world[HOME].happened(JobRolledBack)[0].reason
    )
    _sound(world)


def test_who_offered_too_little_is_told_what_executors_ask() -> None:
    world = _mesh("b", "c")
    job = world.submit(HOME, world.spec(limits=builders.limits(fuel=12_000_000), within=20_000))
    world.pass_time(21_000, step=500)
    assert _status(world, job) is Status.FAILED
    reason = world[HOME].happened(JobRolledBack)[0].reason
    assert reason == "no executor offered within the job's deadline; declined: the price here is 12"


def test_a_job_without_a_price_pays_what_its_home_would_ask() -> None:
    world = _mesh("b")
    spec = world.spec(limits=builders.limits(fuel=12_000_000))
    told = world.done(HOME, Submit(spec, b"x", by_own_rates=True))
    assert told["held"] == 12
    world.pass_time(500)
    assert [event.paid for event in world[HOME].happened(JobCompleted)] == [12]


def test_a_job_submitted_before_anybody_is_there_runs_when_an_executor_comes() -> None:
    world = World()
    world.add(HOME, terms(capacity=0))
    world.add("b")
    world.found(HOME, founders=("b",))
    job = world.submit(HOME)
    world.pass_time(5_000)
    world.link_all()
    world.pass_time(3_000)
    assert _status(world, job) is Status.COMPLETED


def test_the_window_closes_early_when_everybody_has_answered() -> None:
    world = _mesh("b", "c")
    job = world.submit(HOME)
    world.settle()
    assert _status(world, job) is Status.COMPLETED


def test_the_window_is_waited_for_when_somebody_is_silent() -> None:
    world = _mesh("b", "c")
    world.drop = lambda sender, _to, message: sender == "b" and isinstance(message, BidOffered | BidDeclined)
    job = world.submit(HOME)
    world.pass_time(900)
    assert _status(world, job) is Status.BIDDING
    world.pass_time(200)
    assert _status(world, job) is Status.COMPLETED
    assert world[HOME].happened(JobCompleted)[0].executor == world["c"].did


def test_with_one_place_two_jobs_run_one_after_the_other() -> None:
    """Two bids for one place were both accepted elsewhere."""
    world = _mesh("b", run=never, capacity=1)
    jobs = [world.submit(HOME), world.submit(HOME)]
    world.pass_time(500)
    assert len(world["b"].runs) == 1
    world.handle("b", Executed(world["b"].runs[0], builders.outcome(world["b"].runs[0])))
    world.pass_time(500)
    assert len(world["b"].runs) == 2
    world.handle("b", Executed(world["b"].runs[1], builders.outcome(world["b"].runs[1])))
    world.pass_time(500)
    assert [_status(world, job) for job in jobs] == [Status.COMPLETED, Status.COMPLETED]
    _sound(world)


def test_a_bid_that_was_not_taken_frees_its_place() -> None:
    """An executor stuck in bidding kept its capacity reserved for ever elsewhere."""
    world = _mesh("b", "c", capacity=1)
    for _ in range(6):
        job = world.submit(HOME)
        world.pass_time(4_000, step=500)
        assert _status(world, job) is Status.COMPLETED
    for name in ("b", "c"):
        assert not world[name].engine.executor.capacity.reserved


def test_a_place_offered_in_vain_is_free_as_soon_as_the_other_is_chosen() -> None:
    """Or the second attempt finds the others busy with waiting for the first."""
    world = _mesh("b", "c", run=never, capacity=1)
    job = world.submit(HOME)
    world.settle()
    first = _chosen(world, job)
    other = world["c" if first.name == "b" else "b"]
    assert not other.engine.executor.capacity.reserved
    world.handle(first.name, Executed(first.runs[0], builders.outcome(first.runs[0], ExitKind.WORKER_LOST, "gone")))
    world.pass_time(500)
    assert _chosen(world, job) is other


def test_one_refusal_does_not_fail_the_job() -> None:
    world = _mesh("b", "c")
    world.drop = lambda _from, _to, message: isinstance(message, AssignmentSent)
    job = world.submit(HOME)
    first = _chosen(world, job)
    refusal = AssignmentRefused(77, job, 1, "no place is free")
    world.drop = None
    world.handle(HOME, Received(first.did, refusal))
    world.pass_time(2_000)
    assert _status(world, job) is Status.COMPLETED


def test_who_was_not_chosen_cannot_fail_an_attempt() -> None:
    world = _mesh("b", "c", run=never)
    job = world.submit(HOME)
    world.pass_time(500)
    first = _chosen(world, job)
    other = world["c" if first.name == "b" else "b"]
    world.handle(HOME, Received(other.did, AssignmentRefused(1, job, 1, "no")))
    world.handle(HOME, Received(other.did, ExecutionBegun(2, job, 1)))
    assert not world[HOME].happened(AttemptFailed)
    assert len(world[HOME].happened(ExecutionStarted)) == 1


@pytest.mark.parametrize("lost", [JobAnnounced, BidOffered, AssignmentSent, ExecutionBegun, ReceiptSent])
def test_a_lost_message_does_not_hang_the_job(lost: type[Message]) -> None:
    world = _mesh("b")
    missing = [True]

    def drop(_from: str, _to: str, message: Message) -> bool:
        return isinstance(message, lost) and bool(missing) and missing.pop()

    world.drop = drop
    job = world.submit(HOME, world.spec(within=300_000))
    world.pass_time(60_000, step=250)
    assert not missing
    assert _status(world, job) is Status.COMPLETED
    world.cut(HOME, "b")
    world.settle()
    world.link(HOME, "b")
    _sound(world)


def test_cancelling_before_it_is_assigned_releases_the_hold() -> None:
    world = _mesh()
    job = world.submit(HOME)
    assert isinstance(world.do(HOME, Cancel(job)), Done)
    assert _status(world, job) is Status.CANCELLED
    assert _balance(world, HOME) == 1000
    again = world.do(HOME, Cancel(job))
    assert isinstance(again, Refused)
    assert again.code == "mesh.job_not_open"
    _sound(world)


def test_cancelling_while_it_runs_stops_the_executor_and_pays_nothing() -> None:
    """A provider kept working though the payer was gone elsewhere."""
    world = _mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(500)
    world.done(HOME, Cancel(job))
    world.settle()
    assert world["b"].stops == [(job, 1)]
    request = world["b"].runs[0]
    world.handle("b", Executed(request, builders.outcome(request, ExitKind.CANCELLED)))
    world.pass_time(500)
    assert _status(world, job) is Status.CANCELLED
    assert _balance(world, HOME) == 1000
    _sound(world)


def test_a_receipt_that_crosses_a_cancellation_is_kept_and_not_paid() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(500)
    request = world["b"].runs[0]
    world.handle("b", Executed(request, builders.outcome(request)))
    world.ask(HOME, Cancel(job))
    world[HOME].inbox.rotate(1)  # the cancellation is decided first
    world.pass_time(500)
    assert _status(world, job) is Status.CANCELLED
    assert [e.job for e in world[HOME].happened(ReceiptKept)] == [job]
    _sound(world)
    assert _balance(world, HOME) == 1000


def test_cancelling_reaches_an_executor_that_was_away() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(500)
    world.cut(HOME, "b")
    world.done(HOME, Cancel(job))
    world.restart(HOME)
    world.link(HOME, "b")
    world.settle()
    assert world["b"].stops == [(job, 1)]


def test_only_who_pays_cancels() -> None:
    world = _mesh()
    member = builders.did(50)
    world.done(HOME, OpenAccountFor(member))
    job = world.submit(HOME)
    refused = world.do(HOME, Cancel(job), principal=member)
    assert isinstance(refused, Refused)
    assert refused.code == "mesh.not_your_job"


def test_what_was_accepted_runs_again_after_a_restart_of_the_executor() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME, world.spec(limits=builders.limits(wall_ms=30_000)))
    world.pass_time(500)
    assert len(world["b"].runs) == 1
    world["b"].run = builders.outcome
    world.restart("b")
    world.link(HOME, "b")
    world.pass_time(1_000)
    assert len(world["b"].runs) == 1  # of this life
    assert _status(world, job) is Status.COMPLETED
    assert not world[HOME].happened(AttemptFailed)
    _sound(world)


def test_a_receipt_waits_for_a_home_that_restarts() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME, world.spec(limits=builders.limits(wall_ms=30_000)))
    world.pass_time(500)
    world.isolate("b")
    world.handle("b", Executed(world["b"].runs[0], builders.outcome(world["b"].runs[0])))
    world.restart("b")
    world.restart(HOME)
    world.link(HOME, "b")
    world.pass_time(1_000)
    assert _status(world, job) is Status.COMPLETED
    _sound(world)
    assert _balance(world, "b") == 1001


@pytest.mark.parametrize("after", range(0, 1_200, 100))
def test_a_home_that_crashes_at_any_point_still_pays_once(after: int) -> None:
    world = _mesh("b")
    world.drop = lambda _from, _to, message: isinstance(message, JobAnnounced) and world.clock.time % 300 == 0
    job = world.submit(HOME, world.spec(within=120_000))
    world.pass_time(after) if after else None
    world.restart(HOME)
    world.drop = None
    world.link(HOME, "b")
    world.pass_time(20_000, step=250)
    assert _status(world, job) is Status.COMPLETED
    _sound(world)
    assert (_balance(world, HOME), _balance(world, "b")) == (999, 1001)


def test_an_assignment_past_its_deadline_is_refused() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(500)
    assigned = next(m for m in _sent(world, AssignmentSent) if isinstance(m, AssignmentSent))
    late = _mesh("b")
    late.clock.time = Instant(world.clock.time + 60_000)
    late.handle("b", Received(world[HOME].did, assigned))
    late.settle()
    refused = [m for m in _sent(late, AssignmentRefused) if isinstance(m, AssignmentRefused)]
    assert [(m.job, "deadline" in m.reason) for m in refused] == [(job, True)]
    assert not late["b"].runs


def test_a_job_that_waits_past_its_deadline_is_not_run_after_a_restart() -> None:
    world = _mesh("b", run=never)
    job = world.submit(HOME)
    world.pass_time(500)
    world.isolate("b")
    world.clock.time = Instant(world.clock.time + 120_000)
    world.restart("b")
    world.settle()
    assert not world["b"].runs
    world.restart(HOME)
    world.link(HOME, "b")
    world.pass_time(1_000)
    assert _status(world, job) is Status.FAILED
    _sound(world)


def test_capabilities_and_price_are_asked_before_anything_is_offered() -> None:
    world = _mesh("b")
    world.submit(HOME, world.spec(capabilities=("gpu",)))
    world.settle()
    declined = [m for m in _sent(world, BidDeclined) if isinstance(m, BidDeclined)]
    assert [m.reason for m in declined] == ["a capability is not offered here"]
    world.submit(HOME, world.spec(limits=builders.limits(fuel=20_000_000)))
    world.settle()
    declined = [m for m in _sent(world, BidDeclined) if isinstance(m, BidDeclined)]
    assert [m.reason for m in declined[1:]] == ["the price here is 20"]


def test_a_long_input_travels_as_content() -> None:
    world = _mesh("b")
    data = bytes(range(256)) * 64
    job = world.submit(HOME, data=data)
    world.pass_time(2_000)
    assert _status(world, job) is Status.COMPLETED
    assert world["b"].runs[0].input == data
    submitted = world[HOME].happened(JobSubmitted)
    assert submitted[0].spec.input == b""


def test_a_module_nobody_has_takes_no_place_for_the_time_that_its_job_asks_for() -> None:
    world = _mesh("b", capacity=1)
    endless = builders.limits(wall_ms=3_600_000)
    spec = world.spec(within=7_200_000, limits=endless, module=builders.cid("no such module"))
    job = world.submit(HOME, spec)
    world.pass_time(20_000, step=500)
    assert _status(world, job) is Status.FAILED
    ended = rows.JOBS.get(world[HOME].store, job.data)
    assert ended is not None
    assert "nobody here has" in ended.reason
    assert not world[HOME].engine.state.mesh.standings
    assert not world["b"].engine.state.mesh.executions
    assert not world["b"].runs
    again = world.submit(HOME)
    world.pass_time(3_000)
    assert _status(world, again) is Status.COMPLETED


def test_where_too_much_else_is_fetched_the_receipt_says_that_and_not_that_nobody_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FETCHES_QUEUED_MAX", 0)
    world = _mesh("b")
    job = world.submit(HOME, world.spec(module=builders.cid("a module")))
    world.pass_time(60_000)
    ended = rows.JOBS.get(world[HOME].store, job.data)
    assert ended is not None
    assert "too much else is being fetched" in ended.reason


def test_a_home_that_executes_runs_its_own_jobs() -> None:
    world = federation(HOME)
    job = world.submit(HOME)
    world.pass_time(1_000)
    assert _status(world, job) is Status.COMPLETED
    _sound(world)


@pytest.mark.slow
def test_many_outputs_at_once_are_all_paid() -> None:
    world = _mesh("b", run=never, capacity=200)
    jobs = [world.submit(HOME, data=f"{n}".encode()) for n in range(100)]
    world.pass_time(2_000)
    long = bytes(OUTPUT_INLINE_BYTES_MAX)
    ends = [
        Executed(request, replace(builders.outcome(request), output=request.input + long))
        for request in world["b"].runs
    ]
    assert len(ends) == len(jobs)
    world.handle("b", *ends)
    world.pass_time(2_000)
    assert [job for job in jobs if _status(world, job) is not Status.COMPLETED] == []
    assert not world[HOME].happened(AttemptFailed)


def test_a_cancellation_of_another_home_stops_nothing() -> None:
    world = _mesh("b", "c", run=never)
    job = world.submit(HOME)
    world.pass_time(500)
    first = _chosen(world, job)
    other = world["c" if first.name == "b" else "b"]
    world.handle(first.name, Received(other.did, ExecutionCancelled(5, job, 1)))
    assert not first.stops


def test_an_executors_bid_is_its_own_and_for_this_home() -> None:
    world = _mesh("b", "c", run=never)
    b, c = world["b"], world["c"]
    job = world.submit(HOME)
    for bid in (
        builders.bid(c.number, 1, job=job),
        builders.bid(b.number, 2, job=job),
    ):
        world.handle(HOME, Received(b.did, BidOffered(seal_bid(bid, builders.signer(c.number)))))
    assert [peer for peer, _ in world[HOME].disconnects][:1] == [b.did]


def test_a_submission_that_is_repeated_opens_one_job() -> None:
    world = _mesh("b")
    command = Submit(world.spec(), b"once")
    first = world.do(HOME, command, key="k")
    second = world.do(HOME, command, key="k")
    assert first == second
    world.restart(HOME)
    assert world.do(HOME, command, key="k") == first
    assert len(world[HOME].happened(JobSubmitted)) == 1


def test_a_job_that_cannot_be_paid_is_refused_with_what_is_there() -> None:
    world = _mesh("b")
    refused = world.do(HOME, Submit(world.spec(max_price=Mana(1001)), b""))
    assert isinstance(refused, Refused)
    assert refused.fields["available"] == 1000
    late = world.do(HOME, Submit(replace(world.spec(), deadline=world.clock.time), b""))
    assert isinstance(late, Refused)
    assert late.code == "mesh.deadline_passed"
    many = world.do(HOME, Submit(world.spec(redundancy=3, max_price=Mana(334)), b""))
    assert isinstance(many, Refused)
    assert many.fields["needed"] == 1002
    assert world[HOME].engine.state.ledger.supply.held == 0


def test_records_of_a_job_bear_the_correlation_id_of_its_request_on_every_node() -> None:
    def fail_first(request: ExecutionRequest) -> ExecutionOutcome:
        return builders.outcome(request, ExitKind.WORKER_LOST if request.attempt == 1 else ExitKind.COMPLETED)

    world = _mesh("b", "c", run=fail_first)
    world.submit(HOME)
    world.pass_time(10_000)
    about = {
        type(record.event).__name__: record.envelope
        for _, record in world[HOME].events
        if getattr(record.event, "job", None) or "Hold" in type(record.event).__name__
    }
    assert {"AttemptFailed", "JobCompleted", "HoldSettled", "AssignmentAccepted", "ReceiptIssued"} <= set(about)
    assert {envelope.correlation for envelope in about.values()} == {"test"}
    assert about["JobCompleted"].principal is None, "the node did it of its own accord"


def test_the_correlation_id_of_a_job_outlives_a_restart() -> None:
    world = _mesh("b", run=lambda _: None)
    world.submit(HOME, world.spec(within=20_000))
    world.pass_time(1_000)
    world.restart(HOME)
    world.restart("b")
    world.link_all()
    world.pass_time(30_000)
    ended = [record.envelope for _, record in world[HOME].events if isinstance(record.event, JobRolledBack)]
    assert [envelope.correlation for envelope in ended] == ["test"]


@pytest.mark.parametrize("cut_off", [False, True])
def test_silence_counts_when_another_completes_the_job_unless_the_link_was_down_meanwhile(cut_off: bool) -> None:
    world = _mesh("b", run=never)
    world.add("c", terms(price=3))  # dearer, so that b gets the first attempt
    world.link_all()
    world.pass_time(2_000)
    job = world.submit(HOME)
    world.pass_time(1_500)
    if cut_off:
        world.cut(HOME, "b")
        world.pass_time(500)
        world.link(HOME, "b")
    world.pass_time(9_000)
    assert _status(world, job) is Status.COMPLETED
    (failure,) = rows.JOBS.get(world[HOME].store, job.data).failures  # type: ignore[union-attr]  # it is there
    assert failure.executor == world["b"].did
    assert failure.blame is (Blame.NONE if cut_off else Blame.IF_ANOTHER_COMPLETES)
    seen = world[HOME].engine.state.mesh.standings.get((world[HOME].did, world["b"].did), Standing())
    assert seen.failed_in_row == (0 if cut_off else 1)


def test_a_banned_executor_is_neither_asked_for_bids_nor_waited_for() -> None:
    world = _mesh("b", "c", run=fails)
    for _ in range(6):
        world.submit(HOME, world.spec(within=1_500))
        world.pass_time(1_600)
    barred = [
        name
        for name in ("b", "c")
        if world[HOME].engine.state.mesh.is_barred(world[HOME].did, world[name].did, world.clock.time)
    ]
    assert barred == ["b", "c"]
    before = len(_sent(world, JobAnnounced))
    world.done(HOME, ClearBan(world["c"].did))
    world["c"].run = world["b"].run = echo
    job = world.submit(HOME)
    world.pass_time(200)  # the window is longer: it closed early, though b said nothing
    assert _status(world, job) is Status.COMPLETED
    asked = [
        world.name_of(e.peer) for _, e in world.trace if isinstance(e, Send) and isinstance(e.message, JobAnnounced)
    ]
    assert asked[before:] == ["c"]


def test_what_was_stopped_because_its_home_was_away_does_not_count_when_the_home_is_back() -> None:
    """Or a home that was down for minutes would ban every executor that worked for it."""
    world = _mesh("b", run=never)
    spec = world.spec(within=7_200_000, limits=builders.limits(wall_ms=3_600_000))
    world.submit(HOME, spec)
    world.pass_time(1_500)
    world.isolate("b")
    world.handle("b", *world["b"].inbox)
    world["b"].inbox.clear()
    world[HOME].inbox.clear()  # it is down
    world.clock.time = Instant(world.clock.time + world["b"].engine.terms.home_absence)
    world.handle("b", Tick())
    assert world["b"].stops
    (run,) = world["b"].runs
    world.handle("b", Executed(run, builders.outcome(run, ExitKind.CANCELLED)))
    world.restart(HOME)
    world.link_all()
    world.pass_time(1_000)
    (failed,) = world[HOME].happened(AttemptFailed)
    assert isinstance(failed, AttemptFailed)
    assert "its home was gone" in failed.reason
    assert not failed.counts_against_executor


def test_who_was_cut_off_after_its_offer_and_has_no_place_any_more_is_not_assigned_and_not_blamed() -> None:
    """Its home keeps the offer while the link is down; the executor gave the place to another home, and says so."""
    world = World()
    for name in "abcd":
        capacity = {"b": 1, "d": 1}.get(name, 0)
        world.add(name, terms(capacity=capacity, window=4_000), run=(lambda _: None) if name == "b" else echo)
    world.drop = lambda sender, to, message: (
        (sender, to) == ("d", "a") and isinstance(message, BidOffered | BidDeclined)
    )
    world.found("a", founders=("b", "c", "d"))
    world.link_all()
    world.pass_time(2_000)
    world.submit("a")
    world.settle()
    b = world["b"]
    assert any(
        isinstance(effect.message, BidOffered)
        for name, effect in world.trace
        if name == "b" and isinstance(effect, Send)
    )
    world.cut("a", "b")
    world.cut("c", "d")
    world.settle()
    for _ in range(2):
        world.submit("c")
        world.pass_time(500)
    assert len(b.runs) == 1, "b works for c, and another job of c waits"
    world.link("a", "b")
    world.pass_time(6_000)
    assert not world["a"].happened(AssignmentDeclined)
    assert (world["a"].did, b.did) not in world["a"].engine.state.mesh.standings
