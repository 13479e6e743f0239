"""Replicas of one node on one PostgreSQL: one authors, the others stand by; and a server that goes away."""

import signal
from http.client import HTTPException

import pytest
from node_process import NodeProcess, wait_until

from icn.kernel.signing import SeedSigner
from support import postgres
from support.postgres_nodes import Replicas, is_ready
from support.postgres_proxy import Proxy
from support.processes import Nodes

pytestmark = pytest.mark.slow

MEMBER = str(SeedSigner(b"m" * 32).did)
FLAGS = ("--no-p2p", "--set", "mesh.bid_window_ms=50", "--set", "storage.scrub_interval=0")
"""Without the scan, whose commits of its own would be the ones that are cut."""


@pytest.fixture
def replicas(nodes: Nodes) -> Replicas:
    return Replicas(nodes, nodes.folder / "shared", postgres.cluster().url_of_new_schema(), *FLAGS)


def pay(node: NodeProcess, key: str, amount: int) -> dict:
    return node.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": amount}, key=key)


def succeeds(node: NodeProcess, key: str, amount: int) -> bool:
    try:
        return node.call("POST", "/mana/transfer", {"to": MEMBER, "amount": amount}, key=key)[0] < 300
    except (OSError, HTTPException):
        return False


def received(node: NodeProcess) -> int:
    granted = node.ask("GET", "/federation/status")["policy"]["initial_grant"]
    return node.ask("GET", f"/account/{MEMBER}/mana")["balance"] - granted


def test_a_standby_takes_over_from_an_author_that_is_killed_and_nothing_is_lost(replicas: Replicas) -> None:
    author = replicas.start("a")
    author.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    standby = replicas.stand_by("b")
    answer = pay(author, "one", 3)
    root = author.ask("GET", "/dag/root")["root"]
    author.kill()
    wait_until("the standby to be ready", lambda: is_ready(standby))
    assert standby.did == author.did
    assert standby.ask("GET", "/dag/root")["root"] == root
    assert pay(standby, "one", 3) == answer, "the same key gets the same answer"
    pay(standby, "two", 4)
    assert received(standby) == 7
    assert standby.ask("GET", "/dag/verify?deep=true")["ok"]


def test_a_standby_takes_over_at_once_from_an_author_that_stops(replicas: Replicas) -> None:
    author = replicas.start("a")
    standby = replicas.stand_by("b")
    assert author.stop()[0] == 0
    wait_until("the standby to be ready", lambda: is_ready(standby), 2.5)
    assert standby.stop()[0] == 0


def test_an_author_that_was_paused_cannot_write_after_the_take_over_and_ends(replicas: Replicas) -> None:
    paused = replicas.start("a")
    paused.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    pay(paused, "one", 3)
    standby = replicas.stand_by("b")
    assert paused.process is not None
    paused.process.send_signal(signal.SIGSTOP)
    wait_until("the standby to be ready", lambda: is_ready(standby))
    pay(standby, "two", 4)
    paused.process.send_signal(signal.SIGCONT)
    assert not succeeds(paused, "late", 50)
    assert paused.process.wait(10) == 6, "a supervisor starts it again, and it stands by"
    wait_until("its last words", lambda: any("store.fence_lost" in line for line in list(paused.log)))
    assert received(standby) == 7
    assert standby.ask("GET", "/dag/verify?deep=true")["ok"]


def test_an_idle_author_finds_out_that_it_no_longer_is_the_author(replicas: Replicas) -> None:
    paused = replicas.start("a")
    standby = replicas.stand_by("b")
    assert paused.process is not None
    paused.process.send_signal(signal.SIGSTOP)
    wait_until("the standby to be ready", lambda: is_ready(standby))
    paused.process.send_signal(signal.SIGCONT)
    assert paused.process.wait(10) == 6, "nobody asked it anything"


def test_a_node_outlives_crashes_of_its_database_and_loses_nothing(nodes: Nodes) -> None:
    with postgres.own_cluster() as server:
        node = Replicas(nodes, nodes.folder / "shared", server.url("postgres"), *FLAGS).start("a")
        node.ask("POST", "/account/open", {"did": MEMBER}, key="open")
        paid = 0
        for crash in range(3):
            for number in range(20):
                pay(node, f"{crash}-{number}", 1)
                paid += 1
            server.kill()
            code, problem = node.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key=f"{crash}-late")
            assert code == 503, problem
            code, ready = node.call("GET", "/ready")
            assert code == 503, ready
            server.start()
            wait_until("the node to be ready again", lambda: is_ready(node))
            pay(node, f"{crash}-late", 1)
            paid += 1
        assert received(node) == paid
        assert node.ask("GET", "/mana/supply")["balanced"]
        assert node.ask("GET", "/dag/verify?deep=true")["ok"]
        assert node.stop()[0] == 0


@pytest.mark.parametrize("forwarded", [False, True])
def test_a_commit_whose_answer_was_lost_happened_once_or_not_and_the_node_finds_out(
    nodes: Nodes, forwarded: bool
) -> None:
    server = postgres.cluster()
    database = server.new_database()
    with Proxy(server.port) as proxy:
        url = server.tcp_url(database).replace(f":{server.port}/", f":{proxy.port}/")
        node = Replicas(nodes, nodes.folder / "shared", url, *FLAGS).start("a")
        node.ask("POST", "/account/open", {"did": MEMBER}, key="open")
        for turn in range(3):
            proxy.cut_at(b"COMMIT\x00", forwarded=forwarded)
            assert not succeeds(node, f"pay-{turn}", 3)
            wait_until("the node to be ready again", lambda: is_ready(node))
            pay(node, f"pay-{turn}", 3)
            assert received(node) == 3 * (turn + 1), "once"
        assert node.ask("GET", "/dag/verify?deep=true")["ok"]
        assert node.stop()[0] == 0
