"""The commands of the guide as they are typed; what a node is after SIGKILL and after SIGTERM."""

import json
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeError, base64_of, wait_until

from support.processes import ExactNode, Nodes, cli, default_ports, ended_job, free_ports

pytestmark = pytest.mark.slow

KEY = "a-key-that-no-log-shows"


def identity_of(node: ExactNode) -> dict[str, Any]:
    info = node.ask("GET", "/info")
    return {
        "did": info["did"],
        "peer": info["peer_id"],
        "federation": info["federation"],
        "root": node.ask("GET", "/dag/root"),
        "jobs": node.ask("GET", "/mesh/jobs")["items"],
        "mana": node.ask("GET", "/mana/supply"),
        "events": [event["id"] for event in node.ask("GET", "/events?limit=500")["items"]],
    }


def test_test_mode_and_info_as_the_guide_types_them(nodes: Nodes, tmp_path: Path) -> None:
    with default_ports():
        node = nodes.adopt(ExactNode(tmp_path, "--test-mode"))
        node.start()
        assert node.http == "127.0.0.1:7845"
        told = cli(node, "info", "--output", "json", cwd=tmp_path)
        assert told.code == 0, told.err
        info = told.json()
        assert info["did"] == node.did
        assert info["storage"] == {"backend": "memory", "path": None}
        assert info["listen"]["p2p"] == []
        for_people = cli(node, "info", cwd=tmp_path)
        assert for_people.code == 0
        assert node.did in for_people.out
        status = node.ask("GET", "/status")
        assert status["federation"]["state"] == "member"
        assert status["mana"]["supply"]["balanced"]
        assert status["mana"]["supply"]["minted"] > 0, "there is something to look at"
        job = cli(node, "mesh", "submit", "echo", "--input", "-", "--wait", "--output", "json", cwd=tmp_path)
        assert job.code == 0, job.err
        code, seconds = node.stop()
        assert (code, seconds < 5) == (0, True), node.last_words()
    assert not list(tmp_path.glob("**/*.sqlite*")), "test mode leaves no data behind"
    assert not list(tmp_path.glob("**/identity.key"))


def test_a_sqlite_node_is_the_same_after_sigkill(nodes: Nodes, tmp_path: Path) -> None:
    (http,) = free_ports(1)
    command = (
        *("--storage-backend", "sqlite", "--storage-path", "./icn_data/dag.sqlite"),
        *("--http-listen-addr", f"127.0.0.1:{http}", "--api-key", KEY),
    )
    elsewhere = {  # the other listeners have defaults, which tests must not take
        "ICN_NETWORK_P2P_LISTEN_ADDR": "/ip4/127.0.0.1/tcp/0",
        "ICN_MONITORING_METRICS_BIND_ADDR": "127.0.0.1:0",
        "ICN_MESH_BID_WINDOW_MS": "100",
    }
    node = nodes.adopt(ExactNode(tmp_path, *command, api_key=KEY, env=elsewhere))
    node.start()
    assert node.http == f"127.0.0.1:{http}"
    body = {"module": None, "input_base64": base64_of(b"carrots"), "max_price": 100}
    job = node.ask("POST", "/mesh/submit", body, key="one")["job_id"]
    assert ended_job(node, job)["status"] == "completed"
    before = identity_of(node)
    assert [item["job_id"] for item in before["jobs"]] == [job]
    for _ in range(2):
        node.kill()
        node.start()
        assert identity_of(node) == before
        assert node.ask("GET", f"/mesh/jobs/{job}/output") == b"carrots"
    data = tmp_path / "icn_data"
    assert {path.name for path in data.glob("*.key")} == {"identity.key"}
    assert stat.S_IMODE((data / "identity.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "dag.sqlite").stat().st_mode) == 0o600
    assert node.ask("GET", "/dag/verify?deep=true")["ok"]
    code, seconds = node.stop()
    assert (code, seconds < 5) == (0, True)
    assert all(KEY not in line for line in node.log), "the key is in no log"


def test_sigterm_answers_what_is_under_way(nodes: Nodes) -> None:
    node = nodes.start("draining", "--no-p2p")
    host, _, port = node.http.partition(":")
    body = json.dumps({"data": base64_of(b"a crate of apples")}).encode()
    head = (
        f"POST /dag/put HTTP/1.1\r\nhost: {node.http}\r\nx-api-key: {node.api_key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as caller:
        caller.sendall(head.encode() + body[:5])
        wait_until("the request to be under way", lambda: node.ask("GET", "/health"))
        assert node.process is not None
        node.process.send_signal(signal.SIGTERM)
        wait_until("it to stop listening", lambda: _is_refused(node))
        caller.sendall(body[5:])
        answer = b"".join(iter(lambda: caller.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 201"), answer
    code, seconds = node.stop()
    assert (code, seconds < 5) == (0, True), node.last_words()
    node.start()
    cid = json.loads(answer.partition(b"\r\n\r\n")[2])["cid"]
    assert node.ask("POST", "/dag/get", {"cid": cid})["data"] == base64_of(b"a crate of apples")


def test_sigterm_does_not_wait_for_who_never_finishes(nodes: Nodes) -> None:
    node = nodes.start("stubborn", "--no-p2p", "--set", "mesh.price_per_million_fuel=0")
    host, _, port = node.http.partition(":")
    loop = '(module (func (export "run") (result i64) (loop (br 0)) i64.const 0))'
    from icn.adapters.wasm.text import compile_text

    module = node.ask("POST", "/dag/put", {"data": base64_of(compile_text(loop))})["cid"]
    body = {"module": module, "max_price": 900, "fuel": 40_000_000_000, "wall_ms": 60_000}  # it would end in a minute
    job = node.ask("POST", "/mesh/submit", body)["job_id"]
    wait_until("the endless job to run", lambda: node.ask("GET", "/status")["executor"]["running"] == 1)
    with (
        socket.create_connection((host, int(port)), timeout=10) as half,
        socket.create_connection((host, int(port)), timeout=10) as follower,
    ):
        half.sendall(b"POST /dag/put HTTP/1.1\r\nhost: x\r\n")
        follower.sendall(
            b"GET /events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n"
            b"x-api-key: " + node.api_key.encode() + b"\r\n\r\n"
        )
        assert follower.recv(4096).startswith(b"HTTP/1.1 200")
        code, seconds = node.stop()
    assert (code, seconds < 5) == (0, True), f"{seconds:.1f} s\n{node.last_words()}"
    node.start()
    found = node.ask("GET", f"/mesh/jobs/{job}")
    assert (found["status"], found["attempt"], found["failures"]) == ("executing", 1, []), "a stop is nobody's failure"


def test_sigint_is_sigterm(nodes: Nodes) -> None:
    node = nodes.start("interrupted", "--no-p2p")
    assert node.process is not None
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(5) == 0
    assert '"stopped"' in node.last_words()


def test_a_taken_port_is_one_clear_line(nodes: Nodes) -> None:
    first = nodes.start("first", "--no-p2p")
    second = nodes.make("second", "--no-p2p")
    second.http = first.http
    with pytest.raises(NodeError):
        second.start()
    assert second.process is not None
    assert second.process.returncode == 78
    assert first.http in second.last_words()
    assert "Traceback" not in second.last_words()
    assert first.ask("GET", "/ready")["ready"], "the first does not mind"


def _is_refused(node: ExactNode) -> bool:
    host, _, port = node.http.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("moment", ["listening", "author", "ready"])
def test_sigterm_while_it_starts(nodes: Nodes, moment: str) -> None:
    node = nodes.make(moment)
    node.launch()
    wait_until(moment, lambda: any(f'"event": "{moment}"' in line for line in list(node.log)))
    code, seconds = node.stop()
    assert (code, seconds < 5) == (0, True), node.last_words()
    node.start()
    assert node.ask("GET", "/dag/verify?deep=true")["ok"]
