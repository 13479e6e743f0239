"""A node for tests of the HTTP surface: the real engine over a memory store, run inline.

Jobs run at once with the built-in `echo`; time stands still unless a test moves it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from icn.adapters.metrics import Metrics
from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.http.ports import Connected, LiveStatus, NodeFacts, PeersInfo
from icn.kernel.errors import Fault, Refusal
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.node.backups import Backups, Intervals
from icn.node.connecting import Caller, connect
from icn.services import health
from icn.services.answers import Answer
from icn.services.commands import Found, NodeCommand
from icn.services.effects import Committed, RunJob
from icn.services.health import Check
from icn.services.inputs import Executed, Input, Request, Tick
from icn.services.opening import open_engine
from icn.services.queries import jobs
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from icn.stores.changeover import Founding
from icn.stores.kv import KeyValueStore, Snapshot

START = Instant(1_750_000_000_000)
PROFILE = "test/1"
GRANT, CAP, RATE = 1000, 10_000, 36_000


class CountingEntropy:
    """Bytes that differ, and are the same in every run."""

    def __init__(self) -> None:
        self.given = 0

    def bytes(self, count: int) -> bytes:
        self.given += 1
        return self.given.to_bytes(count, "big")


class SettableClock:
    def __init__(self, moment: int = START) -> None:
        self.moment = moment

    def now(self) -> Instant:
        return Instant(self.moment)


def terms(*, capacity: int = 2, joins: bool = False) -> NodeTerms:
    executor = ExecutorTerms(capacity, Rates(1, 1))
    return NodeTerms("test/1", MeshTerms(Duration(0), 3), executor, ReplicationTerms(), joins)


def signer_of(number: int) -> SeedSigner:
    return SeedSigner(bytes([number]) * 32)


def policy() -> Policy:
    return Policy(JoinPolicy.OPEN, Mana(GRANT), Mana(CAP), RATE, 100)


def echo_outcome(request_input: bytes) -> ExecutionOutcome:
    return ExecutionOutcome(
        exit=ExitKind.COMPLETED,
        exit_code=0,
        output=request_input,
        detail="",
        fuel_used=0,
        memory_peak_bytes=0,
        wall_ms=1,
        memory_growth_denied=0,
        table_growth_denied=0,
        profile=PROFILE,
    )


@dataclass
class HttpNode:
    """Satisfies `icn.http.ports.NodeApi`."""

    store: KeyValueStore = field(default_factory=MemoryStore)
    clock: SettableClock = field(default_factory=SettableClock)
    executes: bool = True
    loses: bool = False
    """Whether the workers of its own executions die."""
    fault: Fault | Refusal | None = None
    """Raised by every submission while it is set."""
    authoring: bool = True
    caller: Caller | None = None
    """The network on which addresses are called."""
    runs_wrongly: bytes = b""
    """What running a job again gives instead of its right output, while it is set."""
    reruns_end: ExitKind = ExitKind.COMPLETED
    """How running a job again ends."""

    known: PeersInfo = field(default_factory=lambda: PeersInfo((), (), ()))

    def __post_init__(self) -> None:
        self.engine = open_engine(
            store=self.store,
            clock=self.clock,
            entropy=CountingEntropy(),
            signer=signer_of(1),
            terms=terms(capacity=2 if self.executes else 0),
        )
        self._metrics = Metrics(version="0.0.0", did=str(self.engine.did))
        self.backups = Backups(
            jobs=None,
            intervals=Intervals(None, None),
            snapshot=self.snapshot,
            record=lambda command: self.submit(command, principal=self.did, key="", digest=b"", correlation="b"),
            clock=self.clock,
            observer=self._metrics,
        )
        self._followers: list[asyncio.Queue[Committed | None]] = []
        self._token = 0
        self._replies: dict[int, Answer] = {}
        self.did = self.engine.did
        self.facts = NodeFacts(
            version="0.0.0",
            environment="development",
            storage_backend="memory",
            storage_path=None,
            started_at=self.clock.now(),
            execution_profile=PROFILE if self.executes else None,
            executor=self.engine.terms.executor,
            joins=False,
        )

    @property
    def metrics(self) -> Metrics:
        return self._metrics

    def found(self, *, grant: int = GRANT) -> None:
        """A federation of this node alone."""
        agreed = replace(policy(), initial_grant=Mana(grant), mana_cap=Mana(max(grant, CAP)))
        self.ask(Found("demo", (self.did,), agreed))

    def ask(
        self,
        command: NodeCommand,
        *,
        principal: Did | None = None,
        key: str = "",
        digest: bytes = b"",
        correlation: str = "c",
    ) -> Answer:
        self._token += 1
        token = self._token
        self.run([Request(token, command, principal or self.did, key, digest, correlation)])
        while token not in self._replies:
            self.run([Tick()])
        return self._replies.pop(token)

    def run(self, inputs: list[Input]) -> None:
        """Inputs in, everything that follows done, until nothing more follows."""
        while inputs:
            outcome = self.engine.handle(inputs)
            inputs = []
            self._replies.update({reply.token: reply.answer for reply in outcome.replies})
            for effect in outcome.effects:
                if isinstance(effect, RunJob) and self.executes:
                    given = echo_outcome(effect.request.input)
                    lost = replace(given, exit=ExitKind.WORKER_LOST, output=b"", detail="killed")
                    inputs.append(Executed(effect.request, lost if self.loses else given))
                elif isinstance(effect, Committed):
                    self._metrics.observe_committed(effect)
                    for queue in self._followers:
                        queue.put_nowait(effect)

    @property
    def founding(self) -> Founding:
        return Founding("configured", (self.did,), policy())

    def now(self) -> Instant:
        return self.clock.now()

    def snapshot(self) -> Snapshot:
        return self.store.snapshot()

    def live(self) -> LiveStatus:
        return LiveStatus(
            queue_depth=0,
            writer="author" if self.authoring else "standby",
            held=self.engine.authorship.explain(self.engine.state) or None,
            joining=self.engine.joining.explain(self.engine.state, self.did) or None,
            in_sync=None,
            executor_capacity=2,
            executor_running=0,
            peers_connected=0,
        )

    def peers(self) -> PeersInfo:
        return self.known

    async def connect(self, address: str) -> Connected:
        peer, called = await connect(self.caller, address)
        return Connected(peer, peer.did, str(called))

    def http_address(self) -> str:
        return "127.0.0.1:7845"

    def p2p_addresses(self) -> tuple[str, ...]:
        return ()

    async def readiness(self) -> list[Check]:
        facts = health.Facts(
            did=self.did,
            joins=False,
            is_author=self.authoring,
            commit_fault=None,
            held=self.engine.authorship.explain(self.engine.state),
            joining=self.engine.joining.explain(self.engine.state, self.did),
            is_listening=None,
            disk_free_bytes=None,
            disk_needed_bytes=0,
        )
        snapshot = self.snapshot()
        try:
            return health.readiness(snapshot, facts)
        finally:
            snapshot.close()

    async def submit(
        self, command: NodeCommand, *, principal: Did, key: str, digest: bytes, correlation: str
    ) -> Answer:
        if self.fault is not None:
            raise self.fault
        return self.ask(command, principal=principal, key=key, digest=digest, correlation=correlation)

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[asyncio.Queue[Committed | None]]:
        queue: asyncio.Queue[Committed | None] = asyncio.Queue(maxsize=1000)
        self._followers.append(queue)
        try:
            yield queue
        finally:
            self._followers.remove(queue)

    def end_followers(self) -> None:
        for queue in self._followers:
            queue.put_nowait(None)

    @property
    def follower_count(self) -> int:
        return len(self._followers)

    async def reexecute(self, job: JobId) -> ExecutionOutcome:
        snapshot = self.snapshot()
        try:
            spec = jobs.job(snapshot, job).spec
        finally:
            snapshot.close()
        return replace(echo_outcome(self.runs_wrongly or spec.input), exit=self.reruns_end)
