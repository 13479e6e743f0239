"""Real nodes that change their federation while they run: one that was alone joins, one that was invited leaves."""

from pathlib import Path

import pytest
from node_process import NodeProcess, wait_until

from support.processes import CLI, Nodes, cli, run

pytestmark = pytest.mark.slow


def state(node: NodeProcess) -> tuple[str, str]:
    told = node.ask("GET", "/federation/status")
    return str(told["name"]), str(told["state"])


def invitation(home: NodeProcess) -> str:
    told = cli(home, "federation", "invite")
    assert told.code == 0, told.err
    return str(told.out.strip())


def test_a_node_that_was_alone_joins_while_it_runs_and_leaves_again(nodes: Nodes) -> None:
    home = nodes.start("home", "--join-policy", "invite", "--federation-name", "orchard")
    solo = nodes.start("solo", "--federation-name", "alone")
    own = solo.ask("GET", "/federation/status")["id"]
    solo.ask("POST", "/account/open", {"did": home.did})
    kept = solo.ask("POST", "/dag/put", {"data": "YSByZWNpcGU=", "pin": True})["cid"]
    told = cli(solo, "federation", "join", invitation(home))
    assert told.code == 0, told.err
    assert "archive" in told.out
    wait_until("membership", lambda: state(solo) == ("orchard", "member"))
    wait_until("readiness", lambda: solo.call("GET", "/ready")[0] == 200)
    assert solo.ask("POST", "/dag/get", {"cid": kept})["data"] == "YSByZWNpcGU="
    (archive,) = (solo.folder / "former").iterdir()
    assert archive.name.startswith(own)
    checked = run(CLI, "dag", "verify", "--deep", str(archive), cwd=solo.folder)
    assert checked.code == 0, (checked.out, checked.err)

    again = cli(solo, "federation", "init", "--name", "third")
    assert (again.code, "federation leave" in again.err) == (1, True), again.err
    assert cli(solo, "federation", "leave").code == 2
    left = cli(solo, "federation", "leave", "--yes")
    assert left.code == 0, left.err
    assert state(solo)[1] == "left"

    def alone_again() -> bool:
        members = home.ask("GET", "/federation/members")["items"]
        return [member["left"] for member in members if member["did"] == solo.did] == [True]

    wait_until("the others to know", alone_again)
    assert home.ask("GET", "/federation/status")["quorum"] == 1
    assert solo.did not in {peer["did"] for peer in home.ask("GET", "/federation/peers")["items"]}
    refused = cli(home, "federation", "admit", solo.did)
    assert (refused.code, "has left" in refused.err) == (1, True)
    wait_until("word of it", lambda: cli(solo, "federation", "init", "--name", "third").code == 0)
    wait_until("a federation of its own", lambda: state(solo) == ("third", "member"))
    solo.ask("POST", "/account/open", {"did": home.did})
    assert len(list((solo.folder / "former").iterdir())) == 2
    back = cli(solo, "federation", "join", invitation(home))
    assert (back.code, "given up" in back.err) == (1, True), back.err
    solo.stop()
    verified = node_verify(solo.folder)
    assert verified == 0


def test_a_node_that_is_told_an_address_stays_what_it_is_until_a_member_has_answered_there(nodes: Nodes) -> None:
    home = nodes.start("home", "--join-policy", "open", "--federation-name", "orchard")
    address = home.p2p
    home.stop()
    solo = nodes.start("solo", "--federation-name", "alone")
    told = cli(solo, "federation", "join", address)
    assert told.code == 0, told.err
    assert "until one has answered there" in told.out
    assert "until one has answered there" in cli(solo, "federation", "status").out
    solo.ask("POST", "/account/open", {"did": home.did})
    assert state(solo) == ("alone", "member")
    assert solo.call("GET", "/ready")[0] == 200
    solo.kill()
    solo.start()
    assert state(solo) == ("alone", "member")
    assert not (solo.folder / "former").exists()
    home.start()
    wait_until("the change", lambda: state(solo) == ("orchard", "waiting for admission"), 60.0)
    wait_until("it to have joined", lambda: cli(home, "federation", "admit", solo.did).code == 0, 60.0)
    wait_until("membership", lambda: state(solo) == ("orchard", "member"), 60.0)
    assert len(list((solo.folder / "former").iterdir())) == 1


def node_verify(folder: Path) -> int:
    return run(
        CLI,
        "dag",
        "verify",
        "--deep",
        "--offline",
        "--storage-backend",
        "sqlite",
        "--storage-path",
        str(folder / "dag.sqlite"),
        "--data-dir",
        str(folder),
    ).code


def test_killed_while_it_changes_a_node_goes_on_at_its_next_start(nodes: Nodes) -> None:
    home = nodes.start("home2", "--join-policy", "invite")
    solo = nodes.start("solo2")
    solo.ask("POST", "/federation/join", {"invitation": invitation(home)})
    solo.kill()
    solo.start()
    wait_until("the other federation", lambda: federation_of(solo) == federation_of(home))
    wait_until("membership", lambda: state(solo)[1] == "member")
    wait_until("readiness", lambda: solo.call("GET", "/ready")[0] == 200)


def federation_of(node: NodeProcess) -> str:
    return str(node.ask("GET", "/federation/status")["id"])
