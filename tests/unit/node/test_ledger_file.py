"""The ledger's file is made from the store, whatever was in it before."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from icn.node.ledger_file import LedgerFile
from icn.services.checkpoint import Standing, checkpoint
from icn.services.commands import Pay
from support.sample_stores import MEMBER, busy_node


@pytest.fixture
def node():
    return busy_node()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mana.sled"


def said_at_start(node, path):
    with capture_logs() as said:
        was = LedgerFile(path, node.did, node.snapshot).bring_up()
    assert json.loads(path.read_text()) == checkpoint(node.store, node.did)
    return was, [(entry["log_level"], entry["event"]) for entry in said]


ANEW = ("info", "the ledger's checkpoint was written anew")


def test_a_missing_damaged_or_older_file_is_replaced_and_a_current_one_left(node, path):
    assert said_at_start(node, path) == (Standing.MISSING, [ANEW])
    before = path.stat().st_ino
    assert said_at_start(node, path) == (Standing.CURRENT, [])
    assert path.stat().st_ino == before
    path.write_text(path.read_text()[:-20])
    assert said_at_start(node, path) == (Standing.DAMAGED, [ANEW])
    path.write_text(path.read_text().replace('"balance": ', '"balance": 1'))
    assert said_at_start(node, path) == (Standing.BEHIND, [ANEW])
    node.ask(Pay(MEMBER, 1, ""))
    assert said_at_start(node, path) == (Standing.BEHIND, [ANEW])


def test_a_file_ahead_of_the_store_is_an_error_and_is_kept(node, path):
    ahead = busy_node()
    ahead.ask(Pay(MEMBER, 1, ""))
    LedgerFile(path, ahead.did, ahead.snapshot).bring_up()
    was, said = said_at_start(node, path)
    assert was is Standing.AHEAD
    assert said == [("error", "the ledger's checkpoint is ahead of the store"), ANEW]
    assert json.loads(path.with_name("mana.sled.ahead").read_text()) == checkpoint(ahead.store, ahead.did)


def test_a_file_that_cannot_be_written_later_is_said_and_ends_nothing(node, tmp_path):
    (tmp_path / "file").touch()
    with capture_logs() as said:
        asyncio.run(LedgerFile(tmp_path / "file" / "below", node.did, node.snapshot).try_to_write())
    assert [entry["event"] for entry in said] == ["the ledger's checkpoint was not written"]
