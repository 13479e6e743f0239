"""A few engines in one process, with a clock, links and disks that a test rules: the world of services and scenarios.

Small on purpose: messages of a link keep their order, nothing is lost but by cutting the link, and time stands still
unless the test moves it. Chance, reordering and crashes are the simulator's business.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.model import Policy
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.domain.mesh.model import JobSpec
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.domain.records import Event, Record
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant
from icn.kernel.limits import GIB
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.messages import Announce, Message
from icn.services.answers import Answer, Done
from icn.services.commands import Found, NodeCommand, Submit
from icn.services.effects import Committed, Disconnect, Effect, Judge, Publish, RunJob, Send, StopJob
from icn.services.engine import Engine, Outcome
from icn.services.inputs import Executed, Gossiped, Input, PeerDown, PeerUp, Received, Request, Tick
from icn.services.opening import open_engine
from icn.services.ports import HeadMark
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from icn.stores.kv import Batch, Fence, KeyValueStore, Properties, Snapshot, StoreUnavailable
from support import builders

Run = Callable[[ExecutionRequest], ExecutionOutcome | None]
"""What an execution brings; None: it never ends."""


def echo(request: ExecutionRequest) -> ExecutionOutcome | None:
    """The built-in."""
    return builders.outcome(request)


@dataclass
class SetClock:
    """Stands still until it is moved."""

    time: Instant = builders.START

    def now(self) -> Instant:
        return self.time


@dataclass
class CountingEntropy:
    """Bytes that look random and are the same on every run."""

    name: str
    drawn: int = 0

    def bytes(self, count: int) -> bytes:
        self.drawn += 1
        return hashlib.sha256(f"{self.name}/{self.drawn}".encode()).digest()[:count]


@dataclass
class Marks:
    """Head marks in two places that a test may roll back. Satisfies `icn.services.ports.HeadMarker`."""

    inner: HeadMark | None = None
    outer: HeadMark | None = None

    def read(self) -> tuple[HeadMark, ...]:
        return tuple(mark for mark in (self.inner, self.outer) if mark is not None)

    def write(self, mark: HeadMark) -> None:
        self.inner = self.outer = mark


class FaultyStore:
    """A store whose commits fail when told to. `uncertain`: the commit happens and the answer is lost."""

    def __init__(self, inner: KeyValueStore) -> None:
        self.inner = inner
        self.fail_next = 0
        self.uncertain = False

    @property
    def properties(self) -> Properties:
        return self.inner.properties

    def get(self, key: bytes) -> bytes | None:
        return self.inner.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.inner.get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        return self.inner.scan(prefix, after=after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        return self.inner.scan_down(prefix, before=before)

    def snapshot(self) -> Snapshot:
        return self.inner.snapshot()

    def claim(self) -> Fence:
        return self.inner.claim()

    def commit(self, batch: Batch, fence: Fence) -> None:
        if self.fail_next:
            self.fail_next -= 1
            if self.uncertain:
                self.inner.commit(batch, fence)
            raise StoreUnavailable("the disk is on strike")
        self.inner.commit(batch, fence)

    def close(self) -> None:
        self.inner.close()


def terms(
    *,
    capacity: int = 4,
    joins: bool = True,
    attempts: int = 5,
    price: int = 1,
    capabilities: tuple[str, ...] = (),
    window: int = 1000,
    memory: int = 4 * GIB,
) -> NodeTerms:
    """How a node of these tests runs."""
    return NodeTerms(
        "test/1",
        MeshTerms(Duration(window), attempts),
        ExecutorTerms(capacity, Rates(price, price), capabilities, memory),
        ReplicationTerms(),
        joins,
    )


@dataclass
class Node:
    """One engine and what it said."""

    name: str
    number: int
    terms: NodeTerms
    store: FaultyStore
    engine: Engine
    run: Run = echo
    inbox: deque[Input] = field(default_factory=deque)
    answers: dict[int, Answer] = field(default_factory=dict)
    events: list[tuple[Did, Record]] = field(default_factory=list)
    disconnects: list[tuple[Did, str]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    runs: list[ExecutionRequest] = field(default_factory=list)
    stops: list[tuple[JobId, int]] = field(default_factory=list)
    wake_at: Instant | None = None

    @property
    def did(self) -> Did:
        return builders.did(self.number)

    def happened(self, kind: type[Event]) -> list[Event]:
        """Events of one kind that became durable here, in order."""
        return [record.event for _, record in self.events if isinstance(record.event, kind)]


def _sender(input_: Input) -> Did | None:
    """Over whose connection an input came."""
    match input_:
        case Received(peer, _) | Gossiped(_, peer):
            return peer
        case _:
            return None


@dataclass
class World:
    """Nodes by name."""

    clock: SetClock = field(default_factory=SetClock)
    nodes: dict[str, Node] = field(default_factory=dict)
    links: dict[tuple[str, str], None] = field(default_factory=dict)
    trace: list[tuple[str, Effect]] = field(default_factory=list)
    drop: Callable[[str, str, Message], bool] | None = None
    """Whether a message from one node to another is lost."""
    marks: dict[str, Marks] = field(default_factory=dict)
    """By node, of those that keep head marks."""
    gossip: dict[bytes, tuple[Announce, Did, dict[str, None]]] = field(default_factory=dict)
    """What was published, by token, by whom, and who has been told."""
    _published: int = 0
    _token: int = 0

    def add(
        self,
        name: str,
        node_terms: NodeTerms | None = None,
        run: Run = echo,
        number: int = 0,
        store: KeyValueStore | None = None,
    ) -> Node:
        """A node with an empty disk or on this store, and the key of this number (none: the next)."""
        number = number or 1 + len(self.nodes)
        node_terms = node_terms or terms()
        disk = FaultyStore(MemoryStore() if store is None else store)
        chance = name if store is None else f"{name} again"
        engine = self._open(disk, number, node_terms, chance, self.marks.get(name))
        self.nodes[name] = Node(name, number, node_terms, disk, engine, run)
        return self.nodes[name]

    def restart(self, name: str) -> Node:
        """End a node at once and start it again on its disk."""
        node = self.nodes[name]
        for other in [b for a, b in self.links if a == name]:
            self.cut(name, other)
        node.inbox.clear()
        node.runs.clear()
        node.engine = self._open(node.store, node.number, node.terms, f"{name}+{self._token}", self.marks.get(name))
        node.inbox.append(Tick())
        return node

    def _open(self, store: FaultyStore, number: int, node_terms: NodeTerms, name: str, marks: Marks | None) -> Engine:
        return open_engine(
            store=store,
            clock=self.clock,
            entropy=CountingEntropy(name),
            signer=builders.signer(number),
            terms=node_terms,
            marker=marks,
        )

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def name_of(self, did: Did) -> str:
        return next((node.name for node in self.nodes.values() if node.did == did), str(did))

    def link(self, a: str, b: str) -> None:
        """Connect two nodes."""
        self.links[a, b] = self.links[b, a] = None
        self[a].inbox.append(PeerUp(self[b].did))
        self[b].inbox.append(PeerUp(self[a].did))

    def link_all(self) -> None:
        """Connect everybody who is not connected yet."""
        names = list(self.nodes)
        for index, a in enumerate(names):
            for b in names[index + 1 :]:
                if (a, b) not in self.links:
                    self.link(a, b)

    def cut(self, a: str, b: str) -> None:
        """End the connection of two nodes; what was under way is lost."""
        for one, other in ((a, b), (b, a)):
            if self.links.pop((one, other), 1) is None:
                node, peer = self[one], self[other].did
                node.inbox = deque(i for i in node.inbox if _sender(i) != peer)
                node.inbox.append(PeerDown(peer))

    def isolate(self, name: str) -> None:
        """Cut every link of a node."""
        for other in [b for a, b in self.links if a == name]:
            self.cut(name, other)

    def handle(self, name: str, *inputs: Input) -> Outcome:
        """Give a node a batch and route what follows."""
        node = self[name]
        result = node.engine.handle(inputs)
        node.wake_at = result.wake_at
        if result.mark is not None:
            self.marks[name].write(result.mark)
        for reply in result.replies:
            node.answers[reply.token] = reply.answer
        for effect in result.effects:
            self.trace.append((name, effect))
            self._route(node, effect)
        return result

    def _route(self, node: Node, effect: Effect) -> None:
        match effect:
            case Send(peer, message):
                other = self.name_of(peer)
                lost = self.drop is not None and self.drop(node.name, other, message)
                if (node.name, other) in self.links and not lost:
                    self[other].inbox.append(Received(node.did, message))
            case Publish(topic, message):
                self._published += 1
                token = f"{topic}/{self._published}".encode()
                self.gossip[token] = message, node.did, {node.name: None}
                self._spread(node.name, token)
            case Judge(token, verdict):
                node.verdicts.append(verdict)
                if verdict is Verdict.ACCEPT and token in self.gossip:  # otherwise the test itself brought it
                    self._spread(node.name, token)
            case Disconnect(peer, reason):
                node.disconnects.append((peer, reason))
                other = self.name_of(peer)
                if other in self.nodes:
                    self.cut(node.name, other)
            case RunJob(request, _):
                node.runs.append(request)
                outcome = node.run(request)
                if outcome is not None:
                    node.inbox.append(Executed(request, outcome))
            case StopJob(job, attempt):
                node.stops.append((job, attempt))
            case Committed(author=author, record=record):
                node.events.append((author, record))

    def _spread(self, name: str, token: bytes) -> None:
        """To every neighbour whom nobody has told yet. What is lost on one link may come over another."""
        message, author, told = self.gossip[token]
        for other in [b for a, b in self.links if a == name]:
            lost = self.drop is not None and self.drop(name, other, message)
            if other not in told and not lost:
                told[other] = None
                self[other].inbox.append(Gossiped(token, self[name].did, author, message))

    def settle(self, rounds: int = 400) -> None:
        """Until nobody has anything to say at this instant."""
        for _ in range(rounds):
            busy = [node for node in self.nodes.values() if node.inbox]
            if not busy:
                return
            for node in busy:
                inputs = list(node.inbox)
                node.inbox.clear()
                self.handle(node.name, *inputs)
        raise AssertionError(f"still busy after {rounds} rounds: {[n.name for n in self.nodes.values() if n.inbox]}")

    def pass_time(self, span: int, step: int = 100) -> None:
        """Move the clock in steps, with a tick for everybody after each."""
        self.settle()
        for _ in range(-(-span // step)):
            self.clock.time = Instant(self.clock.time + step)
            for node in self.nodes.values():
                node.inbox.append(Tick())
            self.settle()

    def ask(self, name: str, command: NodeCommand, *, key: str = "", principal: Did | None = None) -> int:
        """Queue a command; its token."""
        self._token += 1
        node = self[name]
        digest = hashlib.sha256(repr(command).encode()).digest()
        node.inbox.append(Request(self._token, command, principal or node.did, key, digest, "test"))
        return self._token

    def do(self, name: str, command: NodeCommand, *, key: str = "", principal: Did | None = None) -> Answer:
        """Queue a command, let everybody settle, and give its answer."""
        token = self.ask(name, command, key=key, principal=principal)
        self.settle()
        return self[name].answers[token]

    def done(self, name: str, command: NodeCommand, *, principal: Did | None = None) -> dict[str, object]:
        """The body of an answer that must not be a refusal."""
        answer = self.do(name, command, principal=principal)
        assert isinstance(answer, Done), answer
        return answer.body

    def found(self, name: str, policy: Policy | None = None, founders: tuple[str, ...] = ()) -> None:
        """Found a federation."""
        everybody = {name: None} | dict.fromkeys(founders)
        dids = tuple(sorted(self[each].did for each in everybody))
        self.done(name, Found("demo", dids, policy or builders.policy()))

    def submit(self, name: str, spec: JobSpec | None = None, data: bytes = b"hello") -> JobId:
        """Submit a job by its node's operator."""
        return JobId.parse(str(self.done(name, Submit(spec or self.spec(), data))["job_id"]))

    def spec(self, within: int = 60_000, **changes: object) -> JobSpec:
        """A job that has so many milliseconds from now."""
        return builders.spec(**{"deadline": Instant(self.clock.time + within), **changes})

    def roots(self) -> list[str]:
        """The DAG root of every node."""
        return [node.engine.state.feeds.root() for node in self.nodes.values()]


def federation(*names: str, node_terms: NodeTerms | None = None) -> World:
    """A federation founded by the first node with the others as founders too, everybody connected and joined."""
    world = World()
    for name in names:
        own = node_terms or terms()
        world.add(name, own)
    world.found(names[0], founders=names[1:])
    world.link_all()
    world.pass_time(2_000)
    return world
