"""`federation invite` prints a line to hand over and nothing else; `federation join` takes it from wherever it is."""

from icn.cli.endings import Exit
from support.cli_server import answer

DID = "did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd"
LINE = "icn-invite:" + "oWEx" * 100
ISSUED = {"id": "ab" * 16, "line": LINE, "expires_at_ms": 1, "for_node": None, "addresses": [], "block": "b"}


def test_an_invitation_is_printed_as_one_line_whole_and_alone(node, cli):
    node.on("POST", "/federation/invite", answer(ISSUED))
    ran = cli("federation", "invite")
    assert (ran.status, ran.text) == (Exit.DONE, LINE + "\n")
    assert node.asked[0].json == {"expires_seconds": 7 * 86_400, "note": ""}
    cli.draws = True
    assert cli("federation", "invite").text == LINE + "\n", "a terminal does not get it in pieces"
    assert cli("federation", "invite", "--output", "json").json == ISSUED


def test_what_an_invitation_is_good_for_is_said(node, cli):
    node.on("POST", "/federation/invite", answer(ISSUED))
    words = ("--for", DID, "--expires", "12h", "--note", "the bakers", "--address", "/dns4/a/tcp/1", "--address", "/x")
    assert cli("federation", "invite", *words).status is Exit.DONE
    assert node.asked[0].json == {
        "expires_seconds": 12 * 3600,
        "note": "the bakers",
        "for_node": DID,
        "addresses": ["/dns4/a/tcp/1", "/x"],
    }
    for wrong in ("soon", "d", "0d", "-1d", "1.5h"):
        assert cli("federation", "invite", f"--expires={wrong}").status is Exit.USAGE
    assert cli("federation", "invitations", "--revoke", "xyz").status is Exit.USAGE


def test_a_line_is_read_from_standard_input(node, cli):
    node.on("POST", "/federation/join", answer({"state": "waiting to join"}))
    assert cli("federation", "join", "-", stdin=f"{LINE}\n".encode()).status is Exit.DONE
    assert node.asked[0].json == {"invitation": LINE}


def test_leaving_is_said_twice(node, cli):
    node.on("POST", "/federation/leave", answer({"node": DID, "left": True, "block": "b"}))
    once = cli("federation", "leave")
    assert once.status is Exit.USAGE
    assert "for good" in once.err
    assert not node.asked
    assert cli("federation", "leave", "--yes").status is Exit.DONE
    assert node.asked[0].json == {"for_good": True}


def test_a_vote_to_remove_is_said_twice(node, cli):
    node.on("POST", "/federation/remove", answer({"node": DID, "votes": 1, "votes_missing": 1, "block": "b"}))
    once = cli("federation", "remove", DID, "--reason", "gone")
    assert once.status is Exit.USAGE
    assert f"federation remove {DID} --yes" in once.err
    assert not node.asked
    ran = cli("federation", "remove", DID, "--reason", "gone", "--yes")
    assert ran.status is Exit.DONE
    assert "votes missing" in ran.text
    assert node.asked[0].json == {"did": DID, "reason": "gone", "for_good": True}
