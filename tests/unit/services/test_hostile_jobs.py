"""Jobs and papers that members craft so that other nodes stop, wait in vain or think ill of each other."""

from icn.domain.ledger.events import ManaHeld
from icn.domain.ledger.model import HoldId
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptFailed,
    BiddingOpened,
    JobAssigned,
    JobSubmitted,
)
from icn.domain.mesh.model import Assignee
from icn.domain.records import Event
from icn.kernel.ids import JobId
from icn.kernel.instant import Instant
from icn.kernel.limits import JOB_ATTEMPTS_MAX, REDUNDANCY_MAX
from icn.kernel.mana import Mana
from icn.services import rows
from support import builders
from support.agreeing import agree
from support.hostile_worlds import NAMES
from support.impostor import Impostor
from support.world import World, federation

NONCE = builders.digest("crafted")[:16]
WIDE = "\U0001f600" * 1024
"""A reason of as many bytes as its characters can have."""
ROW_BYTES_MAX = 2**21
"""A fraction of what a store takes as one value."""


def opened(world: World, evil: Impostor, redundancy: int = 1) -> tuple[JobId, list[Event]]:
    """A job of a home that the test plays, and the records that open it."""
    spec = world.spec(redundancy=redundancy, max_price=Mana(1))
    job = JobId.of(evil.did, NONCE)
    held = ManaHeld(HoldId(job.data), evil.did, spec.price_held)
    return job, [JobSubmitted(job, NONCE, 0, evil.did, spec), held, BiddingOpened(job, 1, world.clock.time)]


def row_bytes(world: World, name: str) -> int:
    return max(len(value) for _, value in world[name].store.scan(rows.JOBS.prefix))


def test_a_job_that_fails_without_end_stops_nobody() -> None:
    """Every failure stands in the job's row, and a store takes only so much as one value."""
    world = federation(*NAMES)
    evil, now = Impostor.of(world, "d"), world.clock.time
    job, records = opened(world, evil)
    evil.say(evil.block(*records, parents=evil.parents("a")), "a", "b")
    assignee = Assignee(builders.did(1), builders.did(1), Mana(1))
    attempt = 1
    for _ in range(11):
        failing: list[Event] = []
        for _ in range(200):
            failing.append(JobAssigned(job, attempt, now, (assignee,)))
            failing.append(AttemptFailed(job, attempt, assignee.executor, WIDE, False, now, b""))
            failing.append(BiddingOpened(job, attempt + 1, now))
            attempt += 1
        evil.say(evil.block(*failing), "a", "b")
    assert world["a"].engine.state.mesh.jobs[job].attempt <= JOB_ATTEMPTS_MAX
    assert row_bytes(world, "a") < ROW_BYTES_MAX
    world.pass_time(1_000)
    agree(world, "a", "b")


def test_receipts_beyond_their_size_in_one_attempt_stop_nobody() -> None:
    world = federation(*NAMES)
    evil, now = Impostor.of(world, "d"), world.clock.time
    job, records = opened(world, evil, redundancy=REDUNDANCY_MAX)
    executors = [builders.did(100 + number) for number in range(REDUNDANCY_MAX)]
    assigned = JobAssigned(job, 1, Instant(now + 1), tuple(Assignee(each, each, Mana(1)) for each in executors))
    evil.say(evil.block(*records, assigned, parents=evil.parents("a")), "a", "b")
    for executor in executors:
        evil.say(evil.block(AssigneeFailed(job, 1, executor, "", False, bytes(1_000_000))), "a", "b")
    largest = max(len(value) for _, value in world["a"].store.scan(rows.POLLS.prefix))
    assert largest < ROW_BYTES_MAX
    world.pass_time(1_000)
    agree(world, "a", "b")
