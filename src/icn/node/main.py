"""icn-node: from a command line to a running node, or to one clear reason why not.

Exit codes (sysexits): 0 stopped as asked; 6 a fault of disk, database or network ended it; 70 a bug; 78 configuration.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from icn import __version__
from icn.config.flags import add_flags, config_path_from, flags_from
from icn.config.load import load
from icn.config.loaded import LoadedConfig
from icn.config.sources import process_environment
from icn.kernel.errors import ConfigError, Fault, IcnError

EXIT_FAULT = 6
EXIT_BUG = 70
EXIT_CONFIG = 78


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program. The exit code."""
    _open_closed_streams()
    arguments = _parser().parse_args(argv)
    try:
        loaded = load(
            flags=flags_from(arguments),
            config_path=config_path_from(arguments),
            environ=process_environment(),
        )
        command = getattr(arguments, "command", None)
        if command == "config":
            return _config(arguments, loaded)
        return _run(loaded)
    except ConfigError as error:
        sys.stderr.write(f"icn-node: cannot start:\n{error}\n")
        return EXIT_CONFIG
    except Fault as fault:
        sys.stderr.write(f"icn-node: {fault.code}: {fault}\n")
        return EXIT_CONFIG if fault.code in _START_REFUSED else EXIT_FAULT
    except IcnError as error:
        sys.stderr.write(f"icn-node: {type(error).__name__}: {error}\n")
        return EXIT_BUG


_START_REFUSED = (
    *("store.newer", "store.foreign", "store.incomplete", "store.moved"),
    *("key.exposed", "key.passphrase_needed", "key.wrong_passphrase"),
)
"""Faults that only the operator can mend before a start: like a wrong configuration."""


def _open_closed_streams() -> None:
    """Lead nowhere what whoever started this has closed of standard input, output and error.

    Their numbers go to the next that is opened. A socket of the event loop with one of them ends the process when it is
    closed, and a store would be written to by whatever library complains on standard error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _run(loaded: LoadedConfig) -> int:
    gc.disable()  # nothing that is imported becomes garbage, and looking for it is an eighth of the start
    from icn.node.lifecycle import run  # imported here: `icn-node --help` and `config` need none of it

    return run(loaded)


def _config(arguments: argparse.Namespace, loaded: LoadedConfig) -> int:
    from icn.config import explain

    if arguments.what == "check":
        sys.stdout.write(explain.report(loaded).rstrip("\n") + "\n")
    else:
        shown = explain.show(loaded, effective=arguments.effective, origin=arguments.origin)
        sys.stdout.write(shown.rstrip("\n") + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="icn-node",
        description="A node of a federation of cooperatives.",
        epilog="Every setting: docs/config.md. Talk to the node with icn-cli.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"icn-node {__version__}")
    add_flags(parser)
    commands = parser.add_subparsers(dest="command", metavar="config", required=False)
    config = commands.add_parser("config", help="check or show the configuration, without starting", allow_abbrev=False)
    what = config.add_subparsers(dest="what", metavar="check|show", required=True)
    check = what.add_parser("check", help="say whether a node would start with it", allow_abbrev=False)
    show = what.add_parser("show", help="print it", allow_abbrev=False)
    show.add_argument("--effective", action="store_true", help="every setting, defaults included")
    show.add_argument("--origin", action="store_true", help="where each value came from")
    for parser_of_command in (check, show):
        add_flags(parser_of_command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
