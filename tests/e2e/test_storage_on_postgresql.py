"""A store moves to a PostgreSQL server and back, worked on without a node; the password is nowhere to be read."""

from pathlib import Path

import pytest

from icn.adapters.storage.opening import StorageSettings, open_store
from icn.cli.endings import Exit
from support import postgres
from support.cli_server import CommandLine
from support.sample_stores import busy_node, pairs_of, pour

pytestmark = pytest.mark.slow


def test_a_store_moves_to_a_server_and_back(tmp_path: Path) -> None:
    server = postgres.cluster()
    url = server.tcp_url(server.new_database())
    (tmp_path / "url").write_text(url + "\n")
    node = busy_node()
    store = open_store(StorageSettings("sqlite", tmp_path / "dag.sqlite"))
    pour(node.store, store)
    store.close()
    cli = CommandLine()
    there = ("--storage-backend", "postgres")
    here = ("--storage-path", tmp_path / "dag.sqlite")
    moves = (
        ("storage", "migrate", *here, "--to", "Postgres", "--to-url-file", tmp_path / "url"),
        ("storage", "info", *there, "--db-url", url),
        ("dag", "verify", "--deep", *there, "--storage-path", url),
        ("storage", "info", *here),
        ("storage", "migrate", *there, "--db-url", url, "--to", "sqlite", "--to-path", tmp_path / "back.sqlite"),
    )  # fmt: skip
    for words in moves:
        ran = cli(*words)
        assert ran.status is Exit.DONE, (words, ran.err)
        assert postgres.PASSWORD not in ran.text + ran.err
    assert "postgresql://postgres:********@127.0.0.1" in cli(*moves[1]).text
    store = open_store(StorageSettings("sqlite", tmp_path / "back.sqlite"))
    assert pairs_of(store) == pairs_of(node.store)
    store.close()
    refused = cli("dag", "verify", *there, "--db-url", url)
    assert (refused.status, "was moved to" in refused.err) == (Exit.FAULT, True)


def test_a_database_that_is_empty_or_not_there_is_no_store(tmp_path: Path) -> None:
    server = postgres.cluster()
    url = server.tcp_url(server.new_database())
    cli = CommandLine()
    ran = cli("dag", "verify", "--storage-backend", "postgres", "--db-url", url)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "there is no store at" in ran.err
    missing = cli("dag", "verify", "--storage-backend", "postgres", "--db-url", server.tcp_url("nowhere"))
    assert missing.status in {Exit.FAULT, Exit.CONFIGURATION}
    assert postgres.PASSWORD not in ran.err + missing.err
