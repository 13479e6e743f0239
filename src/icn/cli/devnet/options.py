"""What the devnet commands have in common: whose folder, how long, and the numbers they take."""

import argparse
from pathlib import Path

from icn.cli.arguments import Argument, argument, positive, seconds
from icn.cli.devnet.folder import Folder, default_folder
from icn.cli.devnet.state import NODES_MAX
from icn.cli.session import Session


def folder_of(session: Session, given: argparse.Namespace) -> Folder:
    """The folder that was named, or the one of who names none."""
    named: Path | None = getattr(given, "dir", None)
    return Folder(named if named is not None else default_folder(session.world.environ()))


def node_count(text: str) -> int:
    """How many nodes."""
    count = positive(text)
    if count > NODES_MAX:
        raise argparse.ArgumentTypeError(f"at most {NODES_MAX}")
    return count


DIR = argument(
    "--dir", metavar="DIR", type=Path, help="the devnet's folder; default icn/devnet in your state directory"
)


def within(default: float, what: str) -> Argument:
    """`--within`, with its default."""
    return argument("--within", metavar="S", type=seconds, default=default, help=f"{what}; default {default:g} s")
