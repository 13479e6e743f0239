"""Ready means: requests sent here will be served. Each check says why not."""

from dataclasses import replace

import pytest

from icn.domain.ledger.model import Supply
from icn.services import rows
from icn.services.health import Facts, readiness
from icn.stores.kv import Batch
from support.http_node import HttpNode, signer_of


def facts(node: HttpNode) -> Facts:
    return Facts(
        did=node.did,
        joins=False,
        is_author=True,
        held="",
        joining="",
        commit_fault=None,
        is_listening=True,
        disk_free_bytes=100,
        disk_needed_bytes=10,
    )


def failing(node: HttpNode, said: Facts) -> dict[str, str]:
    return {check.name: check.detail for check in readiness(node.store, said) if not check.ok}


@pytest.fixture
def node() -> HttpNode:
    made = HttpNode()
    made.found()
    return made


def test_a_founded_node_is_ready(node: HttpNode) -> None:
    assert failing(node, facts(node)) == {}
    assert failing(node, replace(facts(node), is_listening=None, disk_free_bytes=None)) == {}


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        ({"is_author": False}, "writer", "standing by"),
        ({"commit_fault": "disk is full"}, "store", "disk is full"),
        ({"is_listening": False}, "p2p", "not listening"),
        ({"disk_free_bytes": 9}, "disk", "9 bytes free, 10 needed"),
    ],
)
def test_each_thing_that_may_be_missing(node: HttpNode, change: dict[str, object], name: str, says: str) -> None:
    found = failing(node, replace(facts(node), **change))  # type: ignore[arg-type]  # fields by name
    assert list(found) == [name]
    assert says in found[name]


def test_somebody_elses_store(node: HttpNode) -> None:
    assert "belongs to" in failing(node, replace(facts(node), did=signer_of(5).did))["store"]


def test_mana_out_of_balance(node: HttpNode) -> None:
    batch = Batch()
    rows.SUPPLY.put(batch, b"-", Supply(minted=1))
    node.store.commit(batch, node.store.claim())
    assert failing(node, facts(node)) == {"ledger": "mana was created or lost"}


def test_before_there_is_a_federation() -> None:
    node = HttpNode()
    assert failing(node, facts(node)) == {"federation": "no federation yet"}
    assert failing(node, replace(facts(node), joins=True)) == {"federation": "waiting to join"}
