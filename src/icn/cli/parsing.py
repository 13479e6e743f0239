"""From the command line to a command and its arguments: a parser per level, each with the global options.

So `--node` may stand before the command, after it, or between its words; the last one counts. Only the module of the
command that is meant gets imported, which is what keeps `--help` fast.
"""

import argparse
import importlib
from collections.abc import Callable, Container, Sequence
from typing import Any, NoReturn

import icn
from icn.cli import arguments, commands
from icn.cli.arguments import Action
from icn.cli.commands import Command
from icn.cli.endings import MEANINGS, Ended, Exit

PROGRAM = "icn-cli"
HELP_COLUMNS = 80


class Shown(Exception):
    """Help or the version was asked for, and has been printed."""


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Help in 80 columns. Told the width, argparse need not ask `shutil`, which loads every compression there is."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{**options, "width": HELP_COLUMNS})


class Parser(argparse.ArgumentParser):
    """Argparse, except that nothing exits and help goes where it is told."""

    def __init__(self, program: str, write: Callable[[str], None], **options: Any) -> None:
        super().__init__(
            prog=program,
            allow_abbrev=False,  # an abbreviation that is clear today is not tomorrow
            argument_default=argparse.SUPPRESS,  # an option not given on one level must not hide that of another
            formatter_class=HelpText,
            **options,
        )
        self.write = write

    def print_help(self, file: Any = None) -> None:
        """Help was asked for."""
        self.write(self.format_help().rstrip("\n"))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Called after help."""
        raise Shown

    def error(self, message: str) -> NoReturn:
        """The command line is wrong."""
        raise Ended(Exit.USAGE, message, next_step=f"See {self.prog} --help.")


class ShowVersion(argparse.Action):
    """`--version`: print it, and nothing else."""

    def __call__(  # noqa: D102 - called by argparse; the class says what for
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        if isinstance(parser, Parser):
            parser.write(f"{PROGRAM} {icn.__version__}")
        parser.exit()


def parse(words: Sequence[str], write: Callable[[str], None]) -> tuple[Command, Action, argparse.Namespace]:
    """The command these words ask for. Raises `Shown` after help, `Ended` with USAGE for words that ask for nothing."""
    given = argparse.Namespace()
    top = _level(PROGRAM, write, "What a person does with an ICN node.", "commands", commands.COMMANDS)
    top.add_argument("--version", action=ShowVersion, nargs=0, help="print the version")
    top.parse_args(list(words), given)
    first, *rest = given.words
    command = commands.find(first, None)
    if command is None:
        members = commands.in_group(first)
        if not members:
            raise _unknown(PROGRAM, first, [command.group for command in commands.COMMANDS])
        program = f"{PROGRAM} {first}"
        _level(program, write, None, f"commands of {first}", members).parse_args(rest, given)
        second, *rest = given.words
        command = commands.find(first, second)
        if command is None:
            raise _unknown(program, second, [command.verb for command in members])
    action = load(command)
    leaf = leaf_parser(command, action, write)
    del given.words
    leaf.parse_args(rest, given)
    return command, action, given


def load(command: Command) -> Action:
    """What the command takes and does: this imports its module."""
    actions: dict[str, Action] = importlib.import_module(command.module).ACTIONS
    return actions[command.verb]


def leaf_parser(command: Command, action: Action, write: Callable[[str], None]) -> Parser:
    """The parser of one command."""
    parser = Parser(f"{PROGRAM} {command.words}", write, description=command.summary)
    for declared in action.arguments:
        declared.add_to(parser)
    if action.writes:
        arguments.IDEMPOTENCY_KEY.add_to(parser)
    own = {name for declared in action.arguments for name in declared.names}
    _add_global(parser, own)
    return parser


def _level(
    program: str, write: Callable[[str], None], description: str | None, title: str, table: Sequence[Command]
) -> Parser:
    width = max(len(command.words) for command in table)
    lines = [f"  {command.words:<{width}}  {command.summary}" for command in table]
    epilog = "\n".join([f"{title}:", *lines, "", f"{PROGRAM} COMMAND --help tells what a command takes."])
    if program == PROGRAM:
        meanings = [f"  {status.value:<3}  {meaning}" for status, meaning in MEANINGS.items()]
        epilog = "\n".join([epilog, "", "exit status:", *meanings])
    parser = Parser(program, write, description=description, epilog=epilog, usage=f"{program} [OPTIONS] COMMAND …")
    parser.add_argument("words", nargs=argparse.PARSER, help=argparse.SUPPRESS)
    _add_global(parser)
    return parser


def _add_global(parser: Parser, but: Container[str] = ()) -> None:
    """Add the options for every command, but those whose names the command itself uses: they stand before it."""
    everywhere = parser.add_argument_group("for every command")
    for declared in arguments.GLOBAL:
        if declared.names[0] not in but:
            everywhere.add_argument(*declared.names, **declared.options)


def _unknown(program: str, word: str, known: list[str]) -> Ended:
    import difflib

    near = difflib.get_close_matches(word, known, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return Ended(Exit.USAGE, f"{program} has no command {word!r}{meant}", next_step=f"See {program} --help.")
