"""A home that runs a job itself before it pays, and a node that disputes a receipt after running a job again."""

from dataclasses import replace

import pytest

from icn.domain.mesh.agreement_rules import check_dispute
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptAbandoned,
    AttemptFailed,
    DisputeRaised,
    JobCompleted,
    ReceiptKept,
)
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Status
from icn.domain.mesh.papers import ATTEMPT_MAX, open_receipt
from icn.kernel.ids import RAW, Cid, JobId
from icn.kernel.limits import JOB_WALL_MS_MAX
from icn.protocol.messages import ReceiptSent
from icn.services import rows
from icn.services.commands import Cancel, NoteMismatch, PutContent
from icn.services.effects import Finding, Rechecked, Send
from icn.services.inputs import Executed, Received
from icn.services.queries import jobs
from icn.services.rechecking import RUNS_MAX, RecheckService
from support import builders
from support.world import Run, World, terms

HOME = "a"
RIGHT, WRONG = b"right", b"wrong"


def gives(output: bytes, kind: ExitKind = ExitKind.COMPLETED) -> Run:
    def run(request: ExecutionRequest) -> ExecutionOutcome:
        return replace(builders.outcome(request, kind), output=output)

    return run


def never(_request: ExecutionRequest) -> ExecutionOutcome | None:
    return None


def mesh(*runs: Run, percent: int = 100, home: Run | None = None) -> World:
    """A home that runs its jobs itself, and executors b, c, … that answer so."""
    world = World()
    world.add(HOME, replace(terms(capacity=0), recheck_percent=percent)).run = home or gives(RIGHT)
    names = tuple("bcdefghij"[: len(runs)])
    for name, run in zip(names, runs, strict=True):
        world.add(name).run = run
    world.found(HOME, founders=names)
    world.link_all()
    world.pass_time(2_000)
    return world


def status(world: World, job: JobId) -> Status:
    found = rows.JOBS.get(world[HOME].store, job.data)
    assert found is not None
    return found.status


def sound(world: World) -> None:
    world.pass_time(15_000, step=500)
    for node in world.nodes.values():
        state = node.engine.state
        assert state == rows.load(node.store)
        assert state.ledger.supply.is_balanced
        assert (state.ledger.supply.held, state.ledger.supply.in_transit) == (0, 0)
        assert not state.mesh.jobs
        assert not node.engine.home.recheck._questions
    assert len(dict.fromkeys(world.roots())) == 1


def earned(world: World, *names: str) -> list[int]:
    ledger = world[HOME].engine.state.ledger
    return [ledger.accounts[world[name].did, world[name].did].balance - 1000 for name in names]


def findings(world: World) -> list[Finding]:
    return [effect.finding for _, effect in world.trace if isinstance(effect, Rechecked)]


def test_a_result_that_is_confirmed_is_paid() -> None:
    world = mesh(gives(RIGHT))
    job = world.submit(HOME)
    world.pass_time(2_000)
    assert status(world, job) is Status.COMPLETED
    assert [request.attempt > ATTEMPT_MAX for request in world[HOME].runs] == [True]
    assert not world[HOME].happened(DisputeRaised)
    sound(world)
    assert earned(world, "b") == [1]
    assert findings(world) == [Finding.CONFIRMED]


def test_a_result_that_is_refuted_is_disputed_and_not_paid_and_another_executor_does_the_job() -> None:
    world = mesh(gives(WRONG), gives(RIGHT))
    job = world.submit(HOME)
    world.pass_time(8_000, step=500)
    while world[HOME].happened(AttemptFailed) == []:  # the lot gave it to the honest one
        job = world.submit(HOME)
        world.pass_time(8_000, step=500)
    assert status(world, job) is Status.COMPLETED
    (dispute,) = world["c"].happened(DisputeRaised)
    assert isinstance(dispute, DisputeRaised)
    assert dispute.accused == world["b"].did
    check_dispute(dispute)
    (failed,) = world[HOME].happened(AttemptFailed)
    assert isinstance(failed, AttemptFailed)
    assert failed.counts_against_executor
    assert {e.executor for e in world[HOME].happened(JobCompleted) if isinstance(e, JobCompleted)} == {world["c"].did}
    view = jobs.job(world["c"].store, job)
    assert [(d.accused, d.raised_by) for d in view.disputes] == [(world["b"].did, world[HOME].did)]
    sound(world)
    assert earned(world, "b") == [0]
    assert findings(world).count(Finding.REFUTED) == 1


def test_a_refuted_receipt_that_comes_again_changes_nothing() -> None:
    world = mesh(gives(WRONG))
    world.submit(HOME)
    world.pass_time(150)
    sent = [e.message for _, e in world.trace if isinstance(e, Send) and isinstance(e.message, ReceiptSent)]
    first = next(m for m in sent if open_receipt(m.receipt).attempt == 1)
    world.handle(HOME, Received(world["b"].did, first))
    assert not world[HOME].happened(ReceiptKept)


def test_a_false_claim_that_the_module_failed_does_not_end_the_job() -> None:
    world = mesh(gives(b"", ExitKind.TRAPPED))
    job = world.submit(HOME)
    world.pass_time(20_000, step=500)
    assert len(world[HOME].happened(AttemptFailed)) > 1, "it is tried again, and nobody believes it"
    assert world[HOME].happened(DisputeRaised)
    assert status(world, job) is not Status.COMPLETED


def test_colluders_that_are_a_majority_are_refuted_and_paid_nothing() -> None:
    world = mesh(gives(WRONG), gives(WRONG), gives(RIGHT), gives(RIGHT), gives(RIGHT))
    paid = 0
    for _ in range(4):
        job = world.submit(HOME, world.spec(redundancy=3))
        world.pass_time(9_000, step=500)
        assert status(world, job) is Status.COMPLETED
        ended = rows.JOBS.get(world[HOME].store, job.data)
        assert ended is not None
        assert ended.output == Cid.of(RIGHT, RAW)
        paid += ended.paid
    sound(world)
    assert earned(world, "b", "c") == [0, 0]
    assert sum(earned(world, "d", "e", "f")) == paid
    failed = [e for e in world[HOME].happened(AssigneeFailed) if isinstance(e, AssigneeFailed)]
    assert all(e.counts_against_executor for e in failed)


def test_a_refuted_majority_loses_standing_and_the_attempt_is_abandoned() -> None:
    world = mesh(gives(WRONG), gives(WRONG), gives(WRONG))
    world.submit(HOME, world.spec(redundancy=3))
    world.pass_time(500)
    disputes = [e for e in world[HOME].happened(DisputeRaised) if isinstance(e, DisputeRaised) and e.attempt == 1]
    assert {event.accused for event in disputes} == {world[name].did for name in "bcd"}
    abandoned = world[HOME].happened(AttemptAbandoned)
    assert abandoned
    standings = world[HOME].engine.state.mesh.standings
    failed = [standings[world[HOME].did, world[name].did].failed_in_row for name in "bcd"]
    assert failed == [len(abandoned)] * 3
    assert earned(world, "b", "c", "d") == [0, 0, 0]


def test_what_our_own_workers_cannot_confirm_is_not_paid_and_not_held_against_anybody() -> None:
    world = mesh(gives(RIGHT), home=lambda request: builders.outcome(request, ExitKind.WORKER_LOST, "gone"))
    world.submit(HOME)
    world.pass_time(300)
    failed = world[HOME].happened(AttemptFailed)
    assert len(world[HOME].runs) == RUNS_MAX * len(failed)
    assert [e.counts_against_executor for e in failed if isinstance(e, AttemptFailed)] == [False] * len(failed)
    assert not world[HOME].happened(DisputeRaised)


def test_another_profile_confirms_an_equal_output_and_proves_nothing_about_another_one() -> None:
    def under_another(output: bytes) -> Run:
        return lambda request: replace(builders.outcome(request), output=output, profile="other", fuel_used=9)

    world = mesh(gives(RIGHT), home=under_another(RIGHT))
    job = world.submit(HOME)
    world.pass_time(1_000)
    assert status(world, job) is Status.COMPLETED
    world = mesh(gives(RIGHT), home=under_another(WRONG))
    world.submit(HOME)
    world.pass_time(300)
    failed = world[HOME].happened(AttemptFailed)
    assert failed
    assert not any(e.counts_against_executor for e in failed if isinstance(e, AttemptFailed))
    assert not world[HOME].happened(DisputeRaised)


def test_no_deadline_of_the_attempt_counts_while_the_result_is_being_confirmed() -> None:
    world = mesh(gives(RIGHT), home=never)
    job = world.submit(HOME)
    world.pass_time(20_000, step=500)
    assert not world[HOME].happened(AttemptFailed)
    request = world[HOME].runs[-1]
    world.handle(HOME, Executed(request, gives(RIGHT)(request) or builders.outcome(request)))
    world.pass_time(1_000)
    assert status(world, job) is Status.COMPLETED
    sound(world)
    assert earned(world, "b") == [1]


@pytest.mark.parametrize("redundancy", [1, 3])
def test_a_cancellation_meanwhile_pays_nobody(redundancy: int) -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), gives(RIGHT), home=never)
    job = world.submit(HOME, world.spec(redundancy=redundancy))
    world.pass_time(500)
    world.done(HOME, Cancel(job))
    request = world[HOME].runs[-1]
    world.handle(HOME, Executed(request, builders.outcome(request)))
    sound(world)
    assert earned(world, HOME, "b", "c", "d") == [0, 0, 0, 0]


@pytest.mark.parametrize("redundancy", [1, 3])
def test_a_home_that_crashes_meanwhile_asks_again(redundancy: int) -> None:
    world = mesh(gives(RIGHT), gives(RIGHT), gives(RIGHT), home=never)
    job = world.submit(HOME, world.spec(redundancy=redundancy))
    world.pass_time(500)
    world.restart(HOME)
    world[HOME].run = gives(RIGHT)
    world.link_all()
    world.pass_time(3_000)
    assert status(world, job) is Status.COMPLETED
    sound(world)


def test_the_home_gets_a_module_that_it_lacks_from_the_executor() -> None:
    world = mesh(gives(RIGHT))
    module = b"\0asm module"
    cid = Cid.of(module, RAW)
    world.done("b", PutContent(module, RAW, pinned=True, lifetime_ms=None))
    job = world.submit(HOME, world.spec(module=cid))
    world.pass_time(4_000)
    assert status(world, job) is Status.COMPLETED
    assert [request.module for request in world[HOME].runs] == [cid]


def test_a_share_of_the_jobs_is_drawn_alike_each_time_and_by_nobody_else() -> None:
    world = mesh(gives(RIGHT), percent=30)
    home, other = world[HOME].engine, world["b"].engine
    service = RecheckService(home.content, 30)
    made = [builders.job_id(home.did, str(n)) for n in range(400)]

    drawn = [service.is_due(home.signer, job) for job in made]
    assert 80 < sum(drawn) < 160
    assert drawn == [service.is_due(home.signer, job) for job in made]
    assert drawn != [service.is_due(other.signer, job) for job in made]
    for percent, count in ((0, 0), (100, 400)):
        share = RecheckService(home.content, percent)
        assert sum(share.is_due(home.signer, job) for job in made) == count


def test_a_node_that_ran_a_job_again_disputes_once_what_does_not_match() -> None:
    world = mesh(gives(WRONG), percent=0)
    world.add("z").run = never
    world.link_all()
    job = world.submit(HOME)
    world.pass_time(4_000)
    sealed = jobs.receipt(world["z"].store, job).receipt_base64
    request = ExecutionRequest(
        job=job, attempt=1, module=None, arguments=(), input=b"", limits=builders.limits(wall_ms=JOB_WALL_MS_MAX)
    )
    right = gives(RIGHT)(request) or builders.outcome(request)
    for _ in range(2):
        assert world.done("z", NoteMismatch(job, sealed, right))["disputed"] is True
    world.pass_time(1_000)
    (dispute,) = world["b"].happened(DisputeRaised)
    assert isinstance(dispute, DisputeRaised)
    check_dispute(dispute)
    assert [(d.raised_by, d.accused) for d in jobs.job(world[HOME].store, job).disputes] == [
        (world["z"].did, world["b"].did)
    ]
    for proves_nothing in (
        replace(right, output=WRONG),
        replace(right, profile="other"),
        replace(right, exit=ExitKind.DEADLINE),
    ):
        assert world.done("z", NoteMismatch(job, sealed, proves_nothing))["disputed"] is False
    assert not world["z"].happened(AttemptFailed)
