"""One run: a world from a seed, faults for a while, then healing, then everything must come together.

```
 0 s ────────────── faults, callers ──────────────> heal ─── callers finish, jobs end, roots meet ───> checkers
        every second: supply counted again                       within a bounded virtual time
```

Not here: many runs, processes, printing (main, report).
"""

import hashlib
import time
import traceback
from contextlib import nullcontext
from functools import partial
from random import Random
from typing import TextIO

from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.execution import ExecutionRequest
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.errors import IcnError
from icn.kernel.ids import Did
from icn.kernel.instant import Duration
from icn.kernel.limits import MIB
from icn.kernel.mana import Mana
from icn.services import rows
from icn.services.answers import Answer
from icn.services.effects import Committed
from icn.services.inputs import Conditions, Request
from icn.services.queries import jobs
from icn.services.queries.jobs import Cancellation
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from icn.sim import checkers
from icn.sim.agreement import what_was_agreed_is_right
from icn.sim.backing_up import all_of_it_is_restorable, passing_rows_are_restorable
from icn.sim.bans import bans_are_kept
from icn.sim.capacity import nothing_is_owed
from icn.sim.disk import Disk
from icn.sim.faults import Faults, draw_faults, healed
from icn.sim.findings import Finding, expect
from icn.sim.forger import Forger
from icn.sim.forks import forks_are_proved
from icn.sim.membership import Comings, Registrar, draw_comings, membership_by_hand
from icn.sim.model import Model
from icn.sim.network import Network
from icn.sim.node import Node, Surroundings
from icn.sim.observing import Watch
from icn.sim.operators import help_held
from icn.sim.plan import Plan, Run
from icn.sim.scenarios import RHYTHM_OF, draw_scenario
from icn.sim.sharing import shared_reading
from icn.sim.tempo import DENSE_PAUSES_MS, Rhythm, draw_rhythm
from icn.sim.timeline import MS, SECOND, Timeline
from icn.sim.trace import Trace
from icn.sim.trouble import Trouble
from icn.sim.workload import LAST_DEADLINE_US, Callers, Town
from icn.stores.kv import Batch

_STUMBLES = (IcnError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What a defect of the core shows itself as, when no rule of ours sees it first."""
LOOK_EVERY_US = SECOND
QUIET_EVERY_US = 250 * MS
OPERATORS_TOKEN = 0
"""Of requests that no caller made."""
SETTLING_US = 60 * SECOND
"""Beyond the last job's deadline and twice the clocks' difference: by then all must be quiet."""


class World:
    """Everything of one run. `shares`: whether a block is read once for all nodes; it changes nothing but the speed."""

    def __init__(
        self, plan: Plan, *, faults: Faults | None = None, sink: TextIO | None = None, shares: bool = True
    ) -> None:
        self._shares = shares
        rng = Random(f"{plan.seed}/world")
        self.plan = plan
        drawn = draw_faults(plan.seed, rng) if plan.scenario is None else draw_scenario(plan.scenario, plan.seed)
        self.faults = drawn if faults is None else faults
        self.timeline = Timeline()
        self.trace = Trace(sink)
        self.watch = Watch(self._is_out_of_reach)
        self.model = Model()
        self.restorations = 0
        self.void = 0
        self.bans = 0
        self.cut_writes = [0, 0]
        """Acknowledged while the federation was cut: in its smaller part, in its larger."""
        self.network = Network(self.timeline, Random(f"{plan.seed}/network"), self.faults, self._note)
        around = Surroundings(
            self.timeline,
            self.network,
            self.trace,
            plan.plant,
            self._answered,
            self._committed,
            self._put_back,
            self._began,
        )
        openly = rng.random() < 0.3
        memory = Random(f"{plan.seed}/memory")  # apart, so that the older draws of a seed stay what they were
        bans = Random(f"{plan.seed}/bans")
        self.nodes = [
            Node(
                index,
                around,
                Disk(Random(f"{plan.seed}/disk{index}"), self.faults, plan.plant, partial(self._stored, index)),
                _draw_terms(rng, memory, bans, joins=index > 0),
                self.faults,
                str(plan.seed),
            )
            for index in range(plan.nodes)
        ]
        self.forger = self._forger()
        self.trouble = Trouble(plan.seed, self.timeline, self.network, self.nodes, self.faults, self._note)
        is_usual = plan.plant is not None or plan.scenario is not None or faults is not None
        comings = Comings() if is_usual else draw_comings(plan.seed, plan.nodes, plan.seconds * 1000)
        members = [node.did for node in self.nodes if node.index not in comings.newcomers]
        members += [] if self.forger is None else [self.forger.did]
        founders = (self.nodes[0].did,) if openly else tuple(sorted(members))
        policy = Policy(
            join_policy=JoinPolicy.OPEN if openly else JoinPolicy.VOTE if comings.by_votes else JoinPolicy.INVITE,
            initial_grant=Mana(rng.choice((100, 1_000))),
            mana_cap=Mana(rng.choice((1_000, 1_200))),
            regeneration_per_hour=rng.choice((0, 10, 36_000)),
            grants_per_node_max=rng.choice((2, 100)),
        )
        self.callers = Callers(
            self.timeline,
            Town(self.nodes, founders, policy),
            self.model,
            Random(f"{plan.seed}/callers"),
            self._draw_rhythm(dense_pause_ms=rng.choice(DENSE_PAUSES_MS)),
            answer_lost=self.faults.answer_lost,
        )
        for node in self.nodes:
            # Without marks a node asks the members. Who waits for admission has blocks too, and is no member: a block
            # that only such a node has is unconfirmed, and nobody's word would tell of it.
            node.disk.may_lose_marks = openly or not comings.newcomers
        self.registrar = Registrar(comings, self.timeline, self.nodes, self.callers)
        if comings.removed is not None:
            self.network.dismissed[self.nodes[comings.removed].did] = None

    def _forger(self) -> Forger | None:
        if not self.faults.forge_every:
            return None
        owners = [node.did for node in self.nodes]
        forger = Forger(
            str(self.plan.seed),
            self.timeline,
            self.network,
            self.nodes,
            owners,
            every_ms=self.faults.forge_every,
            unfit=self.faults.forged_unfit,
            note=self._note,
        )
        self.network.outcasts[forger.did] = None
        self.watch.forgers[forger.did] = None
        return forger

    def _draw_rhythm(self, *, dense_pause_ms: int) -> Rhythm:
        plan = self.plan
        if plan.scenario is not None:
            return RHYTHM_OF[plan.scenario]
        return draw_rhythm(Random(f"{plan.seed}/tempo"), plan.tempo, plan.seconds, dense_pause_ms=dense_pause_ms)

    def run(self) -> Run:
        """Faults, healing, checks. Raises nothing: what was found is in the result."""
        began = time.process_time_ns()
        result = Run(self.plan, self.faults, self.callers.rhythm.tempo)
        try:
            with shared_reading() if self._shares else nullcontext():
                self._safety_phase()
                self._heal()
                self._settle()
                self._judge()
        except Finding as finding:
            result.finding = finding
        except _STUMBLES as error:
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            result.finding = Finding("the core stumbles", f"{type(error).__name__}: {error}\n{where}")
        result.digest, result.lines = self.trace.digest, self.trace.lines
        result.steps, result.virtual_us = self.timeline.steps, self.timeline.now_us
        result.tail = list(self.trace.tail)
        result.answered, result.jobs, result.transfers = (
            self.model.answered,
            len(self.model.jobs),
            len(self.model.transfers),
        )
        result.blocks = len(self.watch.signed)
        result.crashes = sum(node.crashes for node in self.nodes)
        result.put_back, result.held = self.restorations, self.model.held
        result.bans = self.bans
        result.forged = 0 if self.forger is None else self.forger.forged
        engine = self.nodes[0].engine
        ends = () if engine is None else engine.state.cuts.values()
        result.forks = int(any(each.forked_at is not None for each in ends))
        result.void = self.void
        result.messages, result.breaks, result.cuts = self.network.messages, self.network.breaks, self.trouble.cuts
        result.cut_writes_few, result.cut_writes_many = self.cut_writes
        result.cpu_us = (time.process_time_ns() - began) // 1000
        return result

    def _safety_phase(self) -> None:
        for node in self.nodes[: len(self.nodes) - self.faults.late]:
            node.start()
        for node in self.nodes[len(self.nodes) - self.faults.late :]:
            self.timeline.plan(self.faults.late_for * MS, node.start)
        self.network.attach(self.nodes if self.forger is None else [*self.nodes, self.forger])
        if self.forger is not None:
            self.forger.begin()
        # Sometimes everybody is connected before there is a federation.
        self.timeline.plan(self.trouble.chance.rng.choice((0, 0, 1_500)) * MS, self.callers.start)
        self.trouble.begin()
        self.registrar.begin()
        for second in range(1, self.plan.seconds + 1):
            self.timeline.run_until(second * LOOK_EVERY_US)
            self._look()

    def _heal(self) -> None:
        self._note("everything heals")
        self.trouble.end()
        if self.forger is not None:
            self.forger.end()
        calm = healed(self.faults)
        self.network.faults = calm
        for node in self.nodes:
            node.faults = calm
            node.disk.faults = calm
            node.push(Conditions(node.terms.executor.capacity, strain=None))
        self.callers.stop()

    def _settle(self) -> None:
        bound = self.timeline.now_us + LAST_DEADLINE_US + SETTLING_US + 2 * (self.faults.skew + self.faults.jump) * MS
        while True:
            self.timeline.run_until(self.timeline.now_us + QUIET_EVERY_US)
            self._operate()
            unrest = self._unrest()
            if not unrest:
                return
            expect(self.timeline.now_us < bound, "convergence", f"not within {bound // SECOND} s: {unrest}")

    def _unrest(self) -> str:
        """Why it is not quiet yet."""
        if not self.callers.are_idle:
            return "callers without an answer: " + " ".join(c.name for c in self.callers.callers if c.ask is not None)
        if unrest := self.registrar.unrest():
            return unrest
        roots: list[str] = []
        for node in self.registrar.staying:
            engine = node.engine
            if engine is None:
                return f"{node.name} is down"
            if not engine.has_resumed and not engine.authorship.is_held:
                return f"{node.name} goes on with its own in its next batch"
            state = engine.state
            if state.mesh.jobs:
                return f"{node.name} has open jobs: {[str(job) for job in state.mesh.jobs]}"
            if state.mesh.executions:
                return f"{node.name} has executions under way: {list(state.mesh.executions)[:2]}"
            # A home that is not honest may leave alone what was sent to it, for ever.
            gone, removed = self.registrar.gone, self.registrar.removed
            owed = [
                t
                for t in state.ledger.transits.values()
                if t.payee_home not in self.watch.forgers
                and not (t.payee_home in gone and t.payer_home in self.watch.forgers)  # nor does it take that back
                # Nobody else takes back what a removed home sent and was declined; and a member that never says that it
                # has heard of the removal may still accept less, or end it.
                and not (t.payer_home in gone and (t.declined_at_sequence is not None or self.watch.forgers))
                and not (removed is not None and t.payee_home == removed.did and self.watch.forgers)
            ]
            if owed:
                return f"{node.name} has mana in transit: {owed[:1]}"
            if engine.outbox.waiting:
                return f"{node.name} has messages in its outbox"
            roots.append(state.feeds.root())
        if len(dict.fromkeys(roots)) > 1:
            return f"roots differ: {[root[:8] for root in roots]}"
        return ""

    def _look(self) -> None:
        for node in self.nodes:
            if node.engine is not None:
                checkers.supply_adds_up(node.name, node.engine.state.ledger)
                passing_rows_are_restorable(node.name, node.disk.platter)

    def _judge(self) -> None:
        self._look()
        first = self.nodes[0]
        if self.registrar.removed is not None:
            self.model.disown(self.registrar.removed.did)
        for node in self.nodes:
            engine = node.engine
            if engine is None or first.engine is None:
                raise Finding("convergence", f"{node.name} is down")
            if node in self.registrar.staying:  # who has left is told nothing any more
                checkers.same_state("agreement", f"{first.name} and {node.name}", first.engine.state, engine.state)
                nothing_is_owed(node.name, engine, self.model.put_back)
            loaded = rows.load(node.disk.platter)
            checkers.same_state("live state is the stored one", node.name, engine.state, loaded)
            checkers.supply_adds_up(f"{node.name}'s rows", loaded.ledger)
            checkers.feeds_verify(node.name, node.disk.platter, loaded, signatures=node is first)
        stores = [node.disk.platter for node in self.nodes]
        forks_are_proved(self.registrar.staying, self.watch.forgers)
        chosen = self.trouble.chance.rng.choice(self.registrar.staying)
        all_of_it_is_restorable(chosen.name, chosen.disk.platter)
        loaded = rows.load(chosen.disk.platter)
        entries = checkers.history(chosen.disk.platter)
        counting = [entry for entry in entries if not entry.is_void]
        openly = self.callers.town.policy.join_policy is JoinPolicy.OPEN
        self.void = sum(entry.is_void for entry in entries)
        checkers.money_by_hand(counting, loaded.ledger)
        checkers.jobs_end_once(counting, self.registrar.gone)
        honest = [entry for entry in counting if entry.author not in self.watch.forgers]
        self.bans = bans_are_kept(honest, {node.did: node.terms.mesh.ban_after for node in self.nodes})
        membership_by_hand(counting, self.callers.town.policy.join_policy)
        if not openly and not self.watch.forgers:  # one electorate all the time
            checkers.what_was_confirmed_counts(entries, self.registrar.gone)
        checkers.receipts_are_answered(entries, self.model.put_back, self.registrar.gone)
        what_was_agreed_is_right(counting, stores)
        checkers.promises_are_kept(self.model, self.nodes, entries)
        checkers.cancellations(self.model, self.nodes)
        checkers.same_state("replay", chosen.name, loaded, checkers.replayed(chosen.disk.platter))

    def _put_back(self, index: int) -> None:
        self.restorations += 1
        node = self.nodes[index]
        self.model.forget(node.did, node.disk.platter)
        self.watch.put_back([each.disk.platter for each in self.nodes])

    def _is_out_of_reach(self, author: Did, key: bytes, cid: bytes) -> bool:
        node = next(node for node in self.nodes if node.did == author)
        if author not in self.model.put_back or node.engine is None:
            return False
        removed = node.engine.state.federation.was_removed
        return all(removed(other.did) for other in self.nodes if other.disk.platter.get(key) == cid)

    def _operate(self) -> None:
        """Operators help nodes that are held, and that all others have told what they have."""
        for node in self.nodes:
            engine = node.engine
            if engine is not None and engine.authorship.why:
                told = len(engine.peers.greeted()) >= len(self._expected_by(node))
                command = help_held(node, engine, self.nodes, self.registrar.staying) if told else None
                if command is not None:
                    self._note(f"the operator of {node.name} helps it: {type(command).__name__}")
                    node.push(Request(OPERATORS_TOKEN, command, node.did, "", b"", "operator"))

    def _expected_by(self, node: Node) -> list[Node]:
        """Who is a peer of `node` when everybody is connected."""
        ended = node.engine is not None and node.engine.state.federation.has_ended
        return [other for other in self.nodes if other is not node and not (ended and ended(other.did))]

    def _note(self, what: str) -> None:
        self.trace.line(self.timeline.now_us, "--", what)

    def _answered(self, token: int, answer: Answer) -> None:
        if token == OPERATORS_TOKEN:
            return
        index = self.callers.answered(token, answer)
        if index is not None and self.trouble.minority:
            self.cut_writes[index not in self.trouble.minority] += 1

    def _committed(self, index: int, effect: Committed) -> None:
        self.watch.committed(effect)

    def _began(self, index: int, request: ExecutionRequest) -> None:
        """A guest is about to run. Who was put back has forgotten what it had said, be it executor or home."""
        runner = self.nodes[index].did
        for node in self.nodes:
            row = rows.JOBS.get(node.disk.platter, request.job.data)
            if row is None or row.home != node.did or {runner, node.did} & self.model.put_back.keys():
                continue
            over = jobs.cancellation(node.disk.platter, row) is Cancellation.CONFIRMED
            what = f"{self.nodes[index].name} runs {request.job} attempt {request.attempt}, cancelled and confirmed"
            expect(not over, "nothing runs after its cancellation was confirmed", what)

    def _stored(self, index: int, batch: Batch) -> None:
        self.watch.stored(batch, self.nodes[index].did)
        parts: list[bytes] = []
        for key, value in batch.operations.items():
            parts += (key, b"\0" if value is None else b"\1" + value)
        self._note(f"commit of {len(batch)} {hashlib.sha256(b''.join(parts)).hexdigest()[:16]}")


def _draw_terms(rng: Random, memory: Random, bans: Random, *, joins: bool) -> NodeTerms:
    return NodeTerms(
        agent="sim/1",
        mesh=MeshTerms(
            bid_window=Duration(rng.choice((200, 1_000))),
            attempts_max=rng.choice((2, 5)),
            bid_renewal=Duration(rng.choice((1_000, 5_000))),
            ban_after=bans.choice((1, 2, 3)),
            ban_for=Duration(bans.choice((1_000, 4_000, 600_000))),
        ),
        executor=ExecutorTerms(
            capacity=rng.choice((0, 1, 2, 8)),
            rates=Rates(minimum=rng.choice((1, 2, 4)), per_million_fuel=1),
            memory_bytes=memory.choice((2, 3, 16)) * MIB,
        ),
        replication=ReplicationTerms(
            anti_entropy=Duration(rng.choice((1_000, 5_000, 5_000, 20_000))),
            acknowledge_after=Duration(rng.choice((50, 200))),
            answer_patience=Duration(rng.choice((1_000, 5_000))),
        ),
        joins=joins,
        executor_absence=Duration(rng.choice((2_000, 10_000))),
        home_absence=Duration(memory.choice((3_000, 20_000))),
    )
