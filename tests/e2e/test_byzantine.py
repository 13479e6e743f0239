"""Three honest nodes and a member that is against them: they serve, stay equal and lose nothing, and say who it was."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.kernel.ids import RAW, Cid
from support import byzantine
from support.federations import (
    TERMS,
    Writer,
    acknowledged,
    admit,
    check_nothing_lost,
    metric,
    settled,
    writers,
    writing,
)
from support.pages import ROOT
from support.processes import Nodes, clean_environment

pytestmark = pytest.mark.slow

SECONDS = 2
PROGRAM_SECS_MAX = 60.0
DROPPED = "icn_p2p_peers_dropped_total"
EXECUTES_NOTHING = ("--set", "performance.max_concurrent_jobs=0")
WRITES_MIN = 5
"""Of every node, while it is under attack; an attack lasts longer than so many take on a slow machine."""
NOBODY_HAS_IT = Cid.of(b"nobody ever stored this", RAW)
CONTENT = b"what an honest node has\n"


@pytest.fixture(scope="module")
def three(module_nodes: Nodes) -> list[NodeProcess]:
    first = module_nodes.make("a", *TERMS, *EXECUTES_NOTHING).start()
    second = module_nodes.make("b", "--bootstrap-peers", first.p2p, *EXECUTES_NOTHING).start()
    both = f"{first.p2p},{second.p2p}"
    found = [first, second, module_nodes.make("c", "--bootstrap-peers", both, *EXECUTES_NOTHING).start()]
    admit(found, found[1:])
    return found


@pytest.fixture(scope="module")
def people(three: list[NodeProcess]) -> list[Writer]:
    return writers(three)


class Attack:
    """The program, while it runs and after."""

    def __init__(self, behaviour: str, nodes: list[NodeProcess]) -> None:
        self.dropped_before = dropped(nodes)
        words = [sys.executable, "-m", byzantine.__name__, behaviour, str(SECONDS), *(node.p2p for node in nodes)]
        self._process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(PYTHONPATH=f"{ROOT / 'tests'}:{ROOT / 'demo'}"),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate(timeout=PROGRAM_SECS_MAX)[1]
        self.peer = json.loads(line)["peer"]
        self.did = json.loads(line)["did"]

    def end(self) -> dict[str, Any]:
        """What it did, once it is over."""
        out, err = self._process.communicate(timeout=PROGRAM_SECS_MAX)
        assert self._process.returncode == 0, err
        told: dict[str, Any] = json.loads(out)
        return told

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def attack(three: list[NodeProcess], request: pytest.FixtureRequest) -> Iterator[Attack]:
    made = Attack(request.param, three)
    yield made
    made.kill()


def dropped(nodes: list[NodeProcess]) -> list[float]:
    return [metric(node, DROPPED) for node in nodes]


def reasons(node: NodeProcess, peer: str) -> list[str]:
    """Why the node let this peer go, by its log."""
    told = [json.loads(line) for line in list(node.log) if '"peer dropped"' in line and peer in line]
    return [line["reason"] for line in told]


def unharmed(three: list[NodeProcess], people: list[Writer]) -> None:
    wait_until("agreement", lambda: settled(three), 60.0)
    check_nothing_lost(three, people, deep=False)
    for node in three:
        wait_until(f"{node.name} to be ready", lambda node=node: node.call("GET", "/ready")[0] == 200)
        assert node.ask("GET", "/status")["writer"]["held"] is None
        assert not [line for line in node.log if '"level": "critical"' in line or "Traceback" in line]


@pytest.mark.parametrize("attack", ["flood", "replay", "lies-about-heads"], indirect=True)
def test_honest_nodes_serve_and_agree_whatever_a_member_says(
    attack: Attack, three: list[NodeProcess], people: list[Writer]
) -> None:
    before = acknowledged(people)
    roots = len(three[0].ask("GET", "/federation/status")["members"])
    with writing(people):
        told = attack.end()
        after = acknowledged(people)
    assert told["sent"] > 0
    assert all(late - early >= WRITES_MIN for early, late in zip(before, after, strict=True)), (before, after)
    assert not any(writer.troubles for writer in people)
    unharmed(three, people)
    assert len(three[0].ask("GET", "/federation/status")["members"]) == roots


@pytest.mark.parametrize("attack", ["wrong-content"], indirect=True)
def test_who_sends_wrong_content_is_let_go_and_right_content_is_found(
    attack: Attack, three: list[NodeProcess], people: list[Writer]
) -> None:
    home, asking, _ = three
    home.ask("POST", "/dag/put", {"data": base64_of(CONTENT), "pin": True})
    status, answer = asking.call("POST", "/dag/get", {"cid": str(NOBODY_HAS_IT)})
    assert (status, answer["code"]) == (404, "dag.not_found")
    found = asking.ask("POST", "/dag/get", {"cid": str(Cid.of(CONTENT, RAW))})
    assert found["data"] == base64_of(CONTENT)
    told = attack.end()
    assert told["thrown_out"][1]
    assert reasons(asking, attack.peer) == ["content has the name it is sent under"]
    assert dropped(three)[1] == attack.dropped_before[1] + 1
    unharmed(three, people)


@pytest.mark.parametrize("attack", ["forged-blocks"], indirect=True)
def test_who_forges_blocks_is_let_go_by_everybody_and_gets_nothing(
    attack: Attack, three: list[NodeProcess], people: list[Writer]
) -> None:
    with writing(people):
        told = attack.end()
    assert told["thrown_out"] == [True, True, True]
    found = [reasons(node, attack.peer) for node in three]
    assert "a block is signed by its author" in found[1], found
    for node, early in zip(three, attack.dropped_before, strict=True):
        assert reasons(node, attack.peer)
        assert metric(node, DROPPED) > early
    assert three[0].ask("GET", f"/account/{attack.did}/mana")["balance"] == 0, "its theft is worth nothing"
    unharmed(three, people)
