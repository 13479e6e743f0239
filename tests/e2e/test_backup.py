"""Backup and restore as an operator does them: a real node, `icn-cli`, files; through the node and on the store."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from node_process import NodeProcess, base64_of

from support.processes import CLI, Nodes, Ran, cli, ended_job, run

pytestmark = pytest.mark.slow

ECHO = {"input_base64": base64_of(b"hello"), "max_price": 200}


def offline(store: Path, *words: str, cwd: Path) -> Ran:
    """A command on a store without a node."""
    return run(CLI, *words, "--offline", "--storage-backend", "sqlite", "--storage-path", str(store), cwd=cwd)


def told(ran: Ran) -> dict:
    assert ran.code == 0, ran.err
    return ran.json()


def store_of(node: NodeProcess) -> Path:
    (found,) = node.folder.rglob("*.sqlite")
    return found


def lived(node: NodeProcess) -> str:
    """Something happens; the CID of pinned content."""
    cid: str = node.ask("POST", "/dag/put", {"data": base64_of(b"precious"), "pin": True})["cid"]
    ended_job(node, node.ask("POST", "/mesh/submit", ECHO)["job_id"])
    return cid


def test_a_node_is_backed_up_while_it_runs_lost_and_brought_back(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node")
    cid = lived(node)
    archive = tmp_path / "dag.tar.gz"
    made = told(cli(node, "--output", "json", "dag", "backup", "--output", str(archive)))
    assert made["kind"] == "full"
    later = node.ask("POST", "/dag/put", {"data": base64_of(b"later"), "pin": False})["cid"]
    since_last = tmp_path / "inc.tar.gz"
    step = told(cli(node, "--output", "json", "dag", "backup", "--incremental", "--output", str(since_last)))
    assert (step["kind"], step["content"]) == ("incremental", 1)
    verified = cli(node, "dag", "verify", str(archive), "--deep")
    assert verified.code == 0, verified.err
    root = node.ask("GET", "/dag/root")["root"]
    supply = node.ask("GET", "/mana/supply")
    assert node.stop()[0] == 0

    for path in node.folder.rglob("*.sqlite*"):
        path.unlink()
    where = ("--data-dir", str(node.folder / "icn_data")) if (node.folder / "icn_data").exists() else ()
    store = node.folder / "restored.sqlite"
    tried = offline(store, "dag", "restore", "--input", str(since_last), *where, cwd=node.folder)
    assert (tried.code, "needs the full one" in tried.err) == (1, True)
    both = ("--input", str(since_last), "--input", str(archive))
    dry = offline(store, "--output", "json", "dag", "restore", *both, "--dry-run", *where, cwd=node.folder)
    assert told(dry)["blocks_to_add"] == made["blocks"] + step["blocks"]
    assert not list(node.folder.glob("restored.sqlite*")), "nothing is made by trying"
    restored = offline(
        store, "--output", "json", "dag", "restore", *both, "--no-newer-blocks", "--deep", *where, cwd=node.folder
    )
    assert told(restored)["root"] == root
    assert told(restored)["findings"] == 0

    node.start("--storage-path", str(store))
    assert node.ask("POST", "/dag/get", {"cid": cid})["data"] == base64_of(b"precious")
    assert node.ask("POST", "/dag/get", {"cid": later})["data"] == base64_of(b"later")
    assert node.ask("GET", "/mana/supply")["minted"] >= supply["minted"]
    lived(node)
    again = told(cli(node, "--output", "json", "dag", "restore", *both))
    assert (again["blocks_new"], again["content_new"]) == (0, 0)
    assert node.stop()[0] == 0


def test_the_guides_commands_work_on_a_store_without_its_node(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node")
    lived(node)
    assert node.stop()[0] == 0
    store = store_of(node)
    for words in (["--path", str(tmp_path / "folder")], ["--output", str(tmp_path / "dag.tar.gz")]):
        assert offline(store, "dag", "backup", *words, cwd=tmp_path).code == 0
    dated = ["--incremental", "--since", "2024-01-01", "--output", str(tmp_path / "since.tar.gz")]
    assert offline(store, "dag", "backup", *dated, cwd=tmp_path).code == 0
    again = offline(store, "dag", "backup", "--output", str(tmp_path / "dag.tar.gz"), cwd=tmp_path)
    assert (again.code, "--replace" in again.err) == (1, True)
    there = tmp_path / "there.sqlite"
    assert offline(there, "dag", "restore", "--path", str(tmp_path / "folder"), cwd=tmp_path).code == 0
    damaged = bytearray((tmp_path / "dag.tar.gz").read_bytes())
    damaged[len(damaged) // 3] ^= 1
    (tmp_path / "dag.tar.gz").write_bytes(damaged)
    found = offline(there, "--output", "json", "dag", "verify", str(tmp_path / "dag.tar.gz"), cwd=tmp_path)
    assert found.code == 5
    assert found.json()["findings_total"] == len(found.json()["findings"]) == 1


@pytest.mark.skipif(shutil.which("tar") is None or shutil.which("jq") is None, reason="tar or jq is not installed")
def test_tar_and_jq_read_an_archive(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node")
    lived(node)
    archive = tmp_path / "dag.tar.gz"
    assert cli(node, "dag", "backup", "--output", str(archive)).code == 0
    listed = subprocess.run(["tar", "tzf", archive], check=True, capture_output=True, text=True).stdout.split()
    assert listed[0] == "blocks/000001.car"
    assert listed[-1] == "manifest.json"
    manifest = subprocess.run(["tar", "xzOf", archive, "manifest.json"], check=True, capture_output=True).stdout
    picked = subprocess.run(["jq", "-r", ".parts[].name"], input=manifest, check=True, capture_output=True)
    assert picked.stdout.decode().split() == listed[:-1]
    sums = "".join(f"{part['sha256']}  {part['name']}\n" for part in json.loads(manifest)["parts"])
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path], check=True)
    subprocess.run(["sha256sum", "--check", "--quiet"], input=sums.encode(), check=True, cwd=tmp_path)


def test_a_backup_that_met_a_full_disk_leaves_nothing_behind_and_is_done_again(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node")
    for number in range(24):
        data = number.to_bytes(4, "big") + os.urandom(7_000_000)
        node.ask("POST", "/dag/put", {"data": base64_of(data), "pin": False})
    archive = tmp_path / "dag.tar.gz"
    # The largest file that the command may write stands for the disk: 150 MB of 168.
    limited = run(
        Path("/bin/sh"),
        *("-c", f'ulimit -f 300000; exec "{CLI}" dag backup --output "{archive}"'),
        env={"ICN_NODE_URL": f"http://{node.http}", "ICN_API_KEY": node.api_key},
    )
    assert (limited.code, "File too large" in limited.err) == (6, True), limited.err
    assert not list(tmp_path.glob("dag*"))
    assert told(cli(node, "--output", "json", "dag", "backup", "--output", str(archive)))["content"] >= 24
    assert not list(tmp_path.glob("*.partial*"))
    assert cli(node, "dag", "verify", str(archive), "--deep").code == 0
