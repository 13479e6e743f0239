"""The deployment guide's commands about storage and backups, run as they stand there, on each backend that it names.

They run in a room of their own (`support.rooms`), so paths like /backups, the guide's ports and its names of database
servers are what the guide says. What a reader must fill in is filled in, and nothing else; each place says what.
"""

import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from icn.kernel.signing import SeedSigner
from support import postgres
from support.pages import ROOT, blocks, commands, run_page
from support.postgres import Cluster
from support.rooms import door, room
from support.skips import GUIDE_ABSENT

pytestmark = pytest.mark.slow

GUIDE = Path(os.environ.get("GUIDE_PATH") or ROOT.parent / "shared" / "guide" / "deployment-guide.md")
MEMBER = str(SeedSigner(b"g" * 32).did)
PRODUCTION_PASSWORD = "p@ss/word"
KEY = {"ICN_API_KEY": "a-key"}
HTTP = "127.0.0.1:7845"
STOP = f"stop_at {HTTP}"
ASKED = 'curl --silent --fail --fail-early --header "X-API-Key: $ICN_API_KEY"'
"""Where no command of the guide is tried: it takes a tenth of the time that icn-cli does."""
ANSWERS = f"until {ASKED} http://{HTTP}/info > /dev/null; do sleep 0.05; done"
"""A node on a database stands by first, if only for a moment."""
HISTORY = [
    f"icn-cli account open {MEMBER}",
    f"icn-cli mana transfer {MEMBER} 7",
    "echo 'what a member wrote' > written.txt",
    "CID=$(icn-cli dag put --pin written.txt)",
]
"""What there is to lose. The CLI says each of these only once it is on disk."""
THERE = [
    'icn-cli dag get "$CID" | cmp - written.txt',
    f"{ASKED} http://{HTTP}/account/{MEMBER}/mana -o $1.balance http://{HTTP}/mana/supply -o $1.supply",
    f"{ASKED} http://{HTTP}/dag/root -o $1.root http://{HTTP}/info -o $1.info",
]


def state(when: str) -> list[str]:
    """Lines that look at what was written, and note it as of `when`."""
    return [line.replace("$1", when) for line in THERE]


def same(folder: Path, *times: str) -> None:
    """The DID, the root, a balance and the supply were the same at these times."""
    for what, field in (("info", "did"), ("root", "root"), ("balance", "balance"), ("supply", "minted")):
        found = [json.loads((folder / f"{when}.{what}").read_text())[field] for when in times]
        assert len(set(found)) == 1, (what, dict(zip(times, found, strict=True)))
    assert json.loads((folder / f"{times[0]}.balance").read_text())["balance"] > 7


@pytest.fixture(scope="module")
def guide() -> str:
    if not GUIDE.is_file():
        pytest.skip(f"{GUIDE_ABSENT} {GUIDE}")
    return GUIDE.read_text()


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """With the roles of the guide's URLs; not superusers."""
    with postgres.own_cluster() as cluster:
        for role, password in (
            ("user", "pass"),
            ("icn_user", "secure_password"),
            ("icn_prod_user", PRODUCTION_PASSWORD),
        ):
            cluster.run(f"CREATE ROLE \"{role}\" LOGIN CREATEDB PASSWORD '{password}'")
        yield cluster


@dataclass(frozen=True)
class Databases:
    """The server as it is seen from a room."""

    cluster: Cluster

    def lines(self, owner: str, *names: str) -> list[str]:
        """Lines after which it is at localhost:5432, with these databases, made anew."""
        for name in names:
            self.cluster.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self.cluster.run(f'CREATE DATABASE {name} OWNER "{owner}"')
        return [door(5432, self.cluster.folder / f".s.PGSQL.{self.cluster.port}")]


@pytest.fixture
def databases(server: Cluster) -> Databases:
    return Databases(server)


def block_with(guide: str, *parts: str, language: str = "bash") -> list[str]:
    """The commands of the first block in which all of `parts` stand; a block in a list is indented."""
    text = re.sub(r"^   (?=.*)", "", guide, flags=re.MULTILINE)
    found = next(block for block in blocks(text, language) if all(part in block for part in parts))
    return [line for line in commands(found) if not line.startswith("#")]


def run(lines: list[str], folder: Path, env: dict[str, str] | None = None) -> str:
    """Run lines in a room."""
    place = folder / "work"
    place.mkdir()
    return run_page(lines, place, env=KEY | (env or {}), inside=room(place))


# Nodes on each backend


@pytest.mark.parametrize(
    "parts",
    [
        ("--storage-backend sled", "openssl rand"),
        ("ICN_STORAGE_PATH=", "ICN_MANA_LEDGER_PATH="),
        ("--storage-backend rocksdb",),
        ("postgresql://user:pass@localhost/icn",),
    ],
    ids=["sled", "sled by variables", "rocksdb", "postgresql"],
)
def test_a_node_on_each_backend_keeps_what_was_written(
    guide: str, databases: Databases, tmp_path: Path, parts: tuple[str, ...]
) -> None:
    lines = block_with(guide, *parts)
    (start,) = (line for line in lines if not line.startswith("cargo"))  # Rust's build; there is nothing to build here
    # The key of this line is nobody's but the node's: to be known to the client as well it is made beforehand.
    key = ["export ICN_API_KEY=$(openssl rand -hex 32)"] if "openssl" in start else []
    start = start.replace("$(openssl rand -hex 32)", "$ICN_API_KEY")
    before = databases.lines("user", "icn") if "postgresql" in start else []
    lines = [*before, *key, start, ANSWERS, *HISTORY, *state("before"), STOP, start, ANSWERS, *state("after")]
    run(lines, tmp_path)
    same(tmp_path / "work", "before", "after")
    if "ICN_MANA_LEDGER_PATH" in start:
        ledger = json.loads((tmp_path / "work" / "icn_data" / "mana.sled").read_text())
        assert any(account["owner"] == MEMBER for account in ledger["accounts"])


def section(guide: str, name: str, file: str) -> str:
    """A section of one of the guide's files, as it stands there."""
    text = next(block for block in blocks(guide, "toml") if file in block)
    return next(part for part in re.split(r"^(?=\[)", text, flags=re.MULTILINE) if part.startswith(f"[{name}]"))


@pytest.mark.parametrize(
    ("file", "owner", "database"),
    [
        ("configs/federation_node.toml", "icn_user", "icn"),
        ("configs/production.toml", "icn_prod_user", "icn_production"),
    ],
)
def test_the_storage_section_of_a_file(
    guide: str, databases: Databases, tmp_path: Path, file: str, owner: str, database: str
) -> None:
    text = section(guide, "storage", file)
    lines = [
        *databases.lines(owner, database),
        f"cat > node.toml <<'END'\n{text}\nEND",
        "icn-node config show --config node.toml --origin",
        "icn-node --config node.toml",
        ANSWERS,
        *HISTORY,
        "icn-cli storage info",
    ]
    printed = run(lines, tmp_path, {"DB_PASSWORD": PRODUCTION_PASSWORD})
    for name, value in re.findall(r"^(max_connections|connection_timeout) = (\d+)", text, re.MULTILINE):
        assert re.search(rf"^{name}\w* = {value}\b.*# node.toml", printed, re.MULTILINE), name
    assert f"/{database}" in printed
    assert PRODUCTION_PASSWORD not in printed
    assert databases.cluster.run("SELECT count(*) FROM icn_kv", database) != [(0,)]


# Backups


STARTS = {
    "sled": ("--storage-backend sled --storage-path ./icn_data/node1.sled",),
    "sqlite": ("--storage-backend sqlite --storage-path ./icn_data/dag.sqlite",),
    "postgres": ("--storage-backend postgres --storage-path",),
    "rocksdb": ("--storage-backend rocksdb",),
}
"""Where the guide starts a node on each backend. Its block about backups on RocksDB is cut off but for its end."""


def started(guide: str, backend: str) -> str:
    (line,) = (line for line in block_with(guide, *STARTS[backend]) if line.startswith("icn-node"))
    return line


def elsewhere(start: str) -> list[str]:
    """Lines after which icn-cli finds the store by itself as the node's command line names it, and it is not there."""
    words = shlex.split(start)
    backend, place = words[words.index("--storage-backend") + 1], words[words.index("--storage-path") + 1]
    lost = f"psql -q -d {place} -c 'DROP TABLE icn_kv, icn_author, icn_lease'" if "://" in place else f"rm -r {place}"
    return [lost, f"export ICN_STORAGE_BACKEND={backend} ICN_STORAGE_PATH={place}"]


OWN = "unset ICN_STORAGE_BACKEND ICN_STORAGE_PATH"
READY = f"until curl --silent --fail http://{HTTP}/ready > ready.txt; do sleep 0.05; done"
HELD = [
    f"! icn-cli mana transfer {MEMBER} 1",
    "icn-cli dag resume --no-newer-blocks",
    READY,
]
"""Nobody else can tell what the newest block of this node was; so it asks for the operator's word."""


LAPSED = "until icn-cli storage info > info.txt; do sleep 0.1; done"
"""A dump brings the lease of its node along, which lapses within seconds; an operator is slower."""


@pytest.mark.parametrize("backend", list(STARTS))
def test_the_block_of_a_backend(guide: str, databases: Databases, tmp_path: Path, backend: str) -> None:
    words = {"rocksdb": "sled"}.get(backend, backend)
    block = block_with(guide, f"dag backup --path ./backups/{words}")
    backup, restore, verify = [line.replace(words, backend) for line in block if line.startswith("icn-cli")]
    assert [line.split()[:3] for line in (backup, restore, verify)] == [
        ["icn-cli", "dag", word] for word in ("backup", "restore", "verify")
    ]
    start = started(guide, backend)
    lines = [
        *(databases.lines("user", "icn_dag") if backend == "postgres" else []),
        *(start, ANSWERS, *HISTORY, backup, *state("before")),
        *(restore, verify, *state("online"), STOP),
        *(*elsewhere(start), restore, verify, "icn-cli dag verify --deep", OWN),
        *(start, ANSWERS, *HELD, *state("offline"), "icn-cli dag verify --deep"),
    ]
    run(lines, tmp_path)
    same(tmp_path / "work", "before", "online", "offline")


@pytest.mark.parametrize(
    "backend",
    # What the block says is the same for all; each one's own block is tried above.
    [
        "sled",
        "postgres",
        pytest.param("sqlite", marks=pytest.mark.long),
        pytest.param("rocksdb", marks=pytest.mark.long),
    ],
)
def test_the_block_for_all_backends(guide: str, databases: Databases, tmp_path: Path, backend: str) -> None:
    full, incremental, restore, verify = block_with(guide, "dag backup --incremental")
    restore = restore.replace("20240101", "$(date +%Y%m%d)")  # the day of the backup
    since = incremental.replace("2024-01-01", "last").replace("dag-incremental", "dag-since-last")
    start = started(guide, backend)
    lines = [
        *(databases.lines("user", "icn_dag") if backend == "postgres" else []),
        *(start, ANSWERS, *HISTORY, full, *state("before"), incremental),
        *(restore, verify, *state("online")),
        *(f"icn-cli mana transfer {MEMBER} 2", since, *state("later"), STOP),
        *(*elsewhere(start), restore, "icn-cli dag restore --input $(ls ./backups/dag-since-last-*)", verify, OWN),
        *(start, ANSWERS, *HELD, *state("offline"), verify),
    ]
    run(lines, tmp_path)
    same(tmp_path / "work", "before", "online")
    same(tmp_path / "work", "later", "offline")


# The disaster

PEER = (
    "icn-node --data-dir ./peer --no-metrics --http-listen-addr 127.0.0.1:7846 "
    "--p2p-listen-addr /ip4/127.0.0.1/tcp/7001"
)
"""Another member of the federation, on another machine as it were."""
PEER_CLI = "icn-cli --node http://127.0.0.1:7846"
PEER_ID = "$(icn-cli info --output json | grep -o '12D3KooW[A-Za-z0-9]*' | head -n 1)"
JOINED = [
    f'{PEER} --bootstrap-peers "/ip4/127.0.0.1/tcp/7000/p2p/{PEER_ID}"',
    f"icn-cli federation admit $({PEER_CLI} info --output json | grep -o 'did:key:[A-Za-z0-9]*' | head -n 1)",
]
IN_SYNC = (
    f'until [ "$(icn-cli dag root --output json | grep -o \'"root": *"[0-9a-f]*\')" = '
    f'"$({PEER_CLI} dag root --output json | grep -o \'"root": *"[0-9a-f]*\')" ]; do sleep 0.05; done'
)
URL = "postgresql://icn_prod_user:${DB_PASSWORD}@postgres.internal:5432/icn_production"


def disaster(guide: str, *, with_peer: bool) -> list[str]:
    """The life of a node up to its end, and the guide's procedure."""
    config = section(guide, "storage", "configs/production.toml") + section(
        guide, "identity", "configs/production.toml"
    )
    node = f"icn-node --config node.toml --data-dir ./icn_data --http-listen-addr {HTTP}"
    dump, *script = block_with(guide, "BACKUP_DIR=")
    database = block_with(guide, "createdb icn_production_new")
    dag = block_with(guide, "dag restore --input /backups/dag-latest.tar.gz")
    untar, chmod = block_with(guide, "tar -xzf /backups/identity-latest.tar.gz")
    # Of the last step no line is run: they are about containers. What they do is to start the node again.
    assert all(line.split()[0] in {"kubectl", "docker-compose"} for line in block_with(guide, "rollout restart"))
    at = next(place for place, line in enumerate(script) if line.startswith("find "))
    return [
        f"cat > node.toml <<'END'\n{config}\nEND",
        *(node, ANSWERS, READY, *(JOINED if with_peer else []), *HISTORY),
        "icn-cli mesh submit echo --arg hello --wait",
        dump,
        f"icn-cli mana transfer {MEMBER} 2",  # between the two backups: the dump does not have it, the archive does
        *script[:at],
        "touch -d '40 days ago' \"$BACKUP_DIR/db-old.sql.gz\"",
        script[at],
        '[ ! -e "$BACKUP_DIR/db-old.sql.gz" ] && [ "$(ls "$BACKUP_DIR" | wc -l)" = 3 ]',
        # After the backups: the peers have it.
        *([f"icn-cli mana transfer {MEMBER} 3", IN_SYNC] if with_peer else []),
        *(*state("before"), f"kill -KILL ${{AT[{HTTP}]}}", STOP),
        # Everything is lost.
        *("dropdb icn_production", "rm -r ./icn_data ./icn_data.head /secrets/identity"),
        # An operator says which is the latest.
        *("cd /backups", "ln -s icn-db-2*.sql.gz icn-db-latest.sql.gz"),
        *("ln -s icn/dag-*.tar.gz dag-latest.tar.gz", "ln -s icn/identity-*.tar.gz identity-latest.tar.gz"),
        'cd "$OLDPWD"',
        *database,
        # The node's configuration names the new database; icn-cli is told the same.
        "sed -i s/icn_production/icn_production_new/ node.toml",
        f"export ICN_STORAGE_BACKEND=postgresql ICN_STORAGE_CONNECTION_STRING='{URL}_new'",
        LAPSED,
        *dag,
        "unset ICN_STORAGE_BACKEND ICN_STORAGE_CONNECTION_STRING",
        untar,
        # The guide's archive holds secrets/identity, which this puts below /secrets once more.
        "mv /secrets/secrets/identity /secrets/identity",
        chmod,
        *(node, ANSWERS, *([READY] if with_peer else HELD), *state("after"), "icn-cli dag verify --deep"),
        *(["grep -h '\"held\"' node-*.log", IN_SYNC] if with_peer else []),
        f"icn-cli mana transfer {MEMBER} 1",
    ]


@pytest.mark.parametrize(
    "with_peer",
    # Alone, the node waits for the operator's word, as above.
    [pytest.param(True, id="with a peer"), pytest.param(False, id="alone", marks=pytest.mark.long)],
)
def test_the_disaster(guide: str, databases: Databases, tmp_path: Path, with_peer: bool) -> None:
    databases.cluster.run("DROP DATABASE IF EXISTS icn_production_new WITH (FORCE)")
    tools = {"PGHOST": "localhost", "PGUSER": "icn_prod_user", "PGPASSWORD": PRODUCTION_PASSWORD}
    secrets = {"DB_PASSWORD": PRODUCTION_PASSWORD, "ICN_KEY_PASSPHRASE": "a long passphrase"}
    run(
        [*databases.lines("icn_prod_user", "icn_production"), *disaster(guide, with_peer=with_peer)],
        tmp_path,
        tools | secrets,
    )
    same(tmp_path / "work", "before", "after")
