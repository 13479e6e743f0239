"""`dag`, the life of content: pins, pruning, circumstances, lists, what is stored, CAR files out and in.

A CAR that comes is checked block by block on this side, too, and is put under its name only when it is there whole.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from icn.cli.answer import Document, read_document
from icn.cli.arguments import Action, argument, cid, positive
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Ended, Exit
from icn.cli.local_files import STREAM
from icn.cli.session import Session
from icn.kernel.errors import Invalid
from icn.stores.car import MEDIA_TYPE, CarReader

PRUNING_SECONDS = 120.0
CARRYING_SECONDS = 600.0
"""Between two pieces of a CAR, either way."""


def pin(session: Session, given: argparse.Namespace) -> Exit:
    """POST /dag/pin."""
    session.show(session.write("/dag/pin", {"cid": str(given.cid)}), _all_facts)
    return Exit.DONE


def unpin(session: Session, given: argparse.Namespace) -> Exit:
    """POST /dag/unpin."""
    session.show(session.write("/dag/unpin", {"cid": str(given.cid)}), _all_facts)
    return Exit.DONE


def prune(session: Session, given: argparse.Namespace) -> Exit:
    """POST /dag/prune."""
    session.show(session.write("/dag/prune", {"dry_run": getattr(given, "dry_run", False)}), _all_facts)
    return Exit.DONE


def meta(session: Session, given: argparse.Namespace) -> Exit:
    """POST /dag/meta. A block whose bytes are damaged is a failed verification."""
    answer = session.client.ask("/dag/meta", {"cid": str(given.cid)})
    damaged = answer.document().truth("damaged")
    session.show(answer, _meta_view)
    return Exit.NOT_FOUND_OR_UNVERIFIED if damaged else Exit.DONE


def status(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /dag/status."""
    session.show(session.client.get("/dag/status"), _status_view)
    return Exit.DONE


def listed(session: Session, given: argparse.Namespace) -> Exit:
    """GET /dag/blocks."""
    query = [(name, getattr(given, name, None)) for name in ("kind", "limit", "cursor")]
    answer = session.client.get("/dag/blocks", query)
    session.show(answer, _list_view)
    cursor = answer.document().text_or_none("next_cursor")
    if cursor is not None:
        session.world.say(f"there is more: --cursor {cursor}")
    return Exit.DONE


def export(session: Session, given: argparse.Namespace) -> Exit:
    """GET /dag/export, checked on the way."""
    roots = ",".join(str(root) for root in getattr(given, "roots", ())) or None
    name: str | None = getattr(given, "file", None)
    if name is None and session.world.draws:
        raise Ended(Exit.USAGE, "a CAR is no text for a terminal", next_step="Give -o FILE, or send it into a pipe.")
    with session.client.stream("/dag/export", [("roots", roots)]) as read:
        if name is None:
            _checked(read, session.world.stdout)
            return Exit.DONE
        partial = Path(f"{name}.partial")
        try:
            with partial.open("wb") as file:
                blocks, size = _checked(read, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(name)
        except OSError as error:
            raise Ended(Exit.FAULT, f"{name} cannot be written: {error.strerror}", code="cli.local_fault") from error
        finally:
            partial.unlink(missing_ok=True)
    session.show_own({"file": name, "blocks": blocks, "bytes": size})
    return Exit.DONE


def take(session: Session, given: argparse.Namespace) -> Exit:
    """POST /dag/import. Blocks that were refused make it a failed one, and so do those that its roots lack."""
    query = [("pin", "true")] if getattr(given, "pin", False) else []
    if given.file == STREAM:
        answer = session.client.send("/dag/import", session.world.stdin, MEDIA_TYPE, query)
    else:
        try:
            with Path(given.file).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                answer = session.client.send("/dag/import", file, MEDIA_TYPE, query, size=size)
        except FileNotFoundError as error:
            raise Ended(Exit.NOT_FOUND_OR_UNVERIFIED, f"there is no file {given.file}", code="cli.no_file") from error
        except IsADirectoryError as error:
            raise Ended(Exit.USAGE, f"{given.file} is a folder", code="cli.local_fault") from error
    session.show(answer, _import_view)
    taken = read_document(answer.body)
    return Exit.NOT_FOUND_OR_UNVERIFIED if taken.value("refused") or taken.value("missing") else Exit.DONE


def _checked(read: Callable[[int], bytes], file: BinaryIO) -> tuple[int, int]:
    """Copy a CAR, block by block checked against its name. How many blocks, and how many bytes in all."""
    size = 0

    def copying(most: int) -> bytes:
        nonlocal size
        piece = read(most)
        file.write(piece)
        size += len(piece)
        return piece

    try:
        blocks = sum(1 for _ in CarReader(copying).blocks())
    except Invalid as error:
        raise Ended(
            Exit.NOT_FOUND_OR_UNVERIFIED,
            f"what the node sent is not what it names: {error}",
            code="cli.hash_mismatch",
            next_step="Ask another node, and run dag verify on this one.",
        ) from error
    return blocks, size


def _all_facts(answer: Document) -> Sequence[Block]:
    return [Facts([(name.replace("_", " "), value) for name, value in answer.facts()])]


def _meta_view(answer: Document) -> Sequence[Block]:
    lists = ("links", "referenced_by")
    links = answer.value("links")
    referring = [[one.value("kind"), one.value("name")] for one in answer.parts("referenced_by")]
    return [
        Facts([(name.replace("_", " "), value) for name, value in answer.facts() if name not in lists]),
        *([Table([Column("LINKS TO")], [[link] for link in links], when_empty="")] if links else []),
        *([Table([Column("KIND"), Column("REFERRED TO BY")], referring, when_empty="")] if referring else []),
    ]


def _status_view(answer: Document) -> Sequence[Block]:
    dag = answer.part("dag")
    scan = dag.part("scan")
    return [
        Facts(
            [
                *((name.replace("_", " "), value) for name, value in dag.facts() if name != "scan"),
                ("blocks damaged", answer.value("blocks_damaged")),
                *((f"scan {name.replace('_', ' ')}", value) for name, value in scan.facts()),
            ]
        )
    ]


def _list_view(answer: Document) -> Sequence[Block]:
    names = ("cid", "size", "at", "pinned", "expires_at", "author", "sequence")
    shown = (
        Column("CID"),
        Column("SIZE"),
        Column("AT", Show.TIME),
        Column("PINNED"),
        Column("EXPIRES", Show.TIME),
        Column("AUTHOR", Show.SHORT),
        Column("SEQUENCE"),
    )
    rows = [[item.value(name) for name in names] for item in answer.parts("items")]
    return [Table(shown, rows, when_empty="no blocks of this kind")]


def _import_view(answer: Document) -> Sequence[Block]:
    refused = [[one.value("cid"), one.value("reason")] for one in answer.parts("reasons")]
    missing = answer.value("missing_names")
    return [
        Facts([(name, value) for name, value in answer.facts() if name not in {"reasons", "missing_names"}]),
        *([Table([Column("REFUSED"), Column("WHY", Show.REST)], refused, when_empty="")] if refused else []),
        *(
            [Table([Column("MISSING: NEITHER IN THE FILE NOR HERE")], [[name] for name in missing], when_empty="")]
            if missing
            else []
        ),
    ]


_CID = argument("cid", metavar="CID", type=cid, help="which block")
ACTIONS = {
    "pin": Action(pin, (_CID,), writes=True),
    "unpin": Action(unpin, (_CID,), writes=True),
    "prune": Action(
        prune,
        (argument("--dry-run", action="store_true", help="only say what would go"),),
        writes=True,
        patience=PRUNING_SECONDS,
    ),
    "meta": Action(meta, (_CID,)),
    "status": Action(status),
    "blocks": Action(
        listed,
        (
            argument("--kind", choices=("content", "signed"), help="which blocks; default content"),
            argument("--limit", metavar="N", type=positive, help="most blocks to list"),
            argument("--cursor", metavar="CURSOR", help="go on where an earlier page ended"),
        ),
    ),
    "export": Action(
        export,
        (
            argument("roots", metavar="CID", nargs="*", type=cid, help="with all that hangs on it; none: everything"),
            argument("-o", dest="file", metavar="FILE", help="write it there instead of to standard output"),
        ),
        patience=CARRYING_SECONDS,
    ),
    "import": Action(
        take,
        (
            argument("file", metavar="FILE", help="a CAR; - for standard input"),
            argument("--pin", action="store_true", help="pin the content that the file names as its roots"),
        ),
        patience=CARRYING_SECONDS,
    ),
}
