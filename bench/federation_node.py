"""One node of a measured federation: what `icn.node.lifecycle` puts together, but HTTP, and a watch on its jobs.

As a program it is an executor in a process of its own, which ends when its standard input does:

    python bench/federation_node.py NUMBER FOLDER BOOTSTRAP WORKERS BACKEND
"""

import asyncio
import hashlib
import sys
import threading
import time
from functools import partial
from pathlib import Path

import uvloop

from icn.adapters.clock import SystemClock
from icn.adapters.collecting import collect_seldom
from icn.adapters.entropy import SystemEntropy
from icn.adapters.head_marker import FILE_NAME, HeadMarkFiles
from icn.adapters.metrics import Metrics
from icn.adapters.network.loopback import Loopback, LoopbackNetwork
from icn.adapters.network.ports import Origin
from icn.adapters.network.settings import NetworkSettings
from icn.adapters.network.tcp import Libp2pNetwork
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.adapters.wasm.cache import ModuleCache
from icn.adapters.wasm.pool import WorkerPool
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh import papers
from icn.domain.mesh.events import JobCompleted, JobSubmitted
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.kernel import signing
from icn.kernel.ids import JobId
from icn.kernel.instant import Duration
from icn.kernel.memo import Memo
from icn.kernel.signing import SeedSigner
from icn.node.departures import MayLeave
from icn.node.drivers import Drivers, run_guarded
from icn.node.executions import Executions
from icn.node.input_queue import Offered
from icn.node.writer import Report, Writer
from icn.protocol.codec import PROTOCOL_MESSAGE_BYTES_MAX
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.messages import BidOffered
from icn.services.answers import Done
from icn.services.commands import NodeCommand
from icn.services.effects import Committed, Send
from icn.services.inputs import Input, Received
from icn.services.opening import open_engine
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms

CAPACITY = 64
SWITCH_SECS = 0.0005
BID_WINDOW = Duration(1000)


class ApartMemo:
    """A memo of each thread's own: a node's papers and signatures are opened by its writer thread.

    The event loop's thread, which is of all nodes, finds what any of them has.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._of: dict[int, Memo[bytes, object]] = {}

    def _own(self) -> Memo[bytes, object]:
        return self._of.setdefault(threading.get_ident(), Memo(self._entries_max))

    def get(self, key: bytes) -> object | None:
        if threading.current_thread() is threading.main_thread():
            return next((found for memo in list(self._of.values()) if (found := memo.get(key)) is not None), None)
        return self._own().get(key)

    def put(self, key: bytes, value: object) -> None:
        self._own().put(key, value)


def remember_apart() -> None:
    """From now on nodes of this process tell each other nothing of what they have verified."""
    for kind in (papers._BID, papers._ASSIGNMENT, papers._RECEIPT):
        object.__setattr__(kind, "known", ApartMemo(papers.PAPERS_REMEMBERED_MAX))
    signing._GOOD = ApartMemo(signing.GOOD_REMEMBERED_MAX)


class Watch(Metrics):
    """A node's own metrics, and beside them when its jobs were submitted, first bid for and completed."""

    def __init__(self, did: str) -> None:
        super().__init__(version="bench", did=did)
        self.submitted: dict[JobId, float] = {}
        self.bids: list[tuple[bytes, float]] = []
        self.completed: dict[JobId, float] = {}
        self.more = asyncio.Event()
        self.batches = 0
        self.inputs = 0
        self.records = 0

    def begin(self) -> None:
        """Forget what was seen."""
        for seen in (self.submitted, self.bids, self.completed):
            seen.clear()
        self.batches = self.inputs = self.records = 0

    def observe_batch(self, *, inputs: int, seconds: float, depth: int) -> None:
        super().observe_batch(inputs=inputs, seconds=seconds, depth=depth)
        self.batches += 1
        self.inputs += inputs

    def observe_committed(self, effect: Committed) -> None:
        super().observe_committed(effect)
        self.records += 1
        event = effect.record.event
        if isinstance(event, JobSubmitted):
            self.submitted[event.job] = time.perf_counter()
        elif isinstance(event, JobCompleted):
            self.completed[event.job] = time.perf_counter()
            self.more.set()

    def observe_input(self, input_: Input) -> None:
        """On its way to the engine."""
        if isinstance(input_, Received) and isinstance(input_.message, BidOffered):
            self.bids.append((input_.message.bid, time.perf_counter()))

    def first_bids(self) -> dict[JobId, float]:
        """When the first bid for each job came. Bids are opened here, and not where the time is taken."""
        return {papers.open_bid(data).job: at for data, at in reversed(self.bids)}


class WatchedWriter(Writer):
    """Shows each input to a watch before it is queued."""

    watch: Watch | None = None

    def offer(self, input_: Input, size: int = 0) -> Offered:
        if self.watch is not None:
            self.watch.observe_input(input_)
        return super().offer(input_, size)


class Node:
    """One of the three."""

    def __init__(
        self,
        number: int,
        folder: Path,
        *,
        executes: bool,
        bootstrap: str,
        workers: int,
        links: Loopback | None,
        backend: str,
        watches_bids: bool = False,
    ) -> None:
        """`links`: none for libp2p over TCP."""
        loop = asyncio.get_running_loop()
        self.signer = SeedSigner(bytes([number]) * 32)
        self.watch = Watch(self.signer.did.text)
        self.messages = 0
        self.sent_bytes = 0
        clock, entropy = SystemClock(), SystemEntropy()
        terms = NodeTerms(
            agent="bench/1",
            mesh=MeshTerms(BID_WINDOW, 5),
            executor=ExecutorTerms(CAPACITY if executes else 0, Rates(1, 1)),
            replication=ReplicationTerms(),
            joins=bool(bootstrap),
        )
        listen = "/ip4/127.0.0.1/tcp/0"
        settings = NetworkSettings(
            listen=(Multiaddr.parse(listen),),
            bootstrap=(Multiaddr.parse(bootstrap),) if bootstrap else (),
        )
        shared = (settings, self.signer, entropy.bytes, clock.now, PROTOCOL_MESSAGE_BYTES_MAX)
        self.network = Libp2pNetwork(*shared) if links is None else LoopbackNetwork(links, *shared)
        sandbox = SandboxSettings(workers=workers)
        key = hashlib.sha256(self.signer.did.text.encode()).digest()
        cache = ModuleCache(folder / f"m{number}", key=key, bytes_max=sandbox.cache_bytes_max, profile=profile())
        self.pool = WorkerPool(sandbox, cache)
        storage = StorageSettings(backend, folder / str(number) / "store")
        data_dir = folder / str(number)
        self.marker = None
        if backend != "memory":
            self.marker = HeadMarkFiles(data_dir / FILE_NAME, data_dir.with_name(f"{number}.head"))
        self.writer = WatchedWriter(
            open_store=lambda _: open_store(storage),
            reopen_store=lambda: open_store(storage),
            open_engine=lambda store: open_engine(
                store=store, clock=clock, entropy=entropy, signer=self.signer, terms=terms, marker=self.marker
            ),
            clock=clock,
            elapsed=time.monotonic,
            on_author=lambda _store, _engine: None,
            on_report=lambda report: loop.call_soon_threadsafe(self._report, report),
            marker=self.marker,
        )
        self.writer.watch = self.watch if watches_bids else None
        self.drivers = Drivers(
            writer=self.writer,
            network=self.network,
            executions=lambda ours: Executions(
                self.pool, ended=ours.execution_ended, to_loop=loop.call_soon_threadsafe
            ),
            observer=self.watch,
            loop=loop,
            dial=partial(self.network.dial, origin=Origin.INVITED),
        )
        self.ended: list[Exception | None] = []
        self.thread = run_guarded(self.writer.run, self.ended.append)
        self.count = 0

    def _report(self, report: Report) -> None:
        if isinstance(report, MayLeave):
            self.messages += sum(isinstance(effect, Send) for effect in report.effects)
        self.drivers.report(report)

    async def ask(self, command: NodeCommand) -> dict[str, object]:
        self.count += 1
        answer = await self.drivers.ask(
            command, principal=self.signer.did, key=f"b{self.count}", digest=b"d", correlation="bench"
        )
        if not isinstance(answer, Done):
            raise SystemExit(f"refused: {answer}")
        return answer.body

    def check(self) -> None:
        """Raise what ended the writer."""
        for error in self.ended:
            raise SystemExit(f"the writer ended: {error!r}")

    async def stop(self) -> None:
        self.check()
        await self.network.stop()
        self.drivers.end_executions()
        await asyncio.to_thread(self.pool.close)
        self.writer.stop()
        await asyncio.to_thread(self.thread.join)
        if self.marker is not None:
            self.marker.close()


async def live(number: int, folder: Path, bootstrap: str, workers: int, backend: str) -> None:
    """An executor in this process, until standard input ends."""
    node = Node(number, folder, executes=True, bootstrap=bootstrap, workers=workers, links=None, backend=backend)
    await node.network.start(node.drivers)
    await asyncio.to_thread(sys.stdin.read)
    await node.stop()


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECS)
    collect_seldom()
    uvloop.run(live(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]))
