"""What the handlers need of a node. The program satisfies it; tests do with an engine in the same process."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from icn.domain.mesh.execution import ExecutionOutcome
from icn.kernel.ids import Did, JobId, PeerId
from icn.kernel.instant import Instant
from icn.services.answers import Answer
from icn.services.commands import NodeCommand
from icn.services.divergence import NOBODY, Divergence
from icn.services.effects import Committed
from icn.services.health import Check
from icn.services.job_times import JobFigures
from icn.services.settings import ExecutorTerms
from icn.stores.backup_schedule import MadeBackup, ProvenBackup
from icn.stores.changeover import Founding
from icn.stores.kv import Reader, Snapshot


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What does not change while the node runs."""

    version: str
    environment: str
    storage_backend: str
    storage_path: str | None
    started_at: Instant
    execution_profile: str | None
    """None where this node executes nothing."""
    executor: ExecutorTerms
    """What this node offers as an executor. Its rates give the maximum price of a job that names none."""
    joins: bool
    """Whether without a federation it waits for that of its peers; otherwise it founds its own."""


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """What only the drivers know, at this moment."""

    queue_depth: int
    writer: str
    """`author` or `standby`."""
    held: str | None
    """Why this node does not write at present; none where it does."""
    joining: str | None
    """What this node waits for before it is a full member; none where it is one."""
    in_sync: bool | None
    """Whether every peer last reported our root; None when there is nobody to compare with."""
    executor_capacity: int
    executor_running: int
    peers_connected: int
    executing_peers: tuple[Did, ...] = ()
    """Connected peers of the federation that say they take jobs."""
    blocks_damaged: int = 0
    """Known to be damaged on this node's disk, and not mended yet."""
    divergence: Divergence = NOBODY
    """In what peers differ from this node."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One connected peer."""

    peer_id: PeerId
    did: Did
    address: str
    direction: str
    origin: str | None
    """How its address became known: `bootstrap`, `remembered`, `invited`, `requested`, `discovered` or `mdns`; none
    where it came to us."""
    connected_seconds: int
    agent: str
    rtt_ms: int | None
    in_sync: bool | None
    bytes_in: int
    bytes_out: int
    gossip_score: int | None
    """What its gossip has earned it, in whole points, rounded down; below 0 it gets less of this node's, below -2500 it
    is not heard and let go. None where it takes no part."""


@dataclass(frozen=True, slots=True)
class DialInfo:
    """One address that is dialled."""

    address: str
    origin: str
    """As of a connected peer."""
    state: str
    breaker: str
    """`closed`: it is called; `open`: it kept failing and is left alone; `half_open`: one trial decides."""
    attempts: int
    next_attempt_in_seconds: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service that is no node and is called over HTTP."""

    place: str
    breaker: str
    failures: int
    """In a row."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A node that was called because the operator asked for it, and is connected."""

    peer_id: PeerId
    did: Did
    address: str
    """Kept connected from then on, while this node runs."""


@dataclass(frozen=True, slots=True)
class PeersInfo:
    """The network as this node sees it."""

    items: tuple[PeerInfo, ...]
    dialing: tuple[DialInfo, ...]
    services: tuple[ServiceInfo, ...]


@dataclass(frozen=True, slots=True)
class BackupFailure:
    """Something about backups that failed, and has not succeeded since."""

    task: str
    """`backup`, `retention` or `drill`."""
    why: str
    at: Instant
    in_a_row: int


@dataclass(frozen=True, slots=True)
class BackupState:
    """How backups fare."""

    scheduled: bool
    target: str | None
    running: str | None
    last_success: MadeBackup | None
    last_verified: ProvenBackup | None
    next_backup_at: Instant | None
    next_drill_at: Instant | None
    failures: tuple[BackupFailure, ...]


@dataclass(frozen=True, slots=True)
class BackupArchive:
    """An archive of this node at the target."""

    name: str
    kind: str
    made_at: Instant
    size: int
    encrypted: bool
    restorable: bool
    """Whether everything that it goes on from is there too."""


@dataclass(frozen=True, slots=True)
class DrillProof:
    """What a restore drill found."""

    ok: bool
    archive: str
    archives: int
    """Of the chain that was restored."""
    blocks: int
    content: int
    finding: str | None
    took_ms: int


class BackupsApi(Protocol):
    """Backups that the node makes by itself, as far as requests reach them. On the event loop's thread but `state`."""

    async def run(self) -> MadeBackup:
        """Make one now. Raises a `Refusal` where there is no target or a job is under way, or a `Fault`."""

    async def drill(self) -> DrillProof:
        """Restore the newest aside and verify it. Raises as `run`; what it finds is in the proof."""

    async def archives(self) -> tuple[BackupArchive, ...]:
        """What is at the target, oldest first."""

    def state(self, reader: Reader) -> BackupState:
        """How they fare, without asking the target. From any thread."""


class Telemetry(Protocol):
    """Counts requests, and renders everything that is counted."""

    def observe_request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered. `route` is a template, never a path, so that labels are few."""

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format 0.0.4."""

    def jobs(self) -> JobFigures:
        """Jobs of this home since the process began. On the event loop's thread."""


class NodeApi(Protocol):
    """The node, as far as requests reach it. All methods are called on the event loop's thread but `snapshot`."""

    @property
    def did(self) -> Did:
        """This node; also the operator's principal."""

    @property
    def facts(self) -> NodeFacts:
        """What does not change."""

    @property
    def metrics(self) -> Telemetry:
        """Where requests are counted."""

    @property
    def backups(self) -> BackupsApi:
        """Scheduled backups, also those asked for."""

    @property
    def founding(self) -> Founding:
        """The federation that this node founds when it is told to, as it is configured."""

    def now(self) -> Instant:
        """The node's clock."""

    def snapshot(self) -> Snapshot:
        """Committed data, to be closed soon. From any thread. Raises `Fault` while there is no store yet."""

    def live(self) -> LiveStatus:
        """This moment."""

    def peers(self) -> PeersInfo:
        """Connected peers and addresses dialled."""

    async def connect(self, address: str) -> Connected:
        """Call a node at a multiaddr and keep it connected. Raises a `Refusal` that says why not, or a `Fault`."""

    def http_address(self) -> str:
        """Where this API listens."""

    def p2p_addresses(self) -> tuple[str, ...]:
        """Where peers can dial us, each with `/p2p/<our id>`."""

    async def readiness(self) -> list[Check]:
        """All of `services.health.readiness`."""

    async def submit(
        self, command: NodeCommand, *, principal: Did, key: str, digest: bytes, correlation: str
    ) -> Answer:
        """The engine's answer, once it is durable. Raises `Fault`, or a `Refusal` when the node is overloaded."""

    def follow(self) -> AbstractAsyncContextManager["asyncio.Queue[Committed | None]"]:
        """Records as they are committed, None at the end. Raises a `Refusal` when too many follow."""

    async def reexecute(self, job: JobId) -> ExecutionOutcome:
        """Run the job here, outside the mesh. Raises a `Refusal` where that cannot be done, or a `Fault`."""
