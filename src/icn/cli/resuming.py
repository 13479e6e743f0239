"""`dag resume`: the operator's word for a node whose store was put back."""

import argparse

from icn.cli.arguments import Action, argument
from icn.cli.blocks import Line
from icn.cli.endings import Exit
from icn.cli.session import Session


def resume(session: Session, _given: argparse.Namespace) -> Exit:
    """POST /admin/resume."""
    answer = session.write("/admin/resume", {"no_newer_blocks": True})
    was_held = answer.document().truth("was_held")
    said = "the node writes again" if was_held else "the node was not held; nothing has changed"
    session.show(answer, lambda _: [Line(said)])
    return Exit.DONE


ACTIONS = {
    "resume": Action(
        resume,
        (
            argument(
                "--no-newer-blocks",
                action="store_true",
                required=True,
                help="your word that no block of this node exists anywhere that is not in its store; if one does, the "
                "node will have signed two blocks with one number, and what it recorded since is void",
            ),
        ),
        writes=True,
    ),
}
