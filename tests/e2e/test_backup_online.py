"""Backup of a node that is written to, and restore into a node that runs: real processes, `icn-cli`, files."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from support.processes import CLI, Nodes, Ran, clean_environment, cli, run

pytestmark = pytest.mark.slow

JSON = ("--output", "json", "dag")
MEMBER = str(SeedSigner(bytes(range(32))).did)
NOBODY = f"/ip4/127.0.0.1/tcp/9/p2p/{PeerId.of(SeedSigner(bytes(range(1, 33))).did)}"
LARGE = 7_000_000
LARGE_COUNT = 32
"""Of which the disk is known to have the first while the others are on their way."""


def offline(store: Path, *words: str) -> Ran:
    """A command on a store without a node."""
    where = ("--storage-backend", "sqlite", "--storage-path", str(store), "--data-dir", str(store.parent))
    return run(CLI, *JSON, *words, "--offline", *where, cwd=store.parent)


def told(ran: Ran) -> Any:
    assert ran.code == 0, ran.err
    return ran.json()


def put(node: NodeProcess, data: bytes, **more: Any) -> str:
    cid: str = node.ask("POST", "/dag/put", {"data": base64_of(data), **more})["cid"]
    return cid


def lived(node: NodeProcess, blocks: int = 5) -> None:
    """Signed blocks, and content of every kind of life."""
    node.call("POST", "/account/open", {"did": MEMBER})
    for _ in range(blocks):
        node.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1})
    put(node, b"pinned", pin=True)
    put(node, b"for a while", ttl_seconds=1_000_000)
    put(node, b"as long as it is kept")


def life(node: NodeProcess, data: bytes) -> Any:
    """Pin and end of content, as the node has it."""
    listed = node.ask("GET", "/dag/blocks?limit=100")["items"]
    (found,) = [item for item in listed if item["size"] == len(data)]
    meta = node.ask("POST", "/dag/meta", {"cid": found["cid"]})
    return meta["pinned"], meta["expires_at"]


def root(node: NodeProcess) -> str:
    text: str = node.ask("GET", "/dag/root")["root"]
    return text


def twin(nodes: Nodes, node: NodeProcess, name: str, *flags: str) -> NodeProcess:
    """Another node with the same key, not started."""
    made = nodes.make(name, *flags)
    made.folder.mkdir()
    for path in node.folder.iterdir():
        if path.is_file() and "key" in path.name:
            shutil.copy(path, made.folder)
    return made


@contextmanager
def written_to(node: NodeProcess) -> Iterator[None]:
    """Somebody writes all the time."""
    ending = threading.Event()
    wrote = threading.Event()

    def write() -> None:
        number = 0
        while not ending.is_set():
            number += 1
            put(node, b"written meanwhile %d" % number)
            node.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1})
            wrote.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert wrote.wait(30)
        yield
    finally:
        ending.set()
        thread.join()


@pytest.fixture(scope="module")
def large(module_nodes: Nodes) -> NodeProcess:
    """A node that has much, and does not run."""
    node = module_nodes.start("large", "--no-p2p")
    for number in range(LARGE_COUNT):
        put(node, number.to_bytes(4, "big") + os.urandom(LARGE))
    assert node.stop()[0] == 0
    return node


def copy_of(node: NodeProcess, nodes: Nodes) -> NodeProcess:
    """A node that runs, and has what `node` had: its key, its store, and its mark beside them."""
    made = nodes.make("node", "--no-p2p")
    shutil.copytree(node.folder, made.folder)
    shutil.copy(node.folder.with_name(f"{node.name}.head"), made.folder.with_name(f"{made.name}.head"))
    return made.start()


def backing_up(node: NodeProcess, archive: Path) -> subprocess.Popen[str]:
    """A backup of much that has come so far that it can be gone on with, and stands still there."""
    began = subprocess.Popen(
        [str(CLI), *JSON, "backup", "--output", str(archive)],
        env=clean_environment(ICN_NODE_URL=f"http://{node.http}", ICN_API_KEY=node.api_key),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def noted() -> bool:
        return any(path.read_bytes().count(b"\n") > 1 for path in archive.parent.glob("*.parts"))

    wait_until("parts on disk", noted)
    began.send_signal(signal.SIGSTOP)
    return began


def test_a_node_that_is_written_to_is_backed_up_as_of_one_moment(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node", "--no-p2p")
    lived(node)
    archive, folder, step = tmp_path / "dag.tar.gz", tmp_path / "dag", tmp_path / "step.tar.gz"
    with written_to(node):
        made = told(cli(node, *JSON, "backup", "--output", str(archive)))
        told(cli(node, *JSON, "backup", "--path", str(folder)))
        since_last = told(cli(node, *JSON, "backup", "--incremental", "--output", str(step)))
    assert (made["archive"], made["kind"], since_last["kind"]) == (str(archive), "full", "incremental")
    for place in (archive, folder, step):
        assert cli(node, "dag", "verify", str(place), "--deep").code == 0
    assert node.ask("GET", "/dag/root")["blocks"] > made["blocks"]
    for name, places in (("one", [archive]), ("two", [folder]), ("three", [folder, step])):
        store = tmp_path / f"{name}.sqlite"
        inputs = [word for place in places for word in ("--input", str(place))]
        restored = told(offline(store, "restore", *inputs, "--deep"))
        assert restored["findings"] == 0
        if name == "one":
            assert (restored["root"], restored["blocks"]) == (made["root"], made["blocks"])
        if name == "three":
            assert restored["root"] == since_last["root"]


def test_a_backup_whose_command_was_killed_is_gone_on_with(nodes: Nodes, large: NodeProcess, tmp_path: Path) -> None:
    node = copy_of(large, nodes)
    archive = tmp_path / "dag.tar.gz"
    began = backing_up(node, archive)
    began.kill()
    began.communicate()
    assert not archive.exists()
    lived(node)
    done = told(cli(node, *JSON, "backup", "--output", str(archive)))
    assert done["parts_kept"] > 0
    assert cli(node, "dag", "verify", str(archive), "--deep").code == 0
    assert told(offline(tmp_path / "there.sqlite", "restore", "--input", str(archive)))["root"] == root(node)


def test_a_node_killed_in_the_middle_of_a_backup_is_told_and_gone_on_with(
    nodes: Nodes, large: NodeProcess, tmp_path: Path
) -> None:
    node = copy_of(large, nodes)
    archive = tmp_path / "dag.tar.gz"
    began = backing_up(node, archive)
    node.kill()
    began.send_signal(signal.SIGCONT)
    _, said = began.communicate()
    assert (began.returncode, "ended before its end" in said, "Repeat the command" in said) == (3, True, True), said
    assert not archive.exists()
    node.start()
    done = told(cli(node, *JSON, "backup", "--output", str(archive)))
    assert done["parts_kept"] > 0
    assert cli(node, "dag", "verify", str(archive), "--deep").code == 0


def test_a_reader_that_stands_still_does_not_keep_the_node_from_stopping(
    nodes: Nodes, large: NodeProcess, tmp_path: Path
) -> None:
    node = copy_of(large, nodes)
    began = backing_up(node, tmp_path / "dag.tar.gz")
    try:
        assert node.stop()[0] == 0
    finally:
        began.kill()
        began.communicate()


def test_a_node_that_lost_nothing_gets_nothing(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node", "--no-p2p")
    lived(node)
    archive = tmp_path / "dag.tar.gz"
    made = told(cli(node, *JSON, "backup", "--output", str(archive)))
    before = root(node)
    tried = told(cli(node, *JSON, "restore", "--input", str(archive), "--dry-run"))
    assert (tried["blocks_to_add"], tried["content_to_add"], tried["blocks_known"]) == (0, 0, made["blocks"])
    done = told(cli(node, *JSON, "restore", "--input", str(archive), "--deep"))
    assert (done["blocks_new"], done["content_new"], done["refused"], done["findings"]) == (0, 0, 0, 0)
    assert (done["blocks_known"], done["content_known"], done["root"]) == (made["blocks"], 3, before)
    assert "held" not in done
    lived(node)


def test_content_that_was_lost_comes_back_as_it_was_kept(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node", "--no-p2p")
    short = put(node, b"short-lived", ttl_seconds=1)
    lived(node)
    archive = tmp_path / "dag.tar.gz"
    kept = put(node, b"once pinned only", pin=True)
    told(cli(node, *JSON, "backup", "--output", str(archive)))
    node.ask("POST", "/dag/unpin", {"cid": kept})
    wait_until("the end of a lifetime", lambda: node.ask("POST", "/dag/prune", {})["removed"])
    assert node.call("POST", "/dag/meta", {"cid": short})[0] == 404
    done = told(cli(node, *JSON, "restore", "--input", str(archive)))
    assert (done["content_new"], done["refused"]) == (1, 0)
    assert node.ask("POST", "/dag/meta", {"cid": kept})["pinned"] is False


def test_a_running_node_without_its_store_gets_it_back_and_is_held_until_it_is_released(
    nodes: Nodes, tmp_path: Path
) -> None:
    node = nodes.start("node", "--no-p2p")
    lived(node)
    archive, step = tmp_path / "dag.tar.gz", tmp_path / "step.tar.gz"
    made = told(cli(node, *JSON, "backup", "--output", str(archive)))
    lived(node, 2)
    pinned_later = put(node, b"pinned in the second backup")
    node.ask("POST", "/dag/pin", {"cid": pinned_later})
    more = told(cli(node, *JSON, "backup", "--incremental", "--output", str(step)))
    lives = {data: life(node, data) for data in (b"pinned", b"for a while", b"pinned in the second backup")}
    assert lives[b"pinned"][0]
    assert lives[b"for a while"][1]
    before = root(node)
    assert node.stop()[0] == 0

    fresh = twin(nodes, node, "fresh", "--bootstrap-peers", NOBODY)
    fresh.launch()
    wait_until("its address", lambda: fresh.http)
    wait_until("an answer", lambda: fresh.call("GET", "/health")[0] == 200)
    assert fresh.did == node.did
    both = ("--input", str(step), "--input", str(archive))
    tried = told(cli(fresh, *JSON, "restore", *both, "--dry-run"))
    assert tried["blocks_to_add"] == made["blocks"] + more["blocks"]
    assert fresh.ask("GET", "/dag/root")["blocks"] == 0
    done = told(cli(fresh, *JSON, "restore", *both, "--deep"))
    assert (done["blocks_new"], done["refused"], done["findings"]) == (made["blocks"] + more["blocks"], 0, 0)
    assert (done["root"], root(fresh)) == (before, before)
    assert {data: life(fresh, data) for data in lives} == lives
    assert "--no-newer-blocks" in done["held"]
    status, refused = fresh.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 1})
    assert (status, refused["code"]) == (503, "node.held")
    again = told(cli(fresh, *JSON, "restore", *both, "--no-newer-blocks"))
    assert (again["blocks_new"], again["content_new"], "held" in again) == (0, 0, False)
    lived(fresh)
    assert fresh.stop()[0] == 0


def test_what_is_not_this_nodes_is_refused_with_the_reason(nodes: Nodes, tmp_path: Path) -> None:
    node, stranger = nodes.start("node", "--no-p2p"), nodes.start("stranger", "--no-p2p")
    lived(node)
    archive = tmp_path / "dag.tar.gz"
    told(cli(node, *JSON, "backup", "--output", str(archive)))
    words = (*JSON, "restore", "--input", str(archive))
    foreign = cli(stranger, *words)
    assert (foreign.code, "archive.foreign" in foreign.err, node.did in foreign.err) == (1, True, True)
    other = cli(stranger, *words, "--as-new")
    assert (other.code, "of the federation" in other.err) == (1, True)
    refounded = twin(nodes, node, "refounded", "--no-p2p").start()
    other = cli(refounded, *words)
    assert (other.code, "of the federation" in other.err) == (1, True)
    named = cli(node, *words, "--storage-path", str(tmp_path / "there.sqlite"))
    assert (named.code, "--offline" in named.err, (tmp_path / "there.sqlite").exists()) == (1, True, False)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    before = root(node)
    damaged = cli(node, *words)
    assert (damaged.code, root(node)) == (1, before)
    assert "archive.damaged" in damaged.err


def test_a_member_takes_another_members_history_as_its_peers(nodes: Nodes, tmp_path: Path) -> None:
    node = nodes.start("node")
    lived(node)
    archive = tmp_path / "dag.tar.gz"
    told(cli(node, *JSON, "backup", "--output", str(archive)))
    member = nodes.make("member", "--bootstrap-peers", NOBODY)
    member.launch()
    wait_until("its address", lambda: member.http)
    wait_until("an answer", lambda: member.call("GET", "/health")[0] == 200)
    words = ("restore", "--input", str(archive))
    assert cli(member, *JSON, *words).code == 1
    done = told(cli(member, *JSON, *words, "--as-new"))
    assert (done["refused"], done["findings"], "held" in done) == (0, 0, False)
    heads = {head["author"] for head in member.ask("GET", "/dag/root")["heads"]}
    assert node.did in heads
