"""SIGKILL of a real node under load: what was acknowledged is there afterwards, and the store verifies.

The client's own log of answers is the judge. A write whose answer never came may be there or not; asked again with its
key it must succeed once.
"""

import random
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeError, NodeProcess, base64_of, wait_until

from icn.kernel.limits import REPLIES_PER_PRINCIPAL_MAX
from icn.kernel.signing import SeedSigner
from support.crash_node import TracedNode

MEMBERS = [str(SeedSigner(bytes([number]) * 32).did) for number in range(1, 5)]
CLIENTS = 6
TRACED_LIFE_SECS_MAX = 3.0
SYSTEM_CALLS = (
    *(("pwrite64", 150), ("fdatasync", 15), ("fcntl", 100), ("write", 30), ("writev", 20), ("sendto", 20)),
    *(("fsync", 6), ("rename", 2), ("unlink", 3), ("ftruncate", 2)),
)
"""Those at which a node is killed, each with how many of them a thread may have made by then."""
FLAGS = (
    *("--no-p2p", "--set", "federation.initial_grant=10000000", "--set", "federation.mana_cap=10000000"),
    *("--set", "performance.max_concurrent_jobs=1", "--set", "mesh.bid_window_ms=50"),
)


@dataclass
class Acknowledged:
    """What the node said it had done."""

    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    unanswered: dict[str, dict[str, Any]] = field(default_factory=dict)
    traced_kills: int = 0
    """At the system call that was drawn."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self.transfers) + len(self.jobs) + len(self.contents)


def load(node: NodeProcess, log: Acknowledged, until: threading.Event, seed: int) -> None:
    """One client: writes as fast as it can until the node is gone. Any answer but success fails the test."""
    rng = random.Random(seed)
    while not until.is_set():
        key = f"{seed}-{rng.getrandbits(64):x}"
        kind = rng.random()
        try:
            if kind < 0.8:
                body = {"to": rng.choice(MEMBERS), "amount": rng.randrange(1, 5)}
                with log.lock:
                    log.unanswered[key] = body
                answer = node.ask("POST", "/mana/transfer", body, key=key)
                with log.lock:
                    log.transfers[key] = answer | {"body": body}
                    del log.unanswered[key]
            elif kind < 0.9:
                body = {"module": None, "input_base64": base64_of(rng.randbytes(30)), "max_price": 5, "fuel": 1000}
                body["wall_ms"] = 1_000  # an execution that a kill took away is waited for so much less long
                answer = node.ask("POST", "/mesh/submit", body, key=key)
                with log.lock:
                    log.jobs[key] = answer["job_id"]
            else:
                data = rng.randbytes(200)
                answer = node.ask("POST", "/dag/put", {"data": base64_of(data)}, key=key)
                with log.lock:
                    log.contents[answer["cid"]] = data
        except (OSError, HTTPException):
            return


def check_everything(node: NodeProcess, log: Acknowledged, *, sample: int, rng: random.Random) -> None:
    """Every acknowledged write of the newest round, and a sample of older ones."""
    # An answer is kept for the newest requests of a principal; a key older than that is a new request.
    remembered = set(list(log.transfers)[-REPLIES_PER_PRINCIPAL_MAX // 4 :])
    for key, answer in _pick(log.transfers, sample, rng):
        if key in remembered:
            again = node.ask("POST", "/mana/transfer", answer["body"], key=key)
            assert again["transfer"] == answer["transfer"], "the same key gets the same answer"
        block = node.ask("GET", f"/dag/blocks/{answer['block']}?read=true")
        assert any(record["type"] == "ledger.transferred" for record in block["records"])
    for _, job in _pick(log.jobs, sample, rng):
        assert node.ask("GET", f"/mesh/jobs/{job}")["job_id"] == job
    for cid, data in _pick(log.contents, sample, rng):
        assert node.ask("POST", "/dag/get", {"cid": cid})["data"] == base64_of(data)


def _pick(kept: dict[str, Any], sample: int, rng: random.Random) -> list[tuple[str, Any]]:
    newest = list(kept.items())[-sample:]
    return newest + rng.sample(list(kept.items()), min(sample, len(kept)))


def begin_traced(node: TracedNode, rng: random.Random) -> None:
    """Start the node again, to be killed at a drawn system call; that may come before it is ready."""
    node.kill()
    node.killing_call, calls_max = rng.choice(SYSTEM_CALLS)
    node.killing_number = rng.randrange(1, calls_max + 1)
    with suppress(NodeError):
        node.start()


def end_traced(node: TracedNode) -> bool:
    """Wait until its system call came. False: it did not, and the node was killed where it was."""
    came = node.ends_within(TRACED_LIFE_SECS_MAX)
    node.kill()
    node.killing_call = ""
    return came


def kill_many_times(folder: Path, kills: int, seed: int, *, traced: bool = False) -> Acknowledged:
    """The whole story; asserts as it goes."""
    rng = random.Random(seed)
    log = Acknowledged()
    node = TracedNode("under fire", folder, *FLAGS).start()
    try:
        for number, member in enumerate(MEMBERS):
            node.ask("POST", "/account/open", {"did": member}, key=f"open-{number}")
        for kill in range(kills):
            if traced:
                begin_traced(node, rng)
            gone = threading.Event()
            with ThreadPoolExecutor(CLIENTS) as clients:
                running = [
                    clients.submit(load, node, log, gone, seed * 1_000_000 + kill * 100 + client)
                    for client in range(CLIENTS)
                ]
                if traced:
                    log.traced_kills += end_traced(node)
                else:
                    gone.wait(rng.uniform(0.05, 0.4))  # how long the node is allowed to live under load
                    node.kill()
                gone.set()
            for client in running:
                client.result()
            node.start()
            for key, body in list(log.unanswered.items()):
                log.transfers[key] = node.ask("POST", "/mana/transfer", body, key=key) | {"body": body}
            log.unanswered.clear()
            check_everything(node, log, sample=10, rng=rng)
            assert node.ask("GET", "/mana/supply")["balanced"], f"supply identity after kill {kill}"
            deep = "true" if kill % 10 == 9 or kill == kills - 1 else "false"
            verdict = node.ask("GET", f"/dag/verify?deep={deep}")
            assert verdict["ok"], verdict["findings"]
        wait_until("every job's end", lambda: node.ask("GET", "/mana/supply")["held"] == 0, 120)
        ends = {node.ask("GET", f"/mesh/jobs/{job}")["status"] for job in log.jobs.values()}
        assert ends <= {"completed"}, "a kill costs no job"
        held = {answer["transfer"] for answer in log.transfers.values()}
        assert len(held) == len(log.transfers), "no two requests share a transfer"
        balance = node.ask("GET", f"/account/{node.did}/mana")["balance"]
        received = sum(node.ask("GET", f"/account/{member}/mana")["balance"] for member in MEMBERS)
        sent = sum(answer["amount"] for answer in log.transfers.values())
        assert received >= 4 * 10_000_000, "endowed members keep their grant"
        assert received - 4 * 10_000_000 == sent, "every acknowledged transfer arrived exactly once"
        assert balance <= 10_000_000 - sent + 10
        code, seconds = node.stop()
        assert code == 0
        assert seconds < 5
    finally:
        node.kill()
    return log


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@needs_strace
@pytest.mark.slow
def test_acknowledged_writes_survive_sigkill_at_a_system_call(tmp_path: Path) -> None:
    log = kill_many_times(tmp_path / "node", kills=2, seed=3, traced=True)
    assert log.traced_kills > 0


@needs_strace
@pytest.mark.long
def test_acknowledged_writes_survive_forty_sigkills_at_system_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    log = kill_many_times(tmp_path / "node", kills=40, seed=4, traced=True)
    with capsys.disabled():
        print(
            f"\n40 SIGKILLs, {log.traced_kills} at a drawn system call: {len(log.transfers)} transfers, "
            f"{len(log.jobs)} jobs, {len(log.contents)} contents acknowledged, 0 lost, "
            f"{time.monotonic() - begun:.0f} s",
            file=sys.stderr,  # seen with -n, too
        )


@pytest.mark.slow
def test_acknowledged_writes_survive_sigkill(tmp_path: Path) -> None:
    log = kill_many_times(tmp_path / "node", kills=3, seed=1)
    assert len(log) > 50


@pytest.mark.long
def test_acknowledged_writes_survive_a_hundred_sigkills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    log = kill_many_times(tmp_path / "node", kills=100, seed=2)
    with capsys.disabled():
        print(
            f"\n100 SIGKILLs: {len(log.transfers)} transfers, {len(log.jobs)} jobs, {len(log.contents)} contents "
            f"acknowledged, 0 lost, {time.monotonic() - begun:.0f} s",
            file=sys.stderr,  # seen with -n, too
        )
