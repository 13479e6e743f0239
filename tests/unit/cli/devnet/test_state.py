"""The devnet's file: what is written is read back, and what is none of ours is refused."""

import json

import pytest

from icn.cli.devnet.state import NODES_MAX, Devnet, Node, ProcessId, Terms
from icn.cli.endings import Ended

PROCESS = ProcessId(4711, 123456, "a-boot")
DEVNET = Devnet(
    Terms("sqlite", "open", ("mesh.bid_window_ms=300",)),
    (Node("node-01", "did:key:z6Mk", "127.0.0.1:1", "/ip4/127.0.0.1/tcp/2/p2p/12D", PROCESS), Node("node-02")),
)


def test_what_is_written_is_read_back() -> None:
    assert Devnet.decoded(DEVNET.encoded(), "devnet.json") == DEVNET


def test_it_grows_by_nodes_that_have_not_been_started() -> None:
    grown = DEVNET.grown_to(4)
    assert [node.name for node in grown.nodes] == ["node-01", "node-02", "node-03", "node-04"]
    assert grown.nodes[:2] == DEVNET.nodes
    assert grown.node("node-04") == Node("node-04")


def test_a_node_is_replaced_by_its_name() -> None:
    changed = DEVNET.having(Node("node-01"))
    assert changed.node("node-01").process is None
    assert changed.node("node-02") == DEVNET.node("node-02")


def altered(**fields: object) -> bytes:
    return json.dumps(json.loads(DEVNET.encoded()) | fields).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        altered(format=2),
        altered(nodes=[{"name": "node-01"}]),
        altered(nodes=[{**json.loads(DEVNET.encoded())["nodes"][0], "more": 1}]),
        altered(nodes=[{**json.loads(DEVNET.encoded())["nodes"][1], "name": "../elsewhere"}]),
        Devnet(DEVNET.terms, ()).grown_to(NODES_MAX + 1).encoded(),
    ],
    ids=["empty", "a list", "nothing in it", "newer", "fields missing", "unknown field", "another name", "too many"],
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(Ended, match=r"devnet\.json"):
        Devnet.decoded(data, "devnet.json")
