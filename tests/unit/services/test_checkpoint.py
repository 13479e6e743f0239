"""The ledger as a document, and what an older one of them tells about the store."""

import json

import pytest

from icn.services.checkpoint import Standing, checkpoint, standing
from icn.services.commands import Pay
from support.http_node import HttpNode, signer_of
from support.sample_stores import MEMBER, busy_node


@pytest.fixture(scope="module")
def node():
    return busy_node()


@pytest.fixture
def document(node):
    return checkpoint(node.store, node.did)


def test_the_document_is_what_the_ledger_holds(node, document):
    ledger = node.engine.state.ledger
    assert document["supply"]["minted"] == ledger.supply.minted
    assert {(a["owner"], a["home"]): a["balance"] for a in document["accounts"]} == {
        (str(owner), str(home)): account.balance for (owner, home), account in ledger.accounts.items()
    }
    assert [a["owner"] for a in document["accounts"]] == sorted(a["owner"] for a in document["accounts"])
    assert {MEMBER.text, node.did.text} == {a["owner"] for a in document["accounts"]}
    head = node.engine.state.feeds.heads[node.did]
    assert document["head"] == {"sequence": head.sequence, "cid": str(head.cid)}
    assert document["arrival"] == node.engine.state.last_arrival
    assert document["node"] == node.did.text
    assert json.loads(json.dumps(document)) == document


def test_a_store_without_a_federation_has_an_empty_ledger():
    empty = HttpNode()
    document = checkpoint(empty.store, empty.did)
    assert (document["federation"], document["head"], document["arrival"]) == (None, None, -1)
    assert document["accounts"] == []


def test_what_an_older_document_is_to_the_store(node, document):
    moved = {**document, "accounts": document["accounts"][1:]}
    later = {**document, "head": {"sequence": document["head"]["sequence"] + 1, "cid": "x"}}
    earlier = {**document, "head": {"sequence": document["head"]["sequence"] - 1, "cid": "x"}, "arrival": 1}
    other = {**document, "federation": {"id": "other", "name": "demo"}}
    begun = {**document, "federation": None, "head": None}
    for found, expected in [
        (None, Standing.MISSING),
        (document, Standing.CURRENT),
        (moved, Standing.BEHIND),
        (earlier, Standing.BEHIND),
        (begun, Standing.BEHIND),
        (later, Standing.AHEAD),
        (other, Standing.FOREIGN),
        ({**later, "node": signer_of(5).did.text}, Standing.FOREIGN),
        ({**document, "format": 9}, Standing.DAMAGED),
        ({key: document[key] for key in ("format", "node")}, Standing.DAMAGED),
        ([], Standing.DAMAGED),
        (object(), Standing.DAMAGED),
    ]:
        assert standing(found, document) is expected, found


def test_a_document_of_a_node_whose_store_is_empty_again_is_ahead(document):
    empty = HttpNode()
    assert standing(document, checkpoint(empty.store, empty.did)) is Standing.AHEAD


@pytest.mark.parametrize("head", [5, {}, {"sequence": "9"}, {"sequence": None}])
def test_a_head_that_is_none_says_nothing(document, head):
    assert standing({**document, "head": head}, document) is Standing.BEHIND


def test_a_document_made_earlier_is_behind(document):
    node = busy_node()
    node.ask(Pay(MEMBER, 1, ""))
    assert standing(document, checkpoint(node.store, node.did)) is Standing.BEHIND
