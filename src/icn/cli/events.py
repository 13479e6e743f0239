"""`events`: what has happened, a page at a time or as it happens."""

import argparse
from collections.abc import Sequence
from typing import Any

from icn.cli.answer import Document, read_document
from icn.cli.arguments import Action, argument, did, instant, job_id, positive
from icn.cli.blocks import Block, Column, Show, Table, cell
from icn.cli.client import Query
from icn.cli.endings import Ended, Exit
from icn.cli.following import follow
from icn.cli.session import Session

_COLUMNS = (
    ("id", Column("ID")),
    ("time", Column("TIME", Show.TIME)),
    ("type", Column("TYPE")),
    ("author", Column("AUTHOR", Show.PIPED_ONLY)),
    ("principal", Column("PRINCIPAL", Show.PIPED_ONLY)),
    ("event", Column("EVENT", Show.REST)),
)


def events(session: Session, given: argparse.Namespace) -> Exit:
    """GET /events."""
    query: Query = [
        ("type", getattr(given, "type", None)),
        ("since", getattr(given, "since", None)),
        ("until", getattr(given, "until", None)),
        ("actor", _text(getattr(given, "actor", None))),
        ("job", _text(getattr(given, "job", None))),
        ("correlation", getattr(given, "correlation", None)),
        ("tail", getattr(given, "tail", None)),
    ]
    if getattr(given, "follow", False):
        return _follow(session, given, query)
    paging: Query = [(name, getattr(given, name, None)) for name in ("limit", "cursor")]
    answer = session.client.get("/events", [*query, *paging])
    session.show(answer, _page_view)
    if not hasattr(given, "tail"):  # behind the newest there is nothing yet, only a place
        say_how_to_go_on(session, answer.document())
    return Exit.DONE


def say_how_to_go_on(session: Session, page: Document) -> None:
    """Where a list goes on, to standard error, so that piped output holds rows only."""
    cursor = page.text_or_none("next_cursor")
    if cursor is not None:
        session.world.say(f"there is more: --cursor {cursor}")


def _follow(session: Session, given: argparse.Namespace, query: Query) -> Exit:
    for name in ("until", "limit", "cursor"):
        if hasattr(given, name):
            raise Ended(Exit.USAGE, f"--follow has no end, so --{name} does not go with it", next_step="Leave one out.")
    for told in follow(session.client, session.world, "/events", query):
        item = read_document(told.data.encode())
        if session.as_json:
            session.world.print_json(told.data)
        else:
            session.world.print("  ".join(cell(value) for value in _row(item)))
        session.world.stdout.flush()
    return Exit.DONE


def _page_view(answer: Document) -> Sequence[Block]:
    rows = [_row(item) for item in answer.parts("items")]
    return [Table([column for _, column in _COLUMNS], rows, when_empty="no events")]


def _row(item: Document) -> list[Any]:
    return [item.value(name) for name, _ in _COLUMNS]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


ACTIONS = {
    "events": Action(
        events,
        (
            argument("--type", metavar="TYPE", help="only these: mesh.rollback, rollback, or all of mesh"),
            argument("--since", metavar="TIME", type=instant, help="from then on: 2026-11-23, or 2026-11-23T20:45Z"),
            argument("--until", metavar="TIME", type=instant, help="up to then"),
            argument("--actor", metavar="DID", type=did, help="only what this one did, or had done"),
            argument("--job", metavar="JOB", type=job_id, help="only what tells of this job"),
            argument("--correlation", metavar="ID", help="only what the request with this correlation id caused"),
            argument("--tail", metavar="N", type=positive, help="the newest N"),
            argument("--follow", action="store_true", help="go on printing what happens; with JSON, one object a line"),
            argument("--limit", metavar="N", type=positive, help="at most so many, up to 500; default 50"),
            argument("--cursor", metavar="CURSOR", help="go on where an earlier page ended"),
        ),
    )
}
