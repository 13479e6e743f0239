"""Every phase of a job is measured once each time it ends, and quantiles are spans that occurred."""

from icn.domain.mesh.events import AttemptAbandoned, BiddingOpened, JobAgreed, JobAssigned
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Status
from icn.kernel.instant import Duration, Instant
from icn.kernel.mana import Mana
from icn.services import job_times
from icn.services.commands import Cancel
from icn.services.effects import Committed
from icn.services.job_times import JobTimes, Phase, Span
from support import builders
from support.world import World, terms


def told(world: World, times: JobTimes | None = None) -> tuple[JobTimes, list[Span]]:
    """What the home's records say, each with the time at which it became durable."""
    times = times or JobTimes()
    spans: list[Span] = []
    for name, effect in world.trace:
        if name == "home" and isinstance(effect, Committed) and effect.author == world["home"].did:
            spans += times.take(effect.record.event, effect.time)
    return times, spans


def mesh(*executors: str, run=builders.outcome, **node_terms: int) -> World:
    world = World()
    world.add("home", terms(capacity=0, **node_terms))
    for name in executors:
        world.add(name).run = run
    world.found("home", founders=executors)
    world.link_all()
    world.pass_time(2_000)
    world.trace.clear()
    return world


def test_a_job_that_needs_two_attempts() -> None:
    world = mesh("b", "c", run=lambda request: builders.outcome(request, _kind(request.attempt)))
    world.drop = lambda _from, _to, message: type(message).__name__ == "BidOffered" and _from == "c"
    world.submit("home")
    world.pass_time(10_000)
    times, spans = told(world)
    names = [span.phase for span in spans]
    assert names[-1] is Phase.WHOLE
    assert [name for name in names if name is not Phase.ASSIGNED] == [
        *(Phase.BIDDING, Phase.EXECUTING, Phase.WAITING, Phase.BIDDING, Phase.EXECUTING, Phase.WHOLE)
    ]
    assert [span.duration for span in spans if span.phase is Phase.BIDDING] == [1_000, 1_000]
    assert sum(span.duration for span in spans[:-1]) == spans[-1].duration, "the phases are the whole"
    figures = times.figures()
    assert (figures.submitted, figures.ended, figures.attempts_failed, figures.attempts_failed_by_executor) == (
        *(1, {"completed": 1, "failed": 0, "cancelled": 0}, 1, 1),
    )


def _kind(attempt: int) -> ExitKind:
    return ExitKind.WORKER_LOST if attempt == 1 else ExitKind.COMPLETED


def test_bids_that_are_asked_for_again_are_one_phase() -> None:
    world = mesh()
    job = world.submit("home", world.spec(within=86_400_000))
    world.pass_time(40_000, step=1_000)
    world.done("home", Cancel(job))
    times, spans = told(world)
    assert [(span.phase, span.duration) for span in spans] == [(Phase.BIDDING, 40_000), (Phase.WHOLE, 40_000)]
    assert times.figures().ended["cancelled"] == 1


def test_a_module_that_fails_everywhere_waits_for_nothing() -> None:
    world = mesh("b", run=lambda request: builders.outcome(request, ExitKind.TRAPPED))
    world.submit("home")
    world.pass_time(2_000)
    times, spans = told(world)
    assert Phase.WAITING not in [span.phase for span in spans]
    assert times.figures().ended["failed"] == 1


def test_a_job_that_was_open_before_is_measured_from_then_on() -> None:
    world = mesh("b", run=lambda _: None)
    job = world.submit("home")
    world.pass_time(1_000)
    world.trace.clear()
    world.done("home", Cancel(job))
    times, spans = told(world)
    assert spans == []
    assert (times.figures().submitted, times.figures().ended["cancelled"]) == (0, 1)
    assert times._open == {}


def test_quantiles_are_of_the_newest_and_none_of_what_did_not_happen(monkeypatch) -> None:
    monkeypatch.setattr(job_times, "SPANS_KEPT", 100)
    times = JobTimes()
    for number in range(300):
        times._noted([Span(Phase.BIDDING, Duration(number))])
    by_phase = {one.phase: one for one in times.figures().phases}
    bidding = by_phase[Phase.BIDDING]
    assert (bidding.count, bidding.p50_ms, bidding.p90_ms, bidding.p99_ms, bidding.longest_ms) == (
        300,
        249,
        289,
        298,
        299,
    )
    assert by_phase[Phase.WHOLE].p50_ms is None
    assert set(times.figures().ended) == {status.value for status in Status if status.has_ended}


def test_executors_that_agree_end_a_job_and_those_that_do_not_end_an_attempt() -> None:
    job, times = builders.job_id(builders.did(1)), JobTimes()
    times.take(JobAssigned(job, 1, Instant(90), ()), Instant(10))
    assert times.take(AttemptAbandoned(job, 1, "x", Instant(31)), Instant(30)) == [Span(Phase.ASSIGNED, Duration(20))]
    times.take(BiddingOpened(job, 2, Instant(50)), Instant(31))
    agreed = JobAgreed(job, 2, builders.cid("hello"), (), (), Mana(2))
    assert times.take(agreed, Instant(70)) == [Span(Phase.BIDDING, Duration(39))]
    assert (times.attempts_failed, times.attempts_failed_by_executor, times.ended["completed"]) == (1, 0, 1)
