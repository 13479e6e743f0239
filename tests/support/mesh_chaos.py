"""Five real nodes with jobs, and somebody who kills executors and their workers; and what must hold afterwards."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_process import NodeError, NodeProcess, base64_of, wait_until  # type: ignore[import-not-found] # on pytest's path

from support.federations import TERMS, admit
from support.processes import Nodes, cli, same_root
from support.wasm_guests import FD_READ, FD_WRITE, compiled

HOMES = ("a", "b")
EXECUTORS = ("c", "d", "e")
HOME_FLAGS = (
    *("--set", "performance.max_concurrent_jobs=0"),
    *("--set", "mesh.bid_window_ms=300"),
    *("--set", "mesh.job_retry_count=50"),
)
"""Attempts enough for any luck: the jobs are right, so all of them must end well."""
EXECUTOR_FLAGS = ("--set", "performance.max_concurrent_jobs=2")
TURNS = 30_000_000
"""Of the loop: a good part of a second, so that a kill meets jobs under way."""
LIMITS = {"fuel": 2_000_000_000, "max_price": 2_000, "wall_ms": 60_000, "deadline_seconds": 900}
OPEN_MAX = 12
"""Jobs under way at once."""
SHORT, LONG = (0.2, 3.0), (11.0, 13.0)
"""Seconds that a killed executor stays dead: its home waits for it, or gives its attempts to others."""
LONG_ABSENCES = 0.2
"""How often it is long."""
PLAGUE = 3.0
"""Seconds in which an executor's workers are killed again and again."""
BAN_AFTER = 3
ENDED = ("completed", "failed", "cancelled")

# Copies standard input to standard output, and then turns for a while.
MODULE = f"""(module {FD_WRITE} {FD_READ} (memory (export "memory") 1)
  (func (export "_start") (local $n i32)
    (block $end (loop $next
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 256))
      (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if $end (i32.eqz (i32.load (i32.const 8))))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
      (br $next)))
    (loop $on
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $n) (i32.const {TURNS}))))))"""


@dataclass
class Job:
    """One that was submitted."""

    id: str
    home: NodeProcess
    data: bytes
    to_cancel: bool
    cancelled: bool = False
    """The home has confirmed it."""


@dataclass
class Chaos:
    """A run: `run` until all jobs have ended, `check` afterwards. The seed decides who dies when."""

    seed: int
    nodes: list[NodeProcess]
    jobs: list[Job] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    begun: float = field(default_factory=time.monotonic)
    _dead: dict[str, float] = field(default_factory=dict)
    """Executors that were killed, and until when they stay dead."""
    _plagued: dict[str, float] = field(default_factory=dict)
    """Executors whose workers are killed, and until when."""

    @property
    def homes(self) -> list[NodeProcess]:
        return [node for node in self.nodes if node.name in HOMES]

    @property
    def executors(self) -> list[NodeProcess]:
        return [node for node in self.nodes if node.name in EXECUTORS]

    def run(self, count: int, *, cancels: int, kills: int, plagues: int, within: float) -> None:
        """`count` jobs that complete, `cancels` that are cancelled; meanwhile executors or workers are killed."""
        rng = random.Random(self.seed)
        modules = {home.name: self._stored(home) for home in self.homes}
        waiting = [number >= count for number in range(count + cancels)]
        rng.shuffle(waiting)
        # Blows are spread over the submissions, so that there is always somebody to hit.
        blows = ["kill"] * kills + ["plague"] * plagues
        rng.shuffle(blows)
        every = max(1, len(waiting) // max(1, len(blows)))
        until = self.begun + within
        submitted = 0
        open_jobs: list[Job] = []
        due: list[str] = []
        while waiting or open_jobs:
            if time.monotonic() > until:
                left = len(waiting) + len(open_jobs)
                raise NodeError(f"seed {self.seed}: {left} jobs have not ended within {within:.0f} s")
            if waiting and len(open_jobs) < OPEN_MAX:
                job = self._submit(rng.choice(self.homes), modules, submitted, to_cancel=waiting.pop())
                open_jobs.append(job)
                submitted += 1
                due += blows[: int(submitted % every == 0)]
                blows = blows[int(submitted % every == 0) :]
            while due and self._strike(rng, due[-1]):
                due.pop()
            self._raise_dead()
            self._kill_workers()
            open_jobs = [job for job in open_jobs if not self._has_ended(rng, job)]
            time.sleep(0.05)
        self._dead = dict.fromkeys(self._dead, 0.0)
        self._raise_dead()
        for node in self.executors:
            wait_until(f"{node.name} to be ready", lambda node=node: node.is_ready)

    def _stored(self, home: NodeProcess) -> str:
        return str(home.ask("POST", "/dag/put", {"data": base64_of(compiled(MODULE)), "pin": True})["cid"])

    def _submit(self, home: NodeProcess, modules: dict[str, str], number: int, *, to_cancel: bool) -> Job:
        data = b"crate %d of seed %d" % (number, self.seed)
        body = {"module": modules[home.name], "input_base64": base64_of(data), **LIMITS}
        job = Job(home.ask("POST", "/mesh/submit", body, key=f"job-{number}")["job_id"], home, data, to_cancel)
        self.jobs.append(job)
        return job

    def _strike(self, rng: random.Random, blow: str) -> bool:
        """Whether there was somebody to hit."""
        living = [node for node in self.executors if node.name not in self._dead and node.is_ready]
        if not living:
            return False
        victim = rng.choice(living)
        if blow == "kill":
            victim.kill()
            self.counts["executors killed"] += 1
            is_long = rng.random() < LONG_ABSENCES
            self._dead[victim.name] = time.monotonic() + rng.uniform(*(LONG if is_long else SHORT))
        else:
            self._plagued[victim.name] = time.monotonic() + PLAGUE
        return True

    def _kill_workers(self) -> None:
        """Nobody's sandbox lives for long while its node is plagued: every job there fails, and that counts."""
        for node in self.executors:
            if time.monotonic() < self._plagued.get(node.name, 0.0) and node.process is not None:
                for worker in workers_of(node.process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
                        self.counts["workers killed"] += 1

    def _raise_dead(self) -> None:
        for node in self.executors:
            if node.name in self._dead and time.monotonic() >= self._dead[node.name]:
                del self._dead[node.name]
                node.launch()

    def _has_ended(self, rng: random.Random, job: Job) -> bool:
        found = job.home.ask("GET", f"/mesh/jobs/{job.id}")
        if found["status"] in ENDED:
            return True
        if job.to_cancel and not job.cancelled and rng.random() < 0.15:
            status, answer = job.home.call("POST", f"/mesh/jobs/{job.id}/cancel", {})
            if status == 200:
                job.cancelled = True
            elif status != 409:  # it ended in that moment
                raise NodeError(f"cancelling answered {status}: {answer}")
        return False

    # What must hold

    def check(self) -> str:
        """Everything; gives a line that says what happened."""
        self._check_outcomes()
        wait_until("agreement", self._is_quiet, 90.0)
        self._check_money()
        for job in self.jobs:
            self._check_output(job)
        events = {node.name: list(journal(node)) for node in self.nodes}
        for home in self.homes:
            check_bans(home.did, events[home.name])
            self._check_rollbacks(home, events[home.name])
        for node in self.executors:
            check_no_execution_after_cancellation(node.did, events[node.name])
        for node in self.nodes:
            verified = cli(node, "dag", "verify", "--deep", "--output", "json")
            assert verified.code == 0, f"{node.name}: {verified.out[-2000:]}{verified.err}"
        home_events = [event for home in self.homes for event in events[home.name] if event["author"] == home.did]
        kinds = Counter(event["type"] for event in home_events)
        said = {
            "jobs completed": sum(not job.cancelled for job in self.jobs),
            "cancelled": sum(job.cancelled for job in self.jobs),
            **self.counts,
            "failed attempts": kinds["mesh.attempt_failed"],
            "bans": kinds["mesh.executor_banned"],
            "rollbacks": kinds["mesh.rollback"],
            "late receipts": kinds["mesh.receipt_kept"],
        }
        told = ", ".join(f"{count} {what}" for what, count in said.items())
        return f"chaos seed {self.seed}: {told}; {time.monotonic() - self.begun:.0f} s"

    def _check_outcomes(self) -> None:
        for job in self.jobs:
            found = job.home.ask("GET", f"/mesh/jobs/{job.id}")
            expected = "cancelled" if job.cancelled else "completed"
            assert found["status"] == expected, f"seed {self.seed}: {found}"
            assert bool(found["paid"]) != job.cancelled, found
            assert [one["attempt"] for one in found["attempts"]] == list(range(1, found["attempt"] + 1))

    def _is_quiet(self) -> bool:
        supplies = [node.ask("GET", "/mana/supply") for node in self.nodes]
        running = sum(node.ask("GET", "/status")["executor"]["running"] for node in self.executors)
        settled = all(supply["held"] == 0 and supply["in_transit"] == 0 for supply in supplies)
        return settled and not running and same_root(self.nodes) is not None

    def _check_money(self) -> None:
        supplies = [node.ask("GET", "/mana/supply") for node in self.nodes]
        assert all(supply == supplies[0] for supply in supplies)
        assert supplies[0]["balanced"]
        paid = Counter[str]()
        for job in self.jobs:
            found = job.home.ask("GET", f"/mesh/jobs/{job.id}")
            if found["status"] == "completed":
                paid[found["executor"]] += found["paid"]
        earned = Counter[str]()
        for event in journal(self.nodes[0], "type=hold_settled"):
            if event["event"]["payee"] in {node.did for node in self.executors}:
                earned[event["event"]["payee"]] += event["event"]["paid"]
        assert earned == paid, "every job is paid once, to who completed it"

    def _check_output(self, job: Job) -> None:
        if job.cancelled:
            return
        elsewhere = next(home for home in self.homes if home is not job.home)
        assert elsewhere.ask("GET", f"/mesh/jobs/{job.id}/output") == job.data, job.id

    def _check_rollbacks(self, home: NodeProcess, events: list[dict[str, Any]]) -> None:
        """One for each job that did not complete, and nothing of a job behind it but receipts kept as evidence."""
        rolled_back: dict[str, dict[str, Any]] = {}
        for event in events:
            job = event["event"].get("job")
            if event["author"] != home.did or job is None:
                continue
            if job in rolled_back:
                assert event["type"] in {"mesh.receipt_kept", "mesh.assignment_declined"}, event
            elif event["type"] == "mesh.rollback":
                rolled_back[job] = event["event"]
        mine = {job.id: job for job in self.jobs if job.home is home}
        assert sorted(rolled_back) == sorted(job.id for job in mine.values() if job.cancelled)
        for event in rolled_back.values():
            assert (event["outcome"], event["restored"]) == ("cancelled", LIMITS["max_price"])
            assert event["reason"] == "cancelled by its submitter"


def five_nodes(nodes: Nodes) -> list[NodeProcess]:
    """Two homes that execute nothing and three executors, of one federation."""
    first = nodes.start(HOMES[0], *HOME_FLAGS, *TERMS)
    second = nodes.start(HOMES[1], "--bootstrap-peers", first.p2p, *HOME_FLAGS)
    # Executors dial both homes: who is not connected to a home gets no job of it.
    both = f"{first.p2p},{second.p2p}"
    executors = [nodes.make(name, "--bootstrap-peers", both, *EXECUTOR_FLAGS) for name in EXECUTORS]
    others = [second, *executors]
    for node in executors:
        node.launch()
    for node in others:
        wait_until(f"{node.name} to be ready", lambda node=node: node.is_ready, 60.0)
    found = [first, *others]

    admit(found, others)  # so that they have mana to pay with
    return found


def journal(node: NodeProcess, query: str = "type=mesh") -> Iterator[dict[str, Any]]:
    """Every event of a kind, in the order in which the node got it."""
    cursor = ""
    while True:
        page = node.ask("GET", f"/events?{query}&limit=500{cursor}")
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


def check_bans(home: str, events: list[dict[str, Any]]) -> None:
    """A home banned exactly those who failed so often in a row, by its own records (semantics §5)."""
    in_row: Counter[str] = Counter()
    banned: set[str] = set()
    deferred: dict[str, list[str]] = {}
    for event in (event for event in events if event["author"] == home):
        kind, told = event["type"], event["event"]
        executor = told.get("executor", "")
        if kind == "mesh.attempt_failed" and told["counts_against_executor"]:
            in_row[executor] += 1
        elif kind == "mesh.failure_deferred":
            deferred.setdefault(told["job"], []).append(executor)
        elif kind == "mesh.job_completed":
            for other in deferred.pop(told["job"], []):
                in_row[other] += other != executor
            in_row[executor] = 0
        elif kind == "mesh.executor_banned":
            assert told["failures"] == in_row[executor], (told, in_row)
            assert in_row[executor] >= BAN_AFTER or executor in banned, told
            banned.add(executor)
        elif kind == "mesh.executor_pardoned":
            assert executor in banned, told
            banned.discard(executor)
    assert all(count < BAN_AFTER or executor in banned for executor, count in in_row.items()), in_row


def check_no_execution_after_cancellation(executor: str, events: list[dict[str, Any]]) -> None:
    """In the order of the executor's own journal: what it knows to be over it neither accepts nor runs to its end."""
    over: set[str] = set()
    accepted: set[tuple[str, int]] = set()
    for event in events:
        kind, told = event["type"], event["event"]
        job = told.get("job", "")
        if kind == "mesh.rollback":
            over.add(job)
        elif event["author"] == executor and kind == "mesh.assignment_accepted":
            assert job not in over, f"accepted after its cancellation: {event}"
            accepted.add((job, told["attempt"]))
        elif event["author"] == executor and kind == "mesh.receipt_issued":
            assert (job, told["attempt"]) in accepted


def workers_of(pid: int) -> list[int]:
    """The sandbox workers of a node, however deep below it, by their command line."""
    parents: dict[int, int] = {}
    workers: list[int] = []
    for folder in sorted(Path("/proc").glob("[0-9]*")):
        with suppress(OSError, ValueError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if b"icn.adapters.wasm.worker" in (folder / "cmdline").read_bytes():
                workers.append(int(folder.name))

    def is_below(process: int) -> bool:
        while process > 1:
            process = parents.get(process, 0)
            if process == pid:
                return True
        return False

    return [worker for worker in workers if is_below(worker)]


def story(chaos: Chaos) -> str:
    """What a failed run leaves to look at: the last words of every node, and jobs that are open."""
    said = [
        f"--- {node.name} {'ready' if node.is_ready else 'NOT READY'}\n{node.last_words()[-1500:]}"
        for node in chaos.nodes
    ]
    for job in chaos.jobs:
        with suppress(NodeError, OSError):
            found = job.home.ask("GET", f"/mesh/jobs/{job.id}")
            if found["status"] not in ENDED:
                said.append(json.dumps({**found, "spec": None})[:1500])
    return "\n".join(said)
