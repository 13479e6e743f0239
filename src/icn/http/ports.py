"""What the handlers need of a node. The program satisfies it; tests do with an engine in the same process."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from icn.domain.mesh.execution import ExitKind
from icn.kernel.ids import Cid, Did, JobId, PeerId
from icn.kernel.instant import Instant
from icn.services.answers import Answer
from icn.services.commands import NodeCommand
from icn.services.effects import Committed
from icn.services.health import Check
from icn.stores.kv import Snapshot


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
    in_sync: bool | None
    """Whether every peer last reported our root; None when there is nobody to compare with."""
    executor_capacity: int
    executor_running: int
    peers_connected: int
    blocks_damaged: int = 0
    """Known to be damaged on this node's disk, and not mended yet."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One connected peer."""

    peer_id: PeerId
    did: Did
    address: str
    direction: str
    connected_seconds: int
    agent: str
    rtt_ms: int | None
    in_sync: bool | None
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True)
class DialInfo:
    """One address that is dialled."""

    address: str
    state: str
    attempts: int
    next_attempt_in_seconds: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class PeersInfo:
    """The network as this node sees it."""

    items: tuple[PeerInfo, ...]
    dialing: tuple[DialInfo, ...]


@dataclass(frozen=True, slots=True)
class Reexecution:
    """What running a job again on this node gave."""

    output_cid: Cid | None
    fuel_used: int
    exit: ExitKind
    exit_code: int
    profile: str


class Telemetry(Protocol):
    """Counts requests, and renders everything that is counted."""

    def observe_request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One request was answered. `route` is a template, never a path, so that labels are few."""

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format 0.0.4."""


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

    def now(self) -> Instant:
        """The node's clock."""

    def snapshot(self) -> Snapshot:
        """Committed data, to be closed soon. From any thread. Raises `Fault` while there is no store yet."""

    def live(self) -> LiveStatus:
        """This moment."""

    def peers(self) -> PeersInfo:
        """Connected peers and addresses dialled."""

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

    async def reexecute(self, job: JobId) -> Reexecution:
        """Run the job here, outside the mesh. Raises a `Refusal` where that cannot be done, or a `Fault`."""
