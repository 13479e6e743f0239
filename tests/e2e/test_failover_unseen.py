"""A database that goes back under a running node, as at a failover to a server that lagged behind: no fork, no loss."""

import psycopg
import pytest
from node_process import wait_until

from icn.kernel.signing import SeedSigner
from support import postgres
from support.postgres_nodes import OnDatabase, is_ready
from support.processes import Nodes, cli, same_root, wait_until_known

pytestmark = pytest.mark.slow

GRANT = 100_000
MEMBER = str(SeedSigner(b"d" * 32).did)
TABLES = ("icn_author", "icn_kv")
TERMS = ("--set", f"federation.initial_grant={GRANT}", "--set", f"federation.mana_cap={GRANT}")


def keep(url: str) -> None:
    """Note how the tables are now."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")


def go_back(url: str) -> None:
    """Make the tables what they were, at once, while the node's connections stay."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE icn_author IN ACCESS EXCLUSIVE MODE")
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")


def test_a_node_whose_database_goes_back_catches_up_before_it_signs(nodes: Nodes) -> None:
    cluster = postgres.cluster()
    url = cluster.url(cluster.new_database())
    home = OnDatabase("home", nodes.folder / "home", "--storage-backend", "postgresql", "--db-url", url, *TERMS)
    nodes.started.append(home)
    home.start()
    other = nodes.start("other", "--bootstrap-peers", home.p2p)
    wait_until_known(home, other)
    assert cli(home, "federation", "admit", other.did).code == 0
    home.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    keep(url)
    for number in range(5):
        home.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key=f"before-{number}")
    wait_until("agreement", lambda: same_root([home, other]))
    blocks = other.ask("GET", "/dag/root")["blocks"]
    go_back(url)

    status, _ = home.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key="behind")
    assert status == 503, "nothing is signed on top of what went back"
    wait_until("it to have its blocks again", lambda: is_ready(home) and same_root([home, other]))
    assert other.ask("GET", "/dag/root")["blocks"] >= blocks
    assert home.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key="behind")["block"]
    wait_until("agreement", lambda: same_root([home, other]))
    assert home.ask("GET", f"/account/{MEMBER}/mana")["balance"] == GRANT + 6
    assert not any("signed two blocks" in line for node in (home, other) for line in node.log)
