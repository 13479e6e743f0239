"""Goes through all states of a case, each once, and judges the whole graph when it has them all.

Two orders. `breadth`: by number of moves, so that the first path to a state is a shortest one. `calm`: by how far a
path departs from a world in which nothing is late and nothing breaks, so that an exploration that is cut short has seen
whole lives of jobs with few oddities rather than all beginnings.

When the graph is complete, from each of its states an end must be reachable without any further trouble: a state from
which none is is a way to wait for ever. When it is cut, a state at its edge counts as if it reached one.
"""

import time
from array import array
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

from icn.sim.explore.case import Case
from icn.sim.explore.coverage import Coverage
from icn.sim.explore.form import Form
from icn.sim.explore.looking import Looking, look_at
from icn.sim.explore.moves import Federation, FoundAt, Move, Next, State
from icn.sim.explore.process import Plant
from icn.sim.findings import Finding


class Order(Enum):
    """Which states come first."""

    BREADTH = "breadth"
    CALM = "calm"


@dataclass(slots=True)
class Exploration:
    """What came of one."""

    case: Case
    states: int = 0
    transitions: int = 0
    merged: int = 0
    """Transitions into a state that was known."""
    depth: int = 0
    """Of the longest of the shortest paths known."""
    ended: int = 0
    """States in which all is over."""
    frontier: int = 0
    """States whose transitions were not taken any more; 0: the exploration is complete."""
    seconds: float = 0.0
    locals: int = 0
    engine_runs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=Coverage)
    finding: Finding | None = None
    path: list[Move] = field(default_factory=list)
    """To the finding."""

    @property
    def is_complete(self) -> bool:
        """Whether every state within the bounds was looked at."""
        return self.finding is None and not self.frontier


class Search:
    """One exploration under way."""

    def __init__(
        self,
        case: Case,
        *,
        order: Order = Order.BREADTH,
        form: Form = Form.ALIKE,
        plant: Plant | None = None,
        sends_first: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.federation = Federation(case, look_at, plant, form, sends_first=sends_first)
        self.looking = Looking(self.federation)
        self.result = Exploration(case)
        self._order = order
        self._now = now
        self._numbers: dict[bytes, int] = {}
        self._cost = array("i")
        self._depth = array("i")
        self._from = array("i")
        self._moves: list[Move] = []
        self._edges_from = array("i")
        self._edges_to = array("i")
        self._ends: list[int] = []
        self._waiting: deque[tuple[int, State]] = deque()  # bounded: Bounds.states_max
        self._later: dict[int, deque[tuple[int, State]]] = {}

    def run(self) -> Exploration:
        """Until all is seen, a bound is reached, or something is found."""
        began = self._now()
        result, bounds = self.result, self.result.case.bounds
        try:
            state = self.federation.at_rest()
            self._meet(state, -1, Move("rest", 0), 0)
            while (entry := self._next()) is not None:
                if result.states >= bounds.states_max or self._now() - began >= bounds.seconds_max:
                    self._waiting.appendleft(entry)
                    break
                self._expand(*entry)
        except Finding as finding:
            result.finding = finding
        result.frontier = len(self._waiting) + sum(len(each) for each in self._later.values())
        if result.finding is None:
            self._judge_graph()
        result.locals, result.engine_runs = len(self.federation.processes.locals), self.federation.processes.engine_runs
        result.seconds = self._now() - began
        return result

    def _next(self) -> tuple[int, State] | None:
        while not self._waiting:
            if not self._later:
                return None
            self._waiting = self._later.pop(min(self._later))
        return self._waiting.popleft()

    def _expand(self, number: int, state: State) -> None:
        looking, result = self.looking, self.result
        has_ended = looking.has_ended(state)
        if has_ended:
            result.ended += 1
            self._ends.append(number)
        try:
            looking.look(state)
            if has_ended:
                looking.look_at_end(state)
        except Finding:
            result.path = self._path_to(number)
            raise
        is_first = True
        try:
            for each in self.federation.nexts(state, ended=has_ended):
                self._follow(number, state, each, is_first=is_first)
                is_first = False
        except FoundAt as found:
            result.path = [*self._path_to(number), found.move]
            raise

    def _follow(self, number: int, state: State, each: Next, *, is_first: bool) -> None:
        result = self.result
        result.transitions += 1
        kind = each.move.kind if not each.move.dies else f"{each.move.kind}, dies {each.move.dies}"
        result.kinds[kind] += 1
        if each.move.dies or each.move.kind == "kill":
            result.coverage.note_crash(self.federation, state, each.move)
        cost = self._cost[number] + (0 if is_first and not each.is_optional else 1)
        to, is_new = self._meet(each.state, number, each.move, cost)
        result.merged += not is_new
        if not each.is_optional:
            self._edges_from.append(number)
            self._edges_to.append(to)

    def _meet(self, state: State, came_from: int, move: Move, cost: int) -> tuple[int, bool]:
        """The number of a state, and whether it is a new one."""
        name = blake2b(self.federation.name_of(state), digest_size=16).digest()
        known = self._numbers.get(name)
        is_new = known is None
        if known is None:
            known = self._numbers[name] = len(self._moves)
            self._moves.append(move)
            self._from.append(came_from)
            depth = 0 if came_from < 0 else self._depth[came_from] + 1
            self._depth.append(depth)
            self._cost.append(cost)
            self.result.states += 1
            self.result.depth = max(self.result.depth, depth)
            self.result.coverage.note_state(self.federation, state)
            if self._order is Order.BREADTH or cost == self._cost[came_from]:
                self._waiting.append((known, state))
            else:
                self._later.setdefault(cost, deque()).append((known, state))  # bounded: Bounds.states_max
        return known, is_new

    def _path_to(self, number: int) -> list[Move]:
        moves: list[Move] = []
        while self._from[number] >= 0:
            moves.append(self._moves[number])
            number = self._from[number]
        return moves[::-1]

    def _judge_graph(self) -> None:
        """From every state an end is reachable, or the edge of what was seen."""
        count = len(self._moves)
        starts = array("i", bytes(4 * (count + 1)))
        for to in self._edges_to:
            starts[to + 1] += 1
        for index in range(count):
            starts[index + 1] += starts[index]
        sources, at = array("i", bytes(4 * len(self._edges_to))), array("i", starts)
        for source, to in zip(self._edges_from, self._edges_to, strict=True):
            sources[at[to]] = source
            at[to] += 1
        good = bytearray(count)
        pending = [*self._ends, *(number for number, _ in self._unexpanded())]
        for number in pending:
            good[number] = 1
        while pending:
            number = pending.pop()
            for source in sources[starts[number] : starts[number + 1]]:
                if not good[source]:
                    good[source] = 1
                    pending.append(source)
        lost = [number for number in range(count) if not good[number]]
        if lost:
            first = min(lost, key=lambda number: self._depth[number])
            self.result.path = self._path_to(first)
            self.result.finding = Finding("every job ends", f"from {len(lost)} states no end can be reached any more")

    def _unexpanded(self) -> list[tuple[int, State]]:
        return [*self._waiting, *(entry for each in self._later.values() for entry in each)]
