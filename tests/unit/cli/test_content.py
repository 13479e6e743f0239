"""`dag pin … import`: what is asked of the node, what is shown, and that a CAR is checked on this side."""

import pytest

from icn.cli.endings import Exit
from icn.kernel.ids import RAW, Cid
from icn.stores.car import MEDIA_TYPE, encode_header, encode_section
from support.cli_server import Reply, answer, problem

CONTENT = b"bread"
CID = Cid.of(CONTENT, RAW)
DID = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
CAR = encode_header([CID]) + encode_section(CID, CONTENT)
PINNED = {"cid": str(CID), "pinned": True, "seconds_left": None}
PRUNED = {"dry_run": True, "examined": 9, "removed": 3, "removed_bytes": 700}
META = {
    "cid": str(CID),
    "codec": "raw",
    "kind": "content",
    "size": 5,
    "damaged": False,
    "stored_at": "2026-01-02T03:04:05.000Z",
    "pinned": False,
    "expires_at": None,
    "kept_until": None,
    "change": 4,
    "author": None,
    "sequence": None,
    "arrival": None,
    "links": [str(CID)],
    "link_count": 1,
    "referenced_by": [{"kind": "job", "name": "job-x"}],
    "reference_count": 1,
}
STATUS = {
    "dag": {"root": "ab", "signed_blocks": 7, "content_bytes": 900, "scan": {"last_damaged": 0, "read_bytes": 12}},
    "blocks_damaged": 2,
}
LINE = {
    "cid": str(CID),
    "kind": "content",
    "size": 5,
    "at": "2026-01-02T03:04:05.000Z",
    "pinned": True,
    "expires_at": None,
    "author": None,
    "sequence": None,
}
IMPORTED = {"roots": [str(CID)], "new": 1, "known": 0, "refused": 0, "reasons": [], "pinned": []}
IMPORTED |= {"missing": 0, "missing_names": []}


def car(data: bytes = CAR, **more) -> Reply:
    return Reply(200, data, {"Content-Type": MEDIA_TYPE}, **more)


@pytest.mark.parametrize(
    ("words", "path", "document", "body"),
    [
        (("pin", CID), "/dag/pin", PINNED, {"cid": str(CID)}),
        (("unpin", CID), "/dag/unpin", PINNED, {"cid": str(CID)}),
        (("prune",), "/dag/prune", PRUNED, {"dry_run": False}),
        (("prune", "--dry-run"), "/dag/prune", PRUNED, {"dry_run": True}),
    ],
)
def test_what_changes_something_is_asked_for_once_under_a_key(node, cli, words, path, document, body):
    node.on("POST", path, Reply(hang_up=True), answer(document))
    ran = cli("dag", *words)
    assert ran.status is Exit.DONE
    first, second = node.asked
    assert first.json == second.json == body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert all(str(value) in ran.text for value in document.values() if type(value) is int)
    assert cli("dag", *words, "--output", "json").json == document


def test_the_circumstances_of_a_block(node, cli):
    node.on("POST", "/dag/meta", answer(META))
    ran = cli("dag", "meta", CID)
    assert ran.status is Exit.DONE
    assert all(word in ran.text for word in (str(CID), "job-x", "kept until", "LINKS TO"))
    node.on("POST", "/dag/meta", answer(META | {"damaged": True}))
    assert cli("dag", "meta", CID).status is Exit.NOT_FOUND_OR_UNVERIFIED


def test_status_and_lists(node, cli):
    node.on("GET", "/dag/status", answer(STATUS))
    shown = cli("dag", "status").text
    assert all(word in shown for word in ("signed blocks", "blocks damaged", "scan read bytes"))
    node.on("GET", "/dag/blocks", answer({"items": [LINE], "next_cursor": "ab"}))
    ran = cli("dag", "blocks", "--kind", "signed", "--limit", "1", "--cursor", "cd")
    assert node.asked[-1].query == {"kind": "signed", "limit": "1", "cursor": "cd"}
    assert str(CID) in ran.text
    assert "--cursor ab" in ran.err


def test_an_export_is_there_whole_or_not_at_all(node, cli, tmp_path):
    target = tmp_path / "out.car"
    node.on("GET", "/dag/export", car())
    ran = cli("dag", "export", CID, CID, "-o", target, "--output", "json")
    assert ran.json == {"file": str(target), "blocks": 1, "bytes": len(CAR)}
    assert target.read_bytes() == CAR
    assert node.asked[0].query == {"roots": f"{CID},{CID}"}
    piped = cli("dag", "export")
    assert (piped.err, piped.out) == ("", CAR)
    assert node.asked[1].query == {}
    target.write_bytes(b"older")
    for wrong, status in (
        (car(encode_header([CID]) + encode_section(CID, b"dread")), Exit.NOT_FOUND_OR_UNVERIFIED),
        (car(CAR[:-1]), Exit.NOT_FOUND_OR_UNVERIFIED),
        (car(missing_bytes=100), Exit.UNREACHABLE),
        (problem(404, "dag.not_found", "nowhere"), Exit.NOT_FOUND_OR_UNVERIFIED),
        (Reply(hang_up=True), Exit.UNREACHABLE),
    ):
        node.on("GET", "/dag/export", wrong)
        assert cli("dag", "export", CID, "-o", target).status is status
        assert target.read_bytes() == b"older"
        assert [path.name for path in tmp_path.iterdir()] == ["out.car"]


def test_an_import_sends_the_file_as_it_is(node, cli, tmp_path):
    source = tmp_path / "in.car"
    source.write_bytes(CAR)
    node.on("POST", "/dag/import", answer(IMPORTED))
    ran = cli("dag", "import", source, "--pin")
    assert ran.status is Exit.DONE
    (asked,) = node.asked
    assert (asked.body, asked.query, asked.headers["content-type"]) == (CAR, {"pin": "true"}, MEDIA_TYPE)
    assert cli("dag", "import", source, "--output", "json").json == IMPORTED


def test_refused_blocks_are_named_and_make_an_import_fail(node, cli, tmp_path):
    source = tmp_path / "in.car"
    source.write_bytes(CAR)
    refused = IMPORTED | {"refused": 1, "reasons": [{"cid": str(CID), "reason": "its ancestor is not here"}]}
    node.on("POST", "/dag/import", answer(refused))
    ran = cli("dag", "import", source)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "ancestor" in ran.text


def test_what_the_roots_of_a_file_lack_is_named_and_makes_an_import_fail(node, cli, tmp_path):
    source = tmp_path / "in.car"
    source.write_bytes(CAR)
    node.on("POST", "/dag/import", answer(IMPORTED | {"missing": 1, "missing_names": [str(CID)]}))
    ran = cli("dag", "import", source)
    assert ran.status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert "NEITHER IN THE FILE NOR HERE" in ran.text
    assert ran.text.count(str(CID)) == 2


def test_what_cannot_be_read_is_not_sent(node, cli, tmp_path):
    assert cli("dag", "import", tmp_path / "absent").status is Exit.NOT_FOUND_OR_UNVERIFIED
    assert cli("dag", "import", tmp_path).status is Exit.USAGE
    node.on("POST", "/dag/import", Reply(hang_up=True))
    (tmp_path / "in.car").write_bytes(CAR)
    ran = cli("dag", "import", tmp_path / "in.car")
    assert ran.status is Exit.UNREACHABLE
    assert "again" in ran.err
