"""`sync`: whether this node and its peers have the same blocks, in what they differ, and asking for what is missing."""

import argparse
import time
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action, argument, seconds
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Ended, Exit
from icn.cli.session import Session

WAIT_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.25


def status(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /sync/status."""
    session.show(session.client.get("/sync/status"), _view)
    return Exit.DONE


def now(session: Session, given: argparse.Namespace) -> Exit:
    """POST /sync/now, then GET /sync/status until all is here or the time is up."""
    before = session.client.get("/sync/status").document()
    asked = session.write("/sync/now", None).document().value("asked")
    until = time.monotonic() + getattr(given, "wait", WAIT_SECONDS)
    while True:
        after = session.client.get("/sync/status").document()
        if after.value("in_sync") is not False or time.monotonic() >= until:
            break
        time.sleep(LOOK_EVERY_SECONDS)
    session.show_own(
        {
            "asked": len(asked),
            "blocks_came": after.value("blocks") - before.value("blocks"),
            "in_sync": after.value("in_sync"),
            "root": after.value("root"),
            "waiting": after.value("waiting"),
        }
    )
    if after.value("in_sync") is False:
        raise Ended(
            Exit.REFUSED,
            "not all peers have the same blocks yet",
            code="cli.not_in_sync",
            next_step="icn-cli sync status says who lacks what.",
        )
    return Exit.DONE


def _view(answer: Document) -> Sequence[Block]:
    peers = [
        [peer.value(name) for name in ("did", "in_sync", "seconds", "feeds_ahead", "feeds_behind", "root")]
        for peer in answer.parts("peers")
    ]
    feeds = [
        [peer.value("did"), feed.value("author"), feed.value("here"), feed.value("there")]
        for peer in answer.parts("peers")
        for feed in peer.parts("feeds")
    ]
    waiting = [
        [entry.value(name) for name in ("cid", "author", "sequence", "missing", "sender")]
        for entry in answer.parts("quarantine")
    ]
    shown: list[Block] = [
        Facts([(name.replace("_", " "), answer.value(name)) for name in ("root", "blocks", "in_sync", "waiting")]),
        Table(
            [
                Column("PEER", Show.SHORT),
                Column("IN SYNC"),
                Column("DIFFERS FOR S"),
                Column("HAS MORE"),
                Column("HAS LESS"),
                Column("ROOT", Show.SHORT),
            ],
            peers,
            when_empty="no peers",
        ),
    ]
    if feeds:
        columns = [Column("PEER", Show.SHORT), Column("FEED", Show.SHORT), Column("HERE"), Column("THERE")]
        shown.append(Table(columns, feeds, when_empty=""))
    if waiting:
        columns = [Column(name, Show.SHORT) for name in ("BLOCK", "AUTHOR")]
        columns += [Column("NUMBER"), Column("WAITS FOR", Show.SHORT), Column("SENT BY", Show.SHORT)]
        shown.append(Table(columns, waiting, when_empty=""))
    return shown


ACTIONS = {
    "status": Action(status),
    "now": Action(
        now,
        (argument("--wait", metavar="S", type=seconds, help="at most so many seconds; default 10"),),
        writes=True,
    ),
}
