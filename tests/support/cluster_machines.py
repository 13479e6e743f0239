"""A cluster that does what a test says, with a foreman at work, on a loop whose time jumps."""

import asyncio
from collections.abc import Callable, Coroutine

from icn.adapters.cluster import messages
from icn.adapters.cluster.foreman import Foreman
from icn.adapters.cluster.messages import Begin, Ended, RunnerState, ToNode
from icn.adapters.cluster.ports import ClusterSilent, Member, RunnerLost
from icn.adapters.wasm import outcomes
from icn.domain.mesh.execution import ExitKind
from icn.kernel.limits import GIB
from support.virtual_loop import run_virtually
from support.wasm_pool import request

TERMS = messages.RunnerTerms(
    owner="o",
    profile="p",
    version="v",
    workers_per_machine=0,
    cache_path="",
    token_required=True,
    isolation="seccomp",
    compile_ms=1,
    executions_per_worker=2,
    worker_memory_bytes=3,
)
GOOD = RunnerState(places=2, isolation=("seccomp",), refusal="", lacks=())


class Hired:
    """A runner that does what the test says."""

    def __init__(self, member: Member, places: int, state: RunnerState) -> None:
        self.member, self.places, self.state = member, places, state
        self.executing: dict[int, asyncio.Future[bytes]] = {}
        self.given: list[int] = []
        self.cancelled: list[int] = []
        self.is_reachable = True
        self.broken: RunnerLost | None = None
        self.killed = self.ended = False

    async def begin(self) -> bytes:
        await self._reach()
        return messages.encode(self.state)

    async def execute(self, number: int, asked: bytes, module: bytes, given: bytes) -> bytes:
        self.given.append(number)
        self.executing[number] = asyncio.get_running_loop().create_future()
        await self._reach()
        return await self.executing[number]

    async def cancel(self, number: int) -> None:
        self.cancelled.append(number)
        await self._reach()
        self.finish(number, ExitKind.CANCELLED)

    async def ping(self, oldest: int) -> None:
        await self._reach()

    async def end(self) -> None:
        self.ended = True
        await self._reach()

    def kill(self) -> None:
        self.killed = True

    def finish(self, number: int, kind: ExitKind = ExitKind.COMPLETED) -> None:
        self.executing[number].set_result(messages.encode(outcomes.without_guest(kind, "p", "")))

    def fail(self, failure: RunnerLost) -> None:
        """As Ray tells of it: to every call under way, and every one to come."""
        self.broken = failure
        for future in self.executing.values():
            if not future.done():
                future.set_exception(failure)

    async def _reach(self) -> None:
        if self.broken is not None:
            raise self.broken
        if not self.is_reachable:
            await asyncio.Event().wait()


class Machines:
    """A cluster, its foreman, and what the node heard, with the second it heard it at."""

    def __init__(self, terms: messages.RunnerTerms) -> None:
        self.slow: set[str] = set()
        """Machines whose runners never begin."""
        self.there: list[Member] = []
        self.is_silent = False
        self.states: dict[str, RunnerState] = {}
        self.hired: list[Hired] = []
        self.heard: list[tuple[float, ToNode]] = []
        self.foreman = Foreman(self, terms, self._hear)

    async def members(self) -> list[Member]:
        if self.is_silent:
            raise ClusterSilent("the head is away")
        return list(self.there)

    def hire(self, member: Member, places: int) -> Hired:
        made = Hired(member, places, self.states.get(member.machine, GOOD))
        made.is_reachable = member.machine not in self.slow
        self.hired.append(made)
        return made

    def join(self, machine: str, *, processors: int = 2, memory: int = 64 * GIB) -> None:
        self.there.append(Member(machine, f"host of {machine}", processors, memory))

    def leave(self, machine: str) -> None:
        self.there = [member for member in self.there if member.machine != machine]

    def begin(self, *numbers: int) -> None:
        for number in numbers:
            self.foreman.begin(Begin(number, request(None, number), b""))

    def told(self, kind: type) -> list[ToNode]:
        return [message for _, message in self.heard if type(message) is kind]

    def outcomes(self) -> dict[int, ExitKind]:
        return {message.number: message.outcome.exit for _, message in self.heard if isinstance(message, Ended)}

    def when(self, kind: type) -> float:
        return next(moment for moment, message in self.heard if type(message) is kind)

    def _hear(self, message: ToNode) -> None:
        self.heard.append((asyncio.get_running_loop().time(), message))


def played(story: Callable[[Machines], Coroutine[None, None, None]], terms: messages.RunnerTerms = TERMS) -> Machines:
    """The story, with a foreman at work."""
    machines = Machines(terms)

    async def play() -> None:
        telling = asyncio.ensure_future(story(machines))  # first: who is there at its beginning is there at once
        living = asyncio.ensure_future(machines.foreman.live())
        try:
            await asyncio.wait((living, telling), return_when=asyncio.FIRST_COMPLETED)
            (telling if telling.done() else living).result()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

    run_virtually(play())
    return machines
