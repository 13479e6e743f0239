"""How often a wrong result is accepted when executors lie: measured with the engine that ships, beside the chance.

```
 one home, a few executors ── FIFO links, no faults, virtual time ──> jobs, some hundred at a time ──> what was agreed
```

The engine, the rules, the messages and the records are those of a node; only store, clock, links and sandbox are the
simulator's. A federation is thrown away after some hundred jobs, so that memory is bounded. Each executor lies by a
coin of its own for each job and attempt (`liars`), and nobody is banned, or there would soon be nobody left to draw
from.

Not here: faults of network, disk and process (world).
"""

import argparse
import hashlib
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.events import (
    AttemptAbandoned,
    AttemptFailed,
    DisputeRaised,
    JobAgreed,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
)
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind, Limits
from icn.domain.mesh.model import JobSpec
from icn.domain.mesh.papers import ATTEMPT_MAX
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.domain.mesh.state import ExecutionKey
from icn.domain.records import Event
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.limits import BATCH_INPUTS_MAX, GIB
from icn.kernel.mana import MANA_MAX, Mana
from icn.kernel.signing import SeedSigner
from icn.services.commands import Found, Submit
from icn.services.effects import Committed, Disconnect, Publish, RunJob, Send
from icn.services.engine import Engine
from icn.services.inputs import Executed, Input, PeerUp, Received, Request, Tick
from icn.services.opening import open_engine
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from icn.sim.checkers import Entry, history
from icn.sim.clock import SeededEntropy
from icn.sim.executor import outcome_of
from icn.sim.findings import Finding, expect
from icn.sim.liars import CopyingPledging, Lie, lied, lies, wrong_majority

EXECUTORS = 6
JOBS_PER_FEDERATION = 250
JOBS_AT_ONCE = 50
ATTEMPTS_MAX = 12
"""So that chance leaves no job without a majority: fewer than one in 10^11."""
STEPS_MAX = 100_000
EXIT_FINDING = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What is measured."""

    lie: Lie
    jobs: int
    redundancy: int = 3
    per_thousand: int = 200
    """How many of a thousand executions are lies."""
    recheck: bool = False
    """Whether the home runs every job itself."""
    seed: int = 0


@dataclass(slots=True)
class Counts:
    """What came of it."""

    accepted: int = 0
    wrong: int = 0
    """Accepted, and not what an honest executor gets."""
    failed: int = 0
    abandoned: int = 0
    disputes: int = 0
    paid: int = 0
    """Payments."""
    paid_for_lies: int = 0
    executions: int = 0
    lies: int = 0

    def add(self, other: "Counts") -> None:
        """Count what another federation counted."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Federation:
    """One home and its executors, on links that keep their order and lose nothing."""

    def __init__(self, trial: Trial, number: int) -> None:
        self.trial = trial
        self.counts = Counts()
        self._now = Instant(1_000_000)
        self._label = f"{trial.seed}/{number}"
        self._lied: dict[ExecutionKey, None] = {}
        self._engines: dict[Did, Engine] = {}
        self._inboxes: dict[Did, deque[Input]] = {}  # bounded: by the trial, which ends
        self._wake: dict[Did, Instant | None] = {}
        self._open: dict[JobId, None] = {}
        signers = [SeedSigner(hashlib.sha256(f"{self._label}/{n}".encode()).digest()) for n in range(EXECUTORS + 1)]
        for index, signer in enumerate(signers):
            self._add(signer, executes=index > 0)
        self.home, *self.executors = [signer.did for signer in signers]
        policy = Policy(JoinPolicy.OPEN, Mana(10**9), Mana(MANA_MAX), 0, 100)
        self._push(self.home, self._ask(Found("trial", tuple(sorted(self._engines)), policy)))
        for one in self._engines:
            for other in self._engines:
                if one != other:
                    self._push(one, PeerUp(other))
        self._run_until(self._is_joined)

    def now(self) -> Instant:
        """Virtual time, the same for everybody."""
        return self._now

    def run(self, jobs: int) -> Counts:
        """Submit so many jobs, some at a time, and count how they end."""
        for first in range(0, jobs, JOBS_AT_ONCE):
            for number in range(first, min(first + JOBS_AT_ONCE, jobs)):
                spec = self._spec(number)
                self._push(self.home, self._ask(Submit(spec, b"")))
            self._run_until(self._is_quiet)
        self._check()
        return self.counts

    def history(self) -> list[Entry]:
        """All records, as the home has them."""
        return history(self._engines[self.home].store)

    def _add(self, signer: SeedSigner, *, executes: bool) -> None:
        terms = NodeTerms(
            agent="trial/1",
            mesh=MeshTerms(Duration(1_000), ATTEMPTS_MAX, ban_after=2**31),
            executor=ExecutorTerms(2 * JOBS_AT_ONCE if executes else 0, Rates(1, 0), memory_bytes=64 * GIB),
            replication=ReplicationTerms(anti_entropy=Duration(600_000)),
            joins=executes,
            recheck_percent=100 if self.trial.recheck else 0,
        )
        engine = open_engine(
            store=MemoryStore(),
            clock=self,
            entropy=SeededEntropy(Random(f"{self._label}/{signer.did}")),
            signer=signer,
            terms=terms,
        )
        if self.trial.lie is Lie.COPY:
            pledging = engine.executor.pledging
            engine.executor.pledging = CopyingPledging(
                pledging.content, pledging.entropy, pledging.unsettled, copies=lambda key: key in self._lied
            )
        self._engines[signer.did] = engine
        self._inboxes[signer.did] = deque([Tick()])  # bounded: by the trial, which ends
        self._wake[signer.did] = None

    def _spec(self, number: int) -> JobSpec:
        return JobSpec(
            module=None,
            arguments=(str(number),),
            input=b"",
            input_cid=None,
            limits=Limits(fuel=1_000, memory_bytes=1 << 20, table_elements=10, wall_ms=1_000, output_bytes=1_000),
            max_price=Mana(1),
            capabilities=(),
            deadline=later(self._now, Duration(3_600_000)),
            redundancy=self.trial.redundancy,
        )

    def _ask(self, command: Found | Submit) -> Request:
        return Request(0, command, self.home, "", b"", "trial")

    def _push(self, did: Did, input_: Input) -> None:
        self._inboxes[did].append(input_)

    def _run_until(self, is_over: Callable[[], bool]) -> None:
        """Hand out what waits, in turn; when nothing does, let time pass to what somebody waits for."""
        for _ in range(STEPS_MAX):
            busy = [did for did, inbox in self._inboxes.items() if inbox]
            for did in busy:
                self._work(did)
            if busy:
                continue
            if is_over():
                return
            moments = [moment for moment in self._wake.values() if moment is not None]
            expect(bool(moments), "trials end", "nothing is under way, and it is not over")
            self._now = max(Instant(self._now + 1), min(moments))
            for did, moment in self._wake.items():
                if moment is not None and moment <= self._now:
                    self._push(did, Tick())
        raise Finding("trials end", f"not within {STEPS_MAX} steps")

    def _work(self, did: Did) -> None:
        inbox = self._inboxes[did]
        batch = [inbox.popleft() for _ in range(min(len(inbox), BATCH_INPUTS_MAX))]
        outcome = self._engines[did].handle(batch)
        self._wake[did] = outcome.wake_at
        for effect in outcome.effects:
            match effect:
                case Send(peer, message):
                    self._push(peer, Received(did, message))
                case Publish(_, message):
                    for other in self._engines:
                        if other != did:
                            self._push(other, Received(did, message))
                case RunJob(request):
                    self._push(did, Executed(request, self._execute(did, request)))
                case Disconnect(peer, reason):
                    raise Finding("honest peers are not accused", f"{did} drops {peer}: {reason}")
                case Committed(record=record) if did == self.home:
                    self._count(record.event)
                case _:
                    pass

    def _execute(self, did: Did, request: ExecutionRequest) -> ExecutionOutcome:
        honest = outcome_of(ExitKind.COMPLETED, output=right_output(request.job), fuel_used=1_000)
        if request.attempt > ATTEMPT_MAX:
            return honest  # the home confirms
        self.counts.executions += 1
        if not lies(self._label, did.text, request, per_thousand=self.trial.per_thousand):
            return honest
        self.counts.lies += 1
        self._lied[did, request.job, request.attempt] = None
        return lied(self.trial.lie, did.text, request, honest)

    def _count(self, event: Event) -> None:
        counts = self.counts
        match event:
            case JobSubmitted(job):
                self._open[job] = None
            case JobAgreed(job, attempt, output, winners):
                self._accepted(job, attempt, output, winners)
            case JobCompleted(job, attempt, executor, output):
                self._accepted(job, attempt, output, (executor,))
            case JobRolledBack(job):
                counts.failed += 1
                del self._open[job]
            case AttemptAbandoned() | AttemptFailed():
                counts.abandoned += 1
            case DisputeRaised():
                counts.disputes += 1
            case _:
                pass

    def _accepted(self, job: JobId, attempt: int, output: Cid, winners: tuple[Did, ...]) -> None:
        self.counts.accepted += 1
        self.counts.wrong += output != Cid.of(right_output(job), RAW)
        self.counts.paid += len(winners)
        self.counts.paid_for_lies += sum((executor, job, attempt) in self._lied for executor in winners)
        del self._open[job]

    def _is_joined(self) -> bool:
        return all(e.state.federation.has_joined(did) for e in self._engines.values() for did in self._engines)

    def _is_quiet(self) -> bool:
        return not self._open and not any(e.state.mesh.executions for e in self._engines.values())

    def _check(self) -> None:
        """Nothing is held any more, mana is conserved, and each payment that was counted was made."""
        for engine in self._engines.values():
            ledger = engine.state.ledger
            expect(ledger.supply.is_balanced and not ledger.supply.held, "supply identity", str(ledger.supply))
        spent = 10**9 - self._engines[self.home].state.ledger.accounts[self.home, self.home].balance
        expect(spent == self.counts.paid, "winners are paid once each", f"{spent} spent, {self.counts.paid} payments")


def right_output(job: JobId) -> bytes:
    """What an honest executor gets."""
    return f"right/{job}".encode()


def measure(trial: Trial) -> Counts:
    """Run the trial, in as many federations as it takes."""
    total = Counts()
    for number, first in enumerate(range(0, trial.jobs, JOBS_PER_FEDERATION)):
        total.add(Federation(trial, number).run(min(JOBS_PER_FEDERATION, trial.jobs - first)))
    return total


def describe(trial: Trial, counts: Counts, seconds: float) -> str:
    """One line for people, with what was to be expected."""
    line = (
        f"{trial.lie.value}{', the home runs every job too' if trial.recheck else ''}: {trial.jobs} jobs, redundancy "
        f"{trial.redundancy}, {counts.lies} of {counts.executions} executions were lies; accepted {counts.accepted}, "
        f"of them wrong {counts.wrong}; failed {counts.failed}; attempts without a result {counts.abandoned}; "
        f"disputes {counts.disputes}; payments {counts.paid}, of them for lies {counts.paid_for_lies}"
    )
    if trial.lie is Lie.TOGETHER and not trial.recheck:
        chance = wrong_majority(trial.redundancy, trial.per_thousand)
        deviation = float(trial.jobs * chance * (1 - chance)) ** 0.5
        line += (
            f"; wrong {counts.wrong / trial.jobs:.4f}, binomial {chance} = {float(chance):.4f}, "
            f"{float(counts.wrong - trial.jobs * chance) / deviation:+.2f} standard deviations"
        )
    return f"{line}; {seconds:.0f} s"


def what_is_wrong(trial: Trial, counts: Counts) -> str:
    """Which promise the trial breaks; empty where it breaks none."""
    if counts.accepted + counts.failed != trial.jobs:
        return "not every job ended"
    if trial.lie is not Lie.TOGETHER or trial.recheck:
        return "a wrong result was accepted" if counts.wrong or counts.paid_for_lies else ""
    chance = wrong_majority(trial.redundancy, trial.per_thousand)
    # Six standard deviations, squared, so that it is exact.
    if (counts.wrong - trial.jobs * chance) ** 2 > 36 * trial.jobs * chance * (1 - chance):
        return "wrong results are not accepted as often as the binomial says"
    return ""


def trials(jobs: int, seed: int) -> tuple[Trial, ...]:
    """What `main` measures."""
    few = max(1, jobs // 5)
    return (
        Trial(Lie.ALONE, jobs, seed=seed),
        Trial(Lie.TOGETHER, few, seed=seed),
        Trial(Lie.TOGETHER, few, recheck=True, seed=seed),
        Trial(Lie.COPY, few, seed=seed),
        Trial(Lie.FUEL, few, seed=seed),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. 0: every promise was kept; 5: one was not."""
    parser = argparse.ArgumentParser(prog="python -m icn.sim.trials", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="jobs with independent lies; a fifth for the others")
    parser.add_argument("--seed", type=int, default=0, help="of the coins (default %(default)s)")
    options = parser.parse_args(arguments)
    broken = False
    for trial in trials(options.count, options.seed):
        began = time.process_time()
        counts = measure(trial)
        print(describe(trial, counts, time.process_time() - began), flush=True)
        why = what_is_wrong(trial, counts)
        if why:
            print(f"  BROKEN: {why}")
            broken = True
    return EXIT_FINDING if broken else 0


if __name__ == "__main__":
    sys.exit(main())
