"""Joining a federation that lets nobody in by himself: by an invitation, and by the line that a waiting node prints."""

import shlex

import pytest
from node_process import NodeProcess, wait_until

from support.processes import Nodes, cli

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(module_nodes: Nodes) -> NodeProcess:
    """A federation as it is in production."""
    return module_nodes.start("home", "--join-policy", "invite")


def line_for(home: NodeProcess, *words: str) -> str:
    told = cli(home, "federation", "invite", *words)
    assert told.code == 0, told.err
    assert told.out.count("\n") == 1
    return told.out.strip()


def waiting_for(node: NodeProcess) -> str:
    return str(node.ask("GET", "/federation/status")["waiting_for"])


def test_a_first_start_with_an_invitation_makes_a_full_member(home: NodeProcess, nodes: Nodes) -> None:
    invited = nodes.make("invited")
    invited.environment["ICN_FEDERATION_INVITATION"] = line_for(home, "--note", "the bakers")
    invited.start()
    wait_until("admission", lambda: invited.ask("GET", "/federation/status")["state"] == "member")
    wait_until("readiness", lambda: invited.call("GET", "/ready")[0] == 200)
    wait_until("a grant", lambda: invited.ask("GET", f"/account/{invited.did}/mana")["balance"] > 0)
    listed = cli(home, "federation", "invitations", "--output", "json").json()["items"]
    assert [(one["state"], one["used_by"]) for one in listed if one["note"] == "the bakers"] == [("used", invited.did)]
    line = invited.environment["ICN_FEDERATION_INVITATION"]
    assert not any(line in entry for entry in (*home.log, *invited.log)), "a line is a secret"


def test_a_node_that_waits_prints_the_line_that_admits_it(home: NodeProcess, nodes: Nodes) -> None:
    line = line_for(home)
    first = nodes.make("first", "--set", f"federation.invitation={line}")
    first.start()
    wait_until("the first to join", lambda: first.ask("GET", "/federation/status")["state"] == "member")
    second = nodes.start("second", "--set", f"federation.invitation={line}")
    wait_until("the refusal", lambda: first.did in waiting_for(second))
    assert "was used" in waiting_for(second)
    status, ready = second.call("GET", "/ready")
    assert status == 503
    typed = f"icn-cli federation admit {second.did}"
    assert any(typed in reason for reason in ready["reasons"]), ready
    wait_until("the log to say so", lambda: any(typed in entry for entry in second.log))
    shown = cli(second, "federation", "status")
    assert typed in " ".join(shown.out.split())
    words = shlex.split(second.ask("GET", "/federation/status")["next_step"])
    pasted = cli(home, *words[1:])
    assert pasted.code == 0, pasted.err
    wait_until("admission", lambda: second.ask("GET", "/federation/status")["state"] == "member")
    wait_until("readiness", lambda: second.call("GET", "/ready")[0] == 200)


def test_what_is_wrong_with_a_line_is_said(home: NodeProcess, nodes: Nodes) -> None:
    line = line_for(home, "--expires", "1s")
    waiting = nodes.start("waiting", "--bootstrap-peers", home.p2p)
    wait_until("its wait", lambda: "federation admit" in waiting_for(waiting))
    for wrong, said in ((line[:-7], "was cut"), ("nonsense", "begins with icn-invite:"), (line + "!", "character ")):
        told = cli(waiting, "federation", "join", wrong)
        assert told.code == 1, told.err
        assert said in told.err
    items = "/federation/invitations"
    wait_until("it to expire", lambda: home.ask("GET", items)["items"][-1]["state"] == "expired")
    told = cli(waiting, "federation", "join", line)
    assert told.code == 1
    assert "has expired" in told.err
    good = cli(waiting, "federation", "join", line_for(home, "--for", waiting.did))
    assert good.code == 0, good.err
    wait_until("admission", lambda: waiting.ask("GET", "/federation/status")["state"] == "member")
