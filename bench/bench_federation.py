"""Job lifecycles per second in a federation of three: submitted, bid for, assigned, run, receipted, settled, durable.

    python bench/bench_federation.py [--jobs 500] [--concurrent 64] [--wasm]

Three nodes in one process, each with its own writer thread, SQLite store and libp2p over loopback TCP, so two cores are
shared by all. Jobs are the built-in echo, so that the figure is the mesh's and not the guest's; `--wasm` runs a trivial
module in sandbox workers instead. Baseline of the same run: the same writers deciding as many plain transfers.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from icn.adapters.clock import SystemClock
from icn.adapters.entropy import SystemEntropy
from icn.adapters.network.settings import NetworkSettings
from icn.adapters.network.tcp import Libp2pNetwork
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.adapters.wasm.cache import ModuleCache
from icn.adapters.wasm.pool import WorkerPool
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.settings import SandboxSettings
from icn.adapters.wasm.text import compile_text
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.events import JobCompleted, JobSubmitted
from icn.domain.mesh.execution import Limits
from icn.domain.mesh.model import JobSpec
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Duration, Instant
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.node.drivers import Drivers, run_guarded
from icn.node.executions import Executions
from icn.node.writer import Writer
from icn.protocol.codec import PROTOCOL_MESSAGE_BYTES_MAX
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.services.answers import Done
from icn.services.commands import Found, NodeCommand, Pay, PutContent, Submit
from icn.services.effects import Committed
from icn.services.engine import Engine
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms

TRIVIAL = '(module (func (export "run") (result i64) (i64.const 42)))'
CAPACITY = 64
SWITCH_SECS = 0.0005


class Watch:
    """Remembers when each job of this node was submitted and completed."""

    def __init__(self) -> None:
        self.submitted: dict[object, float] = {}
        self.completed: dict[object, float] = {}
        self.more = asyncio.Event()

    def observe_batch(self, *, inputs: int, seconds: float, depth: int) -> None:
        pass

    def observe_dropped_peer(self) -> None:
        print("a peer was dropped")

    def observe_committed(self, effect: Committed) -> None:
        event = effect.record.event
        if isinstance(event, JobSubmitted):
            self.submitted[event.job] = time.perf_counter()
        elif isinstance(event, JobCompleted):
            self.completed[event.job] = time.perf_counter()
            self.more.set()


class Node:
    """One of the three."""

    def __init__(self, number: int, folder: Path, *, executes: bool, bootstrap: str, workers: int) -> None:
        loop = asyncio.get_running_loop()
        self.signer = SeedSigner(bytes([number]) * 32)
        self.watch = Watch()
        clock = SystemClock()
        terms = NodeTerms(
            agent="bench/1",
            mesh=MeshTerms(Duration(1000), 5),
            executor=ExecutorTerms(CAPACITY if executes else 0, 1, 1),
            replication=ReplicationTerms(),
            joins=bool(bootstrap),
        )
        self.network = Libp2pNetwork(
            NetworkSettings(
                listen=(Multiaddr.parse("/ip4/127.0.0.1/tcp/0"),),
                bootstrap=(Multiaddr.parse(bootstrap),) if bootstrap else (),
            ),
            self.signer,
            SystemEntropy().bytes,
            clock.now,
            PROTOCOL_MESSAGE_BYTES_MAX,
        )
        settings = SandboxSettings(workers=workers)
        key = hashlib.sha256(self.signer.did.text.encode()).digest()
        cache = ModuleCache(folder / f"m{number}", key=key, bytes_max=settings.cache_bytes_max, profile=profile())
        self.pool = WorkerPool(settings, cache)
        self.writer = Writer(
            open_store=lambda _: open_store(StorageSettings("sqlite", folder / f"{number}.sqlite")),
            open_engine=lambda store: Engine.open(
                store=store, clock=clock, entropy=SystemEntropy(), signer=self.signer, terms=terms
            ),
            clock=clock,
            elapsed=time.monotonic,
            on_author=lambda _store, _engine: None,
            on_report=lambda report: loop.call_soon_threadsafe(self.drivers.report, report),
        )
        self.drivers = Drivers(
            writer=self.writer,
            network=self.network,
            executions=lambda ours: Executions(
                self.pool, ended=ours.execution_ended, to_loop=loop.call_soon_threadsafe
            ),
            observer=self.watch,
            loop=loop,
        )
        self.ended: list[Exception | None] = []
        self.thread = run_guarded(self.writer.run, self.ended.append)
        self.count = 0

    async def ask(self, command: NodeCommand) -> dict[str, object]:
        self.count += 1
        answer = await self.drivers.ask(
            command, principal=self.signer.did, key=f"b{self.count}", digest=b"d", correlation="bench"
        )
        if not isinstance(answer, Done):
            raise SystemExit(f"refused: {answer}")
        return answer.body

    async def stop(self) -> None:
        await self.network.stop()
        await asyncio.to_thread(self.pool.close)
        self.writer.stop()
        await asyncio.to_thread(self.thread.join)


async def run(jobs: int, concurrent: int, *, wasm: bool, folder: Path) -> dict[str, object]:
    home = Node(1, folder, executes=False, bootstrap="", workers=1)
    await home.network.start(home.drivers)
    policy = Policy(JoinPolicy.OPEN, Mana(10**9), Mana(10**9), 10, 100)
    await home.ask(Found("bench", (home.signer.did,), policy))
    others = []
    for number in (2, 3):
        node = Node(number, folder, executes=True, bootstrap=home.network.listen_addresses[0], workers=2 if wasm else 8)
        others.append(node)
        await node.network.start(node.drivers)
    while home.drivers.view.peers < 2 or any(node.drivers.view.waiting_to_join for node in others):
        await asyncio.sleep(0.05)
    module = None
    if wasm:
        data = compile_text(TRIVIAL)
        await home.ask(PutContent(data, RAW, pinned=True, lifetime_ms=None))
        module = Cid.of(data, RAW)
    spec = JobSpec(
        module=module,
        arguments=(),
        input=b"",
        input_cid=None,
        limits=Limits(fuel=100_000, memory_bytes=1 << 20, table_elements=10, wall_ms=10_000, output_bytes=1000),
        max_price=Mana(10),
        capabilities=(),
        deadline=Instant(SystemClock().now() + 120_000),
        redundancy=1,
    )

    async def submit_all(count: int, offset: int) -> float:
        """Keeps `concurrent` jobs open until `count` are completed."""
        begun = time.perf_counter()
        target = len(home.watch.completed) + count
        submitted = 0
        open_before = len(home.watch.completed)
        while len(home.watch.completed) < target:
            under_way = submitted - (len(home.watch.completed) - open_before)
            batch = min(count - submitted, concurrent - under_way)
            if batch > 0:
                await asyncio.gather(
                    *(home.ask(Submit(spec, f"{offset + submitted + i}".encode())) for i in range(batch))
                )
                submitted += batch
            if len(home.watch.completed) < target:
                home.watch.more.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(home.watch.more.wait(), 5)
        return time.perf_counter() - begun

    await submit_all(concurrent, 1_000_000)  # warm: modules compiled, connections open
    home.watch.submitted.clear()
    home.watch.completed.clear()
    took = await submit_all(jobs, 0)
    waits = sorted(home.watch.completed[job] - home.watch.submitted[job] for job in home.watch.completed)
    begun = time.perf_counter()
    await asyncio.gather(*(home.ask(Pay(others[0].signer.did, Mana(1), "")) for _ in range(jobs)))
    transfers = jobs / (time.perf_counter() - begun)
    for node in (home, *others):
        await node.stop()
    return {
        "jobs": jobs,
        "concurrent": concurrent,
        "module": "trivial wasm" if wasm else "echo",
        "lifecycles_per_second": round(jobs / took, 1),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
        "transfers_per_second_same_run": round(transfers, 1),
        "lifecycle_per_transfer": round(transfers / (jobs / took), 2),
    }


def main() -> None:
    sys.setswitchinterval(SWITCH_SECS)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--concurrent", type=int, default=64)
    parser.add_argument("--wasm", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = uvloop.run(run(arguments.jobs, arguments.concurrent, wasm=arguments.wasm, folder=Path(name)))
    print(json.dumps(result))
    out = Path(__file__).parent / "results" / f"federation-{'wasm' if arguments.wasm else 'echo'}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
