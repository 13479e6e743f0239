"""Three honest nodes and a member that signs two histories: all find it, show it, and go on without it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from node_process import NodeProcess, wait_until

from icn.services.evidence import read_evidence
from support import byzantine
from support.federations import TERMS, acknowledged, admit, check_nothing_lost, metric, settled, writers, writing
from support.pages import ROOT
from support.processes import CLI, Nodes, clean_environment, cli, run

pytestmark = pytest.mark.slow

SECONDS = 2
PROGRAM_SECS_MAX = 60.0
EXECUTES_NOTHING = ("--set", "performance.max_concurrent_jobs=0")


def proved_by(node: NodeProcess, author: str) -> list[str]:
    """Who has said at this node that the member forked."""
    items = node.ask("GET", "/dag/evidence")["items"]
    return [by for item in items if item["author"] == author for by in item["proved_by"]]


def test_a_member_that_signs_two_histories_is_found_shown_and_done_without(nodes: Nodes, tmp_path: Path) -> None:
    first = nodes.make("a", *TERMS, *EXECUTES_NOTHING).start()
    second = nodes.make("b", "--bootstrap-peers", first.p2p, *EXECUTES_NOTHING).start()
    both = f"{first.p2p},{second.p2p}"
    three = [first, second, nodes.make("c", "--bootstrap-peers", both, *EXECUTES_NOTHING).start()]
    admit(three, three[1:])
    people = writers(three)
    words = [sys.executable, "-m", byzantine.__name__, "two-histories", str(SECONDS), *(node.p2p for node in three)]
    before = acknowledged(people)
    with writing(people):
        told = subprocess.run(
            words,
            check=True,
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECS_MAX,
            env=clean_environment(PYTHONPATH=f"{ROOT / 'tests'}:{ROOT / 'demo'}"),
        )
        evil = json.loads(told.stdout.splitlines()[0])["did"]
        for node in three:
            wait_until(f"{node.name} to have three proofs", lambda node=node: len(proved_by(node, evil)) == len(three))
    assert all(late > early for early, late in zip(before, acknowledged(people), strict=True))
    assert json.loads(told.stdout.splitlines()[-1])["thrown_out"] == [True, True, True]
    wait_until("agreement", lambda: settled(three), 60.0)
    check_nothing_lost(three, people, deep=True)
    for node in three:
        assert metric(node, "icn_members_forked") == metric(node, "icn_members_forked_remaining") == 1
        found = node.ask("GET", "/events?type=equivocation")["items"]
        assert {event["author"] for event in found} == {one.did for one in three}
        assert not [line for line in node.log if '"level": "critical"' in line or "Traceback" in line]

    proof = tmp_path / "proof.car"
    exported = cli(second, "dag", "evidence", "export", "--author", evil, "-o", str(proof))
    assert exported.code == 0, exported.err
    for node in three[1:]:
        node.stop()
    alone = run(CLI, "dag", "evidence", "verify", str(proof), "--output", "json")
    assert alone.code == 0, alone.err
    assert alone.json()["author"] == evil == str(read_evidence(proof.read_bytes()).author)
    proof.write_bytes(proof.read_bytes()[:-3])
    assert run(CLI, "dag", "evidence", "verify", str(proof)).code == 5

    for node in three[1:]:
        node.start()
    wait_until("agreement after a restart", lambda: settled(three), 60.0)
    for node in three:
        assert len(proved_by(node, evil)) == len(three)
