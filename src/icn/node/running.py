"""The running node as the HTTP surface sees it. Satisfies `http.ports.NodeApi`; holds no rules."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from icn import __version__, assemble
from icn.adapters.clock import SystemClock, monotonic_ms
from icn.adapters.metrics import Metrics
from icn.adapters.network.ports import NetworkFigures
from icn.adapters.network.tcp import Libp2pNetwork
from icn.adapters.readings import BreakerReading, Readings
from icn.adapters.wasm.ports import Executor
from icn.adapters.wasm.refusals import SandboxClosed
from icn.config.schema import Settings
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.domain.mesh.refusals import JobNotFound
from icn.http.ports import Connected, DialInfo, LiveStatus, NodeFacts, PeerInfo, PeersInfo, ServiceInfo
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Cid, Did, JobId, PeerId
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB
from icn.kernel.signing import Signer
from icn.node import connecting
from icn.node.backups import Backups
from icn.node.drivers import Drivers
from icn.node.writer import Writer, WriterPhase
from icn.services import rows
from icn.services.answers import Answer, Refused
from icn.services.commands import FetchContent, NodeCommand
from icn.services.effects import Committed
from icn.services.health import Check, Facts, readiness
from icn.stores import blocks
from icn.stores.changeover import Founding
from icn.stores.kv import KeyValueStore, Snapshot, StoreUnavailable

DISK_FREE_BYTES_MIN = 256 * MIB
"""With less than this beside the store the node is not ready: a full disk stops it, and should be seen coming."""

REEXECUTION_ATTEMPT = 2**31
"""Attempts from here on are re-executions on request: never an attempt of the mesh."""


class ContentUnavailable(Refusal):
    """A re-execution lacks its module or input."""

    code = "mesh.content_unavailable"
    kind = Kind.NOT_FOUND

    def __init__(self, cid: Cid) -> None:
        self.cid = str(cid)
        super().__init__(f"{cid} is neither here nor at a connected peer: the job cannot be run again")


class RunningNode:
    """See `http.ports.NodeApi`."""

    def __init__(
        self,
        *,
        settings: Settings,
        signer: Signer,
        clock: SystemClock,
        writer: Writer,
        drivers: Drivers,
        network: Libp2pNetwork | None,
        sandbox: Executor,
        metrics: Metrics,
        backups: Backups,
        store: Callable[[], KeyValueStore | None],
        joins: bool,
    ) -> None:
        """`store` gives the open store, once there is one."""
        self._settings = settings
        self._signer = signer
        self._clock = clock
        self._writer = writer
        self._drivers = drivers
        self._network = network
        self._sandbox = sandbox
        self._metrics = metrics
        self._backups = backups
        self._store = store
        self._reexecutions = 0
        self._http_address = ""
        self.is_up = False
        """From ready to stopping."""
        executes = settings.performance.max_concurrent_jobs > 0
        self._facts = NodeFacts(
            version=__version__,
            environment=settings.runtime.environment,
            storage_backend=settings.storage.backend,
            storage_path=settings.storage.place,
            started_at=clock.now(),
            execution_profile=sandbox.profile if executes else None,
            executor=assemble.node_terms(settings).executor,
            joins=joins,
        )

    @property
    def did(self) -> Did:
        """This node."""
        return self._signer.did

    @property
    def facts(self) -> NodeFacts:
        """What does not change."""
        return self._facts

    @property
    def metrics(self) -> Metrics:
        """Everything that is counted."""
        return self._metrics

    @property
    def backups(self) -> Backups:
        """Scheduled backups."""
        return self._backups

    @property
    def founding(self) -> Founding:
        """The federation that this node founds when it is told to."""
        found = assemble.founding(self._settings, self._signer)
        return Founding(found.name, found.founders, found.policy)

    def readings(self) -> Readings:
        """What is, for a scrape of the metrics."""
        snapshot = self.snapshot()
        try:
            live = self.live()
            return Readings.of(
                snapshot,
                did=self.did,
                now=self.now(),
                started_at=self._facts.started_at,
                network=network.figures() if (network := self._started_network()) else NetworkFigures(),
                queue_depth=live.queue_depth,
                executor=self._drivers.view.executor,
                is_author=self._writer.phase is WriterPhase.AUTHOR,
                is_held=bool(self._drivers.view.held),
                backups_scheduled=self._settings.backup.enabled,
                breakers=self._breakers(),
            )
        finally:
            snapshot.close()

    def now(self) -> Instant:
        """The node's clock."""
        return self._clock.now()

    def snapshot(self) -> Snapshot:
        """Committed data. Raises `StoreUnavailable` while another process is the author, or when the node stops."""
        store = self._store()
        if store is None:
            raise StoreUnavailable("this node stands by: another process is the author of the store")
        return store.snapshot()

    def live(self) -> LiveStatus:
        """This moment."""
        return LiveStatus(
            queue_depth=self._writer.depth,
            writer=self._writer.phase.value,
            held=self._drivers.view.held or None,
            joining=self._drivers.view.joining or None,
            in_sync=self._drivers.view.in_sync,
            executor_capacity=self._places(),
            executor_running=self._drivers.view.running,
            executing_peers=self._drivers.view.executors,
            blocks_damaged=len(self._drivers.damaged),
            divergence=self._drivers.view.divergence,
            peers_connected=network.figures().peers if (network := self._started_network()) is not None else 0,
        )

    def _places(self) -> int:
        """How many jobs are taken at once now: as many as was allowed, or as there are places for them."""
        return min(self._settings.performance.max_concurrent_jobs, self._sandbox.capacity())

    def _started_network(self) -> Libp2pNetwork | None:
        """The network, once it has been started: a standby has one that is not."""
        return self._network if self._network is not None and self._network.listen_addresses else None

    def peers(self) -> PeersInfo:
        """Connected peers and addresses dialled."""
        network = self._started_network()
        if network is None:
            return PeersInfo((), (), self._services())
        now = self._clock.now()
        synced = self._drivers.view.peers_in_sync
        return PeersInfo(
            items=tuple(
                PeerInfo(
                    peer_id=peer.peer,
                    did=peer.peer.did,
                    address=peer.address,
                    direction=peer.direction.value,
                    origin=peer.origin.value if peer.origin else None,
                    connected_seconds=max(0, now - peer.since_ms) // 1000,
                    agent=peer.agent,
                    rtt_ms=peer.rtt_ms,
                    in_sync=synced.get(peer.peer.did),
                    bytes_in=peer.bytes_in,
                    bytes_out=peer.bytes_out,
                    gossip_score=None if peer.score is None else peer.score // 1_000,
                )
                for peer in network.peers()
            ),
            dialing=tuple(
                DialInfo(
                    address=state.address,
                    origin=state.origin.value,
                    state=state.state.value,
                    breaker=state.breaker.value,
                    attempts=state.attempts,
                    next_attempt_in_seconds=(
                        None if state.next_attempt_ms is None else max(0, state.next_attempt_ms - now) // 1000
                    ),
                    last_error=state.last_error,
                )
                for state in network.dial_states()
            ),
            services=self._services(),
        )

    async def connect(self, address: str) -> Connected:
        """Call a node and keep it connected."""
        if self._network is not None and self._started_network() is None:
            raise StoreUnavailable("this node stands by: it talks to no other nodes before it is the author")
        peer, called = await connecting.connect(self._network, address)
        return Connected(peer, peer.did, str(called))

    def _services(self) -> tuple[ServiceInfo, ...]:
        """What is called over HTTP: the bucket backups go to, where there is one."""
        target = self._backups.target
        if target is None or target.breaker is None:
            return ()
        state = target.breaker.state(monotonic_ms())
        return (ServiceInfo(target.place, state.value, target.breaker.failures),)

    def _breakers(self) -> list[BreakerReading]:
        network = self._started_network()
        dialled = [] if network is None else network.dial_states()
        found = [BreakerReading("p2p", state.breaker, state.openings, state.retries) for state in dialled]
        target = self._backups.target
        if target is not None and target.breaker is not None:
            breaker = target.breaker
            found.append(BreakerReading("http", breaker.state(monotonic_ms()), breaker.opened_count, 0))
        return found

    def set_http_address(self, address: str) -> None:
        """Where the API listens, known once its socket is bound."""
        self._http_address = address

    def http_address(self) -> str:
        """Where the API listens."""
        return self._http_address

    def p2p_addresses(self) -> tuple[str, ...]:
        """Where peers can dial us."""
        return tuple(self._network.listen_addresses) if self._network is not None else ()

    @property
    def peer_id(self) -> PeerId:
        """This node on the network."""
        return PeerId.of(self.did)

    async def readiness(self) -> list[Check]:
        """Whether the node can serve, and why not."""
        return await asyncio.to_thread(self._readiness)

    async def submit(
        self, command: NodeCommand, *, principal: Did, key: str, digest: bytes, correlation: str
    ) -> Answer:
        """The engine's answer, once it is durable."""
        if self._writer.phase is not WriterPhase.AUTHOR:
            raise StoreUnavailable("this node stands by: another process is the author of the store")
        return await self._drivers.ask(command, principal=principal, key=key, digest=digest, correlation=correlation)

    def follow(self) -> AbstractAsyncContextManager["asyncio.Queue[Committed | None]"]:
        """Records as they are committed."""
        return self._drivers.follow()

    async def reexecute(self, job: JobId) -> ExecutionOutcome:
        """Run the job again in a sandbox of this node, outside the mesh."""
        request, module = await self._request_for(job)
        return await self._run(request, module)

    async def _request_for(self, job_id: JobId) -> tuple[ExecutionRequest, bytes]:
        snapshot = self.snapshot()
        try:
            job = rows.JOBS.get(snapshot, job_id.data)
        finally:
            snapshot.close()
        if job is None:
            raise JobNotFound(job_id)
        spec = job.spec
        module = b"" if spec.module is None else await self._content(spec.module)
        given = spec.input if spec.input_cid is None else await self._content(spec.input_cid)
        self._reexecutions += 1
        request = ExecutionRequest(
            job=job_id,
            attempt=REEXECUTION_ATTEMPT + self._reexecutions,
            module=spec.module,
            arguments=spec.arguments,
            input=given,
            limits=spec.limits,
        )
        return request, module

    async def _content(self, cid: Cid) -> bytes:
        answer = await self.submit(
            FetchContent(cid), principal=self.did, key="", digest=b"", correlation="re-execution"
        )
        snapshot = self.snapshot()
        try:
            data = blocks.get_bytes(snapshot, cid)
        finally:
            snapshot.close()
        if isinstance(answer, Refused) or data is None:
            raise ContentUnavailable(cid)
        return data

    async def _run(self, request: ExecutionRequest, module: bytes) -> ExecutionOutcome:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[ExecutionOutcome] = loop.create_future()

        def tell(outcome: ExecutionOutcome) -> None:
            if not ended.done():  # the caller may have gone away
                ended.set_result(outcome)

        def done(_: ExecutionRequest, outcome: ExecutionOutcome) -> None:
            loop.call_soon_threadsafe(tell, outcome)

        try:
            self._sandbox.submit(request, module, done)
        except SandboxClosed as error:
            raise StoreUnavailable("the node is stopping") from error
        return await ended

    def _readiness(self) -> list[Check]:
        """On a thread: it reads the store and the disk."""
        facts = Facts(
            did=self.did,
            joins=self._facts.joins,
            is_author=self._writer.phase is WriterPhase.AUTHOR,
            commit_fault=self._drivers.commit_fault,
            held=self._drivers.view.held,
            joining=self._drivers.view.joining,
            is_listening=None if self._network is None else bool(self._network.listen_addresses),
            disk_free_bytes=self.disk_free(),
            disk_needed_bytes=DISK_FREE_BYTES_MIN,
        )
        store = self._store()
        if store is None:
            return [Check("writer", ok=False, detail="standing by: another process is the author of this store")]
        snapshot = store.snapshot()  # of one commit: what belongs together is compared
        try:
            checks = readiness(snapshot, facts)
        finally:
            snapshot.close()
        if not self.is_up:
            checks.append(Check("life", ok=False, detail="starting or stopping"))
        return checks

    def disk_free(self) -> int | None:
        """Bytes beside the store; None where the data is on no disk of this machine. From any thread."""
        chosen = self._settings.storage
        if chosen.backend in {"memory", "postgresql"} or chosen.path is None:
            return None
        return shutil.disk_usage(chosen.path.parent).free
