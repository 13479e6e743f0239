"""`docs/cli.md`, made of the table of commands and what they declare. `python -m icn.cli.reference` prints it."""

import sys

from icn.cli.arguments import GLOBAL, IDEMPOTENCY_KEY, Argument
from icn.cli.commands import COMMANDS, Command
from icn.cli.endings import MEANINGS
from icn.cli.parsing import PROGRAM, load

_INTRODUCTION = """\
# icn-cli

*Made from the commands by `python -m icn.cli.reference`; do not edit.*

Talks to a node over its HTTP API; `identity` works on key files and needs no node. Commands that take `--offline` ask a
node if one answers, and otherwise work on the store itself, with the configuration that `icn-node` would read; they say
which. The options for every command stand before or after it.

On a terminal, tables are drawn, long names in them shortened, and columns that would not fit left out. Piped, the same
output is plain aligned text, complete. `--output json` prints the API's JSON as it came, one document; with
`events --follow`, `mesh watch` and `mesh submit --wait`, which tell something as it happens, one object a line: the
last line of `mesh submit --wait` is the job as it ended. Results go to standard output; progress, warnings and errors,
one line each, to standard error.

A write is sent under an `Idempotency-Key` and repeated under the same key when the connection is lost, so it is done
once. When no answer comes at all, the error names the key: repeat the command with `--idempotency-key` to be sure.

A key is sent as `x-api-key`, a token as `Authorization: Bearer`. There is one of the two: both on the command line, or
both in variables, are refused; what is on the command line replaces what is in variables.

What a CID names is checked here: content and outputs that do not match are not written, and the exit status is 5.
"""
_VARIABLES = """\
## Variables

| variable | meaning |
|---|---|
| `ICN_NODE_URL` | the node's API, when `--node` is not given |
| `ICN_API_KEY` | the API key, when no option gives one |
| `ICN_API_KEY_FILE` | a file that holds it |
| `ICN_AUTH_TOKEN` | the token, when no option gives one; `icn-node` has none yet, and refuses the variable |
| `ICN_AUTH_TOKEN_FILE` | a file that holds it |
| `ICN_CACERT` | the certificates to trust, when `--cacert` is not given; only for `https://` |
| `ICN_KEY_PASSPHRASE` | the passphrase of a key file, for `identity`; or `ICN_KEY_PASSPHRASE_FILE` |
| `ICN_CLI_NEW_PASSPHRASE` | the new one, for `identity passphrase`; or `ICN_CLI_NEW_PASSPHRASE_FILE` |
"""


def reference() -> str:
    """The page."""
    statuses = "".join(f"| {status.value} | {meaning} |\n" for status, meaning in MEANINGS.items())
    parts = [
        _INTRODUCTION,
        "## For every command\n\n" + _table(GLOBAL),
        _VARIABLES,
        "## Exit status\n\n| status | meaning |\n|---|---|\n" + statuses,
        "## Commands\n",
        *(_command(command) for command in COMMANDS),
    ]
    return "\n".join(parts)


def _command(command: Command) -> str:
    action = load(command)
    declared = (*action.arguments, IDEMPOTENCY_KEY) if action.writes else action.arguments
    places = [argument.shown for argument in declared if not argument.is_option]
    usage = " ".join([PROGRAM, command.words, *(["[OPTIONS]"] if len(places) < len(declared) else []), *places])
    sentence = command.summary[0].upper() + command.summary[1:]
    patience = f" Waits up to {action.patience:g} s for the node." if action.patience > 60 else ""
    head = f"### {command.words}\n\n{sentence}.{patience}\n\n    {usage}\n"
    return f"{head}\n{_table(declared)}" if declared else head


def _table(declared: tuple[Argument, ...]) -> str:
    rows = "".join(f"| `{item.shown.replace('|', ' or ')}` | {item.options['help']} |\n" for item in declared)
    return f"| argument | meaning |\n|---|---|\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(reference())
