"""A store without its node: which of the two does the work, and what is refused before anything is made."""

import pytest

from icn.adapters.keys.file import CREATING_BYTES, Argon2Cost, create_key
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.cli.endings import Exit
from icn.stores import keyspace
from support import postgres
from support.cli_server import Reply, answer
from support.sample_stores import busy_node, pour
from support.stores import batch

CHECKED = {"ok": True, "deep": False, "checked": {"blocks": 7, "content": 2}, "findings": [], "findings_total": 0}


@pytest.fixture(scope="module")
def sample():
    return busy_node()


@pytest.fixture
def stored(tmp_path, sample):
    """A store in a file."""
    path = tmp_path / "dag.sqlite"
    store = open_store(StorageSettings("sqlite", path))
    pour(sample.store, store)
    store.close()
    return path


def change(path, operations):
    store = open_store(StorageSettings("sqlite", path))
    store.commit(batch(operations), store.claim())
    store.close()


def test_a_node_that_answers_does_the_work(node, cli):
    node.on("GET", "/dag/verify", answer(CHECKED))
    assert cli("dag", "verify").status is Exit.DONE
    assert node.requests == ["GET /dag/verify"]


def test_without_a_node_the_store_itself_is_verified(alone, stored, sample):
    for words in ((), ("--deep",)):
        ran = alone("dag", "verify", *words, "--storage-path", stored)
        assert ran.status is Exit.DONE
        assert f"working on the store itself: sqlite at {stored}" in ran.err
        assert f"blocks checked   {sample.engine.state.feeds.block_count}" in ran.text
    shown = alone("dag", "verify", "--deep", "--storage-path", stored, "--output", "json").json
    assert shown == {"ok": True, "deep": True, "checked": shown["checked"], "findings": [], "findings_total": 0}


def test_findings_are_listed_and_end_with_their_status(alone, stored, sample):
    change(stored, {key: None for key, _ in list(sample.store.scan(keyspace.CONTENT_META))[:1]})
    ran = alone("dag", "verify", "--storage-path", stored)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "neither in a feed, nor content" in ran.text


def test_the_configuration_is_the_node_s_and_only_the_store_s_part_must_be_right(alone, stored, tmp_path):
    config = tmp_path / "node.toml"
    config.write_text(
        f'[runtime]\ndata_dir = "{tmp_path}"\n[network]\nhttp_listen_addr = "0.0.0.0:1"\nmax_peers = 0\n'
        '[security]\napi_key_env = "NOT_HERE"\n[federation]\nname = "${NOWHERE}"\n'
    )
    assert alone("dag", "verify", "--config", config).status is Exit.DONE
    alone.environ["ICN_STORAGE_PATH"] = str(stored)
    assert alone("dag", "verify").status is Exit.DONE
    config.write_text('[storage]\nbackend = "sqlit"\n')
    ran = alone("dag", "verify", "--config", config)
    assert ran.status is Exit.CONFIGURATION
    assert "did you mean sqlite?" in ran.err


def test_no_store_is_made_where_there_was_none(alone, tmp_path):
    for backend, name in [("sqlite", "dag.sqlite"), ("sled", "dag.sled"), ("rocksdb", "dag.rocksdb")]:
        ran = alone("dag", "verify", "--storage-backend", backend, "--data-dir", tmp_path)
        assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
        assert f"there is no store at {tmp_path / name}" in ran.err
    (tmp_path / "dag.sled").mkdir()
    (tmp_path / "dag.sqlite").touch()
    for backend in ("sqlite", "sled"):
        ran = alone("dag", "verify", "--storage-backend", backend, "--data-dir", tmp_path)
        assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["dag.sled", "dag.sqlite"]


@pytest.mark.slow
def test_no_tables_are_made_in_a_database_that_is_somebody_else_s(alone, tmp_path):
    """A database that was mistyped is another program's, most likely."""
    url = postgres.cluster().url_of_new_schema()
    store = ("--storage-backend", "postgresql", "--db-url", url, "--data-dir", tmp_path)
    for line in (
        ("dag", "verify"),
        ("dag", "backup", "--output", tmp_path / "a.tar.gz"),
        ("storage", "migrate", "--to", "sqlite", "--to-path", tmp_path / "to.sqlite"),
    ):
        ran = alone(*line, *store)
        assert (ran.status, "there is no store at" in ran.err) == (Exit.NOT_FOUND_OR_UNVERIFIED, True), ran.err
    with postgres.connected(url) as connection:
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()"
        assert connection.execute(tables).fetchone() == (0,)


def test_a_store_that_was_never_filled_is_no_store(alone, tmp_path):
    open_store(StorageSettings("sqlite", tmp_path / "dag.sqlite")).close()
    ran = alone("dag", "verify", "--data-dir", tmp_path)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "is empty" in ran.err


def test_a_store_in_memory_cannot_be_opened_from_outside(alone):
    ran = alone("dag", "verify", "--storage-backend", "memory")
    assert ran.status is Exit.CONFIGURATION
    assert "ends with its node" in ran.err


def test_a_store_in_use_is_refused_with_its_holder(alone, stored):
    held = open_store(StorageSettings("sqlite", stored))
    try:
        ran = alone("dag", "verify", "--offline", "--storage-path", stored)
    finally:
        held.close()
    assert ran.status is Exit.FAULT
    assert "is in use by process" in ran.err
    assert "Stop that process" in ran.err


def test_flags_for_a_store_beside_a_node_that_answers_are_not_passed_over_in_silence(node, cli, stored):
    node.on("GET", "/dag/verify", answer(CHECKED))
    ran = cli("dag", "verify", "--storage-path", stored, "--config", "x.toml")
    assert ran.status is Exit.DONE
    assert f"the node at {node.url} does it, on its own store; --storage-path, --config is not looked at" in ran.err
    assert cli("dag", "verify", "--storage-path", stored, "--offline").status is Exit.DONE
    assert node.requests == ["GET /dag/verify"]


@pytest.mark.parametrize(
    "reply", [Reply(502, b"a proxy's page"), answer({"status": "fine"}), Reply(raw=b"\0\0"), Reply(hang_up=True)]
)
def test_what_does_not_answer_like_a_node_is_none(node, cli, stored, reply):
    node.on("GET", "/health", reply)
    ran = cli("dag", "verify", "--storage-path", stored)
    assert ran.status is Exit.DONE
    assert "working on the store itself" in ran.err


def test_a_node_that_was_named_and_is_not_there_is_not_replaced_by_some_store(alone, stored):
    ran = alone("dag", "verify", "--node", "http://127.0.0.1:1", "--storage-path", stored)
    assert ran.status is Exit.UNREACHABLE
    assert "no node answers at http://127.0.0.1:1" in ran.err
    assert alone("dag", "verify", "--node", "http://127.0.0.1:1", "--offline").status is Exit.USAGE


def test_another_format_is_refused_and_the_store_left_as_it_is(alone, stored):
    change(stored, {keyspace.about("format"): b"1"})
    older = alone("dag", "verify", "--storage-path", stored)
    assert (older.status, "start icn-node on it once" in older.err) == (Exit.FAULT, True)
    change(stored, {keyspace.about("format"): b"999"})
    newer = alone("dag", "verify", "--storage-path", stored)
    assert (newer.status, "run the newer release" in newer.err) == (Exit.FAULT, True)


@pytest.mark.parametrize("passphrase", [None, "pass phrase"])
def test_a_key_beside_the_store_must_be_its_owner_s_also_when_it_is_sealed(alone, stored, tmp_path, passphrase):
    cheap = Argon2Cost(memory_kib=32, iterations=1, lanes=1)
    create_key(tmp_path / "identity.key", bytes(CREATING_BYTES), passphrase=passphrase, cost=cheap)
    ran = alone("dag", "verify", "--storage-path", stored, "--data-dir", tmp_path)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "belongs to did:key:" in ran.text


def test_a_password_on_the_command_line_is_warned_about_and_not_shown(alone):
    ran = alone("dag", "verify", "--storage-backend", "sqlite", "--db-url", "postgres://u:SECRET@h/d")
    assert ran.status is Exit.CONFIGURATION
    assert "set storage.backend = postgresql" in ran.err
    assert "SECRET" not in ran.err
