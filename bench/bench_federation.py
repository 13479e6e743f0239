"""Job lifecycles per second in a federation of three: submitted, bid for, assigned, run, receipted, settled, durable.

    python bench/bench_federation.py [--links loopback tcp processes] [--wasm] [--apart] [--jobs 2000] [--open 64]

`loopback`: three nodes in one process, each with its own writer thread and store, over links in memory. `tcp`: the same
over libp2p on loopback TCP. `processes`: the two executors in processes of their own, over TCP. All of it on two cores.
In one process the nodes share what it remembers of papers and signatures found good; with `--apart` each node's thread
remembers for itself, as in a process of its own.

Jobs are the built-in echo, so that the figure is the mesh's and not the guest's; `--wasm` runs a trivial module in
sandbox workers instead. After the rate, jobs one at a time: how long from the first bid, and from submission, to the
receipt settled and durable at the home. Baselines of the same run: the floor (`federation_floor`), and as many plain
transfers decided by the same writers, for many callers and for one.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import federation_floor
import uvloop
from federation_node import SWITCH_SECS, Node, remember_apart

from icn.adapters.clock import SystemClock
from icn.adapters.collecting import collect_seldom
from icn.adapters.network.loopback import Loopback
from icn.adapters.wasm.text import compile_text
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.execution import Limits
from icn.domain.mesh.model import JobSpec
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.services.commands import Found, Pay, PutContent, Submit

TRIVIAL = '(module (func (export "run") (result i64) (i64.const 42)))'
LINKS = ("loopback", "tcp", "processes")
EXECUTORS = 2
JOB_MS = 600_000
START_SECS_MAX = 60
TRANSFERS_ALONE = 200


def percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {
        f"{name}_p50_ms": round(ordered[len(ordered) // 2] * 1000, 1),
        f"{name}_p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
    }


class Federation:
    """A home and two executors."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.links = Loopback() if options.links == "loopback" else None
        self.workers = 2 if options.wasm else 8
        self.others: list[Node] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self.given = 0

    async def start(self) -> None:
        options, begun = self.options, time.perf_counter()
        self.home = home = Node(
            1,
            self.folder,
            executes=False,
            bootstrap="",
            workers=1,
            links=self.links,
            backend=options.backend,
            watches_bids=True,
        )
        await home.network.start(home.drivers)
        policy = Policy(JoinPolicy.OPEN, Mana(10**9), Mana(10**9), 10, 100)
        await home.ask(Found("bench", (home.signer.did,), policy))
        bootstrap = home.network.listen_addresses[0]
        for number in range(2, 2 + EXECUTORS):
            if options.links == "processes":
                program = str(Path(__file__).with_name("federation_node.py"))
                arguments = (str(number), str(self.folder), bootstrap, str(self.workers), options.backend)
                child = await asyncio.to_thread(
                    subprocess.Popen, [sys.executable, program, *arguments], stdin=subprocess.PIPE
                )
                self.children.append(child)
            else:
                node = Node(
                    number,
                    self.folder,
                    executes=True,
                    bootstrap=bootstrap,
                    workers=self.workers,
                    links=self.links,
                    backend=options.backend,
                )
                self.others.append(node)
                await node.network.start(node.drivers)
        while home.drivers.view.peers < EXECUTORS:
            self.check(begun, START_SECS_MAX)
            await asyncio.sleep(0.05)
        self.spec = await self._spec()
        await self.run(1, 1)  # the first job waits for the executors' accounts

    async def _spec(self) -> JobSpec:
        module = None
        if self.options.wasm:
            data = compile_text(TRIVIAL)
            await self.home.ask(PutContent(data, RAW, pinned=True, lifetime_ms=None))
            module = Cid.of(data, RAW)
        return JobSpec(
            module=module,
            arguments=(),
            input=b"",
            input_cid=None,
            limits=Limits(fuel=100_000, memory_bytes=1 << 20, table_elements=10, wall_ms=10_000, output_bytes=1000),
            max_price=Mana(10),
            capabilities=(),
            deadline=Instant(SystemClock().now() + JOB_MS),
            redundancy=1,
        )

    async def run(self, jobs: int, open_at_once: int) -> float:
        """Keep `open_at_once` jobs open until `jobs` are completed; the seconds it took."""
        watch = self.home.watch
        watch.begin()
        begun = time.perf_counter()
        submitted = 0
        while len(watch.completed) < jobs:
            room = min(jobs - submitted, open_at_once - (submitted - len(watch.completed)))
            if room > 0:
                given = [f"{self.given + number}".encode() for number in range(room)]
                await asyncio.gather(*(self.home.ask(Submit(self.spec, one)) for one in given))
                submitted += room
                self.given += room
            if len(watch.completed) < jobs:
                self.check(begun, JOB_MS / 1000)
                watch.more.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(watch.more.wait(), 5)
        return time.perf_counter() - begun

    def check(self, begun: float, seconds_max: float) -> None:
        """Fail rather than wait for what cannot come."""
        for node in (self.home, *self.others):
            node.check()
        if any(child.poll() is not None for child in self.children):
            raise SystemExit("an executor's process ended")
        if time.perf_counter() - begun > seconds_max:
            raise SystemExit(f"not done within {seconds_max:.0f} s")

    async def transfers(self, count: int, callers: int) -> float:
        """Transfers per second."""
        payee = self.home.signer.did if not self.others else self.others[0].signer.did
        if payee == self.home.signer.did:
            payee = federation_floor.did_of(2)

        async def pay(number: int) -> None:
            for _ in range(number):
                await self.home.ask(Pay(payee, Mana(1), ""))

        begun = time.perf_counter()
        await asyncio.gather(*(pay(count // callers) for _ in range(callers)))
        return count // callers * callers / (time.perf_counter() - begun)

    async def stop(self) -> None:
        for child in self.children:
            child.communicate()
        for node in (self.home, *self.others):
            await node.stop()


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    federation = Federation(options, folder)
    await federation.start()
    home = federation.home
    await federation.run(2 * options.open, options.open)  # warm: modules compiled, connections open
    with federation_floor.counting() as work:
        nodes = (home, *federation.others)
        for node in nodes:
            node.watch.begin()
            node.messages = 0
        cpu = time.process_time()
        took = await federation.run(options.jobs, options.open)
        cpu = time.process_time() - cpu
        watch = home.watch
        waits = [watch.completed[job] - watch.submitted[job] for job in watch.completed if job in watch.submitted]
        counts = {
            "batches": sum(node.watch.batches for node in nodes),
            "inputs": sum(node.watch.inputs for node in nodes),
            "records_applied": sum(node.watch.records for node in nodes),
            "messages": sum(node.messages for node in nodes),
            **work.counts(),
        }
    rate = options.jobs / took
    alone = max(1, options.alone)
    await federation.run(alone, 1)
    watch, bids = home.watch, home.watch.first_bids()
    low = {
        **percentiles("alone_bid_to_receipt", [watch.completed[job] - bids[job] for job in watch.completed]),
        **percentiles(
            "alone_submission_to_receipt", [watch.completed[j] - watch.submitted[j] for j in watch.completed]
        ),
    }
    many = await federation.transfers(options.jobs, options.open)
    one = await federation.transfers(TRANSFERS_ALONE, 1)
    await federation.stop()
    # Of processes only the home's commits are seen; the others commit about as often.
    commits = counts["batches"] / len(nodes) * federation_floor.NODES
    floor = federation_floor.floor(folder, blocks=commits / options.jobs)
    return {
        "links": options.links,
        "backend": options.backend,
        "signatures_remembered": "apart" if options.apart or options.links == "processes" else "together",
        "module": "trivial wasm" if options.wasm else "echo",
        "jobs": options.jobs,
        "open": options.open,
        "lifecycles_per_second": round(rate, 1),
        "cpu_ms_per_lifecycle_of_this_process": round(cpu / options.jobs * 1000, 3),
        **percentiles("submission_to_receipt", waits),
        **low,
        "floor": floor,
        "times_floor": round(rate / floor["lifecycles_per_second"], 3),
        "per_lifecycle_in_this_process": {name: round(count / options.jobs, 2) for name, count in counts.items()},
        "transfers_per_second": round(many, 1),
        "transfers_per_second_one_caller": round(one, 1),
        "lifecycle_per_transfer": round(many / rate, 2),
    }


def main() -> None:
    sys.setswitchinterval(SWITCH_SECS)
    collect_seldom()  # as the node does
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--links", choices=LINKS, nargs="+", default=list(LINKS))
    parser.add_argument("--wasm", action="store_true")
    parser.add_argument("--apart", action="store_true", help="nodes of one process share no memory of signatures")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--open", type=int, default=64, help="jobs that are open at once")
    parser.add_argument("--alone", type=int, default=200, help="jobs one at a time, for latency")
    parser.add_argument("--backend", default="sqlite")
    parser.add_argument("--folder", type=Path, default=None, help="on which disk")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    if options.apart:
        remember_apart()
    results = []
    for links in options.links:
        options.links = links
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            results.append(uvloop.run(measure(options, Path(name))))
        print(json.dumps(results[-1], indent=1))
    module = "wasm" if options.wasm else "echo"
    out = options.output or Path(__file__).parent / "results" / f"federation-{module}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
