"""One node of an exploration: the states its process has been found in, and what each input makes of them.

A node's next state is a function of the state it is in, its clock and its inputs; that is what the core promises. So
each such step is taken by the real engine once, on a copy, and remembered: a state of the whole federation is a handful
of numbers, and most of its transitions cost a look into a map.

Not here: which inputs are possible (`moves`), what lies between nodes (`moves`), what must hold (`looking`).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from icn.assemble import open_engine
from icn.domain.mesh.execution import ExecutionRequest, ExitKind
from icn.kernel.errors import IcnError
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.signing import SeedSigner
from icn.protocol.codec import encode_message
from icn.protocol.messages import (
    Acknowledged,
    Chunk,
    Fetch,
    Heads,
    Hello,
    Message,
    NotHere,
    Want,
    protocol_of,
)
from icn.services.answers import Answer
from icn.services.effects import (
    Committed,
    Disconnect,
    Effect,
    Publish,
    RunJob,
    Send,
    StopJob,
)
from icn.services.engine import Engine, Outcome
from icn.services.inputs import Executed, Input, Tick
from icn.services.settings import NodeTerms
from icn.sim.executor import outcome_of, scripted_outcome
from icn.sim.explore.copying import copied
from icn.sim.explore.disk import Disk, ProcessDied
from icn.sim.explore.form import Form, Forms
from icn.sim.explore.history import History
from icn.sim.findings import Finding, expect

STUMBLES = (IcnError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What a defect of the core shows itself as, when no rule of ours sees it first."""
TIMELESS = (Hello, Heads, Want, Acknowledged, Fetch, Chunk, NotHere)
"""Messages in which no instant stands."""

Plant = Callable[[Engine], None]
"""A defect, planted into an engine before each batch."""


@dataclass(slots=True)
class SetClock:
    """Stands still unless it is set. Satisfies the services' `Clock`."""

    time: Instant

    def now(self) -> Instant:
        """What it was set to."""
        return self.time


@dataclass(slots=True)
class CountingEntropy:
    """Bytes that look random and follow from how many draws came before. Satisfies the services' `Entropy`."""

    name: str
    drawn: int = 0

    def bytes(self, count: int) -> bytes:
        """The next `count` bytes, at most 32."""
        self.drawn += 1
        return hashlib.sha256(f"{self.name}/{self.drawn}".encode()).digest()[:count]


@dataclass(frozen=True, slots=True)
class Running:
    """A guest under way."""

    request: ExecutionRequest
    module: bytes
    is_stopping: bool = False


@dataclass(slots=True, eq=False)
class Local:
    """One state of one node. Nobody changes it once it has a number."""

    number: int
    node: int
    disk: Disk
    clock: Instant
    entropy: CountingEntropy
    engine: Engine | None = None
    """None: no process is there."""
    wake_at: Instant | None = None
    running: tuple[Running, ...] = ()
    history: History = field(default_factory=History)
    heads: tuple[bytes, ...] = ()
    """Names of all feeds' newest blocks: with them, of everything behind."""
    alike: int = -1
    """The number of the first state that has the same form."""
    latest: int = 0
    """The latest instant that stands in what the engine knows, or knew when its process ended."""
    idle: int | None = None
    """The same as `alike` for those that differ by their clock only, where nothing lies ahead in time."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on its way. Two that say the same at the same time are one."""

    peer: int
    """To which node."""
    message: int
    """Its number among all messages met."""
    at: Instant
    """What its sender's clock showed."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a batch of inputs makes of a node."""

    after: int
    """The state it is in then."""
    sent: tuple[Sent, ...]
    answers: tuple[tuple[int, int], ...]
    """Token of a request, number of its answer."""
    dropped: tuple[str, ...]
    """Why peers were accused."""
    stored: int
    """The node without a process, the batch on its disk and the head mark not yet."""
    marked: int
    """The same with the head mark."""
    told: tuple[str, ...]
    """What it recorded and asked for, for people."""


@dataclass(slots=True)
class Table:
    """Things met, numbered."""

    numbers: dict[object, int] = field(default_factory=dict)
    things: list[object] = field(default_factory=list)

    def number_of(self, name: object, thing: object) -> int:
        """The number of what has this name."""
        known = self.numbers.get(name)
        if known is None:
            known = self.numbers[name] = len(self.things)
            self.things.append(thing)
        return known


class Processes:
    """All nodes' states and steps."""

    def __init__(
        self,
        terms: Sequence[NodeTerms],
        epoch: Instant,
        look: Callable[[Local], None],
        plant: Plant | None = None,
        form: Form = Form.ALIKE,
        *,
        may_crash: bool = True,
    ) -> None:
        self._may_crash = may_crash
        self._looked: dict[tuple[object, ...], None] = {}
        self.forms = Forms(form)
        self.signers = [SeedSigner((index + 1).to_bytes(4, "big") * 8) for index in range(len(terms))]
        self.dids: list[Did] = [signer.did for signer in self.signers]
        self.locals: list[Local] = []
        self.messages: list[Message] = []
        self.protocols: list[str] = []
        """By number of a message."""
        self.answers: list[Answer] = []
        self.engine_runs = 0
        self._terms = terms
        self._look = look
        self._plant = plant
        self._index = {did: index for index, did in enumerate(self.dids)}
        self._numbers: dict[tuple[object, ...], int] = {}
        self._alike: dict[tuple[bytes, Instant], int] = {}
        self._idle: dict[bytes, int] = {}
        self._message_numbers: dict[tuple[str, bytes], int] = {}
        self.messages_alike: list[int] = []
        """By number of a message, that of the first which says the same."""
        self._messages_alike: dict[bytes, int] = {}
        self._answer_numbers: dict[str, int] = {}
        self._steps: dict[tuple[int, int, tuple[object, ...]], Step] = {}
        self._starts: dict[tuple[int, Instant], Step] = {}
        self._failing: dict[tuple[int, int, tuple[object, ...]], int] = {}
        self.begin = [
            self._keep(Local(-1, index, Disk(self.forms), epoch, CountingEntropy(f"node {index}")))
            for index in range(len(terms))
        ]
        """Each node before its first start."""

    def is_timeless(self, message: int) -> bool:
        """Whether no instant stands in a message."""
        return isinstance(self.messages[message], TIMELESS)

    def start(self, local: int, at: Instant) -> Step:
        """A process opens the disk and takes its first batch, which brings nothing."""
        known = self._starts.get((local, at))
        if known is None:
            was = self.locals[local]
            disk, entropy, clock = was.disk.fork(), replace(was.entropy), SetClock(at)
            try:
                engine = open_engine(
                    store=disk,
                    clock=clock,
                    entropy=entropy,
                    signer=self.signers[was.node],
                    terms=self._terms[was.node],
                    marker=disk,
                )
            except STUMBLES as error:
                raise Finding("a node starts", f"{type(error).__name__}: {error}") from error
            known = self._starts[local, at] = self._run(was, engine, disk, entropy, clock, [Tick()], ())
        return known

    def step(self, local: int, clock: Instant, names: tuple[object, ...], inputs: Callable[[], list[Input]]) -> Step:
        """What `inputs`, which `names` stand for, make of a node at the time `clock`."""
        key = (local, clock, names)
        known = self._steps.get(key)
        if known is None:
            was = self.locals[local]
            engine = copied(was.engine)
            engine.clock.time = clock
            batch = inputs()
            ended = {(i.request.job, i.request.attempt) for i in batch if isinstance(i, Executed)}
            running = tuple(run for run in was.running if (run.request.job, run.request.attempt) not in ended)
            known = self._steps[key] = self._run(
                was, engine, engine.store, engine.dispatch.entropy, engine.clock, batch, running
            )
        return known

    def failing(self, local: int, clock: Instant, names: tuple[object, ...], inputs: Callable[[], list[Input]]) -> int:
        """The node without its process, which died in the commit of `inputs` before anything was written."""
        key = (local, clock, names)
        known = self._failing.get(key)
        if known is None:
            known = self._failing[key] = self._fail(local, clock, inputs())
        return known

    def _fail(self, local: int, clock: Instant, batch: list[Input]) -> int:
        was = self.locals[local]
        engine = copied(was.engine)
        engine.clock.time = clock
        engine.store.dies = True
        try:
            self.engine_runs += 1
            engine.handle(batch)
        except ProcessDied:
            pass
        except STUMBLES as error:
            raise Finding("the core stumbles", f"{type(error).__name__}: {error}") from error
        return self._dead(replace(was, clock=clock, entropy=engine.dispatch.entropy), was.disk)

    def killed(self, local: int) -> int:
        """The node when its process was ended between two batches."""
        was = self.locals[local]
        return self._dead(was, was.disk)

    def _dead(self, was: Local, disk: Disk) -> int:
        """The node without its process, and this on its disk."""
        without = replace(
            was, disk=disk.fork(), entropy=replace(was.entropy), engine=None, wake_at=None, running=(), number=-1
        )
        return self._keep(without)

    def outcome_input(self, run: Running, kind: ExitKind) -> Input:
        """How an execution ends."""
        if kind is ExitKind.COMPLETED:
            return Executed(run.request, scripted_outcome(run.request, run.module))
        return Executed(run.request, outcome_of(kind, detail=kind.value))

    def _run(
        self,
        was: Local,
        engine: Engine,
        disk: Disk,
        entropy: CountingEntropy,
        clock: SetClock,
        batch: list[Input],
        running: tuple[Running, ...],
    ) -> Step:
        if self._plant is not None:
            self._plant(engine)
        self.engine_runs += 1
        try:
            outcome = engine.handle(batch)
        except STUMBLES as error:
            raise Finding("the core stumbles", f"{type(error).__name__}: {error}") from error
        history = was.history.after([each for each in outcome.effects if isinstance(each, Committed)])
        heads = tuple(sorted(head.cid.data for head in engine.state.feeds.heads.values()))
        unmarked = disk.fork()
        if outcome.mark is not None:
            disk.write(outcome.mark)
        after = Local(
            number=-1,
            node=was.node,
            disk=disk,
            clock=clock.time,
            entropy=entropy,
            engine=engine,
            wake_at=outcome.wake_at,
            running=_running(running, outcome.effects),
            history=history,
            heads=heads,
        )
        number = self._keep(after)
        return Step(
            number,
            tuple(self._all_sent(was.node, outcome.effects, clock.time)),
            tuple((reply.token, self._answer(reply.answer)) for reply in outcome.replies),
            tuple(each.reason for each in outcome.effects if isinstance(each, Disconnect)),
            self._dead(self.locals[number], unmarked) if self._may_crash else -1,
            self._dead(self.locals[number], disk) if self._may_crash else -1,
            tuple(self._told(was.node, outcome)),
        )

    def _all_sent(self, node: int, effects: Sequence[Effect], at: Instant) -> Iterator[Sent]:
        """What goes out. Everybody is connected to everybody here: what is published comes from its author."""
        for effect in effects:
            match effect:
                case Send():
                    yield self._sent(effect, at)
                case Publish(_, message):
                    for other, did in enumerate(self.dids):
                        if other != node:
                            yield self._sent(Send(did, message), at)
                case _:
                    pass

    def _sent(self, effect: Send, at: Instant) -> Sent:
        protocol, data = protocol_of(effect.message), encode_message(effect.message)
        number = self._message_numbers.get((protocol, data))
        if number is None:
            number = self._message_numbers[protocol, data] = len(self.messages)
            self.messages.append(effect.message)
            self.protocols.append(protocol)
            form = self.forms.of_message(effect.message)
            self.messages_alike.append(self._messages_alike.setdefault(form, number))
        return Sent(self._index[effect.peer], number, at)

    def _answer(self, answer: Answer) -> int:
        name = repr(answer)
        number = self._answer_numbers.get(name)
        if number is None:
            number = self._answer_numbers[name] = len(self.answers)
            self.answers.append(answer)
        return number

    def _keep(self, local: Local) -> int:
        """Give a state its number."""
        engine = local.engine
        soft, state = b"", b""
        if engine is not None:
            soft, soon = self.forms.of_engine(engine, local.disk, local.clock)
            state, late = self.forms.of_state(engine.state, local.disk, local.clock)
            local.latest = max(soon, late)
        running = tuple((run.request.job.data, run.request.attempt, run.is_stopping) for run in local.running)
        head = local.disk.head
        if self.forms.kind is Form.ALIKE and head is not None:
            head = replace(head, cid=None)
        what = (local.node, local.disk.digest, head, running, local.history.name, engine is None)
        name = hashlib.blake2b(
            b"".join((repr((what, local.entropy.drawn)).encode(), soft, b"\0", state)), digest_size=16
        ).digest()
        if (seen := (what, state, local.heads)) not in self._looked:
            self._look(local)
            self._looked[seen] = None
        own = (name, local.clock, local.heads, local.disk.head)
        known = self._numbers.get(own)
        if known is not None:
            return known
        self._numbers[own] = local.number = len(self.locals)
        local.alike = self._alike.setdefault((name, local.clock), local.number)
        local.idle = None
        if local.latest <= local.clock:
            local.idle = self._idle.setdefault(name, local.number)
        self.locals.append(local)
        return local.number

    def _told(self, node: int, outcome: Outcome) -> list[str]:
        told: list[str] = []
        for effect in outcome.effects:
            match effect:
                case Committed(author=author, record=record):
                    if author == self.dids[node]:
                        told.append(record.name + _about(record.event))
                case RunJob(request):
                    told.append(f"runs {_short(request.job)} attempt {request.attempt}")
                case StopJob(job, attempt):
                    told.append(f"stops {_short(job)} attempt {attempt}")
                case Disconnect(peer, reason):
                    told.append(f"accuses {self._index[peer]}: {reason}")
                case _:
                    pass  # messages have a line of their own, and notices are for operators
        return told


def _running(running: tuple[Running, ...], effects: Sequence[Effect]) -> tuple[Running, ...]:
    """The guests under way after these effects, in order of name."""
    under_way = {(run.request.job, run.request.attempt): run for run in running}
    for effect in effects:
        if isinstance(effect, RunJob):
            is_new = (effect.request.job, effect.request.attempt) not in under_way
            expect(is_new, "run once", f"{effect.request.job} attempt {effect.request.attempt} is under way already")
            under_way[effect.request.job, effect.request.attempt] = Running(effect.request, effect.module)
        elif isinstance(effect, StopJob) and (effect.job, effect.attempt) in under_way:
            key = (effect.job, effect.attempt)
            under_way[key] = replace(under_way[key], is_stopping=True)
    return tuple(under_way[key] for key in sorted(under_way))


def _about(event: object) -> str:
    job, attempt = getattr(event, "job", None), getattr(event, "attempt", None)
    said = f" of {_short(job)}" if isinstance(job, JobId) else ""
    return f"{said} attempt {attempt}" if attempt is not None else said


def _short(job: JobId) -> str:
    return str(job)[:10]
