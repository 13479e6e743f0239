"""Jobs that several executors run: nobody can copy, the majority is paid once each, and no crash undoes a pledge."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from icn.domain.ledger.events import HoldReleased, HoldShared
from icn.domain.mesh.agreement import Part, commitment_to
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptAbandoned,
    DisputeRaised,
    JobAgreed,
    JobRolledBack,
    OutputCommitted,
    OutputRevealed,
    PledgeMade,
    ReceiptIssued,
    ReceiptKept,
    RevealOpened,
)
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Receipt, Status
from icn.domain.mesh.papers import open_receipt, seal_receipt
from icn.kernel.ids import JobId
from icn.kernel.mana import Mana
from icn.protocol.messages import (
    OUTPUT_INLINE_BYTES_MAX,
    Announce,
    Chunk,
    ExecutionCancelled,
    Fetch,
    Message,
    OutputPledged,
    ReceiptSent,
)
from icn.services import rows
from icn.services.commands import Cancel, Submit
from icn.services.effects import Send
from icn.services.inputs import Executed, Received
from icn.services.verify import verify
from icn.stores.kv import Batch
from support import builders
from support.world import Run, World, terms

HOME = "a"
THREE = ("b", "c", "d")
RIGHT, WRONG = b"right", b"wrong"


def gives(output: bytes, **changes: object) -> Run:
    def run(request: ExecutionRequest) -> ExecutionOutcome:
        return replace(builders.outcome(request), output=output, **changes)  # type: ignore[arg-type]  # fields by name

    return run


def never(_request: ExecutionRequest) -> ExecutionOutcome | None:
    return None


def fails(request: ExecutionRequest) -> ExecutionOutcome:
    return builders.outcome(request, ExitKind.WORKER_LOST, "the worker died")


def traps(request: ExecutionRequest) -> ExecutionOutcome:
    return builders.outcome(request, ExitKind.TRAPPED, "unreachable")


def mesh(*runs: Run, names: tuple[str, ...] = THREE) -> World:
    """A home without places, and executors that answer so."""
    world = World()
    world.add(HOME, terms(capacity=0))
    for index, name in enumerate(names):
        world.add(name).run = runs[index] if index < len(runs) else gives(RIGHT)
    world.found(HOME, founders=names)
    world.link_all()
    world.pass_time(2_000)
    return world


def submit(world: World, within: int = 60_000, redundancy: int = 3) -> JobId:
    return world.submit(HOME, world.spec(within=within, redundancy=redundancy))


def status(world: World, job: JobId) -> Status:
    found = rows.JOBS.get(world[HOME].store, job.data)
    assert found is not None
    return found.status


def parts(world: World, job: JobId) -> dict[str, Part]:
    poll = rows.POLLS.get(world[HOME].store, job.data)
    assert poll is not None
    return {world.name_of(ballot.executor): ballot.part for ballot in poll.ballots}


def balance(world: World, name: str) -> int:
    account = world[HOME].engine.state.ledger.account(world[name].did, world[name].did)
    assert account is not None
    return account.balance


def earned(world: World, *names: str) -> list[int]:
    return [balance(world, name) - 1000 for name in names]


def issued(world: World, name: str) -> list[Receipt]:
    """The receipts in an executor's own feed."""
    own = [r.event for author, r in world[name].events if author == world[name].did]
    return [open_receipt(event.receipt) for event in own if isinstance(event, ReceiptIssued)]


def finish(world: World, name: str, output: bytes = RIGHT) -> None:
    """The guest of an executor whose run does not end by itself ends now."""
    request = world[name].runs[-1]
    world.handle(name, Executed(request, replace(builders.outcome(request), output=output)))
    world.settle()


def sound(world: World) -> None:
    """At the end nothing is held, pledged or under way, everybody agrees, and the stores prove it."""
    world.pass_time(30_000, step=500)
    for node in world.nodes.values():
        state = node.engine.state
        assert state == rows.load(node.store)
        assert (state.ledger.supply.held, state.ledger.supply.in_transit) == (0, 0)
        assert [*state.mesh.jobs, *state.mesh.polls, *state.mesh.executions, *state.mesh.pledges] == []
        assert not node.engine.outbox.waiting
        assert not list(node.store.scan(rows.pledged_receipt_key(node.did, builders.job_id(node.did), 1)[:16]))
        report = verify(node.store, node.did, deep=True)
        assert report.ok, report.findings
    assert len(dict.fromkeys(world.roots())) == 1


def test_the_majority_is_paid_once_each_and_the_rest_of_the_hold_goes_back() -> None:
    world = mesh()
    job = submit(world)
    world.pass_time(3_000)
    assert status(world, job) is Status.COMPLETED
    sound(world)
    assert earned(world, HOME, *THREE) == [-3, 1, 1, 1]
    (shared,) = world[HOME].happened(HoldShared)
    assert isinstance(shared, HoldShared)
    assert len(shared.shares) == 3


def test_who_lies_is_not_paid_and_is_disputed_for_everybody_to_see() -> None:
    world = mesh(gives(WRONG))
    job = submit(world)
    world.pass_time(3_000)
    (agreed,) = world[HOME].happened(JobAgreed)
    assert isinstance(agreed, JobAgreed)
    assert agreed.dissenters == (world["b"].did,)
    assert parts(world, job) == {"b": Part.DISSENTED, "c": Part.AGREED, "d": Part.AGREED}
    assert world["d"].engine.state.mesh.standings[world[HOME].did, world["b"].did].failed_in_row == 1
    (dispute,) = world["c"].happened(DisputeRaised)
    assert isinstance(dispute, DisputeRaised)
    assert dispute.accused == world["b"].did
    assert [row.dispute for _, row in rows.DISPUTES.rows(world["c"].store)] == [dispute]
    sound(world)
    assert earned(world, HOME, *THREE) == [-2, 0, 1, 1]


def test_who_gives_another_fuel_for_the_same_output_dissents() -> None:
    world = mesh(gives(RIGHT, fuel_used=777))
    job = submit(world)
    world.pass_time(3_000)
    assert parts(world, job)["b"] is Part.DISSENTED
    assert world[HOME].happened(DisputeRaised)
    sound(world)


def test_nothing_is_shown_to_anybody_before_all_have_pledged() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    job = submit(world)
    world.pass_time(1_000)
    assert len(world[HOME].happened(OutputCommitted)) == 2
    assert not world[HOME].happened(RevealOpened)
    for node in world.nodes.values():
        assert not node.happened(ReceiptIssued)
    sent = [effect.message for _, effect in world.trace if isinstance(effect, Send)]
    assert not [message for message in sent if isinstance(message, ReceiptSent | Fetch | Chunk)]
    shown = b"".join(block for m in sent if isinstance(m, Announce) for block in m.blocks)
    assert builders.cid("right").data not in shown
    finish(world, "d")
    world.pass_time(500)
    assert status(world, job) is Status.COMPLETED
    assert not world["d"].engine.executor.pledging._waiting
    sound(world)


def test_a_pledge_survives_a_crash_and_so_does_what_it_was_made_for() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    job = submit(world)
    world.pass_time(500)
    made = [r.event for by, r in world["b"].events if by == world["b"].did and isinstance(r.event, PledgeMade)]
    world.restart("b")
    world.pass_time(500)
    world.link_all()
    world.pass_time(500)
    assert world["b"].runs == [], "what is pledged is not run again"
    finish(world, "d")
    world.pass_time(1_000)
    assert [commitment_to(receipt) for receipt in issued(world, "b")] == [event.commitment for event in made]
    assert status(world, job) is Status.COMPLETED
    sound(world)
    assert earned(world, *THREE) == [1, 1, 1]


def step(world: World, count: int) -> bool:
    """Have that many inputs taken, one at a time, in turn. False: there were fewer, and all is quiet."""
    for _ in range(count):
        busy = [node for node in world.nodes.values() if node.inbox]
        if not busy:
            return False
        node = busy[count % len(busy)]
        world.handle(node.name, node.inbox.popleft())
    return True


@pytest.mark.slow
@pytest.mark.parametrize("victim", [HOME, "c"])
def test_a_crash_at_any_point_undoes_nothing_and_pays_nobody_twice(victim: str) -> None:
    crash_at, goes_on = 1, True
    while goes_on:
        world = mesh(gives(RIGHT), gives(WRONG), gives(RIGHT))
        token = world.ask(HOME, Submit(world.spec(redundancy=3), b""), key="one")
        goes_on = step(world, crash_at)
        world.restart(victim)
        world.link_all()
        world.pass_time(8_000, step=500)
        if token not in world[HOME].answers:  # it was asked, and the answer lost: it is asked again
            world.done(HOME, Submit(world.spec(redundancy=3), b""))
            world.pass_time(8_000, step=500)
        (agreed,) = world[HOME].happened(JobAgreed)
        assert isinstance(agreed, JobAgreed)
        assert earned(world, *THREE) == [1, 0, 1], crash_at
        assert len(world[HOME].happened(HoldShared)) == 1
        crash_at += 6
    assert crash_at > 60
    sound(world)


def test_revealing_reaches_an_executor_that_was_cut_off_when_it_comes_back() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    job = submit(world)
    world.pass_time(500)
    world.isolate("b")
    world.pass_time(500)
    finish(world, "d")
    world.pass_time(2_000)
    assert len(world[HOME].happened(RevealOpened)) == 1
    assert not world["b"].happened(ReceiptIssued)
    world.link_all()
    world.pass_time(2_000)
    assert status(world, job) is Status.COMPLETED
    sound(world)
    assert earned(world, *THREE) == [1, 1, 1]


def test_who_does_not_show_what_it_pledged_is_not_waited_for_beyond_the_deadline() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    job = submit(world)
    world.pass_time(500)
    world.isolate("b")
    finish(world, "d")
    world.pass_time(9_000, step=500)
    assert status(world, job) is Status.EXECUTING
    world.pass_time(3_000)
    assert status(world, job) is Status.COMPLETED
    assert parts(world, job)["b"] is Part.FAILED
    world.link_all()
    sound(world)
    assert earned(world, *THREE) == [0, 1, 1]
    assert [receipt.output for receipt in issued(world, "b")] == [None], "it came too late, and shows nothing"


def test_an_executor_that_is_silent_does_not_hold_up_the_others() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    job = submit(world)
    world.pass_time(7_000)
    assert status(world, job) is Status.COMPLETED
    assert parts(world, job)["d"] is Part.FAILED
    failed = world[HOME].happened(AssigneeFailed)
    assert [(e.executor, e.counts_against_executor) for e in failed if isinstance(e, AssigneeFailed)] == [
        (world["d"].did, False)
    ]
    assert world["d"].stops, "it is told to stop"
    finish(world, "d", WRONG)
    sound(world)
    assert earned(world, *THREE) == [1, 1, 0]
    assert [receipt.exit for receipt in issued(world, "d")] == [ExitKind.CANCELLED]
    assert world[HOME].happened(ReceiptKept)


def test_a_failing_executor_does_not_end_the_attempt() -> None:
    world = mesh(fails)
    job = submit(world)
    world.pass_time(3_000)
    assert status(world, job) is Status.COMPLETED
    assert parts(world, job) == {"b": Part.FAILED, "c": Part.AGREED, "d": Part.AGREED}
    assert not world[HOME].happened(AttemptAbandoned)
    sound(world)
    assert earned(world, *THREE) == [0, 1, 1]


def test_without_a_majority_others_try_and_at_the_end_the_hold_goes_back() -> None:
    world = mesh(gives(b"1"), gives(b"2"), gives(b"3"))
    job = submit(world)
    world.pass_time(20_000, step=200)
    assert status(world, job) is Status.FAILED
    assert len(world[HOME].happened(AttemptAbandoned)) == 5
    assert len(world[HOME].happened(HoldReleased)) == 1
    assert world[HOME].happened(DisputeRaised)
    sound(world)
    assert earned(world, HOME, *THREE) == [0, 0, 0, 0]


def test_the_next_attempt_has_other_executors_while_there_are_any() -> None:
    names = ("b", "c", "d", "e", "f", "g")
    world = mesh(names=names)
    tried: list[str] = []
    for name in names:
        world[name].run = never
    submit(world)
    world.pass_time(500)
    job = next(iter(world[HOME].engine.state.mesh.jobs.values()))
    first = [world.name_of(a.executor) for a in job.assignees]
    for name in first:
        request = world[name].runs[-1]
        world.handle(name, Executed(request, replace(builders.outcome(request), output=name.encode())))
        tried.append(name)
    world.pass_time(1_500)
    again = next(iter(world[HOME].engine.state.mesh.jobs.values()))
    assert again.attempt == 2
    assert sorted(world.name_of(a.executor) for a in again.assignees) == sorted(set(names) - set(tried))


def test_a_module_that_fails_everywhere_fails_the_job_and_a_single_liar_cannot() -> None:
    world = mesh(traps, traps, traps)
    job = submit(world)
    world.pass_time(3_000)
    assert status(world, job) is Status.FAILED
    (rolled,) = world[HOME].happened(JobRolledBack)
    assert isinstance(rolled, JobRolledBack)
    assert "unreachable" in rolled.reason
    sound(world)
    world = mesh(traps)
    job = submit(world)
    world.pass_time(3_000)
    assert status(world, job) is Status.COMPLETED
    assert parts(world, job)["b"] is Part.DISSENTED
    sound(world)


def test_bidding_waits_until_there_are_enough_executors() -> None:
    world = mesh(names=("b", "c"))
    job = submit(world)
    world.pass_time(5_000, step=500)
    assert status(world, job) is Status.BIDDING
    world.add("d").run = gives(RIGHT)
    world.link_all()
    world.pass_time(20_000, step=500)
    assert status(world, job) is Status.COMPLETED
    sound(world)


def test_a_job_that_never_finds_enough_executors_fails_at_its_deadline() -> None:
    world = mesh(names=("b", "c"))
    job = submit(world, within=20_000)
    world.pass_time(21_000, step=500)
    assert status(world, job) is Status.FAILED
    sound(world)
    assert balance(world, HOME) == 1000


def test_a_cancelled_job_shows_nothing_of_what_was_pledged() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    job = submit(world)
    world.pass_time(500)
    world.done(HOME, Cancel(job))
    world.pass_time(500)
    finish(world, "d")
    sound(world)
    for name in THREE:
        assert [receipt.output for receipt in issued(world, name)] == [None], name
    assert earned(world, HOME, *THREE) == [0, 0, 0, 0]


def test_a_cancellation_while_the_output_is_fetched_pays_nobody() -> None:
    world = mesh(*[gives(b"long" * OUTPUT_INLINE_BYTES_MAX)] * 3)
    world.drop = lambda _from, _to, message: isinstance(message, Chunk)
    job = submit(world)
    world.pass_time(2_000)
    assert len(world[HOME].happened(OutputRevealed)) == 3
    assert status(world, job) is Status.EXECUTING
    world.done(HOME, Cancel(job))
    world.drop = None
    sound(world)
    assert earned(world, HOME, *THREE) == [0, 0, 0, 0]


def test_an_output_that_nobody_gives_is_not_paid_and_the_job_is_tried_again() -> None:
    world = mesh(*[gives(b"long" * OUTPUT_INLINE_BYTES_MAX)] * 3)
    world.drop = lambda _from, _to, message: isinstance(message, Chunk)
    job = submit(world)
    world.pass_time(16_500, step=500)
    (abandoned,) = world[HOME].happened(AttemptAbandoned)
    assert isinstance(abandoned, AttemptAbandoned)
    assert "could not be had" in abandoned.reason
    world.drop = None
    world.pass_time(5_000)
    assert status(world, job) is Status.COMPLETED
    sound(world)
    assert earned(world, HOME, *THREE) == [-3, 1, 1, 1]


def test_a_lost_pledge_and_a_lost_receipt_come_again() -> None:
    for kind in (OutputPledged, ReceiptSent, Announce):
        lost: list[Message] = []

        def drop(sender: str, _to: str, message: Message, kind: type = kind, lost: list[Message] = lost) -> bool:
            if isinstance(message, kind) and sender == "b" and not lost:
                lost.append(message)
                return True
            return False

        world = mesh()
        world.drop = drop
        job = submit(world)
        world.pass_time(500)
        world.cut(HOME, "b")
        world.link_all()
        world.pass_time(9_000, step=500)
        assert lost
        assert status(world, job) is Status.COMPLETED
        assert earned(world, *THREE) == [1, 1, 1]
        sound(world)


@pytest.mark.parametrize("again", [OutputPledged, ReceiptSent])
def test_what_comes_twice_changes_nothing(again: type[Message]) -> None:
    world = mesh()
    submit(world)
    world.pass_time(2_000)
    assert world[HOME].happened(JobAgreed)
    count = world[HOME].engine.state.feeds.block_count
    for sender, effect in list(world.trace):
        if isinstance(effect, Send) and isinstance(effect.message, again) and effect.peer == world[HOME].did:
            world.handle(HOME, Received(world[sender].did, effect.message))
    assert world[HOME].engine.state.feeds.block_count == count
    sound(world)
    assert earned(world, *THREE) == [1, 1, 1]


def _forger(world: World, change: Callable[[ReceiptSent], ReceiptSent]) -> None:
    """The receipts of `b` reach the home changed, and signed by `b` all the same."""
    handle, liar = world.handle, world["b"].did

    def forged(name: str, *inputs: object) -> object:
        changed = [
            replace(i, message=change(i.message))
            if isinstance(i, Received) and name == HOME and i.peer == liar and isinstance(i.message, ReceiptSent)
            else i
            for i in inputs
        ]
        return handle(name, *changed)  # type: ignore[arg-type]  # inputs, as they came

    world.handle = forged  # type: ignore[method-assign,assignment]  # between the network and the home


def test_who_shows_another_result_than_it_pledged_loses_standing_and_is_not_paid() -> None:
    world = mesh()

    def change(message: ReceiptSent) -> ReceiptSent:
        receipt = replace(open_receipt(message.receipt), output=builders.cid("copied"))
        return replace(message, receipt=seal_receipt(receipt, builders.signer(world["b"].number)))

    _forger(world, change)
    job = submit(world)
    world.pass_time(3_000)
    assert status(world, job) is Status.COMPLETED
    (failed,) = world[HOME].happened(AssigneeFailed)
    assert isinstance(failed, AssigneeFailed)
    assert "not what it had pledged" in failed.reason
    assert failed.counts_against_executor
    world.pass_time(10_000, step=500)
    assert earned(world, *THREE) == [0, 1, 1]


def test_a_pledge_for_a_job_that_is_unknown_or_over_is_answered_with_a_cancellation() -> None:
    world = mesh()
    unknown = builders.job_id(world[HOME].did, "unknown")
    world.handle(HOME, Received(world["b"].did, OutputPledged(5, unknown, 1, b"c" * 32)))
    told = [e.message for _, e in world.trace if isinstance(e, Send) and isinstance(e.message, ExecutionCancelled)]
    assert [(m.job, m.attempt) for m in told] == [(unknown, 1)]


@pytest.mark.parametrize(("attempt", "commitment"), [(1, b""), (1, b"c" * 31), (0, b"c" * 32), (2**32, b"c" * 32)])
def test_a_pledge_out_of_form_ends_the_conversation(attempt: int, commitment: bytes) -> None:
    world = mesh()
    pledge = OutputPledged(5, builders.job_id(world[HOME].did), attempt, commitment)
    world.handle(HOME, Received(world["b"].did, pledge))
    assert [peer for peer, _ in world[HOME].disconnects] == [world["b"].did]


def test_a_pledge_whose_home_is_gone_for_good_is_given_up() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    submit(world)
    world.pass_time(500)
    world.isolate(HOME)
    world.pass_time(700_000, step=10_000)
    assert not world["b"].engine.state.mesh.executions.keys() & world["b"].engine.state.mesh.pledges.keys()
    assert [receipt.output for receipt in issued(world, "b")] == [None]


def test_what_a_restored_store_has_no_row_for_is_withdrawn() -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), never)
    job = submit(world)
    world.pass_time(500)
    node = world["b"]
    batch = Batch()
    batch.delete(rows.pledged_receipt_key(node.did, job, 1))
    store = node.store.inner
    store.commit(batch, node.engine.fence)
    world.restart("b")
    world.pass_time(500)
    world.link_all()
    finish(world, "d")
    world.pass_time(2_000)
    assert status(world, job) is Status.COMPLETED
    assert parts(world, job)["b"] is Part.FAILED
    sound(world)
    assert earned(world, *THREE) == [0, 1, 1]


def test_a_pledged_execution_frees_its_place() -> None:
    world = World()
    world.add(HOME, terms(capacity=0))
    for name in THREE:
        world.add(name, terms(capacity=1)).run = gives(RIGHT)
    world.found(HOME, founders=THREE)
    world.link_all()
    world.pass_time(2_000)
    world["d"].run = never
    submit(world)
    world.pass_time(500)
    assert world["b"].engine.executor.capacity.usage(world.clock.time).in_use == 0
    assert world["d"].engine.executor.capacity.usage(world.clock.time).in_use == 1


def test_the_home_itself_may_be_one_of_the_executors() -> None:
    world = World()
    for name in ("a", "b", "c"):
        world.add(name).run = gives(RIGHT)
    world.found("a", founders=("b", "c"))
    world.link_all()
    world.pass_time(2_000)
    job = submit(world)
    world.pass_time(3_000)
    assert status(world, job) is Status.COMPLETED
    assert len(parts(world, job)) == 3
    sound(world)
    assert earned(world, "a", "b", "c") == [-2, 1, 1]


def test_nine_executors_agree_with_four_liars_among_them() -> None:
    names = tuple("bcdefghij")
    world = mesh(*[gives(WRONG)] * 4, names=names)
    job = world.submit(HOME, world.spec(redundancy=9, max_price=Mana(5)))
    world.pass_time(5_000)
    assert status(world, job) is Status.COMPLETED
    sound(world)
    assert earned(world, HOME, *names) == [-5, 0, 0, 0, 0, 1, 1, 1, 1, 1]
