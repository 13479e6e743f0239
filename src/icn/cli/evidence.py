"""`dag evidence`: members that signed two histories; the proof as a file; and such a file, checked by itself."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action, argument, did, positive
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Ended, Exit
from icn.cli.events import say_how_to_go_on
from icn.cli.local_files import read_content, write_file
from icn.cli.session import Session
from icn.kernel.ids import Cid, Did

_COLUMNS = (
    ("author", Column("MEMBER", Show.SHORT)),
    ("sequence", Column("FORKED AT")),
    ("kept", Column("KEPT")),
    ("side_blocks", Column("VOID BLOCKS")),
    ("first", Column("FIRST", Show.SHORT)),
    ("second", Column("SECOND", Show.SHORT)),
)


def evidence(session: Session, given: argparse.Namespace) -> Exit:
    """GET /dag/evidence; with `export` the two blocks as a file; with `verify` such a file, without any node."""
    match getattr(given, "what", "list"):
        case "export":
            return _export(session, given)
        case "verify":
            return _verify(session, given)
        case _:
            answer = session.client.get("/dag/evidence", [(n, getattr(given, n, None)) for n in ("limit", "cursor")])
            session.show(answer, _view)
            say_how_to_go_on(session, answer.document())
            return Exit.DONE


def _export(session: Session, given: argparse.Namespace) -> Exit:
    from icn.services.evidence import write_evidence

    author, file = getattr(given, "author", None), getattr(given, "proof", None)
    if author is None or file is None:
        raise Ended(Exit.USAGE, "export takes --author DID and -o FILE", code="cli.usage")
    fork = _fork_of(session, author)
    blocks = [_block(session, fork, name) for name in ("first", "second")]
    write_file(file, write_evidence(*blocks))
    session.show_own({"author": str(author), "sequence": fork.value("sequence"), "file": file})
    return Exit.DONE


def _fork_of(session: Session, author: Did) -> Document:
    asked: str | None = None
    while True:
        page = session.client.get("/dag/evidence", [("cursor", asked)]).document()
        for fork in page.parts("items"):
            if fork.text("author") == str(author):
                return fork
        asked = page.text_or_none("next_cursor")
        if asked is None:
            raise Ended(
                Exit.NOT_FOUND_OR_UNVERIFIED, f"{author} is not known to have signed two histories", code="cli.no_fork"
            )


def _block(session: Session, fork: Document, name: str) -> bytes:
    cid = fork.text_or_none(name)
    if cid is None:
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            "this node does not hold both blocks yet",
            code="cli.no_fork",
            next_step="Try again in a moment, or at another node.",
        )
    block = session.client.get(f"/dag/blocks/{cid}").body
    if not Cid.parse(cid).names(block):
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            f"the node's bytes are not what {cid} names; nothing was written",
            code="cli.hash_mismatch",
        )
    return block


def _verify(session: Session, given: argparse.Namespace) -> Exit:
    from icn.services.evidence import NotEvidence, read_evidence

    file = getattr(given, "file", None)
    if file is None:
        raise Ended(Exit.USAGE, "verify takes a FILE that export wrote", code="cli.usage")
    try:
        proved = read_evidence(read_content(file, session.world))
    except NotEvidence as error:
        raise Ended(Exit.NOT_FOUND_OR_UNVERIFIED, f"{file}: {error}", code=error.code) from error
    session.show_own(
        {
            "author": str(proved.author),
            "sequence": proved.sequence,
            "federation": None if proved.federation is None else str(proved.federation),
            "first": str(proved.first),
            "second": str(proved.second),
        }
    )
    return Exit.DONE


def _view(answer: Document) -> Sequence[Block]:
    rows = [[fork.value(name) for name, _ in _COLUMNS] for fork in answer.parts("items")]
    return [
        Table([column for _, column in _COLUMNS], rows, when_empty="no member is known to have signed two histories"),
        *(Facts([("proved by", f"{len(fork.value('proved_by'))} nodes")]) for fork in answer.parts("items")),
    ]


ACTIONS = {
    "evidence": Action(
        evidence,
        (
            argument(
                "what",
                nargs="?",
                choices=("list", "export", "verify"),
                default="list",
                help="list them (the default), write the proof against one, or check such a file without a node",
            ),
            argument("file", metavar="FILE", nargs="?", help="with verify: what export wrote; - for standard input"),
            argument("--author", metavar="DID", type=did, help="with export: the member"),
            argument("-o", dest="proof", metavar="FILE", help="with export: where the proof goes, as a CAR"),
            argument("--limit", metavar="N", type=positive, help="at most so many, up to 500; default 50"),
            argument("--cursor", metavar="CURSOR", help="go on where an earlier page ended"),
        ),
    ),
}
