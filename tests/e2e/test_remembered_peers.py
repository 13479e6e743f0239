"""Nodes that were told of nobody, or only of one that is gone, find those again that they knew."""

from typing import Any

import pytest
from node_process import NodeProcess, wait_until

from icn.kernel.signing import SeedSigner
from support.processes import Nodes, same_root

pytestmark = pytest.mark.slow


MEMBER = str(SeedSigner(b"f" * 32).did)


def peers_of(node: NodeProcess) -> set[str]:
    return {peer["did"] for peer in node.ask("GET", "/network/peers")["items"]}


def shown(node: NodeProcess, did: str) -> list[dict[str, Any]]:
    return [peer for peer in node.ask("GET", "/network/peers")["items"] if peer["did"] == did]


def peer_id(node: NodeProcess) -> str:
    found: str = node.ask("GET", "/network/local-peer-id")["peer_id"]
    return found


def test_members_find_each_other_without_the_node_that_introduced_them(nodes: Nodes) -> None:
    home = nodes.start("a")
    second = nodes.start("b", "--bootstrap-peers", home.p2p)
    third = nodes.start("c", "--bootstrap-peers", home.p2p)
    three = (home, second, third)
    wait_until("three members", lambda: all(len(n.ask("GET", "/federation/status")["members"]) == 3 for n in three))
    wait_until("agreement", lambda: same_root(three))
    for node in three:
        book = node.folder / "peers.json"
        wait_until("its peers on disk", lambda book=book: book.is_file() and book.read_text().count('"seen_at"') >= 1)
    wait_until("both of its peers on disk", lambda: (home.folder / "peers.json").read_text().count('"seen_at"') == 2)
    for node in three:
        node.kill()
    third.flags = tuple(flag for flag in third.flags if flag not in {"--bootstrap-peers", home.p2p})
    third.start()
    assert peers_of(third) == set()
    home.start()  # it was told of nobody, ever
    wait_until("both to be here again", lambda: home.did in peers_of(third) and third.did in peers_of(home))
    home.ask("POST", "/account/open", {"did": MEMBER}, key="member")
    wait_until("its news at the other", lambda: same_root((home, third)))
    assert third.ask("GET", f"/account/{MEMBER}/mana")["home"] == home.did


def test_nodes_that_only_knew_one_and_the_same_are_a_federation_without_it(nodes: Nodes) -> None:
    introducer = nodes.start("b")
    one = nodes.start("a", "--bootstrap-peers", introducer.p2p)
    other = nodes.start("c", "--bootstrap-peers", introducer.p2p)
    wait_until("them to discover each other", lambda: other.did in peers_of(one) and one.did in peers_of(other))
    found = [(node, peer) for node, their in ((one, other), (other, one)) for peer in shown(node, their.did)]
    assert "discovered" in {peer["origin"] for _, peer in found}
    wait_until("three members", lambda: len(one.ask("GET", "/federation/status")["members"]) == 3)
    for node, their in ((one, other), (other, one)):
        book = node.folder / "peers.json"
        wait_until(
            "the other on disk",
            lambda book=book, their=their: book.is_file() and peer_id(their) in book.read_text(),
        )
    introducer.kill()  # for good
    one.kill()
    other.kill()
    one.start()
    other.start()
    wait_until("them to be together again", lambda: other.did in peers_of(one) and one.did in peers_of(other))
    one.ask("POST", "/account/open", {"did": MEMBER}, key="member")
    wait_until("news of one at the other", lambda: same_root((one, other)))
    assert introducer.did not in peers_of(one) | peers_of(other)


def test_a_damaged_book_keeps_no_node_from_starting(nodes: Nodes) -> None:
    node = nodes.make("a")
    node.folder.mkdir()
    (node.folder / "peers.json").write_text("[{")
    node.start()
    assert any("remembered peers cannot be read" in line for line in node.log)
