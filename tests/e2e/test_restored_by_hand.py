"""A copy of a node's data directory put back by hand: held, caught up, going on; or held until the operator's word."""

import shutil
from pathlib import Path

import pytest
from node_process import NodeProcess, wait_until

from icn.kernel.signing import SeedSigner
from support.processes import Nodes, cli, same_root, wait_until_known

pytestmark = pytest.mark.slow

MEMBER = str(SeedSigner(b"f" * 32).did)
TERMS = ("--set", "federation.initial_grant=100000", "--set", "federation.mana_cap=100000")


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Flags of a backend that keeps its data in the node's folder; they overrule those of `NodeProcess`."""
    return ("--storage-backend", str(request.param))


def copied(node: NodeProcess, to: Path) -> Path:
    """A copy of everything in the node's folder, made while it does not run."""
    return Path(shutil.copytree(node.folder, to))


def put_back(node: NodeProcess, copy: Path) -> None:
    shutil.rmtree(node.folder)
    shutil.copytree(copy, node.folder)


def checks(node: NodeProcess) -> dict[str, bool]:
    return {name: check["ok"] for name, check in node.call("GET", "/ready")[1]["checks"].items()}


def is_held(node: NodeProcess) -> bool:
    return any('"event": "held"' in line or '"event":"held"' in line for line in list(node.log))


def equivocations(nodes: list[NodeProcess]) -> list[str]:
    return [line for node in nodes for line in node.log if "signed two blocks" in line]


def pay(node: NodeProcess, key: str) -> tuple[int, dict[str, object]]:
    status, answer = node.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key=key)
    return status, answer


def three(nodes: Nodes, backend: tuple[str, ...]) -> list[NodeProcess]:
    """A federation of three admitted nodes."""
    home = nodes.start("a", *TERMS, *backend)
    others = [nodes.make(name, "--bootstrap-peers", home.p2p, *backend) for name in ("b", "c")]
    for node in others:
        node.launch()
    for node in others:
        wait_until(f"{node.name} to say who it is", lambda node=node: node.did)
        wait_until_known(home, node)
        assert cli(home, "federation", "admit", node.did).code == 0
    home.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    found = [home, *others]
    wait_until("agreement", lambda: same_root(found))
    return found


def test_a_copy_put_back_catches_up_with_its_own_feed_before_it_writes(nodes: Nodes, backend: tuple[str, ...]) -> None:
    found = three(nodes, backend)
    home = found[0]
    assert home.stop()[0] == 0
    copy = copied(home, nodes.folder / "copy")
    home.start()
    done = [pay(home, f"pay-{number}") for number in range(5)]
    assert [status for status, _ in done] == [200] * 5
    wait_until("agreement", lambda: same_root(found))
    blocks = home.ask("GET", "/dag/root")["blocks"]
    home.kill()
    put_back(home, copy)

    home.launch()
    wait_until("it to say that it is held", lambda: is_held(home))
    wait_until("it to be released", lambda: home.is_ready)
    wait_until("agreement", lambda: same_root(found))
    assert home.ask("GET", "/dag/root")["blocks"] >= blocks
    balance = home.ask("GET", f"/account/{MEMBER}/mana")["balance"]
    status, problem = pay(home, "pay-3")
    assert (status, problem["code"]) == (409, "request.answer_lost"), "what was done is not done again"
    assert pay(home, "pay-new")[0] == 200
    assert home.ask("GET", f"/account/{MEMBER}/mana")["balance"] == balance + 1
    wait_until("agreement", lambda: same_root(found))
    assert equivocations(found) == []
    assert all(node.ask("GET", "/dag/verify?deep=true")["ok"] for node in found)


def test_a_copy_that_nobody_can_complete_is_held_until_the_operators_word(
    nodes: Nodes, backend: tuple[str, ...]
) -> None:
    home = nodes.start("a", *TERMS, *backend)
    home.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    assert home.stop()[0] == 0
    copy = copied(home, nodes.folder / "copy")
    home.start()
    assert pay(home, "lost")[0] == 200
    assert home.stop()[0] == 0
    put_back(home, copy)

    home.launch()
    wait_until("it to say that it is held", lambda: is_held(home))
    status, ready = home.call("GET", "/ready")
    assert (status, ready["ready"]) == (503, False)
    assert [name for name, ok in checks(home).items() if not ok] == ["authoring"]
    status, problem = pay(home, "refused")
    assert (status, problem["code"]) == (503, "node.held")
    assert "icn-cli dag resume --no-newer-blocks" in problem["detail"]
    assert "head mark" in home.ask("GET", "/status")["writer"]["held"]
    assert "held" in cli(home, "info").out
    assert b"icn_authoring_held 1.0" in home.ask("GET", "/metrics")

    assert cli(home, "dag", "resume").code == 2, "the word must be given"
    assert home.call("POST", "/admin/resume", {"no_newer_blocks": False})[0] == 422
    home.kill()
    home.launch()
    wait_until("it to be held again", lambda: sum('"held"' in line for line in list(home.log)) >= 2)
    told = cli(home, "dag", "resume", "--no-newer-blocks")
    assert told.code == 0, told.err
    wait_until("readiness", lambda: home.call("GET", "/ready")[0] == 200)
    assert pay(home, "refused")[0] == 200
    assert home.stop()[0] == 0
    home.start()
    assert home.call("GET", "/ready")[0] == 200, "the word is kept"
    assert b"icn_authoring_held 0.0" in home.ask("GET", "/metrics")
