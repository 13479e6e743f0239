"""Which machine runs what: a runner on each machine, executions to where a place is free, and what follows from losses.

```
 a machine:    hired ── begin ──> up ── pings ──> lost ── until its guests have ended ──> hired again, while it is there
                  └ refused: asked again after a while
 an execution: waits ──> at a machine ──> ended, as its runner says; or lost, when its runner's guests have ended
```

An execution is given to one runner, once. When that cannot be asked any more the outcome is `WORKER_LOST`, and it comes
when its guest cannot compute any more: at once where the runner's process is known to have ended, else when the lease
is over (lease).

Everything happens on one event loop. Not here: Ray (ray_cluster), what the node makes of an outcome (pool).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import TypeVar

from icn.adapters.cluster import bounds, messages
from icn.adapters.cluster.messages import (
    Begin,
    Ended,
    Looked,
    MachineDown,
    MachineRefused,
    MachineUp,
    RunnerState,
    RunnerTerms,
    ToNode,
)
from icn.adapters.cluster.ports import Cluster, ClusterSilent, Member, RunnerCalls, RunnerDied, RunnerLost
from icn.adapters.wasm import outcomes
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from icn.kernel.errors import Invalid

T = TypeVar("T")
_LEFT = "it has left the cluster"


@dataclass(slots=True, eq=False)
class _Machine:
    """A machine that takes jobs, or did."""

    member: Member
    runner: RunnerCalls
    places: int
    answered: float
    """When its runner's newest answer came, by the loop's clock."""
    running: dict[int, "_Execution"] = field(default_factory=dict)
    failure: RunnerLost | None = None
    """Why it is not asked any more."""
    failing: asyncio.Event = field(default_factory=asyncio.Event)
    is_still: asyncio.Event = field(default_factory=asyncio.Event)
    """None of its guests can compute any more."""

    @property
    def free(self) -> int:
        return self.places - len(self.running) if self.failure is None else 0

    def fail(self, failure: RunnerLost) -> None:
        """The first reason stands."""
        if self.failure is None:
            self.failure = failure
        self.failing.set()


@dataclass(slots=True, eq=False)
class _Execution:
    asked: Begin
    machine: _Machine | None = None


class Foreman:
    """Owns machines and executions. `tell` passes news to the node; it never waits."""

    def __init__(self, cluster: Cluster, terms: RunnerTerms, tell: Callable[[ToNode], None]) -> None:
        self._cluster = cluster
        self._terms = terms
        self._tell = tell
        self._present: dict[str, asyncio.Event] = {}
        """Machines that are there, each with what happens when it leaves."""
        self._names: dict[str, str] = {}
        self._heard: dict[str, None] = {}
        """Machines that have said whether they take jobs."""
        self._machines: dict[str, _Machine] = {}
        self._executions: dict[int, _Execution] = {}
        self._waiting: deque[_Execution] = deque()  # bounded: the node begins no more than it has heard of places
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def live(self) -> None:
        """Follow who is there, until cancelled; then nothing of this is under way any more."""
        loop = asyncio.get_running_loop()
        looks_until = loop.time() + bounds.FIRST_LOOK_S
        has_looked = False
        try:
            while True:
                with contextlib.suppress(ClusterSilent):  # the machines themselves are asked without it
                    self._take_members(await self._cluster.members())
                    unheard = [name for machine, name in self._names.items() if machine not in self._heard]
                    if not has_looked and (not unheard or loop.time() >= looks_until):
                        has_looked = True
                        self._tell(Looked(tuple(unheard)))
                self._raise_what_failed()
                await asyncio.sleep(bounds.LOOK_EVERY_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def begin(self, asked: Begin) -> None:
        """Execute it where a place is free, or when one is."""
        execution = _Execution(asked)
        self._executions[asked.number] = execution
        self._waiting.append(execution)
        self._place()

    def stop(self, number: int) -> None:
        """Stop it, guest included. One that has ended already is left alone."""
        execution = self._executions.get(number)
        if execution is None:
            return
        if execution.machine is None:
            self._waiting.remove(execution)
            self._end(execution, self._without_guest(ExitKind.CANCELLED, "cancelled before it ran"))
        else:
            self._start(self._cancel(execution.machine, number))

    async def end(self) -> None:
        """End every runner, its guests first."""
        await asyncio.gather(*(self._end_runner(machine) for machine in self._machines.values()))

    # Machines

    def _take_members(self, members: list[Member]) -> None:
        now = {member.machine: member for member in members[: bounds.MACHINES_MAX]}
        for machine in [machine for machine in self._present if machine not in now]:
            self._present.pop(machine).set()
            self._heard.pop(machine, None)
            del self._names[machine]
            if machine in self._machines:
                self._machines[machine].fail(RunnerLost(_LEFT))
        for machine, member in now.items():
            if machine not in self._present:
                self._present[machine] = left = asyncio.Event()
                self._names[machine] = member.name
                self._start(self._tend(member, left))

    async def _tend(self, member: Member, left: asyncio.Event) -> None:
        """One runner after the other on this machine, while it is there."""
        said_last: RunnerState | None = None
        while not left.is_set():
            runner = self._cluster.hire(member, self._places(member))
            state = await self._begun(runner)
            if left.is_set():
                runner.kill()
                break
            self._heard[member.machine] = None
            if state.refusal:
                runner.kill()
                if state != said_last:
                    self._tell(MachineRefused(member.machine, member.name, state.refusal, state.lacks))
                said_last = state
                await _either(left, bounds.REFUSED_RETRY_S)
                continue
            said_last = None
            await self._keep(member, runner, state)
            await _either(left, bounds.RUNNER_RETRY_S)
        if said_last is not None:
            self._tell(MachineDown(member.machine, member.name, _LEFT))

    async def _begun(self, runner: RunnerCalls) -> RunnerState:
        try:
            return messages.decode(RunnerState, await runner.begin())
        except (RunnerLost, Invalid) as error:
            return RunnerState(places=0, isolation=(), refusal=_short(error), lacks=())

    async def _keep(self, member: Member, runner: RunnerCalls, state: RunnerState) -> None:
        """From its first answer until none of its guests can compute any more."""
        machine = _Machine(member, runner, state.places, asyncio.get_running_loop().time())
        self._machines[member.machine] = machine
        self._tell(MachineUp(member.machine, member.name, state.places, state.isolation))
        self._place()
        await self._ping(machine)
        del self._machines[member.machine]
        self._tell(MachineDown(member.machine, member.name, _short(machine.failure)))
        runner.kill()
        if not await self._is_known_dead(machine):
            over = machine.answered + bounds.LEASE_S + bounds.LEASE_GRACE_S
            await asyncio.sleep(max(0.0, over - asyncio.get_running_loop().time()))
        machine.is_still.set()

    async def _ping(self, machine: _Machine) -> None:
        """Until it fails."""
        loop = asyncio.get_running_loop()
        while machine.failure is None:
            oldest = min(machine.running, default=max(self._executions, default=-1) + 1)
            try:
                async with asyncio.timeout_at(machine.answered + bounds.LEASE_S):
                    await _first(machine.runner.ping(oldest), machine.failing)
            except TimeoutError:
                machine.fail(RunnerLost(f"it has not answered for {bounds.LEASE_S:.0f} s"))
            except RunnerLost as failure:
                machine.fail(failure)
            else:
                if machine.failure is None:
                    machine.answered = loop.time()
                    await _either(machine.failing, bounds.PING_EVERY_S)

    async def _is_known_dead(self, machine: _Machine) -> bool:
        """Whether its own machine says that the runner's process has ended: one that is cut off is only presumed to."""
        if not isinstance(machine.failure, RunnerDied):
            return False
        try:
            members = await self._cluster.members()
        except ClusterSilent:
            return False
        return machine.member.machine in {member.machine for member in members}

    async def _end_runner(self, machine: _Machine) -> None:
        with contextlib.suppress(RunnerLost, TimeoutError):
            async with asyncio.timeout(bounds.END_RUNNER_S):
                await machine.runner.end()
        machine.runner.kill()

    def _places(self, member: Member) -> int:
        if self._terms.workers_per_machine:
            return self._terms.workers_per_machine
        for_memory = member.memory_bytes // bounds.MEMORY_PER_WORKER_BYTES
        return max(1, min(member.processors, for_memory, bounds.WORKERS_PER_MACHINE_MAX))

    # Executions

    def _place(self) -> None:
        """Give what waits to where most is free; of equals, to whoever joined first."""
        while self._waiting and self._machines:
            machine = max(self._machines.values(), key=lambda machine: machine.free)
            if machine.free <= 0:
                return
            execution = self._waiting.popleft()
            execution.machine = machine
            machine.running[execution.asked.number] = execution
            self._start(self._execute(execution, machine))

    async def _execute(self, execution: _Execution, machine: _Machine) -> None:
        asked = execution.asked
        request = messages.encode(replace(asked.request, input=b""))
        outcome = None
        try:
            # A call to a machine that is cut off may stay unanswered for as long as Ray likes.
            call = machine.runner.execute(asked.number, request, asked.module, asked.request.input)
            answer = await _first(call, machine.is_still)
            outcome = None if answer is None else messages.decode(ExecutionOutcome, answer)
        except RunnerLost as failure:
            machine.fail(failure)
        except Invalid as nonsense:
            machine.fail(RunnerLost(f"it answered nonsense: {nonsense}"))
        if outcome is None:
            await machine.is_still.wait()
            why = f"machine {machine.member.name} was lost: {_short(machine.failure)}"
            outcome = self._without_guest(ExitKind.WORKER_LOST, why)
        del machine.running[asked.number]
        self._end(execution, outcome)
        self._place()

    async def _cancel(self, machine: _Machine, number: int) -> None:
        try:
            await machine.runner.cancel(number)
        except RunnerLost as failure:
            machine.fail(failure)

    def _end(self, execution: _Execution, outcome: ExecutionOutcome) -> None:
        del self._executions[execution.asked.number]
        self._tell(Ended(execution.asked.number, outcome))

    def _without_guest(self, kind: ExitKind, why: str) -> ExecutionOutcome:
        return outcomes.without_guest(kind, self._terms.profile, why)

    # Tasks

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks[asyncio.get_running_loop().create_task(work)] = None

    def _raise_what_failed(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            del self._tasks[task]
            task.result()


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def _first(call: Coroutine[None, None, T], event: asyncio.Event) -> T | None:
    """What the call gives; None when the event was there before: then the call is given up."""
    calling = asyncio.ensure_future(call)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((calling, waiting), return_when=asyncio.FIRST_COMPLETED)
        return calling.result() if calling.done() else None
    finally:
        calling.cancel()
        waiting.cancel()


def _short(error: Exception | None) -> str:
    return str(error)[: bounds.WHY_CHARS_MAX]
