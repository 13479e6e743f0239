"""Start order, readiness, drain, stop.

```
 configuration ─> identity ─> listeners bound ─> store opened (or waited for) ─> author ─> network ─> founding ─> ready
 ─> backups when they are due
 SIGTERM, SIGINT ─> not ready ─> HTTP drains ─> network says goodbye ─> backup under way given up ─> sandbox ends
 ─> writer takes what is queued ─> 0
```

Every task belongs to one task group; the first thing that cannot go on stops the node, and says why.
"""

import asyncio
import hashlib
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import structlog
import uvloop

from icn import __version__, assemble
from icn.adapters.clock import SystemClock
from icn.adapters.collecting import collect_seldom
from icn.adapters.entropy import SystemEntropy
from icn.adapters.logs import configure_logging
from icn.adapters.machine import memory_available_bytes
from icn.adapters.metrics import Metrics
from icn.adapters.network.peer_book import FILE_NAME
from icn.adapters.network.ports import Origin
from icn.adapters.network.tcp import Libp2pNetwork
from icn.adapters.storage.opening import open_store
from icn.adapters.wasm.ports import Executor
from icn.config.loaded import LoadedConfig
from icn.config.schema import Settings
from icn.config.storage import storage as storage_settings
from icn.domain.federation.invitation import open_invitation
from icn.http.app import create_app, create_metrics_app
from icn.http.settings import HttpSettings
from icn.kernel.errors import Fault, IcnError
from icn.kernel.ids import PeerId
from icn.kernel.instant import seconds
from icn.kernel.limits import MIB, QUEUE_INPUTS_MAX
from icn.kernel.signing import Signer
from icn.node.backup_jobs import BackupJobs, BackupTerms
from icn.node.backups import Backups, Intervals
from icn.node.changeover import FOLDER_NAME, Changeover
from icn.node.conditions import ConditionsWatch, SheddingLimits
from icn.node.demonstration import seed
from icn.node.drivers import Drivers, run_guarded
from icn.node.executions import Executions
from icn.node.ledger_file import LedgerFile
from icn.node.remembered_peers import RememberedPeers
from icn.node.running import RunningNode
from icn.node.scanning import Scanner
from icn.node.sealing import require_isolation
from icn.node.servers import HttpListener
from icn.node.upgrading import tell_of_upgrade
from icn.node.writer import Writer
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.services.answers import Refused
from icn.services.backup_plan import Retention
from icn.services.engine import Engine
from icn.services.rows import load_federation
from icn.stores.kv import KeyValueStore, Snapshot

STOP_SECS_MAX = 5.0
"""From the signal to the end of the process."""

log = structlog.get_logger("icn.node")


class NodeFailed(Fault):
    """The node stopped because something could not go on."""

    code = "node.failed"


def run(loaded: LoadedConfig) -> int:
    """Run the node until it is told to stop. The exit code.

    Raises:
        ConfigError, Fault: it could not start, or could not go on.
    """
    settings = loaded.settings
    configure_logging(settings.runtime.log_level, settings.logging.format, settings.logging.output)
    for warning in loaded.warnings:
        log.warning("configuration", detail=warning)
    signer = assemble.open_signer(loaded)
    collect_seldom()
    return uvloop.run(_Node(settings, signer).live())


class _Node:
    """One run of the daemon."""

    def __init__(self, settings: Settings, signer: Signer) -> None:
        self._settings = settings
        self._signer = signer
        self._clock = SystemClock()
        self._metrics = Metrics(version=__version__, did=str(signer.did))
        self._stop = asyncio.Event()
        self._failure: Exception | None = None
        self._author = asyncio.Event()
        self._connected = asyncio.Event()
        """The network has started, and who is remembered is dialled."""
        self._writer_ended = asyncio.Event()
        self._store: KeyValueStore | None = None
        self._ledger_file: LedgerFile | None = None
        self._remembered: RememberedPeers | None = None
        self._stands_by = settings.runtime.standby
        """The default with a database server, where several processes on one database are a deployment; on one file
        they are a mistake, unless asked for."""

    async def live(self) -> int:
        """All of it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.set_exception_handler(self._loop_failed)
        settings, signer = self._settings, self._signer
        network = assemble.network(settings, signer, self._clock)
        sandbox = await asyncio.to_thread(assemble.sandbox, settings, signer)
        await require_isolation(sandbox, settings.executor.isolation)
        writer = self._make_writer(loop)
        drivers = Drivers(
            writer=writer,
            network=network,
            executions=lambda ours: Executions(sandbox, ended=ours.execution_ended, to_loop=loop.call_soon_threadsafe),
            observer=self._metrics,
            loop=loop,
            dial=_no_network if network is None else partial(network.dial, origin=Origin.INVITED),
        )
        self._drivers = drivers
        backups = self._make_backups(drivers)
        node = RunningNode(
            settings=settings,
            signer=signer,
            clock=self._clock,
            writer=writer,
            drivers=drivers,
            network=network,
            sandbox=sandbox,
            metrics=self._metrics,
            backups=backups,
            store=lambda: self._store,
            joins=assemble.node_terms(settings).joins,
        )
        self._node = node
        self._scanner = self._make_scanner(node, drivers)
        ledger_path = settings.storage.mana_ledger_path
        self._ledger_file = None if ledger_path is None else LedgerFile(ledger_path, signer.did, node.snapshot)
        if network is not None:
            network.prefer(self._is_of_our_federation)
        if network is not None and settings.storage.backend != "memory":
            path = settings.runtime.data_dir / FILE_NAME
            self._remembered = RememberedPeers(path, network, lambda: drivers.view.members, self._clock)
        listeners = self._bind(node)
        try:
            async with asyncio.TaskGroup() as group:
                for listener in listeners:
                    listener.start(group)
                thread = run_guarded(writer.run, self._writer_end(loop))
                start = group.create_task(self._come_up(node, network, drivers), name="start")
                scanning = group.create_task(self._scan(), name="scan of the store")
                keeping = group.create_task(self._keep_ledger_file(), name="ledger file")
                remembering = group.create_task(self._remember_peers(), name="remembered peers")
                backing = group.create_task(self._back_up(node), name="scheduled backups")
                watching = group.create_task(self._watch(node, sandbox, writer).live(), name="conditions")
                await self._stop.wait()
                keeping.cancel()
                remembering.cancel()
                scanning.cancel()
                backing.cancel()
                watching.cancel()
                start.cancel()  # it may still wait for the store, and nobody would tell it that none comes
                await asyncio.wait([start, backing])
                await self._go_down(node, listeners, network, sandbox, writer, drivers, thread)
        except* IcnError as group_error:
            self._failure = self._failure or group_error.exceptions[0]
        if self._failure is not None:
            raise self._failure
        log.info("stopped")
        return 0

    def _make_backups(self, drivers: Drivers) -> Backups:
        settings, did = self._settings, self._signer.did
        chosen = settings.backup
        target = assemble.backup_target(settings)
        terms = BackupTerms(
            full_every=chosen.full_every,
            retention=Retention(chosen.keep_last, seconds(chosen.keep_days * 86_400)),
            encryption=assemble.backup_encryption(settings),
            keys=assemble.backup_keys(settings),
        )

        def snapshot() -> Snapshot:
            return self._node.snapshot()

        jobs = None
        if target is not None:
            jobs = BackupJobs(
                target=target,
                terms=terms,
                snapshot=snapshot,
                did=did,
                clock=self._clock,
                elapsed_ms=lambda: time.monotonic_ns() // 1_000_000,
                scratch=settings.runtime.data_dir / "backup-scratch",
                program=assemble.AGENT,
                backend=settings.storage.backend,
            )
        return Backups(
            jobs=jobs,
            intervals=Intervals(
                seconds(chosen.interval_secs) if chosen.enabled else None,
                seconds(chosen.drill_interval_secs) if chosen.drill_interval_secs else None,
            ),
            snapshot=snapshot,
            record=lambda command: drivers.ask(command, principal=did, key="", digest=b"", correlation="backup"),
            clock=self._clock,
            observer=self._metrics,
        )

    def _watch(self, node: RunningNode, sandbox: Executor, writer: Writer) -> ConditionsWatch:
        chosen = self._settings.performance
        return ConditionsWatch(
            tell=self._drivers.conditions,
            places=sandbox.capacity,
            queue_depth=lambda: writer.depth,
            disk_free=node.disk_free,
            memory_free=memory_available_bytes,
            limits=SheddingLimits(
                queue_inputs=QUEUE_INPUTS_MAX // 2,
                disk_bytes=chosen.min_free_disk_mib * MIB,
                memory_bytes=chosen.min_free_memory_mib * MIB,
            ),
        )

    def _make_scanner(self, node: RunningNode, drivers: Drivers) -> Scanner:
        chosen, did = self._settings.storage, self._signer.did
        return Scanner(
            snapshot=node.snapshot,
            record=lambda command: drivers.ask(command, principal=did, key="", digest=b"", correlation="scan"),
            clock=self._clock,
            every_secs=chosen.scrub_interval,
            bytes_per_second=chosen.scrub_bytes_per_second,
        )

    def _make_writer(self, loop: asyncio.AbstractEventLoop) -> Writer:
        settings, signer = self._settings, self._signer
        storage = storage_settings(settings)
        marker = assemble.head_marker(settings)
        folder = settings.runtime.data_dir / FOLDER_NAME
        changeover = Changeover(signer.did, folder, assemble.AGENT, settings.storage.backend, marker)

        def store_of(stopping: threading.Event) -> KeyValueStore | None:
            if self._stands_by:
                return open_store(storage, wait=stopping)
            return open_store(storage)

        def engine_over(store: KeyValueStore) -> Engine:
            tell_of_upgrade(store, settings.storage.place)
            changeover.complete(store)
            return assemble.open_engine(
                store=store,
                clock=self._clock,
                entropy=SystemEntropy(),
                signer=signer,
                terms=assemble.node_terms(settings),
                marker=marker,
            )

        def author(store: KeyValueStore, _engine: Engine) -> None:
            self._store = store
            loop.call_soon_threadsafe(self._author.set)

        return Writer(
            open_store=store_of,
            reopen_store=lambda: open_store(storage),
            open_engine=engine_over,
            clock=self._clock,
            elapsed=time.monotonic,
            on_author=author,
            on_report=lambda report: loop.call_soon_threadsafe(self._drivers.report, report),
            marker=marker,
        )

    def _bind(self, node: RunningNode) -> list[HttpListener]:
        settings = self._settings
        key = settings.security.api_key
        http = HttpSettings(
            api_key_sha256=hashlib.sha256(key.reveal().encode()).digest() if key else None,
            require_auth=settings.security.require_auth,
        )
        listeners = [HttpListener("http API", settings.network.http_listen_addr, create_app(node, http))]
        node.set_http_address(listeners[0].address)
        if settings.monitoring.metrics_enabled:
            app = create_metrics_app(self._metrics)
            listeners.append(HttpListener("metrics", settings.monitoring.metrics_bind_addr, app))
        return listeners

    async def _come_up(self, node: RunningNode, network: Libp2pNetwork | None, drivers: Drivers) -> None:
        """From author to ready."""
        log.info("listening", http=node.http_address(), did=str(self._signer.did), version=__version__)
        if self._stands_by:
            log.info("standing by", store=self._settings.storage.place)
        await self._author.wait()
        log.info("author", backend=self._settings.storage.backend)
        self._metrics.read_with(node.readings)
        if self._ledger_file is not None:
            await asyncio.to_thread(self._ledger_file.bring_up)
        if network is not None:
            await network.start(drivers)
            for address in network.listen_addresses:
                log.info("listening", p2p=address)
            if self._remembered is not None:
                self._remembered.dial()
        drivers.network_started()
        if network is not None:
            self._connected.set()
        await drivers.begun.wait()
        if drivers.view.held:
            node.is_up = True  # it serves, and is not ready for a reason of its own
            await drivers.authoring.wait()
        alone = self._store is None or load_federation(self._store) is None
        self._say_of_what_use_an_invitation_is()
        if alone and not assemble.node_terms(self._settings).joins and not drivers.view.seeks:
            answer = await drivers.ask(
                assemble.founding(self._settings, self._signer),
                principal=self._signer.did,
                key="",
                digest=b"",
                correlation="start",
            )
            if isinstance(answer, Refused):
                raise NodeFailed(f"the federation could not be founded: {answer.message}")
            if self._settings.runtime.test_mode:
                await seed(drivers, self._signer.did)
        node.is_up = True
        log.info("ready", http=node.http_address())

    def _say_of_what_use_an_invitation_is(self) -> None:
        """One in the configuration is for a node that is in no federation; whoever is in another is told how."""
        terms = assemble.node_terms(self._settings)
        federation = None if self._store is None else load_federation(self._store)
        if terms.invited is None or federation is None or self._drivers.view.seeks:
            return
        if open_invitation(terms.invited.invitation).federation != federation.id:
            log.warning(
                "invitation not used",
                detail=f"federation.invitation is into another federation than {federation.name!r}, which this node is "
                "in: join it with icn-cli federation join, or remove the setting",
            )

    async def _back_up(self, node: RunningNode) -> None:
        await self._drivers.begun.wait()  # also while the node is held: what is there is worth as much
        await node.backups.live()

    async def _scan(self) -> None:
        await self._author.wait()
        await self._scanner.live()

    async def _keep_ledger_file(self) -> None:
        await self._author.wait()
        if self._ledger_file is not None:
            await self._ledger_file.keep()

    def _is_of_our_federation(self, peer: PeerId) -> bool:
        """Or was, when it was last connected: a member that comes back finds its place. Who only says so has none."""
        is_known = self._remembered is not None and peer in self._remembered
        return is_known or peer.did in self._drivers.view.members

    async def _remember_peers(self) -> None:
        await self._connected.wait()
        if self._remembered is not None:
            await self._remembered.keep()

    async def _go_down(
        self,
        node: RunningNode,
        listeners: list[HttpListener],
        network: Libp2pNetwork | None,
        sandbox: Executor,
        writer: Writer,
        drivers: Drivers,
        thread: threading.Thread,
    ) -> None:
        """In order, each step bounded; together well under `STOP_SECS_MAX`."""
        log.info("stopping")
        node.is_up = False
        drivers.end_followers()
        await asyncio.gather(*(listener.stop() for listener in listeners))
        # Before that there is nobody to look at, and what is on disk was not read: writing would forget it.
        if self._remembered is not None and self._connected.is_set():
            self._remembered.look()
            await self._remembered.write()
        if network is not None:
            await network.stop()
        await node.backups.stop()
        drivers.end_executions()
        await asyncio.to_thread(sandbox.close)
        if self._ledger_file is not None and self._store is not None:
            await self._ledger_file.try_to_write()
        await self._scanner.stop()
        writer.stop()
        await self._writer_ended.wait()
        thread.join(STOP_SECS_MAX)

    def _writer_end(self, loop: asyncio.AbstractEventLoop) -> Callable[[Exception | None], None]:
        def ended(error: Exception | None) -> None:
            loop.call_soon_threadsafe(self._writer_has_ended, error)

        return ended

    def _writer_has_ended(self, error: Exception | None) -> None:
        self._writer_ended.set()
        if error is not None:
            self._fail(error)
        fault = error if isinstance(error, Fault) else NodeFailed("the node is stopping")
        self._drivers.fail_all(fault)

    def _loop_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        self._fail(error if isinstance(error, Exception) else NodeFailed(str(context.get("message"))))

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
            log.critical("failed", error=f"{type(error).__name__}: {error}")
        self._stop.set()


def _no_network(address: Multiaddr) -> None:
    """Where P2P is switched off nobody is dialled."""
    log.warning("address not dialled", address=str(address), why="network.p2p_enabled is false")
