"""`federation`: what it is, who is in it, and letting somebody in."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action, argument, did
from icn.cli.blocks import Block, Column, Facts, Show, Table
from icn.cli.endings import Exit
from icn.cli.session import Session


def status(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /federation/status."""
    session.show(session.client.get("/federation/status"), _status_view)
    return Exit.DONE


def admit(session: Session, given: argparse.Namespace) -> Exit:
    """POST /federation/admit."""
    answer = session.write("/federation/admit", {"did": str(given.did)})
    session.show(answer, lambda admitted: [Facts(admitted.facts())])
    return Exit.DONE


def _status_view(answer: Document) -> Sequence[Block]:
    members = [
        [member.value(name) for name in ("did", "admitted", "joined", "sequence")] for member in answer.parts("members")
    ]
    return [
        Facts(
            [
                ("federation", answer.value("name")),
                ("id", answer.value("id")),
                ("state", answer.value("state")),
                ("quorum", answer.value("quorum")),
                *((f"policy {name.replace('_', ' ')}", value) for name, value in answer.part("policy").facts()),
            ]
        ),
        Table(
            [Column("MEMBER", Show.SHORT), Column("ADMITTED"), Column("JOINED"), Column("SEQUENCE")],
            members,
            when_empty="no members yet",
        ),
    ]


ACTIONS = {
    "status": Action(status),
    "admit": Action(admit, (argument("did", metavar="DID", type=did, help="the node that waits"),), writes=True),
}
