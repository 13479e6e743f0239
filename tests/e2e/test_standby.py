"""One author per store: a second process is refused, or stands by and takes over when the first is gone."""

import signal

import pytest
from node_process import NodeError, NodeProcess, base64_of, wait_until

from icn.kernel.signing import SeedSigner
from support.processes import Nodes

pytestmark = pytest.mark.slow

MEMBER = str(SeedSigner(b"m" * 32).did)
TAKEOVERS = 3


def on_store_of(nodes: Nodes, name: str, first: NodeProcess, *flags: str) -> NodeProcess:
    """Another process on the same data, with listeners of its own."""
    node = NodeProcess(name, first.folder, *flags)
    nodes.started.append(node)
    return node


def stand_by(nodes: Nodes, name: str, first: NodeProcess) -> NodeProcess:
    node = on_store_of(nodes, name, first, "--standby")
    node.launch()
    wait_until(f"{name} to stand by", lambda: any('"standing by"' in line for line in list(node.log)))
    return node


def test_a_store_in_use_is_one_clear_line(nodes: Nodes) -> None:
    first = nodes.start("first")
    assert first.process is not None
    second = on_store_of(nodes, "second", first)
    with pytest.raises(NodeError):
        second.start()
    assert second.process is not None
    assert second.process.returncode not in {0, None}
    said = [line for line in second.log if not line.startswith("{")]
    assert len(said) == 1, second.log
    assert "in use by process" in said[0]
    assert str(first.process.pid) in said[0]
    assert str(first.folder / "dag.sqlite") in said[0]
    assert first.ask("GET", "/ready")["ready"]


def test_a_standby_takes_over_each_time_the_author_is_killed(nodes: Nodes) -> None:
    author = nodes.start("author-0")
    author.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    did = author.did
    answers = {}
    for number in range(TAKEOVERS):
        body = {"to": MEMBER, "amount": 1 + number}
        answers[f"pay-{number}"] = (body, author.ask("POST", "/mana/transfer", body, key=f"pay-{number}"))
        standby = stand_by(nodes, f"author-{number + 1}", author)
        assert standby.call("GET", "/health") == (200, {"status": "ok"})
        code, ready = standby.call("GET", "/ready")
        assert (code, ready["ready"]) == (503, False)
        assert any("another process" in reason for reason in ready["reasons"]), ready
        code, problem = standby.call("POST", "/mana/transfer", body, key=f"pay-{number}")
        assert (code, problem["code"]) == (503, "store.unavailable")
        assert standby.call("POST", "/dag/put", {"data": base64_of(b"x")})[0] == 503
        assert standby.call("GET", "/status")[0] == 503
        assert standby.call("GET", "/network/peers")[1] == {"items": [], "dialing": [], "services": []}
        root = author.ask("GET", "/dag/root")["root"]
        author.kill()
        wait_until("the standby to be ready", lambda standby=standby: standby.call("GET", "/ready")[0] == 200)
        author = standby
        info = author.ask("GET", "/info")
        assert info["did"] == did
        assert author.p2p in info["listen"]["p2p"]
        assert author.ask("GET", "/dag/root")["root"] == root
        for key, (body, answer) in answers.items():
            assert author.ask("POST", "/mana/transfer", body, key=key) == answer
    balance = author.ask("GET", f"/account/{MEMBER}/mana")["balance"]
    granted = author.ask("GET", "/federation/status")["policy"]["initial_grant"]
    assert balance == granted + sum(range(1, TAKEOVERS + 1)), "each payment was made once"
    assert author.ask("GET", "/dag/verify?deep=true")["ok"]


def test_a_standby_takes_over_from_an_author_that_stops_and_stops_itself_when_told(nodes: Nodes) -> None:
    author = nodes.start("author")
    standby = stand_by(nodes, "standby", author)
    other = stand_by(nodes, "other", author)
    assert other.process is not None
    other.process.send_signal(signal.SIGTERM)
    assert other.process.wait(5) == 0, "a standby that waits can be stopped"
    assert author.stop()[0] == 0
    wait_until("the standby to be ready", lambda: standby.call("GET", "/ready")[0] == 200)
    assert standby.ask("GET", "/info")["did"] == author.did
