"""A dump of the database put back under replicas that know nothing of it: none signs before it has caught up."""

import shutil
import subprocess
from pathlib import Path

import pytest
from node_process import NodeProcess, wait_until

from icn.kernel.signing import SeedSigner
from support import postgres
from support.postgres_nodes import OnDatabase, is_ready
from support.processes import Nodes, cli, same_root, wait_until_known, with_few_workers

pytestmark = pytest.mark.slow

MEMBER = str(SeedSigner(b"d" * 32).did)
TERMS = ("--set", "federation.initial_grant=100000", "--set", "federation.mana_cap=100000")


class Database:
    """One that is dumped and put back, by PostgreSQL's own programs."""

    def __init__(self, folder: Path) -> None:
        self._cluster = postgres.cluster()
        self._dump = folder / "dump.sql"
        self.name = self._cluster.new_database()
        programs = postgres.programs()
        if programs is None or not (programs / "pg_dump").exists():
            pytest.skip(postgres.ABSENT)
        self._programs = programs

    @property
    def url(self) -> str:
        return self._cluster.url(self.name)

    def dump(self) -> None:
        command = [str(self._programs / "pg_dump"), "--dbname", self.url, "--file", str(self._dump)]
        subprocess.run(command, check=True, capture_output=True)

    def put_back(self) -> None:
        """Into a new database of the same name, as an operator would."""
        self._cluster.run(f"DROP DATABASE {self.name} WITH (FORCE)")
        self._cluster.run(f"CREATE DATABASE {self.name}")
        command = [str(self._programs / "psql"), "--dbname", self.url, "--quiet", "--set", "ON_ERROR_STOP=1"]
        subprocess.run([*command, "--file", str(self._dump)], check=True, capture_output=True)


@pytest.fixture
def database(nodes: Nodes) -> Database:
    return Database(nodes.folder)


def replica(nodes: Nodes, name: str, database: Database, key_of: NodeProcess | None, *flags: str) -> NodeProcess:
    """A process with a data directory, and so with head marks, of its own; it has the node's key."""
    folder = nodes.folder / name
    folder.mkdir()
    if key_of is not None:
        shutil.copy(key_of.folder / "identity.key", folder / "identity.key")
    where = ("--storage-backend", "postgresql", "--db-url", database.url)
    made = OnDatabase(name, folder, *with_few_workers((*where, *TERMS, *flags)))
    nodes.started.append(made)
    return made


def pay(node: NodeProcess, key: str) -> int:
    return node.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key=key)[0]


def is_held(node: NodeProcess) -> bool:
    return any('"event": "held"' in line or '"event":"held"' in line for line in list(node.log))


def equivocations(found: list[NodeProcess]) -> list[str]:
    return [line for node in found for line in node.log if "signed two blocks" in line]


def marks_of(node: NodeProcess) -> list[Path]:
    return [node.folder / "head-mark", node.folder.with_name(node.folder.name + ".head")]


@pytest.mark.parametrize("mark", ["none", "old"])
def test_a_replica_without_a_mark_of_its_own_catches_up_first(nodes: Nodes, database: Database, mark: str) -> None:
    home = replica(nodes, "a", database, None)
    home.start()
    other = nodes.start("b", "--bootstrap-peers", home.p2p)
    wait_until_known(home, other)
    assert cli(home, "federation", "admit", other.did).code == 0
    home.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    second = replica(nodes, "second", database, home, "--bootstrap-peers", other.p2p)
    assert home.stop()[0] == 0
    if mark == "old":  # it has authored before, and not since
        second.start()
        assert pay(second, "early") == 200
        assert second.stop()[0] == 0
    database.dump()
    home.start()
    assert [pay(home, f"pay-{number}") for number in range(3)] == [200] * 3
    wait_until("agreement", lambda: same_root([home, other]))
    home.kill()
    database.put_back()

    assert any(path.exists() for path in marks_of(second)) == (mark == "old")
    assert other.stop()[0] == 0  # nobody could tell it
    second.launch()
    wait_until("it to say that it is held", lambda: is_held(second))
    assert pay(second, "too-early") == 503
    other.start()
    wait_until("it to be released", lambda: is_ready(second))
    wait_until("agreement", lambda: same_root([second, other]))
    assert second.call("POST", "/mana/transfer", {"to": MEMBER, "amount": 1}, key="pay-2")[0] == 409
    assert pay(second, "new") == 200
    wait_until("agreement", lambda: same_root([second, other]))
    assert equivocations([second, other]) == []
    assert second.stop()[0] == 0
    again = replica(nodes, "third", database, home)
    again.start()
    assert not is_held(again), "what was released once is not held again"


def test_a_node_that_is_alone_waits_for_the_operators_word(nodes: Nodes, database: Database) -> None:
    home = replica(nodes, "a", database, None, "--no-p2p")
    home.start()
    home.ask("POST", "/account/open", {"did": MEMBER}, key="open")
    assert home.stop()[0] == 0
    database.dump()
    second = replica(nodes, "second", database, home, "--no-p2p")
    second.start()
    assert not is_held(second), "another machine is no sign of anything"
    assert pay(second, "lost") == 200
    assert second.stop()[0] == 0
    database.put_back()
    third = replica(nodes, "third", database, home, "--no-p2p")
    third.launch()
    wait_until("it to say that it is held", lambda: is_held(third))
    assert pay(third, "refused") == 503
    assert "dump" in third.ask("GET", "/status")["writer"]["held"]
    assert cli(third, "dag", "resume", "--no-newer-blocks").code == 0
    wait_until("readiness", lambda: is_ready(third))
    assert pay(third, "refused") == 200
