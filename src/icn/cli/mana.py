"""`mana`: balances, transfers, the supply."""

import argparse
from collections.abc import Sequence

from icn.cli.answer import Document
from icn.cli.arguments import Action, argument, did, positive
from icn.cli.blocks import Block, Facts
from icn.cli.client import path_of
from icn.cli.endings import Exit
from icn.cli.session import Session


def balance(session: Session, given: argparse.Namespace) -> Exit:
    """GET /account/{did}/mana."""
    named = given.did
    holder = session.client.get("/info").document().text("did") if named is None else str(named)
    session.show(session.client.get(path_of("account", holder, "mana")), _all_facts)
    return Exit.DONE


def transfer(session: Session, given: argparse.Namespace) -> Exit:
    """POST /mana/transfer."""
    body = {"to": str(given.to), "amount": given.amount, "note": getattr(given, "note", "")}
    session.show(session.write("/mana/transfer", body), _all_facts)
    return Exit.DONE


def supply(session: Session, _given: argparse.Namespace) -> Exit:
    """GET /mana/supply. A supply that does not add up is a failed verification."""
    answer = session.client.get("/mana/supply")
    session.show(answer, _all_facts)
    return Exit.DONE if answer.document().truth("balanced") else Exit.NOT_FOUND_OR_UNVERIFIED


def _all_facts(answer: Document) -> Sequence[Block]:
    return [Facts([(name.replace("_", " "), value) for name, value in answer.facts()])]


ACTIONS = {
    "balance": Action(
        balance, (argument("did", metavar="DID", nargs="?", default=None, type=did, help="whose; default this node's"),)
    ),
    "transfer": Action(
        transfer,
        (
            argument("to", metavar="DID", type=did, help="who gets it"),
            argument("amount", metavar="AMOUNT", type=positive, help="whole mana"),
            argument("--note", metavar="TEXT", help="travels with it, for everybody to read"),
        ),
        writes=True,
    ),
    "supply": Action(supply),
}
