"""Three nodes, one of which is voted out: it is told, let go, not let in again, and the others go on without it."""

import pytest
from node_process import NodeProcess, wait_until

from icn.kernel.signing import SeedSigner
from support.federations import TERMS, admit, metric, settled
from support.processes import Nodes, cli

pytestmark = pytest.mark.slow

EXECUTES_NOTHING = ("--set", "performance.max_concurrent_jobs=0")


def member(node: NodeProcess, did: str) -> dict[str, object]:
    """What a node says of a member."""
    items = node.ask("GET", "/federation/members")["items"]
    return next(item for item in items if item["did"] == did)


def is_connected(node: NodeProcess, did: str) -> bool:
    return any(peer["did"] == did for peer in node.ask("GET", "/network/peers")["items"])


def test_a_member_that_is_voted_out_is_told_and_not_let_in_again(nodes: Nodes) -> None:
    first = nodes.make("a", *TERMS, *EXECUTES_NOTHING).start()
    second = nodes.make("b", "--bootstrap-peers", first.p2p, *EXECUTES_NOTHING).start()
    both = f"{first.p2p},{second.p2p}"
    third = nodes.make("c", "--bootstrap-peers", both, *EXECUTES_NOTHING).start()
    admit([first, second, third], [second, third])
    wait_until("agreement", lambda: settled([first, second, third]), 60.0)

    voted = cli(first, "federation", "remove", third.did, "--reason", "its key is lost", "--yes", "--output", "json")
    assert voted.code == 0, voted.err
    assert voted.json()["votes_missing"] == 1
    wait_until("the vote at the other", lambda: member(second, third.did)["removal_votes"] == 1)
    assert not member(second, third.did)["removed"]
    second.kill()  # between the vote that it is about to give and anything that follows
    second.start()
    last = cli(second, "federation", "remove", third.did, "--yes")
    assert last.code == 0, last.err
    second.kill()
    second.start()

    for node in (first, second):
        wait_until(f"{node.name} to count", lambda node=node: bool(member(node, third.did)["removed"]), 60.0)
        wait_until(f"{node.name} to let it go", lambda node=node: not is_connected(node, third.did), 60.0)
        assert metric(node, "icn_members_removed") == 1
        assert node.ask("GET", "/federation/status")["quorum"] == 2
    wait_until("it to know", lambda: third.ask("GET", "/federation/status")["state"] == "removed", 60.0)
    refused = cli(third, "account", "open", first.did)
    assert refused.code == 1
    assert "was removed from this federation" in refused.err
    again = cli(first, "federation", "admit", third.did)
    assert again.code == 1
    assert "new key" in again.err

    third.stop()
    third.start()
    wait_until("the log to say why", lambda: any("removed from the federation by its members" in x for x in first.log))
    opened = cli(first, "account", "open", str(SeedSigner(bytes(31) + b"m").did))
    assert opened.code == 0, opened.err
    wait_until("agreement of the two", lambda: settled([first, second]), 60.0)
    status = third.ask("GET", "/federation/status")
    assert status["state"] == "removed"
    told = first.ask("GET", "/events?type=node_removed")["items"]
    assert {event["event"]["node"] for event in told} == {third.did}
    for node in (first, second, third):
        assert not [line for line in node.log if '"level": "critical"' in line or "Traceback" in line]
    for node in (first, second):
        assert node.ask("GET", "/dag/verify?deep=true")["ok"]
