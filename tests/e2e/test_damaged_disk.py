"""A real node whose disk flips bits: it gives damaged blocks to nobody, and gets them again from its peer."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.kernel.ids import RAW, Cid
from icn.stores import keyspace
from support.federations import metric
from support.processes import Nodes, cli, same_root

pytestmark = pytest.mark.slow

CONTENT = b"what two members keep\n" * 500
NAME = Cid.of(CONTENT, RAW)
SCANS = ("--set", "storage.scrub_interval=1")


def flip(file: Path, cid: Cid) -> None:
    """One bit of a block changes on the disk of a node that is not running."""
    with sqlite3.connect(file) as database:
        key = keyspace.block(cid)
        (data,) = database.execute("SELECT v FROM kv WHERE k = ?", (key,)).fetchone()
        database.execute("UPDATE kv SET v = ? WHERE k = ?", (bytes((data[0] ^ 1,)) + data[1:], key))
    database.close()


def test_damaged_blocks_are_found_and_got_again_from_the_peer(nodes: Nodes) -> None:
    first = nodes.start("a", *SCANS)
    second = nodes.make("b", "--bootstrap-peers", first.p2p)
    second.launch()
    wait_until("b to be ready", lambda: second.is_ready)
    wait_until("b to know a", lambda: second.ask("GET", "/sync/status")["in_sync"])
    first.ask("POST", "/dag/put", {"data": base64_of(CONTENT), "pin": True})
    second.ask("POST", "/dag/pin", {"cid": str(NAME)})
    wait_until("the same blocks", lambda: same_root([first, second]))
    signed = Cid.parse(first.ask("GET", "/dag/blocks?kind=signed&limit=1")["items"][0]["cid"])
    second.stop()
    first.stop()
    flip(first.folder / "dag.sqlite", NAME)
    flip(first.folder / "dag.sqlite", signed)

    first.launch()
    wait_until("a to be ready", lambda: first.is_ready)
    wait_until("both to be found", lambda: first.ask("GET", "/dag/status")["blocks_damaged"] == 2)
    for cid in (NAME, signed):
        status, answer = first.call("POST", "/dag/get", {"cid": str(cid)})
        assert (status, answer["code"]) == (404, "dag.damaged")
        assert first.call("GET", f"/dag/blocks/{cid}")[0] == 404
        assert first.ask("POST", "/dag/meta", {"cid": str(cid)})["damaged"] is True
    assert first.call("GET", "/dag/verify")[1]["ok"] is False
    assert metric(first, "icn_dag_corrupt_blocks_total") == 2

    second.launch("--bootstrap-peers", first.p2p)
    wait_until("both to be mended", lambda: first.ask("GET", "/dag/status")["blocks_damaged"] == 0)
    assert metric(first, "icn_dag_mended_blocks_total") == 2
    assert _said(first, "dag", "verify", "--deep")["ok"] is True
    got = first.ask("POST", "/dag/get", {"cid": str(NAME)})
    assert got["data"] == base64_of(CONTENT)
    wait_until("a whole scan", lambda: _whole_scan(first))


@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_a_node_that_is_alone_has_them_from_its_own_backup(nodes: Nodes, tmp_path: Path, runs: bool) -> None:
    """And goes on with what no backup knows."""
    node, archive = nodes.start("a", "--set", "storage.scrub_interval=0"), tmp_path / "a.tar.gz"
    node.ask("POST", "/dag/put", {"data": base64_of(CONTENT), "pin": True})
    assert cli(node, "dag", "backup", "--output", str(archive)).code == 0
    node.ask("POST", "/dag/put", {"data": base64_of(b"newer"), "pin": True})
    signed = Cid.parse(node.ask("GET", "/dag/blocks?kind=signed&limit=1")["items"][0]["cid"])
    root = node.ask("GET", "/dag/root")["root"]
    node.stop()
    flip(node.folder / "dag.sqlite", NAME)
    flip(node.folder / "dag.sqlite", signed)
    if runs:
        node.launch()
        wait_until("a to be ready", lambda: node.is_ready)
        again = cli(node, "dag", "backup", "--output", str(tmp_path / "again.tar.gz"))
        assert again.code != 0
        assert not (tmp_path / "again.tar.gz").exists()
    place = () if runs else ("--offline", "--storage-path", str(node.folder / "dag.sqlite"))
    restored = cli(node, "dag", "restore", "--input", str(archive), "--deep", *place)
    assert restored.code == 0, restored.err
    if not runs:
        node.launch()
        wait_until("a to be ready", lambda: node.is_ready)
    assert _said(node, "dag", "verify", "--deep")["ok"] is True
    assert node.ask("POST", "/dag/get", {"cid": str(NAME)})["data"] == base64_of(CONTENT)
    assert node.ask("GET", "/dag/root")["root"] == root
    assert cli(node, "dag", "backup", "--output", str(tmp_path / "third.tar.gz")).code == 0


def _said(node: NodeProcess, *words: str) -> Any:
    ran = cli(node, *words, "--output", "json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def _whole_scan(node: NodeProcess) -> bool:
    scan = node.ask("GET", "/dag/status")["dag"]["scan"]
    return scan["last_finished_at"] is not None and scan["last_damaged"] == 0 and scan["last_blocks"] > 1


def test_an_export_of_one_node_is_an_import_of_another(nodes: Nodes) -> None:
    first, second = nodes.start("a", "--no-p2p"), nodes.start("b", "--no-p2p")
    first.ask("POST", "/dag/put", {"data": base64_of(CONTENT), "pin": True})
    file = first.folder / "out.car"
    sent = _said(first, "dag", "export", str(NAME), "-o", str(file))
    assert sent["blocks"] == 1
    taken = _said(second, "dag", "import", str(file), "--pin")
    assert (taken["new"], taken["refused"], taken["pinned"]) == (1, 0, [str(NAME)])
    everything = _said(first, "dag", "export", "-o", str(file))
    assert everything["blocks"] > 1
