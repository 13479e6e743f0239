"""One simulated node: the shipped engine in a process that may die, fed in batches by a driver as the real one is.

The driver's part: what waits goes in as one batch, effects go out in order after the commit, and when a commit failed
every connection is closed, because what peers had sent with that batch is lost and only a new conversation repeats it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import assert_never

from icn.assemble import open_engine
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.limits import BATCH_INPUTS_MAX
from icn.kernel.signing import SeedSigner
from icn.services.answers import Answer
from icn.services.effects import (
    BidAnswered,
    BlockDamaged,
    BlockMended,
    Committed,
    ContentPruned,
    Dial,
    Disconnect,
    Effect,
    Judge,
    PhaseEnded,
    Publish,
    Rechecked,
    RunJob,
    Send,
    StopJob,
    Subscribe,
)
from icn.services.engine import Engine, Outcome
from icn.services.inputs import Executed, Input, Received, Request, Tick
from icn.services.settings import NodeTerms
from icn.sim.capacity import within_capacity
from icn.sim.clock import SeededEntropy, SkewedClock
from icn.sim.disk import Disk, DiskMarker, DiskStore, ProcessDied
from icn.sim.executor import accident, lie, outcome_of, scripted_outcome
from icn.sim.faults import Chance, Faults
from icn.sim.findings import Finding
from icn.sim.gossip import Gossip
from icn.sim.network import Network
from icn.sim.plants import BlindToForks, HastyPledging, Plant, forgive, keep_what_ended
from icn.sim.timeline import MS, SECOND, Timeline
from icn.sim.trace import Trace
from icn.stores.kv import CommitUncertain, StoreUnavailable

STOP_DELAY_US = 20 * MS
SHAKY_LOSES = 8_000
"""How often the worker of a shaky node is lost, per ten thousand."""
IDLE_TICKS_MAX = 400
"""Ticks within a second, with no other input, above which a node is said to spin."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all nodes share."""

    timeline: Timeline
    network: Network
    trace: Trace
    plant: Plant | None
    answered: Callable[[int, Answer], None]
    committed: Callable[[int, Committed], None]
    put_back: Callable[[int], None]
    """An older copy of a node's store stands in its place."""
    began: Callable[[int, ExecutionRequest], None]
    """A guest begins to run."""


class Node:
    """Satisfies `network.Station`."""

    def __init__(
        self, index: int, around: Surroundings, disk: Disk, terms: NodeTerms, faults: Faults, seed: str
    ) -> None:
        self.index = index
        self.name = f"n{index}"
        self.signer = SeedSigner(index.to_bytes(4, "big") * 8)
        self.did: Did = self.signer.did
        self.terms = terms
        self.disk = disk
        self.faults = faults
        self._seed = seed
        self.engine: Engine | None = None
        self.life = 0
        self.crashes = 0
        self.is_leaving = False
        """It leaves the federation, or has: peers tell it nothing any more, so an older store would never catch up."""
        self._around = around
        self._rng = Random(f"{seed}/{self.name}")
        self._chance = Chance(self._rng)
        self._entropy = SeededEntropy(Random(f"{seed}/{self.name}/entropy"))
        self._delay_us = (faults.slow_for if index < faults.slow else faults.commit_for) * MS
        self._drift_ppm = self._rng.randint(-faults.drift_ppm, faults.drift_ppm)
        self._clock = self._set_clock()
        self._gossip: Gossip | None = None
        self._inbox: deque[Input] = deque()  # bounded: by the run, which ends
        self._work_planned = False
        self._wake_us: int | None = None
        self._running: dict[tuple[bytes, int], tuple[int, ExecutionRequest]] = {}
        self._stopping: dict[tuple[bytes, int], None] = {}
        """Guests that were told to end. The sandbox counts them until they have: whoever comes next waits there."""
        self._runs = 0
        shakes = Random(f"{seed}/{self.name}/shaky")  # apart, so that the older draws of a seed stay what they were
        self._shakes = Chance(shakes)
        self._is_shaky = self._shakes.happens(faults.shaky)
        self._ticks: tuple[int, int] = (0, 0)

    @property
    def is_up(self) -> bool:
        """Whether its process lives."""
        return self.engine is not None

    def local_time(self) -> Instant:
        """What its clock shows."""
        return self._clock.now()

    def start(self) -> None:
        """A process opens the disk."""
        if self.engine is not None:
            return
        self._clock = self._set_clock()
        try:
            self.engine = open_engine(
                store=DiskStore(self.disk),
                clock=self._clock,
                entropy=self._entropy,
                signer=self.signer,
                terms=self.terms,
                marker=self._marker(),
            )
        except (StoreUnavailable, CommitUncertain, ProcessDied):
            self._note("does not come up")
            self.disk.lose_power()
            self._around.timeline.plan(100 * MS, self.start)
            return
        if self._around.plant is Plant.EARLY_REVEAL:
            pledging = self.engine.executor.pledging
            self.engine.executor.pledging = HastyPledging(pledging.content, pledging.entropy, pledging.unsettled)
        if self._around.plant is Plant.FORK_IGNORED:
            self.engine.forks = self.engine.replication.arrivals.forks = BlindToForks(self.did)
        rng = Random(f"{self._seed}/{self.name}/gossip{self.life}")
        self._gossip = Gossip(self.signer, rng, self._around.timeline, self._around.network, self.push)
        self._note("starts")
        self.push(Tick())

    def set_clock(self, by_ms: int) -> None:
        """Somebody sets the machine's clock. What the process waits for comes when it would have come."""
        if self.engine is not None:
            self._clock.set_off(by_ms)
            self._note(f"its clock is set, off by {by_ms} ms")

    def crash(self, why: str, down_us: int) -> None:
        """The process dies; another one starts after a while."""
        if self.engine is None:
            return
        self._note(f"dies: {why}")
        self.engine = None
        if self._gossip is not None:
            self._gossip.end()
        self.life += 1
        self.crashes += 1
        self._inbox.clear()
        self._running.clear()
        self._stopping.clear()
        self._wake_us = None
        self.disk.lose_power()
        if self._chance.happens(self.faults.put_back) and not self.is_leaving and self.disk.put_back():
            self._note("an older copy of its store is put back")
            self._around.put_back(self.index)
        self._around.network.station_died(self.did)
        self._around.timeline.plan(down_us, self.start)

    def push(self, input_: Input) -> None:
        """Put an input into the queue; lost where no process is there to take it."""
        if self.engine is None:
            return
        if self._gossip is not None:
            self._gossip.notice(input_)
        self._inbox.append(input_)
        self._plan_work()

    def hear(self, peer: Did, data: bytes) -> None:
        """An RPC of the gossip's; lost where no process is there to take it."""
        if self._gossip is not None:
            self._gossip.hear(peer, data)

    def _set_clock(self) -> SkewedClock:
        # Anew at every start: between two processes a clock may be set, either way.
        skew = self.faults.skew
        offset = self._rng.randint(-skew, skew)
        return SkewedClock(self._around.timeline.now, offset_ms=offset, drift_ppm=self._drift_ppm)

    def _note(self, what: str) -> None:
        self._around.trace.line(self._around.timeline.now_us, self.name, what)

    def _work(self, life: int) -> None:
        self._work_planned = False
        engine = self.engine
        if engine is None:
            return
        if life != self.life:  # planned for a process that died since
            if self._inbox:
                self._plan_work()
            return
        count = len(self._inbox)
        if count > 1 and self._rng.random() < 0.5:
            count = self._rng.randint(1, count)
        batch = [self._inbox.popleft() for _ in range(min(count, BATCH_INPUTS_MAX))]
        if not batch:
            return
        self._note(" ".join([_short(input_) for input_ in batch]))
        self._watch_for_spinning(batch)
        if self._around.plant is Plant.DOUBLE_SETTLEMENT:
            keep_what_ended(engine.state)
        if self._around.plant is Plant.BAN_IGNORED:
            forgive(engine.state)
        try:
            outcome = engine.handle(batch)
        except ProcessDied:
            self.crash("in a commit", self._downtime())
            return
        except CommitUncertain:
            self.crash("does not know of a commit", 10 * MS)
            return
        except StoreUnavailable as fault:
            self._note(f"fault: {fault}")
            self._around.network.drop_all(self.did)
            self._wake_us = None
            self._plan_wake(Instant(self._clock.now() + 100))
        except InvariantBroken as broken:
            raise Finding("invariant", f"{self.name}: {broken}") from broken
        else:
            if self._chance.happens(self.faults.crash_after_commit):
                keep = self._rng.randrange(len(outcome.effects) + 1)
                if keep:
                    self._keep_mark(outcome)
                self._carry_out(outcome.effects[:keep])
                self.crash("after a commit", self._downtime())
                return
            for reply in outcome.replies:
                self._around.answered(reply.token, reply.answer)
            self._keep_mark(outcome)
            self._carry_out(outcome.effects)
            if not (engine.authorship.is_held or outcome.is_released):  # else it takes up its own with the next batch
                within_capacity(self.name, engine, [key for key in self._running if key not in self._stopping])
            self._plan_wake(outcome.wake_at)
        if self._inbox:
            self._plan_work()

    def _marker(self) -> DiskMarker | None:
        # A disk that loses what was synced loses the mark as well.
        return None if self._around.plant in {Plant.NO_HEAD_MARK, Plant.MISSING_FSYNC} else DiskMarker(self.disk)

    def _keep_mark(self, outcome: Outcome) -> None:
        """Before anything of the batch leaves the node, as the writer does it."""
        if outcome.mark is not None:
            DiskMarker(self.disk).write(outcome.mark)

    def _plan_work(self) -> None:
        if not self._work_planned:
            self._work_planned = True
            self._around.timeline.plan(self._chance.below(self._delay_us), self._work, self.life)

    def _downtime(self) -> int:
        return self._chance.around(self.faults.down_for) * MS

    def _watch_for_spinning(self, batch: list[Input]) -> None:
        now, (since, count) = self._around.timeline.now_us, self._ticks
        if now - since > SECOND or list(map(type, batch)).count(Tick) < len(batch):
            self._ticks = (now, 0)
            return
        self._ticks = (since, count + 1)
        if count > IDLE_TICKS_MAX:
            raise Finding("nobody spins", f"{self.name} asks to be woken {count} times within a second, for nothing")

    def _plan_wake(self, moment: Instant | None) -> None:
        if moment is None:
            return
        at = max(self._around.timeline.now_us + MS, self._clock.reached_at_us(moment))
        if self._wake_us is None or at < self._wake_us:
            self._wake_us = at
            self._around.timeline.plan(at - self._around.timeline.now_us, self._wake, self.life, at)

    def _wake(self, life: int, at: int) -> None:
        if life == self.life and self._wake_us == at:
            self._wake_us = None
            self.push(Tick())

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer, message):
                    self._around.network.send(self.did, peer, message)
                case Subscribe() | Publish() | Judge():
                    if self._gossip is not None:
                        self._gossip.carry_out(effect)
                case Dial():
                    pass  # the network connects everybody whom it can
                case Disconnect(peer, reason):
                    self._around.network.disconnect(self.did, peer, reason)
                case RunJob(request, module):
                    self._run(request, module)
                case StopJob(job, attempt):
                    if (job.data, attempt) in self._running:
                        self._stopping[job.data, attempt] = None
                        self._around.timeline.plan(STOP_DELAY_US, self._stopped, self.life, (job.data, attempt))
                case Committed():
                    self._around.committed(self.index, effect)
                case ContentPruned() | BlockDamaged() | BlockMended() | BidAnswered() | PhaseEnded() | Rechecked():
                    pass  # notes for an operator
                case _:
                    assert_never(effect)

    def _run(self, request: ExecutionRequest, module: bytes) -> None:
        self._runs += 1
        key = (request.job.data, request.attempt)
        self._running[key] = (self._runs, request)
        self._around.began(self.index, request)
        mishap = accident(self._chance, self.faults)
        if self._is_shaky and self.faults.shaky and self._shakes.happens(SHAKY_LOSES):
            mishap = ExitKind.WORKER_LOST
        duration = self._chance.around(self.faults.run_for)
        if mishap is ExitKind.DEADLINE:
            duration = request.limits.wall_ms
        outcome = outcome_of(mishap) if mishap is not None else scripted_outcome(request, module)
        if self.index == self.faults.liar and outcome.exit.repeatable:
            outcome = lie(outcome, self.name)
        self._around.timeline.plan(duration * MS, self._ran, self.life, self._runs, request, outcome)

    def _ran(self, life: int, run: int, request: ExecutionRequest, outcome: ExecutionOutcome) -> None:
        key = (request.job.data, request.attempt)
        if life == self.life and self._running.get(key) == (run, request):
            del self._running[key]
            self._stopping.pop(key, None)
            self.push(Executed(request, outcome))

    def _stopped(self, life: int, key: tuple[bytes, int]) -> None:
        if life == self.life and key in self._running:
            _, request = self._running.pop(key)
            self._stopping.pop(key, None)
            self.push(Executed(request, outcome_of(ExitKind.CANCELLED, detail="stopped")))


def _short(input_: Input) -> str:
    match input_:
        case Received(_, message):
            return type(message).__name__
        case Request(token):
            return f"Request#{token}"
        case _:
            return type(input_).__name__
