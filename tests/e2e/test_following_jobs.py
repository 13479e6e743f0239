"""Jobs followed on three real nodes: A is their home, B executes, C looks on. Who watches loses nothing."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, wait_until

from support.processes import CLI, Nodes, clean_environment, cli, ended_job, same_root

pytestmark = pytest.mark.slow

TERMS = ("--set", "federation.initial_grant=100000", "--set", "federation.mana_cap=100000")
EXECUTES_NOTHING = ("--set", "performance.max_concurrent_jobs=0")
COUNT = 400_000_000
"""Turns of the loop: seconds."""
SLOW = f"""(module (func (export "run") (result i64) (local $n i64)
  (loop $on
    (local.set $n (i64.add (local.get $n) (i64.const 1)))
    (br_if $on (i64.lt_u (local.get $n) (i64.const {COUNT}))))
  (local.get $n)))"""
ENDLESS = '(module (func (export "run") (result i64) (loop (br 0)) i64.const 0))'
LIMITS = ("--fuel", "9000000000", "--max-price", "9000", "--wall-ms", "120000")


@pytest.fixture(scope="module")
def three(module_nodes: Nodes) -> list[NodeProcess]:
    """A, B and C, of one federation."""
    home = module_nodes.start("a", *EXECUTES_NOTHING, *TERMS)
    executor = module_nodes.make("b", "--bootstrap-peers", home.p2p)
    onlooker = module_nodes.make("c", "--bootstrap-peers", home.p2p, *EXECUTES_NOTHING)
    for node in (executor, onlooker):
        node.launch()
    for node in (executor, onlooker):
        wait_until(f"{node.name} to be ready", lambda node=node: node.is_ready)
    found = [home, executor, onlooker]

    def joined(node: NodeProcess) -> int:
        return sum(member["joined"] for member in node.ask("GET", "/federation/status")["members"])

    wait_until("three members everywhere", lambda: all(joined(node) == 3 for node in found) and same_root(found))
    return found


class Watcher:
    """`icn-cli` in a process that goes on, with what it has said so far in files."""

    def __init__(self, node: NodeProcess, folder: Path, *arguments: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        environment = clean_environment(ICN_NODE_URL=f"http://{node.http}", ICN_API_KEY=node.api_key)
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen([CLI, *arguments], stdout=out, stderr=err, env=environment)

    def said(self, word: str) -> bool:
        return word in self.out.read_text()

    def told(self, word: str) -> bool:
        """On standard error."""
        return word in self.err.read_text()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def end(self) -> int:
        return self.process.wait(60)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Any]:
    """Starts watchers that end with the test."""
    started: list[Watcher] = []

    def start(node: NodeProcess, *arguments: str) -> Watcher:
        folder = tmp_path / f"watcher-{len(started)}"
        folder.mkdir()
        started.append(Watcher(node, folder, "mesh", "watch", *arguments))
        return started[-1]

    yield start
    for watcher in started:
        watcher.process.kill()
        watcher.process.wait()


def submitted(node: NodeProcess, text: str, folder: Path) -> str:
    """A job of this module, under way."""
    (folder / "job.wat").write_text(text)
    sent = cli(node, "mesh", "submit", "job.wat", *LIMITS, cwd=folder)
    assert sent.code == 0, sent.err
    job = sent.out.strip()
    wait_until("its execution", lambda: node.ask("GET", f"/mesh/jobs/{job}/progress")["phase"] == "executing")
    return job


def recorded(node: NodeProcess, job: str) -> list[dict[str, Any]]:
    """Every record of a job that a node has, in its order."""
    items: list[dict[str, Any]] = node.ask("GET", f"/events?job={job}&limit=500")["items"]
    return items


def test_who_waits_sees_a_job_of_seconds_go_and_gets_its_output(three: list[NodeProcess], tmp_path: Path) -> None:
    home = three[0]
    (tmp_path / "slow.wat").write_text(SLOW)
    sent = cli(home, "mesh", "submit", "slow.wat", *LIMITS, "--wait", "--output-file", "out", cwd=tmp_path)
    assert sent.code == 0, sent.err
    assert (tmp_path / "out").read_bytes() == COUNT.to_bytes(8, "little")
    told = [line.split(maxsplit=2)[-1].partition(",")[0] for line in sent.err.splitlines()]
    assert told.index("bidding") < told.index("executing") < told.index("completed")
    assert sent.err.splitlines()[-1] == "icn-cli: 8 bytes of output in out"
    assert "attempts:" in sent.out
    as_json = cli(home, "mesh", "submit", "slow.wat", *LIMITS, "--wait", "--output", "json", cwd=tmp_path)
    assert as_json.code == 0, as_json.err
    first, *between, last = [json.loads(line) for line in as_json.out.splitlines()]
    assert first["job_id"] == last["job_id"]
    assert "executing" in [one["phase"] for one in between]
    running = next(one for one in between if one["phase"] == "executing")
    assert (running["waits_for"], running["attempts"][0]["runs"][0]["executor"]) == ("run", three[1].did)
    assert 0 < running["phase_left_ms"] <= 125_000
    assert last["status"] == "completed"


def test_another_node_s_operator_watches_a_job_that_is_cancelled(
    three: list[NodeProcess], tmp_path: Path, watch: Any
) -> None:
    home, executor, onlooker = three
    job = submitted(home, ENDLESS, tmp_path)
    watcher = watch(onlooker, job)
    wait_until("the watcher to see it run", lambda: watcher.said("mesh.execution_started"))
    assert cli(home, "mesh", "cancel", job).code == 0
    assert watcher.end() == 1
    assert watcher.said("mesh.rollback")
    assert watcher.told("cancelled: cancelled by its submitter")
    shown = cli(onlooker, "mesh", "job", job)
    assert "stopped" in shown.out
    assert home.did in shown.out
    wait_until("the executor to be free", lambda: executor.ask("GET", "/status")["executor"]["running"] == 0)


def test_a_watcher_outlives_its_node_and_misses_nothing(three: list[NodeProcess], tmp_path: Path, watch: Any) -> None:
    home, _, onlooker = three
    job = submitted(home, ENDLESS, tmp_path)
    watcher = watch(onlooker, job, "--output", "json")
    wait_until("the watcher to see it run", lambda: watcher.said("mesh.execution_started"))
    onlooker.kill()
    wait_until("the watcher to say so", lambda: watcher.told("taking up again after event"))
    assert cli(home, "mesh", "cancel", job).code == 0
    assert watcher.process.poll() is None
    onlooker.start()
    assert watcher.end() == 1
    seen = [event["id"] for event in watcher.events()]
    whole = recorded(onlooker, job)
    ended = [event["type"] for event in whole].index("mesh.rollback")
    assert seen[: ended + 1] == [event["id"] for event in whole][: ended + 1], "every record once, in order"
    assert len(seen) == len(set(seen))


def test_everything_is_watched_until_one_has_seen_enough(three: list[NodeProcess], watch: Any) -> None:
    home, executor, _ = three
    watcher = watch(executor, "--output", "json")
    job = ""

    def seen() -> bool:
        """The stream begins at a moment nobody knows: ask until one job was seen whole."""
        nonlocal job
        job = home.ask("POST", "/mesh/submit", {"max_price": 200, "deadline_seconds": 30})["job_id"]
        ended_job(home, job)
        wait_until("its records", lambda: recorded(executor, job)[-1]["type"] != "mesh.bidding_opened")
        return any(event["event"].get("job") == job for event in watcher.events())

    wait_until("a job that was seen", seen)
    wait_until("its end", lambda: watcher.said("mesh.job_completed"))
    watcher.process.send_signal(signal.SIGINT)
    assert watcher.end() == 130
    assert {event["type"].partition(".")[0] for event in watcher.events()} == {"mesh"}


def test_a_receipt_and_executors_are_found_everywhere(three: list[NodeProcess]) -> None:
    home, executor, onlooker = three
    job = home.ask("POST", "/mesh/submit", {"max_price": 200, "deadline_seconds": 30})["job_id"]
    done = ended_job(home, job)
    wait_until("the news everywhere", lambda: same_root(three))
    for node in three:
        receipt = node.ask("GET", f"/mesh/receipts/{done['receipt_cid']}")
        assert receipt["receipt"]["executor"] == executor.did
        assert {record["author"] for record in receipt["records"]} == {home.did, executor.did}
    told = cli(home, "mesh", "executors", "--output", "json")
    assert told.code == 0, told.err
    (one,) = told.json()["items"]
    assert (one["did"], one["connected"], one["executes"]) == (executor.did, True, True)
    assert one["completed"] >= 1
    about = done["correlation_id"]
    for node in three:
        caused = node.ask("GET", f"/events?correlation={about}")["items"]
        authors = {event["author"] for event in caused}
        assert authors == {home.did, executor.did}, "one id over both nodes' records"
    figures = home.ask("GET", "/mesh/metrics")["own"]
    assert figures["ended"]["completed"] >= 1
    assert onlooker.ask("GET", "/mesh/metrics")["own"]["submitted"] == 0
