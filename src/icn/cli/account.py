"""`account`: accounts on this node."""

import argparse

from icn.cli.arguments import Action, argument, did
from icn.cli.blocks import Facts
from icn.cli.endings import Exit
from icn.cli.session import Session


def open_account(session: Session, given: argparse.Namespace) -> Exit:
    """POST /account/open."""
    answer = session.write("/account/open", {"did": str(given.did)})
    session.show(answer, lambda opened: [Facts(opened.facts())])
    return Exit.DONE


ACTIONS = {
    "open": Action(open_account, (argument("did", metavar="DID", type=did, help="who it is for"),), writes=True),
}
