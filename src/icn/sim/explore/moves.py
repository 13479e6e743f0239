"""What lies between nodes, and everything that can happen next.

A state of the federation is a tuple of numbers: for each node the state of its process (`process`), for each pair of
nodes whether their connection is there and who has noticed, for each direction and protocol what is under way, for each
caller what it was told, and how much trouble is still allowed. Equal tuples are one state.

**The network is the port's** (adapters.network.ports): order within one protocol of one connection, none between
protocols (how often one overtakes another on a path is `Bounds.overtaking`); what is under way on a connection that
ended may still arrive, in order, until its receiver notices; a peer goes down before it comes up again. Both sides are
told of a new connection at once: what a node does before it is told, it may as well do before there is one.

**Time.** A node's clock moves when its timer fires, to the moment it had asked to be woken at, and when a message comes
that was sent later than its clock shows. So the clock of a node never contradicts what it has heard. Sorted by these
times, the events of any path are what exact clocks and slow messages give as well; moving clocks this way leaves out
nothing that perfectly synchronised ones allow. What does leave something out is a bound: a timer that fires although
something else would come first (a message, a notice, the end of a guest, a timer that is due before) counts as early,
and `Bounds.early` says how often that may happen on one path.

**Crashes.** A process ends between two batches; in a commit, of which nothing is there; after the commit, with nothing
out, with the answer given, with the head mark kept, or with some of the messages sent, in their order. What lives only
in the process is gone, what it had sent is under way, and its connections end. It starts again at any later time: by
its clock at once, or when it has got as late as anywhere.

Not here: how states are gone through (search), what must hold in each (looking).
"""

import marshal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from icn.domain.mesh.execution import ExitKind
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import JobId
from icn.kernel.instant import Instant
from icn.services.answers import Answer, Done
from icn.services.commands import Cancel, Found, NodeCommand
from icn.services.inputs import Input, PeerDown, PeerUp, Received, Request, Tick
from icn.sim.clock import EPOCH_MS
from icn.sim.explore.case import POLICY, Ask, Case
from icn.sim.explore.form import Form
from icn.sim.explore.process import Local, Plant, Processes, Step, Table
from icn.sim.findings import Finding, expect

State = tuple[int, ...]
DOWN, UP, GOING = range(3)
"""A side of a connection: not there; there; ended, and the node does not know yet."""
UNBOUNDED = 1_000
"""Left of a kind of trouble that has no bound."""
TOLD_OF_BOTH = 4 * UP + UP
SETTING_UP_MOVES_MAX = 2_000

Lane = tuple[tuple[int, int], ...]
"""Messages under way in one direction, oldest first: their numbers and when they were sent."""


class Move(NamedTuple):
    """Something that happens. The fields that a kind does not need are 0."""

    kind: str
    node: int
    other: int = 0
    """Another node, a caller, or an execution."""
    what: str = ""
    """Which protocol, or how an execution ends."""
    dies: str = ""
    """How far the node comes before its process ends: see `DEATHS`; empty where it does not."""
    sent: int = 0
    """How many messages get out before."""


NOTHING_WRITTEN, UNSAID, ANSWERED, MARKED = "unwritten", "unsaid", "answered", "marked"
UNHEARD, EARLY, LATE = "unheard", "early", "late"
DEATHS = (NOTHING_WRITTEN, UNSAID, ANSWERED, MARKED)
"""In the commit; after it; after the answer to the caller; after the head mark and `sent` messages."""


@dataclass(frozen=True, slots=True)
class Next:
    """One transition."""

    move: Move
    state: State
    is_optional: bool
    """Nobody can count on it: it is trouble, of which there is only so much, or a caller's change of mind."""
    step: Step | None = None
    """What a node made of it, if one did."""


class Federation:
    """All transitions of one case. The search asks, and remembers which states it has seen."""

    def __init__(
        self,
        case: Case,
        look: Callable[[Local], None],
        plant: Plant | None = None,
        form: Form = Form.ALIKE,
        *,
        sends_first: bool = False,
    ) -> None:
        self.case = case
        self.size = len(case.terms)
        self.processes = Processes(case.terms, Instant(EPOCH_MS), look, plant, form, may_crash=case.bounds.crashes > 0)
        self.sends_first = sends_first
        """A defect of the driver: what a batch sends is out before its commit."""
        self.pairs = [(a, b) for a in range(self.size) for b in range(a + 1, self.size)]
        self._pair_at = {pair: self.size + index for index, pair in enumerate(self.pairs)}
        self._lanes_at = self.size + len(self.pairs)
        self._asks_at = self._lanes_at + self.size * self.size
        self._lanes = Table()
        self._lanes.number_of((), ())
        self._bounds = replace(case.bounds, crashes=0, cuts=0, workers_lost=0, answers_lost=0, early=0, gathers=False)
        self.asks: tuple[Ask, ...] = ()

    # Reading a state

    def locals_of(self, state: State) -> list[Local]:
        """The nodes."""
        return [self.processes.locals[number] for number in state[: self.size]]

    def answers_of(self, state: State) -> list[Answer | None]:
        """What each caller was told."""
        numbers = state[self._asks_at : self._asks_at + len(self.asks)]
        return [self.processes.answers[number - 1] if number else None for number in numbers]

    def is_empty_between(self, state: State) -> bool:
        """Whether nothing is under way, and every connection is there and known to both."""
        between = state[self.size : self._lanes_at]
        return all(code == TOLD_OF_BOTH for code in between) and not any(state[self._lanes_at : self._asks_at])

    def is_answered(self, state: State) -> bool:
        """Whether every caller that waits for an answer has it."""
        told = state[self._asks_at : self._asks_at + len(self.asks)]
        return all(number or not ask.is_required for ask, number in zip(self.asks, told, strict=True))

    def first_under_way(self, state: State, move: Move) -> str:
        """The type of the message that a `deliver` delivers."""
        for message, _ in self._lane(state[self._lane_at(move.node, move.other)]):
            if _short(self.processes.protocols[message]) == move.what:
                return type(self.processes.messages[message]).__name__
        return "nothing"

    def name_of(self, state: State) -> bytes:
        """States with one name are one. Where nothing lies ahead in time, what the clocks show does not matter."""
        locals_ = [self.processes.locals[number] for number in state[: self.size]]
        filled = [self._lane(number) for number in state[self._lanes_at : self._asks_at]]
        is_timeless = all(each.idle is not None for each in locals_) and all(
            self.processes.is_timeless(message) for lane in filled for message, _ in lane
        )
        nodes = [each.idle if is_timeless else each.alike for each in locals_]
        alike = self.processes.messages_alike
        lanes = [[(alike[message], 0 if is_timeless else at) for message, at in lane] for lane in filled]
        rest = (state[self.size : self._lanes_at], state[self._asks_at :])
        return marshal.dumps((is_timeless, nodes, lanes, rest), 0)

    def _lane(self, number: int) -> Lane:
        lane = self._lanes.things[number]
        return lane if isinstance(lane, tuple) else ()

    # The beginning

    def at_rest(self) -> State:
        """Everybody in one federation, connected, with the same blocks, and the case's callers about to ask."""
        founders = tuple(sorted(self.processes.dids))
        self.asks = (Ask(0, Found("explored", founders, POLICY)),)
        lanes = (0,) * (self.size * self.size)
        state: State = (*self.processes.begin, *(0 for _ in self.pairs), *lanes, 0, 0, 0, 0, 0, 0, 0)
        for _ in range(SETTING_UP_MOVES_MAX):
            if self._is_founded(state):
                break
            state = next(iter(self.nexts(state))).state
        else:
            raise InvariantBroken("a federation comes to rest before it is explored")
        self.asks = self.case.asks(max(each.clock for each in self.locals_of(state)))
        bounds = self._bounds = self.case.bounds
        overtaking = UNBOUNDED if bounds.overtaking is None else bounds.overtaking
        left = (overtaking, bounds.crashes, bounds.cuts, bounds.workers_lost, bounds.answers_lost, bounds.early)
        return (*state[: self._asks_at], *(0 for _ in self.asks), *left)

    def _is_founded(self, state: State) -> bool:
        engines = [each.engine for each in self.locals_of(state)]
        if not self.is_empty_between(state):
            return False
        roots: list[str] = []
        for engine in engines:
            if engine is None or len(engine.state.ledger.accounts) < self.size:
                return False
            if (
                engine.replication.acknowledging.news_since is not None
                or engine.replication.announcing.relay_at is not None
            ):
                return False
            roots.append(engine.state.feeds.root())
        return len(dict.fromkeys(roots)) == 1

    # What can happen

    def nexts(self, state: State, *, ended: bool = False) -> Iterator[Next]:
        """Every transition; what would come first in a calm world comes first. `ended`: no timer needs to fire."""
        crashes, cuts, _, _, early = state[-5:]
        is_busy = False
        timers: list[tuple[Instant, int]] = []
        for node in range(self.size):
            local = self.processes.locals[state[node]]
            if local.engine is None:
                continue
            for move, clock, names, inputs, without in self._inputs(state, node, local):
                is_busy = is_busy or move.kind != "ask" or self.asks[move.other].is_required
                if move.kind == "ends" and move.what == ExitKind.WORKER_LOST.value:
                    without = _less(without, -3)
                yield from self._taken(without, move, local, clock, names, inputs)
            if local.wake_at is not None:
                if local.wake_at <= local.clock:
                    is_busy = True
                    yield from self._tick(state, local, Move("tick", node), local.clock)
                elif not ended:
                    timers.append((local.wake_at, node))
        for node in range(self.size):
            if self.processes.locals[state[node]].engine is None:
                own, latest = (
                    self.processes.locals[state[node]].clock,
                    max(each.clock for each in self.locals_of(state)),
                )
                for word, clock in (("", own), (LATE, latest)) if latest > own else (("", own),):
                    move = Move("start", node, what=word)
                    with _during(move):
                        step = self.processes.start(state[node], clock)
                    yield Next(move, self._after(state, node, step), is_optional=False, step=step)
        for a, b in self.pairs:
            if state[self._pair_at[a, b]] == 0 and self._both_live(state, a, b):
                move = Move("meet", a, b)
                with _during(move):
                    met = self._met(state, a, b)
                yield Next(move, met, is_optional=False)
        timers.sort()
        for at, node in timers:
            local = self.processes.locals[state[node]]
            is_early = is_busy or at > timers[0][0]
            if not is_early:
                yield from self._tick(state, local, Move("time", node), at)
            elif early:
                yield from self._tick(_less(state, -1), local, Move("time", node, what=EARLY), at)
        if crashes:
            for node in range(self.size):
                if self.processes.locals[state[node]].engine is not None:
                    killed = self._dead(state, node, self.processes.killed(state[node]))
                    yield Next(Move("kill", node), killed, is_optional=True)
        if cuts:
            for a, b in self.pairs:
                if state[self._pair_at[a, b]] == TOLD_OF_BOTH:
                    yield Next(Move("part", a, b), self._parted(_less(state, -4), a, b), is_optional=True)

    def _inputs(
        self, state: State, node: int, local: Local
    ) -> Iterator[tuple[Move, Instant, tuple[object, ...], Callable[[], list[Input]], State]]:
        """What can come to a node: the move, the clock it comes at, its name, itself, and the state without it."""
        dids = self.processes.dids
        together: list[tuple[Instant, tuple[object, ...], Callable[[], list[Input]]]] = []
        rest = state
        for other in range(self.size):
            if other == node:
                continue
            at_lane = self._lane_at(node, other)
            lane = self._lane(state[at_lane])
            protocols: dict[str, None] = {}
            for place, (message, sent_at) in enumerate(lane):
                protocol = self.processes.protocols[message]
                if protocol in protocols:
                    continue
                protocols[protocol] = None
                if place and not state[-6]:
                    break
                rest_of_lane = (*lane[:place], *lane[place + 1 :])
                without = _with(state, at_lane, self._lanes.number_of(rest_of_lane, rest_of_lane))
                if place and self._bounds.overtaking is not None:
                    without = _less(without, -6)
                received = Received(dids[other], self.processes.messages[message])
                name = ("from", other, message)
                clock = Instant(max(local.clock, sent_at))
                yield Move("deliver", node, other, _short(protocol)), clock, (name,), _one(received), without
            side = self._side(state, node, other)
            if self._bounds.gathers and side == UP and lane:
                for number, at in lane:
                    again = Received(dids[other], self.processes.messages[number])
                    together.append((Instant(at), (("from", other, number),), _one(again)))
                rest = _with(rest, at_lane, 0)
            if side == GOING:
                told = self._told_of(state, node, other, DOWN)
                yield Move("down", node, other), local.clock, (("down", other),), _one(PeerDown(dids[other])), told
        if len(together) > 1:
            clock = max(local.clock, *(at for at, _, _ in together))
            names = tuple(name for _, each, _ in together for name in each)
            makers = [make for _, _, make in together]
            yield Move("gather", node), clock, names, lambda: [i for make in makers for i in make()], rest
        for index, run in enumerate(local.running):
            kinds = [ExitKind.CANCELLED] if run.is_stopping else [ExitKind.COMPLETED]
            if state[-3]:
                kinds.append(ExitKind.WORKER_LOST)
            for kind in kinds:
                end = ("ends", run.request.job.data, run.request.attempt, kind.value)
                ended = _one(self.processes.outcome_input(run, kind))
                yield Move("ends", node, index, kind.value), local.clock, (end,), ended, state
        for index, ask in enumerate(self.asks):
            if ask.node == node and not state[self._asks_at + index]:
                command = self._command(state, ask)
                if command is not None:
                    key = f"{type(command).__name__} {index}"
                    request = Request(index, command, dids[node], key, key.encode(), key)
                    yield Move("ask", node, index), local.clock, ((key, repr(command)),), _one(request), state

    def _command(self, state: State, ask: Ask) -> NodeCommand | None:
        """What is asked; None as long as the caller does not know the job it wants to cancel."""
        if ask.command is not None:
            return ask.command
        answer = self.answers_of(state)[ask.cancels]
        return Cancel(JobId.parse(answer.body["job_id"])) if isinstance(answer, Done) else None

    def _tick(self, state: State, local: Local, move: Move, at: Instant) -> Iterator[Next]:
        for each in self._taken(state, move, local, at, ("tick",), _one(Tick())):
            yield each if move.what != EARLY else replace(each, is_optional=True)

    def _taken(
        self,
        state: State,
        move: Move,
        local: Local,
        clock: Instant,
        names: tuple[object, ...],
        inputs: Callable[[], list[Input]],
    ) -> Iterator[Next]:
        """A node takes a batch; or dies while it does. `state` is without what it takes."""
        node = local.node
        with _during(move):
            step = self.processes.step(local.number, clock, names, inputs)
            expect(not step.dropped, "honest peers are not accused", step.dropped[0] if step.dropped else "")
        is_fickle = move.kind == "ask" and not self.asks[move.other].is_required
        is_optional = is_fickle or move.what == ExitKind.WORKER_LOST.value
        yield Next(move, self._after(state, node, step), is_optional, step)
        if step.answers and state[-2]:
            unheard = self._after(_less(state, -2), node, replace(step, answers=()))
            yield Next(move._replace(what=UNHEARD), unheard, is_optional=True, step=step)
        if not state[-5]:
            return

        def dying(dies: str, state_then: State, local_then: int, sent: int = 0) -> Next:
            dead = self._dead(state_then, node, local_then)
            return Next(move._replace(dies=dies, sent=sent), dead, is_optional=True, step=step)

        with _during(move._replace(dies=NOTHING_WRITTEN)):
            unwritten = self.processes.failing(local.number, clock, names, inputs)
        for sent in range(len(step.sent) + 1 if self.sends_first else 1):
            yield dying(NOTHING_WRITTEN, self._sent(state, node, step, sent), unwritten, sent)
        yield dying(UNSAID, state, step.stored)
        answered = self._answered(state, step)
        if answered != state:
            yield dying(ANSWERED, answered, step.stored)
        if step.marked != step.stored:
            yield dying(MARKED, answered, step.marked)
        for sent in range(1, len(step.sent)):
            yield dying(MARKED, self._sent(answered, node, step, sent), step.marked, sent)

    def _after(self, state: State, node: int, step: Step) -> State:
        made = self._sent(self._answered(state, step), node, step, len(step.sent))
        return _with(made, node, step.after)

    def _answered(self, state: State, step: Step) -> State:
        for token, answer in step.answers:
            state = _with(state, self._asks_at + token, answer + 1)
        return state

    def _sent(self, state: State, node: int, step: Step, count: int) -> State:
        if not count:
            return state
        made = list(state)
        for sent in step.sent[:count]:
            # Lost where there is no connection, or where it ended and the node has not noticed.
            if self._side(state, node, sent.peer) == UP and self._side(state, sent.peer, node) == UP:
                at = self._lane_at(sent.peer, node)
                lane = (*self._lane(made[at]), (sent.message, sent.at))
                if self._bounds.overtaking is None:  # then it does not matter which of two protocols' came first
                    lane = tuple(sorted(lane, key=lambda each: self.processes.protocols[each[0]]))
                made[at] = self._lanes.number_of(lane, lane)
        return tuple(made)

    def _dead(self, state: State, node: int, local: int) -> State:
        """The node's process is gone, with a crash less to come."""
        state = _with(_less(state, -5), node, local)
        for other in range(self.size):
            if other != node:
                state = self._parted(state, *sorted((node, other)))
                state = self._told_of(state, node, other, DOWN)
        return state

    def _parted(self, state: State, a: int, b: int) -> State:
        """The connection ended. Each side will be told; what is under way to it may arrive before."""
        for side, other in ((a, b), (b, a)):
            if self._side(state, side, other) == UP:
                state = self._told_of(state, side, other, GOING)
        return state

    def _met(self, state: State, a: int, b: int) -> State:
        """Two nodes are connected, and told."""
        state = _with(state, self._pair_at[a, b], TOLD_OF_BOTH)
        for node, other in ((a, b), (b, a)):
            local = self.processes.locals[state[node]]
            input_ = _one(PeerUp(self.processes.dids[other]))
            state = self._after(state, node, self.processes.step(local.number, local.clock, (("up", other),), input_))
        return state

    def _told_of(self, state: State, node: int, other: int, side: int) -> State:
        """A side of a connection changes. Nothing arrives where there is none."""
        made = list(state)
        at = self._pair_at[min(node, other), max(node, other)]
        high, low = divmod(made[at], 4)
        made[at] = 4 * side + low if node < other else 4 * high + side
        if side == DOWN:
            made[self._lane_at(node, other)] = 0
        return tuple(made)

    def _side(self, state: State, node: int, other: int) -> int:
        if node < other:
            return state[self._pair_at[node, other]] // 4
        return state[self._pair_at[other, node]] % 4

    def _both_live(self, state: State, a: int, b: int) -> bool:
        locals_ = self.processes.locals
        return locals_[state[a]].engine is not None and locals_[state[b]].engine is not None

    def _lane_at(self, node: int, other: int) -> int:
        """Where what `other` sent to `node` stands."""
        return self._lanes_at + node * self.size + other


class FoundAt(Finding):
    """A finding, and the move with which it shows."""

    def __init__(self, move: Move, finding: Finding) -> None:
        self.move = move
        super().__init__(finding.checker, finding.detail)


@contextmanager
def _during(move: Move) -> Iterator[None]:
    """What is found in here shows with this move."""
    try:
        yield
    except Finding as finding:
        raise FoundAt(move, finding) from finding


def _short(protocol: str) -> str:
    """`mesh` of `/icn/mesh/1`."""
    return protocol.split("/")[2]


def _one(input_: Input) -> Callable[[], list[Input]]:
    return lambda: [input_]


def _with(state: State, at: int, value: int) -> State:
    return (*state[:at], value, *state[at + 1 :]) if at >= 0 else (*state[:at], value, *state[len(state) + at + 1 :])


def _less(state: State, at: int) -> State:
    return _with(state, at, state[at] - 1)
