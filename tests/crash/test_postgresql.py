"""SIGKILL of the author among replicas on one PostgreSQL, under load: nothing acknowledged is lost, nothing forks.

The clients' own log of answers is the judge. A request whose answer never came is asked again with its key, of whoever
is the author by then, until it is answered: so each is in the log once, and must have had its effect once.
"""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, wait_until

from icn.kernel.signing import SeedSigner
from icn.services.verify import verify
from icn.stores import blocks
from support import postgres
from support.postgres_nodes import Replicas, author_of, is_ready, stands_by
from support.processes import Nodes
from support.stores import open_postgres

REPLICAS = 3
CLIENTS = 4
FLAGS = (*("--no-p2p", "--set", "federation.initial_grant=10000000", "--set", "federation.mana_cap=10000000"),)
MEMBERS = [str(SeedSigner(bytes([number]) * 32).did) for number in range(1, 5)]
LOAD_SECS_MAX = 0.5


class Clients:
    """Callers who go to whoever is the author."""

    def __init__(self, author: NodeProcess) -> None:
        self.author = author
        self.answered: dict[str, tuple[str, int, dict[str, Any]]] = {}
        """Request key to receiver, amount and answer."""
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    def run(self, seed: int) -> None:
        """One of them, until told to stop; the request under way is brought to its end."""
        rng = random.Random(seed)
        number = 0
        while not self.stopping.is_set():
            number += 1
            body = {"to": rng.choice(MEMBERS), "amount": rng.randrange(1, 5)}
            key = f"{seed}-{number}"
            answer = wait_until(f"an answer to {key}", lambda key=key, body=body: self._try(key, body), 60)
            with self._lock:
                self.answered[key] = (body["to"], body["amount"], answer)

    def _try(self, key: str, body: dict[str, Any]) -> dict[str, Any] | None:
        try:
            code, answer = self.author.call("POST", "/mana/transfer", body, key=key)
        except (OSError, HTTPException):
            return None
        assert code in {200, 201, 503}, answer
        return answer if code < 300 else None


def kill_the_author_many_times(nodes: Nodes, folder: Path, url: str, kills: int, seed: int) -> tuple[int, list[float]]:
    """The whole story; asserts as it goes. How many writes were acknowledged, and how long each take-over took."""
    rng = random.Random(seed)
    replicas = Replicas(nodes, folder, url, *FLAGS)
    author = replicas.start("replica-0")
    for number, member in enumerate(MEMBERS):
        author.ask("POST", "/account/open", {"did": member}, key=f"open-{number}")
    running = [author, *(replicas.stand_by(f"replica-{number}") for number in range(1, REPLICAS))]
    clients = Clients(author)
    take_overs = []
    with ThreadPoolExecutor(CLIENTS) as threads:
        asking = [threads.submit(clients.run, seed * 1000 + number) for number in range(CLIENTS)]
        try:
            for _kill in range(kills):
                clients.stopping.wait(rng.uniform(0.05, LOAD_SECS_MAX))  # how long the author may live under load
                clients.author.kill()
                begun = time.monotonic()
                others = [node for node in running if node is not clients.author]
                killed, clients.author = clients.author, author_of(others)
                take_overs.append(time.monotonic() - begun)
                killed.launch()
                wait_until("the killed one to stand by", lambda killed=killed: stands_by(killed), 60)
                assert sum(is_ready(node) for node in running) <= 1, "one author"
        finally:
            clients.stopping.set()
    for each in asking:
        each.result()
    check(clients, running)
    for node in running:
        assert node.stop()[0] == 0
    check_feed(url)
    return len(clients.answered), take_overs


def check(clients: Clients, running: list[NodeProcess]) -> None:
    """The clients' log against what the author serves."""
    author = clients.author
    assert len({answer["transfer"] for _, _, answer in clients.answered.values()}) == len(clients.answered)
    sent: Counter[str] = Counter()
    for receiver, amount, _ in clients.answered.values():
        sent[receiver] += amount
    for member in MEMBERS:
        balance = author.ask("GET", f"/account/{member}/mana")["balance"]
        assert balance == 10_000_000 + sent[member], "each acknowledged transfer arrived once, and no other"
    for block in {answer["block"] for _, _, answer in list(clients.answered.values())[-200:]}:
        assert author.ask("GET", f"/dag/blocks/{block}")
    assert author.ask("GET", "/mana/supply")["balanced"]


def check_feed(url: str) -> None:
    """One block per author and number, and the whole store follows from its blocks."""
    store = open_postgres(url)
    report = verify(store, deep=True)
    assert report.ok, report.findings
    places = [blocks.get_meta(store, cid).place for _, cid in blocks.journal(store)]
    assert places
    assert len({place.author for place in places}) == 1
    assert sorted(place.sequence for place in places) == list(range(len(places)))
    store.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Any:
    made = Nodes(tmp_path)
    yield made
    made.end()


@pytest.mark.slow
def test_no_kill_of_the_author_loses_an_acknowledged_write(nodes: Nodes, tmp_path: Path) -> None:
    url = postgres.cluster().url_of_new_schema()
    acknowledged, _ = kill_the_author_many_times(nodes, tmp_path / "shared", url, kills=1, seed=1)
    assert acknowledged > 20


@pytest.mark.long
def test_no_kill_of_a_hundred_loses_an_acknowledged_write(
    nodes: Nodes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.cluster().url_of_new_schema()
    acknowledged, secs = kill_the_author_many_times(nodes, tmp_path / "shared", url, kills=100, seed=2)
    secs.sort()
    with capsys.disabled():
        print(
            f"\n100 SIGKILLs of the author: {acknowledged} transfers acknowledged, 0 lost; take-over "
            f"p50 {secs[49]:.2f} s, p99 {secs[98]:.2f} s, max {secs[-1]:.2f} s"
        )
