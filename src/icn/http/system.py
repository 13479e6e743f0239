"""The node itself: alive, ready, who it is, how it fares, what it counts."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response

from icn.domain.federation.model import JoinPolicy
from icn.domain.mesh.pricing import Rates
from icn.http.operations import Call, Operation, answered, shown
from icn.http.ports import BackupState, LiveStatus
from icn.kernel.ids import Cid, Did, PeerId
from icn.kernel.instant import Instant
from icn.services.queries import accounts, dag, forks, jobs, membership
from icn.services.queries.accounts import SupplyView
from icn.services.queries.jobs import OpenJobs
from icn.services.queries.membership import FederationView, Membership
from icn.stores.kv import Reader

METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ALIVE = answered({"status": "ok"})
"""Made once: probes come often and there is nothing to find out."""


@dataclass(frozen=True, slots=True)
class FederationName:
    """Which federation."""

    id: Cid | None
    name: str | None


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """Where the node keeps its data."""

    backend: str
    path: str | None


@dataclass(frozen=True, slots=True)
class ListenInfo:
    """Where the node can be reached."""

    http: str
    p2p: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Info:
    """Who this node is."""

    name: str
    version: str
    did: Did
    peer_id: PeerId
    federation: FederationName | None
    storage: StorageInfo
    environment: str
    started_at: Instant
    listen: ListenInfo
    execution_profile: str | None
    rates: Rates
    """What this node asks for jobs, in mana."""
    held: str | None
    """Why it does not write at present; none where it writes."""


@dataclass(frozen=True, slots=True)
class FederationState:
    """How this node stands in its federation."""

    id: Cid | None
    name: str | None
    join_policy: JoinPolicy | None
    members: int
    admitted: bool
    state: Membership


@dataclass(frozen=True, slots=True)
class DagState:
    """How much of the DAG is here."""

    root: str
    blocks: int
    heads: int
    in_sync: bool | None
    forks: int
    """Members found to have signed two histories: GET /dag/evidence."""


@dataclass(frozen=True, slots=True)
class ManaState:
    """The node's own balance, and all there is."""

    balance: int
    supply: SupplyView


@dataclass(frozen=True, slots=True)
class PeersState:
    """How many peers."""

    connected: int


@dataclass(frozen=True, slots=True)
class ExecutorState:
    """How busy the sandbox is."""

    capacity: int
    running: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """What waits for the writer."""

    depth: int


@dataclass(frozen=True, slots=True)
class WriterState:
    """Whether this process authors."""

    state: str
    held: str | None
    """Why it does not write at present, and what to do; none where it writes."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """How the node fares."""

    did: Did
    peer_id: PeerId
    version: str
    uptime_seconds: int
    federation: FederationState
    dag: DagState
    mana: ManaState
    jobs: OpenJobs
    peers: PeersState
    executor: ExecutorState
    queue: QueueState
    writer: WriterState
    backups: BackupState


async def health(_call: Call) -> Response:
    """Alive: cheap, no locks."""
    return _ALIVE


async def ready(call: Call) -> Response:
    """Whether requests should be sent here."""
    checks = await call.node.readiness()
    reasons = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    listed = {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}
    if reasons:
        body = {"ready": False, "reasons": reasons, "checks": listed}
        return answered(body, HTTPStatus.SERVICE_UNAVAILABLE)
    return answered({"ready": True, "checks": listed})


async def info(call: Call) -> Response:
    """Who this node is."""
    node, facts = call.node, call.node.facts
    with call.committed() as reader:
        federation = membership.federation(reader, node.did, joins=facts.joins)
    return shown(
        Info(
            name="icn",
            version=facts.version,
            did=node.did,
            peer_id=PeerId.of(node.did),
            federation=FederationName(federation.id, federation.name) if federation.id is not None else None,
            storage=StorageInfo(facts.storage_backend, facts.storage_path),
            environment=facts.environment,
            started_at=facts.started_at,
            listen=ListenInfo(node.http_address(), node.p2p_addresses()),
            execution_profile=facts.execution_profile,
            rates=facts.executor.rates,
            held=node.live().held,
        )
    )


async def status(call: Call) -> Response:
    """How the node fares."""
    node = call.node
    now = node.now()
    live = node.live()
    return shown(await call.read_aside(lambda reader: _status(reader, call, live, now)))


def _status(reader: Reader, call: Call, live: LiveStatus, now: Instant) -> StatusView:
    node, facts = call.node, call.node.facts
    federation = membership.federation(reader, node.did, joins=facts.joins)
    root = dag.root(reader)
    return StatusView(
        did=node.did,
        peer_id=PeerId.of(node.did),
        version=facts.version,
        uptime_seconds=max(0, now - facts.started_at) // 1000,
        federation=_standing(federation, node.did),
        dag=DagState(root.root, root.blocks, len(root.heads), live.in_sync, forks.count(reader)),
        mana=ManaState(accounts.balance(reader, node.did, home=node.did, now=now), accounts.supply(reader)),
        jobs=jobs.open_jobs(reader),
        peers=PeersState(live.peers_connected),
        executor=ExecutorState(live.executor_capacity, live.executor_running),
        queue=QueueState(live.queue_depth),
        writer=WriterState(live.writer, live.held),
        backups=node.backups.state(reader),
    )


def _standing(federation: FederationView, here: Did) -> FederationState:
    return FederationState(
        id=federation.id,
        name=federation.name,
        join_policy=None if federation.policy is None else federation.policy.join_policy,
        members=len(federation.members),
        admitted=any(member.did == here and member.admitted for member in federation.members),
        state=federation.state,
    )


async def metrics(call: Call) -> Response:
    """Everything that is counted."""
    return Response(call.node.metrics.exposition(), media_type=METRICS_MEDIA_TYPE)


_CHECKS = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "detail": {"type": "string"}},
        "required": ["ok", "detail"],
    },
}

OPERATIONS = (
    Operation(
        "GET",
        "/health",
        health,
        "Alive",
        {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]},
        is_open=True,
    ),
    Operation(
        "GET",
        "/ready",
        ready,
        "Able to serve, or why not",
        {
            "type": "object",
            "properties": {"ready": {"const": True}, "checks": _CHECKS},
            "required": ["ready", "checks"],
        },
        is_open=True,
        also={503: "Not able to serve; `reasons` says why"},
    ),
    Operation("GET", "/info", info, "Who this node is", Info),
    Operation("GET", "/status", status, "How the node fares", StatusView),
    Operation("GET", "/metrics", metrics, "Prometheus metrics", {"type": "string"}, media_type="text/plain"),
)
