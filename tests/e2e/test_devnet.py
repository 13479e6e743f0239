"""The devnet as a person has it: launched by the script, looked at, loaded, hurt, brought back, ended."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_process import wait_until

from icn.cli.devnet.processes import await_end, lives, send
from icn.cli.devnet.state import Devnet
from support.pages import ROOT
from support.processes import CLI, Ran, clean_environment, run

SCRIPT_SECS_MAX = 300.0


def devnet(folder: Path, *words: str) -> Ran:
    return run(CLI, "devnet", *words, "--dir", str(folder), "--output", "json", within=SCRIPT_SECS_MAX)


def script(name: str, *, cwd: Path, **env: str) -> tuple[int, dict[str, Any], str]:
    ended = run(cwd / name, cwd=cwd, env=env, within=SCRIPT_SECS_MAX)
    return ended.code, json.loads(ended.out), ended.err


def state(folder: Path) -> Devnet:
    return Devnet.decoded((folder / "devnet.json").read_bytes(), "devnet.json")


def has_begun(folder: Path) -> bool:
    """Whether the first node's process has become a node; before that it ends with whoever starts it."""
    if not (folder / "devnet.json").exists() or (process := state(folder).nodes[0].process) is None:
        return False
    return not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"sh\0")


def failed(ran: Ran) -> list[str]:
    return [check["name"] for check in ran.json()["checks"] if not check["ok"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three nodes, by the guide's command."""
    folder = tmp_path_factory.mktemp("devnet") / "three"
    try:
        code, verdict, said = script(
            "launch_federation.sh", cwd=ROOT / "icn-devnet", DEVNET_DIR=str(folder), NUM_JOBS="4"
        )
        assert (code, verdict["ok"]) == (0, True), f"{verdict}\n{said}"
        assert len(verdict["up"]["nodes"]) == 3
        assert verdict["load"]["jobs"]["completed"] == 4
        assert {node["process"] for node in verdict["status"]["nodes"]} == {"running"}
        assert len({node["root"] for node in verdict["status"]["nodes"]}) == 1
        assert verdict["down"] is None
        yield folder
    finally:
        if (folder / "devnet.json").exists():
            devnet(folder, "down", "--purge", "--within", "5")


@pytest.mark.slow
def test_a_paused_or_dead_node_is_noticed_and_brought_back(folder: Path) -> None:
    before = state(folder)
    paused, dead = before.node("node-02"), before.node("node-03")
    send(paused.process, signal.SIGSTOP)
    send(dead.process, signal.SIGKILL)
    assert dead.process is not None
    assert await_end([dead.process], 10.0) == []
    told = devnet(folder, "status", "--within", "1")
    assert (told.code, failed(told)) == (5, ["all processes run"])
    assert [node["process"] for node in told.json()["nodes"]] == ["running", "paused", "ended"]
    assert devnet(folder, "up").code == 0
    after = state(folder)
    assert after.node("node-02").process == paused.process
    assert lives(after.node("node-03").process)
    assert [node.did for node in after.nodes] == [node.did for node in before.nodes]
    assert devnet(folder, "status").code == 0


@pytest.mark.slow
def test_work_that_is_not_done_is_no_success(folder: Path) -> None:
    home = state(folder).node("node-01")
    send(home.process, signal.SIGSTOP)
    try:
        told = devnet(folder, "load", "--jobs", "0", "--transfers", "3", "--within", "3", "--settling", "1")
        assert told.code == 5
        assert failed(told)[0] == "all transfers completed"
        assert told.json()["transfers"]["completed"] == 2
        assert told.json()["transfers"]["success_rate"] == 0.6667
    finally:
        send(home.process, signal.SIGCONT)
    assert devnet(folder, "load", "--jobs", "2", "--transfers", "6").code == 0


@pytest.mark.slow
def test_chaos_is_survived_and_leaves_all_running(folder: Path) -> None:
    before = state(folder)
    told = devnet(folder, "chaos", "--kill", "--pause", "--seconds", "3", "--seed", "1")
    assert told.code == 0, told.out + told.err
    verdict = told.json()
    assert verdict["kill"] > 0
    assert verdict["restart"] == 0
    after = state(folder)
    assert all(lives(node.process) for node in after.nodes)
    assert sum(one.process != other.process for one, other in zip(before.nodes, after.nodes, strict=True)) > 0
    assert devnet(folder, "load", "--jobs", "3").code == 0


@pytest.mark.slow
def test_another_devnet_lives_beside_it_and_ends_without_a_trace(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    told = devnet(other, "up", "--nodes", "1", "--backend", "sled", "--set", "mesh.bid_window_ms=100")
    assert told.code == 0, told.out + told.err
    assert told.json()["nodes"][0]["http"] not in {f"http://{node.http}" for node in state(folder).nodes}
    again = devnet(other, "up", "--backend", "sqlite")
    assert again.code == 1
    assert "other terms" in again.err
    (process,) = [node.process for node in state(other).nodes]
    ended = devnet(other, "down", "--purge")
    assert (ended.code, ended.json()["killed"]) == (0, [])
    assert not lives(process)
    assert not other.exists()
    assert all(lives(node.process) for node in state(folder).nodes)
    assert devnet(other, "down").code == 5


@pytest.mark.slow
def test_one_that_was_interrupted_is_taken_up_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "interrupted"
    words = ("up", "--nodes", "2", "--dir", str(folder), "--output", "json")
    with subprocess.Popen([CLI, "devnet", *words], stdout=subprocess.DEVNULL, env=clean_environment()) as started:
        wait_until("the first node", lambda: has_begun(folder))
        started.kill()  # before anybody has heard where it listens
    try:
        process = state(folder).nodes[0].process
        assert state(folder).nodes[0].http == ""
        assert devnet(folder, "status").code == 5
        assert devnet(folder, "load").code == 3
        again = devnet(folder, "up")
        assert again.code == 0, again.out
        assert len(again.json()["nodes"]) == 2
        assert state(folder).nodes[0].process == process
    finally:
        assert devnet(folder, "down", "--purge").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_script_that_is_told_to_end_leaves_no_node(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "told"
    words = [str(ROOT / "icn-devnet" / "federation.sh"), "1", "1", "stay", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=clean_environment()) as started:
        wait_until("the node", lambda: has_begun(folder))
        process = state(folder).nodes[0].process
        started.send_signal(number)
        out, _ = started.communicate(timeout=SCRIPT_SECS_MAX)
    assert started.returncode == 128 + number
    assert json.loads(out)["ok"] is False
    assert not lives(process)


@pytest.mark.slow
def test_nodes_that_cannot_start_are_told_with_their_last_words(tmp_path: Path) -> None:
    folder = tmp_path / "off"
    told = devnet(folder, "up", "--nodes", "2", "--set", "mesh.nonsense=1")
    assert (told.code, failed(told)) == (5, ["all nodes are ready"])
    assert "mesh.nonsense" in told.out
    assert devnet(folder, "down", "--purge").code == 0


@pytest.mark.long
def test_all_work_is_done_while_nodes_are_killed_paused_and_restarted(tmp_path: Path) -> None:
    folder = tmp_path / "five"
    try:
        assert devnet(folder, "up", "--nodes", "5").code == 0
        words = ("load", "--jobs", "60", "--transfers", "60", "--dir", str(folder), "--output", "json")
        load = subprocess.Popen([CLI, "devnet", *words], stdout=subprocess.PIPE, text=True, env=clean_environment())
        chaos = devnet(folder, "chaos", "--seconds", "20", "--seed", "5")
        out, _ = load.communicate(timeout=SCRIPT_SECS_MAX)
        assert chaos.code == 0, chaos.out
        assert sum(chaos.json()[kind] for kind in ("kill", "pause", "restart")) > 3
        assert load.returncode == 0, out
        assert json.loads(out)["jobs"]["completed"] == 60
    finally:
        devnet(folder, "down", "--purge")


@pytest.mark.long
def test_ten_nodes_and_fifty_jobs_leave_nothing_behind(tmp_path: Path) -> None:
    code, verdict, said = script("scripts/run_10node_devnet.sh", cwd=ROOT, NUM_JOBS="50", TMPDIR=str(tmp_path))
    assert (code, verdict["ok"]) == (0, True), f"{verdict}\n{said}"
    assert verdict["load"]["jobs"]["completed"] == 50
    assert verdict["load"]["nodes"] == 10
    assert verdict["down"]["stopped"] == 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_twenty_nodes_stay_until_they_are_told_to_go(tmp_path: Path) -> None:
    try:
        code, verdict, said = script("scripts/deploy_large_federation.sh", cwd=ROOT, XDG_STATE_HOME=str(tmp_path))
        assert (code, verdict["ok"]) == (0, True), f"{verdict}\n{said}"
        assert verdict["load"]["nodes"] == 20
        folder = Path(verdict["up"]["directory"])
        assert all(lives(node.process) for node in state(folder).nodes)
    finally:
        assert devnet(tmp_path / "icn" / "devnet-large", "down", "--purge").code == 0
