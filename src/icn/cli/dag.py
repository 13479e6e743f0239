"""`dag`: content in and out, the root, verification. What a CID names is checked on this side too."""

import argparse
import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

from icn.cli.answer import Answer, Document, unexpected
from icn.cli.arguments import ARCHIVE_KEYS, Action, argument, cid, positive
from icn.cli.blocks import Block, Column, Facts, Line, Show, Table
from icn.cli.endings import Ended, Exit
from icn.cli.local_files import read_content, write_file, write_raw
from icn.cli.offline import OFFLINE_ARGUMENTS, goes_through_node, open_offline
from icn.cli.session import Session
from icn.kernel.errors import Invalid
from icn.kernel.ids import DAG_CBOR, DAG_PB, RAW, Cid

CODECS = {"raw": RAW, "dag-cbor": DAG_CBOR, "dag-pb": DAG_PB}
VERIFYING_SECONDS = 3600.0
MENDING = (
    "next: a running node gets damaged blocks and content from its peers; rows and indexes that do not follow from the "
    "blocks are made again by icn-cli storage rebuild, with the node stopped"
)


def put(session: Session, given: argparse.Namespace) -> Exit:
    """POST /dag/put."""
    content = read_content(given.file, session.world)
    codec = getattr(given, "codec", "raw")
    body = put_body(content, codec, pin=getattr(given, "pin", False), ttl=getattr(given, "ttl", None))
    answer = session.write("/dag/put", body)
    expect_name(answer.document().text("cid"), content, CODECS[codec])
    session.show(answer, lambda stored: [Line(stored.text("cid"))])
    return Exit.DONE


def get(session: Session, given: argparse.Namespace) -> Exit:
    """POST /dag/get."""
    answer = session.client.ask("/dag/get", {"cid": str(given.cid)})
    content = decoded(answer.document().text("data"))
    if not given.cid.names(content):
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            f"the node's bytes are not what {given.cid} names; nothing was written",
            code="cli.hash_mismatch",
            next_step="Ask another node, and run dag verify on this one.",
        )
    if (file := getattr(given, "file", None)) is not None:
        write_file(file, content)
        session.show_own({"cid": str(given.cid), "size": len(content), "file": file})
    elif session.as_json:
        session.world.print_json(answer.json_text())
    else:
        write_raw(content, session.world)
    return Exit.DONE


def root(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /dag/root."""
    session.show(session.client.get("/dag/root"), _root_view)
    return Exit.DONE


def verify(session: Session, given: argparse.Namespace) -> Exit:
    """GET /dag/verify, or the same on the store itself, or of an archive."""
    deep = getattr(given, "deep", False)
    if hasattr(given, "archive"):
        answer = _verified_archive(session, given, deep=deep)
    elif goes_through_node(session, given):
        answer = session.client.get("/dag/verify", [("deep", "true" if deep else "false")])
    else:
        answer = _verified_here(session, given, deep=deep)
    findings = answer.document().parts("findings")
    session.show(answer, _verify_view)
    if answer.document().truth("ok") and not findings:
        return Exit.DONE
    if not hasattr(given, "archive"):
        session.world.say(MENDING)
    return Exit.NOT_FOUND_OR_UNVERIFIED


def _verified_here(session: Session, given: argparse.Namespace, *, deep: bool) -> Answer:
    import json
    from dataclasses import asdict

    from icn.services.verify import verify as verify_store

    with open_offline(session, given, must_exist=True) as offline:
        report = verify_store(offline.store, offline.configured_did(), deep=deep)
    return Answer(200, json.dumps(asdict(report), ensure_ascii=False).encode())


def _verified_archive(session: Session, given: argparse.Namespace, *, deep: bool) -> Answer:
    import json
    from dataclasses import asdict

    from icn.cli.archives import verify_archive

    report = verify_archive(session, Path(given.archive), given, deep=deep)
    return Answer(200, json.dumps(asdict(report), ensure_ascii=False).encode())


def put_body(content: bytes, codec: str, *, pin: bool, ttl: int | None) -> dict[str, str | bool | int]:
    """The body of POST /dag/put."""
    body: dict[str, str | bool | int] = {"data": base64.b64encode(content).decode(), "codec": codec, "pin": pin}
    return body if ttl is None else {**body, "ttl_seconds": ttl}


def expect_name(text: str, content: bytes, codec: int) -> None:
    """Raise `Ended` unless the node's name for the content is the content's name."""
    try:
        named = Cid.parse(text)
    except Invalid as error:
        raise unexpected(f"'cid': {error}") from error
    if named != Cid.of(content, codec):
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            f"the node calls the content {named}, and its name is {Cid.of(content, codec)}",
            code="cli.hash_mismatch",
            next_step="Do not rely on this node.",
        )


def decoded(text: str) -> bytes:
    """Base64 of an answer."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise unexpected("'data' is not base64") from error


def _root_view(answer: Document) -> Sequence[Block]:
    heads = [[head.value("author"), head.value("sequence"), head.value("cid")] for head in answer.parts("heads")]
    return [
        Facts([("root", answer.value("root")), ("blocks", answer.value("blocks"))]),
        Table(
            [Column("AUTHOR", Show.SHORT), Column("SEQUENCE"), Column("HEAD", Show.SHORT)],
            heads,
            when_empty="no heads yet",
        ),
    ]


def _verify_view(answer: Document) -> Sequence[Block]:
    checked = answer.part("checked")
    findings = [[finding.value("where"), finding.value("what")] for finding in answer.parts("findings")]
    return [
        Facts(
            [
                ("verified", answer.truth("ok") and not findings),
                *((f"{name} checked", value) for name, value in checked.facts()),
                ("findings", len(findings)),
            ]
        ),
        *(
            [Table([Column("WHERE", Show.REST), Column("WHAT", Show.REST)], findings, when_empty="")]
            if findings
            else []
        ),
    ]


ACTIONS = {
    "put": Action(
        put,
        (
            argument("file", metavar="FILE", help="what to store; - for standard input"),
            argument("--codec", choices=tuple(CODECS), help="how the bytes are to be read; default raw"),
            argument("--pin", action="store_true", help="keep it until it is unpinned"),
            argument("--ttl", metavar="S", type=positive, help="keep it for so many seconds"),
        ),
        writes=True,
    ),
    "get": Action(
        get,
        (
            argument("cid", metavar="CID", type=cid, help="what to fetch"),
            argument("-o", dest="file", metavar="FILE", help="write it there instead of to standard output"),
        ),
    ),
    "root": Action(root),
    "verify": Action(
        verify,
        (
            argument(
                "--deep", action="store_true", help="signatures, chains, links and the ledger by full replay, too"
            ),
            argument(
                "archive",
                metavar="ARCHIVE",
                nargs="?",
                help="a backup, or a folder of backups, instead of a store",
            ),
            *ARCHIVE_KEYS,
            *OFFLINE_ARGUMENTS,
        ),
        patience=VERIFYING_SECONDS,
    ),
}
