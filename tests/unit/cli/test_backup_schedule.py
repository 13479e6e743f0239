"""`backup`: what is asked of the node, what is shown, and how it ends."""

import pytest

from icn.cli.endings import Exit
from support.cli_server import answer, problem

NAME = "icn-9f86d081884c7d65-20261124T031500123Z-4e1243bd22c66e76-full.tar.gz"
MADE = {"archive": NAME, "made_at": "2026-11-24T03:15:00.123Z", "size": 1341, "took_ms": 120}
PROVEN = {"archive": NAME, "proven_at": "2026-11-24T04:00:00.000Z", "took_ms": 90}
STATE = {
    "scheduled": True,
    "target": "s3://coop-backups/node-1",
    "running": None,
    "last_success": MADE,
    "last_verified": PROVEN,
    "next_backup_at": "2026-11-25T03:15:00.123Z",
    "next_drill_at": None,
    "failures": [{"task": "drill", "why": "the line is cut", "at": "2026-11-24T05:00:00.000Z", "in_a_row": 2}],
}
ARCHIVE = {"name": NAME, "kind": "full", "made_at": MADE["made_at"], "size": 1341, "encrypted": False}
LISTED = {"state": STATE, "archives": [{**ARCHIVE, "restorable": True}]}
PROOF = {"ok": True, "archive": NAME, "archives": 2, "blocks": 7, "content": 3, "finding": None, "took_ms": 90}


@pytest.mark.parametrize(
    ("line", "method", "path", "document", "words"),
    [
        ("status", "GET", "/status", {"backups": STATE}, [NAME, "s3://coop-backups/node-1", "the line is cut"]),
        (
            "status",
            "GET",
            "/status",
            {"backups": {**STATE, "last_success": None, "last_verified": None, "failures": []}},
            ["last backup  none", "nothing fails"],
        ),
        ("list", "GET", "/admin/backups", LISTED, [NAME, "full", "1341"]),
        ("list", "GET", "/admin/backups", {**LISTED, "archives": []}, ["no backups of this node"]),
        ("run", "POST", "/admin/backups/run", MADE, [NAME, "1341", "120 ms"]),
        ("drill", "POST", "/admin/backups/drill", PROOF, ["restorable", "yes", NAME]),
    ],
)
def test_each_asks_once_and_shows_what_the_node_said(node, cli, line, method, path, document, words):
    node.on(method, path, answer(document))
    ran = cli("backup", line)
    assert ran.status is Exit.DONE, ran.err
    assert node.requests == [f"{method} {path}"]
    for word in words:
        assert word in ran.text
    assert cli("--output", "json", "backup", line).json == document


def test_a_backup_that_cannot_be_restored_ends_with_5_and_says_why(node, cli):
    finding = f"{NAME}: its compression is damaged"
    node.on("POST", "/admin/backups/drill", answer({**PROOF, "ok": False, "finding": finding}))
    ran = cli("backup", "drill")
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "its compression is damaged" in ran.text


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [
        (404, "backup.nothing_to_drill", Exit.NOT_FOUND_OR_UNVERIFIED),
        (409, "backup.busy", Exit.REFUSED),
        (503, "backup.target_unavailable", Exit.FAULT),
        (500, "backup.target_denied", Exit.FAULT),
    ],
)
def test_what_the_node_refuses_ends_as_elsewhere(node, cli, status, code, ends):
    node.on("POST", "/admin/backups/drill", problem(status, code, "why"))
    ran = cli("backup", "drill")
    assert ran.status is ends
    assert code in ran.err
