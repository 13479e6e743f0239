"""A federation of real nodes on this machine: how soon it is ready, how fast news travels, what it takes, what it does.

    python bench/bench_devnet.py [--parts start entries late jobs] [--nodes 3 10 20] [--entries 600] [--jobs 50]

`start`: so many nodes, from nothing to all ready, members and agreed; then what each takes of a processor and of
memory, idle and while jobs run. `entries`: transfers written on one of six nodes, and on all of them at once; of each,
the time from asking for it until the last node has it, as its event stream says. `late`: a seventh node, from its start
until its root is that of the others. `jobs`: on ten nodes, each job's time from asking to knowing its checked result.

The nodes are those of `icn-cli devnet`, over its own commands; targets stand beside what was measured. Beside the times
of entries stands how long the node that was asked took to answer, which is a durable commit: the floor of any of them.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from icn.cli.devnet.folder import Folder
from icn.cli.devnet.processes import usage
from icn.cli.devnet.state import Devnet, Node
from icn.cli.devnet.verdict import seconds_of

CLI = Path(sys.executable).with_name("icn-cli")
PARTS = ("start", "entries", "late", "jobs")
READY_TARGETS = {3: 10.0, 10: 30.0, 20: 60.0}
ENTRY_NODES = 6
ENTRY_TARGET = 5.0
LATE_TARGET = 10.0
JOB_NODES = 10
JOB_TARGET = 3.2
IDLE_SECONDS = 10.0
CALLERS = 6
ARRIVAL_SECONDS_MAX = 120.0
LOAD_JOBS_PER_NODE = 5


def devnet(folder: Path, *words: str) -> dict[str, Any]:
    """One command; its verdict, which must be good."""
    ended = subprocess.run(
        [CLI, "devnet", *words, "--dir", str(folder), "--output", "json"],
        check=False,
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("ICN_")},
    )
    if ended.returncode != 0:
        raise SystemExit(f"devnet {' '.join(words)}: status {ended.returncode}\n{ended.stdout}{ended.stderr}")
    verdict: dict[str, Any] = json.loads(ended.stdout)
    return verdict


@contextmanager
def running(nodes: int, *words: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A devnet and the verdict of its `up`; nothing is left of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as name:
        folder = Path(name) / "devnet"
        try:
            yield folder, devnet(folder, "up", "--nodes", str(nodes), *words)
        finally:
            if Folder(folder).read_or_none() is not None:
                devnet(folder, "down")


def taken(nodes: Sequence[Node], begun: dict[str, float], elapsed: float) -> dict[str, Any]:
    """Per node: percent of one processor since `begun`, and memory."""
    found = {node.name: usage(node.process) for node in nodes}
    percent = [100 * (used.cpu_seconds - begun[name]) / elapsed for name, used in found.items() if used is not None]
    resident = [used.resident_bytes / 2**20 for used in found.values() if used is not None]
    return {
        "cpu_percent_mean": round(sum(percent) / len(percent), 2),
        "cpu_percent_max": round(max(percent), 2),
        "resident_mib_mean": round(sum(resident) / len(resident), 1),
        "resident_mib_max": round(max(resident), 1),
    }


def processor(nodes: Sequence[Node]) -> dict[str, float]:
    """What each has computed so far."""
    found = {node.name: usage(node.process) for node in nodes}
    return {name: used.cpu_seconds for name, used in found.items() if used is not None}


def start(nodes: int) -> dict[str, Any]:
    with running(nodes) as (folder, up):
        members = Folder(folder).read().nodes
        begun, at = processor(members), time.monotonic()
        time.sleep(IDLE_SECONDS)
        idle = taken(members, begun, time.monotonic() - at)
        begun, at = processor(members), time.monotonic()
        load = devnet(folder, "load", "--jobs", str(nodes * LOAD_JOBS_PER_NODE), "--concurrency", str(nodes))
        busy = taken(members, begun, time.monotonic() - at)
    ready = sorted(node["ready_seconds"] for node in up["nodes"])
    target = READY_TARGETS.get(nodes)
    return {
        "nodes": nodes,
        "all_ready_seconds": up["ready_after_seconds"],
        "ready_members_and_agreed_seconds": up["seconds"],
        "target_seconds": target,
        "within_target": target is None or up["ready_after_seconds"] <= target,
        "one_node_ready_seconds": {"p50": ready[len(ready) // 2], "max": ready[-1]},
        "idle": idle,
        "under_load": {**busy, "jobs_per_second": load["jobs"]["per_second"]},
    }


class Follower:
    """Reads one node's event stream and remembers when each transfer came."""

    def __init__(self, node: Node, key: str) -> None:
        self.seen: dict[str, float] = {}
        host, _, port = node.http.partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=ARRIVAL_SECONDS_MAX)
        headers = {"x-api-key": key, "Accept": "text/event-stream"}
        self._connection.request("GET", "/events?type=ledger.transferred", headers=headers)
        self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            raise SystemExit(f"{node.name}: no stream of events, status {self._answer.status}")
        self._answer.readline()  # the comment with which it begins
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while line := self._answer.readline():
                if line.startswith(b"data:"):
                    at = time.monotonic()
                    self.seen[json.loads(line[5:])["event"]["note"]] = at
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return  # closed

    def close(self) -> None:
        if self._connection.sock is not None:
            self._connection.sock.shutdown(2)
        self._thread.join(5)
        self._connection.close()


def write(node: Node, key: str, to: str, note: str) -> tuple[float, float]:
    """A transfer; when it was asked for, and when it was answered."""
    host, _, port = node.http.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=ARRIVAL_SECONDS_MAX)
    begun = time.monotonic()
    body = json.dumps({"to": to, "amount": 1, "note": note})
    headers = {"x-api-key": key, "content-type": "application/json"}
    connection.request("POST", "/mana/transfer", body, headers)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status >= 300:
        raise SystemExit(f"{node.name}: status {answer.status}: {said!r}")
    return begun, time.monotonic()


def entries(folder: Path, count: int, writers: Sequence[Node], members: dict[str, str], what: str) -> dict[str, Any]:
    """Written by a few callers as fast as they are answered."""
    known: Devnet = Folder(folder).read()
    key = Folder(folder).api_key.read_text().strip()
    followers = [Follower(node, key) for node in known.nodes]
    notes = [f"{what} {number}" for number in range(count)]
    begun = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as pool:

        def one(number: int) -> tuple[float, float]:
            node = writers[number % len(writers)]
            return write(node, key, members[node.name], notes[number])

        times = list(pool.map(one, range(count)))
    written = time.monotonic() - begun
    until = time.monotonic() + ARRIVAL_SECONDS_MAX
    while any(len(follower.seen) < count for follower in followers) and time.monotonic() < until:
        time.sleep(0.01)
    took = time.monotonic() - begun
    for follower in followers:
        follower.close()
    lost = sum(note not in follower.seen for follower in followers for note in notes)
    if lost:
        raise SystemExit(f"{what}: {lost} arrivals are missing after {ARRIVAL_SECONDS_MAX:.0f} s")
    everywhere = [
        max(follower.seen[note] for follower in followers) - asked
        for note, (asked, _) in zip(notes, times, strict=True)
    ]
    found = seconds_of(everywhere)
    return {
        "written_on": len(writers),
        "nodes": len(followers),
        "entries": count,
        "answered_seconds": seconds_of([answered - asked for asked, answered in times]),
        "everywhere_seconds": found,
        "target_p99_seconds": ENTRY_TARGET,
        "within_target": (found["p99"] or 0.0) < ENTRY_TARGET,
        "all_written_seconds": round(written, 2),
        "all_everywhere_seconds": round(took, 2),
        "entries_per_second": round(count / took, 1),
    }


def accounts(folder: Path) -> dict[str, str]:
    """A member with an account at each node, to whom its entries go."""
    from icn.kernel.signing import SeedSigner

    key = Folder(folder).api_key.read_text().strip()
    members = {}
    for number, node in enumerate(Folder(folder).read().nodes):
        members[node.name] = str(SeedSigner(bytes([100 + number]) * 32).did)
        host, _, port = node.http.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        headers = {"x-api-key": key, "content-type": "application/json"}
        connection.request("POST", "/account/open", json.dumps({"did": members[node.name]}), headers)
        if connection.getresponse().status >= 300:
            raise SystemExit(f"{node.name}: no account")
        connection.close()
    return members


def spread(count: int, parts: Sequence[str]) -> dict[str, Any]:
    """Entries, and the late joiner who has to get all of them."""
    result: dict[str, Any] = {}
    with running(ENTRY_NODES) as (folder, _):
        nodes = Folder(folder).read().nodes
        members = accounts(folder)
        result["entries"] = [
            entries(folder, count, nodes[:1], members, "one"),
            entries(folder, count, nodes, members, "all"),
        ]
        if "late" in parts:
            blocks = devnet(folder, "status")["nodes"][0]["blocks"]
            up = devnet(folder, "up", "--nodes", str(ENTRY_NODES + 1))
            result["late"] = {
                "nodes": ENTRY_NODES + 1,
                "blocks_to_catch_up": blocks,
                "start_to_ready_seconds": up["nodes"][-1]["ready_seconds"],
                "ready_to_equal_root_seconds": round(up["seconds"] - up["ready_after_seconds"], 2),
                "start_to_equal_root_seconds": up["seconds"],
                "target_seconds": LATE_TARGET,
                "within_target": up["seconds"] < LATE_TARGET,
            }
    return result


def jobs(count: int) -> dict[str, Any]:
    with running(JOB_NODES) as (folder, _):
        load = devnet(folder, "load", "--jobs", str(count), "--concurrency", str(JOB_NODES))
    done = load["jobs"]
    return {
        "nodes": JOB_NODES,
        **done,
        "agreed_after_seconds": load["agreed_after_seconds"],
        "target_mean_seconds": JOB_TARGET,
        "within_target": done["success_rate"] == 1.0 and done["seconds"]["mean"] < JOB_TARGET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--nodes", type=int, nargs="+", default=list(READY_TARGETS))
    parser.add_argument("--entries", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "devnet.json")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "processors": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    if "start" in options.parts:
        result["start"] = []
        for nodes in options.nodes:
            result["start"].append(start(nodes))
            print(json.dumps(result["start"][-1]), flush=True)
    if "entries" in options.parts or "late" in options.parts:
        result |= spread(options.entries, options.parts)
        print(json.dumps({name: result.get(name) for name in ("entries", "late")}), flush=True)
    if "jobs" in options.parts:
        result["jobs"] = jobs(options.jobs)
        print(json.dumps(result["jobs"]), flush=True)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
