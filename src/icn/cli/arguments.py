"""What a command declares about itself, and the types its arguments are parsed into at the edge.

Declared as data, so that the parser, the help and docs/cli.md are made of the same thing. The types import what they
need when they are used: a command without a CID never loads it. Named tuples, as help is made of them: `dataclasses`
would be a fifth of the time that help takes.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from icn.cli.endings import Exit
    from icn.cli.session import Session
    from icn.kernel.ids import Cid, Did, JobId

T = TypeVar("T")

SECONDS_MAX = 86_400
REQUEST_KEY_CHARS_MAX = 120
"""The API takes 128; a command that writes twice needs room to tell its two keys apart."""


class Argument(NamedTuple):
    """One argument, in the words of `ArgumentParser.add_argument`."""

    names: tuple[str, ...]
    options: Mapping[str, Any]

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Declare it."""
        parser.add_argument(*self.names, **self.options)

    @property
    def is_option(self) -> bool:
        """Whether it begins with a dash, as opposed to having a place."""
        return self.names[0].startswith("-")

    @property
    def shown(self) -> str:
        """How usage lines write it."""
        placeholder = self.options.get("metavar") or self.names[-1].lstrip("-").upper()
        if "choices" in self.options:
            placeholder = "|".join(self.options["choices"])
        if not self.is_option:
            return f"[{placeholder}]" if self.options.get("nargs") == "?" else placeholder
        return self.names[0] if self.options.get("action") == "store_true" else f"{self.names[0]} {placeholder}"


def argument(*names: str, **options: Any) -> Argument:
    """Short form for declarations."""
    return Argument(names, options)


class Action(NamedTuple):
    """What a command takes and does."""

    run: "Callable[[Session, argparse.Namespace], Exit]"
    arguments: tuple[Argument, ...] = ()
    writes: bool = False
    """Whether it takes an idempotency key."""
    patience: float = 30.0
    """Seconds to wait for the node unless --timeout says otherwise."""


def seconds(text: str) -> float:
    """A time of more than nothing and at most a day."""
    value = float(text)
    if not 0 < value <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most {SECONDS_MAX} seconds")
    return value


def whole(text: str) -> int:
    """A whole number, zero or more."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 20:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of zero or more")
    return int(text)


def positive(text: str) -> int:
    """A whole number, one or more."""
    value = whole(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def days(text: str) -> int:
    """A span in seconds, written as `7d`, `12h`, `30m` or `90s`."""
    unit = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}.get(text[-1:])
    if unit is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no span like 7d, 12h, 30m or 90s")
    return positive(text[:-1]) * unit


def hexadecimal(text: str) -> str:
    """The id of an invitation."""
    if len(text) != 32 or not all(sign in "0123456789abcdef" for sign in text):
        raise argparse.ArgumentTypeError(f"{text!r} is no id of an invitation: 32 of 0 to 9 and a to f")
    return text


def request_key(text: str) -> str:
    """An idempotency key."""
    if not 1 <= len(text) <= REQUEST_KEY_CHARS_MAX or not all("!" <= sign <= "~" for sign in text):
        raise argparse.ArgumentTypeError(f"1 to {REQUEST_KEY_CHARS_MAX} visible ASCII characters, without spaces")
    return text


def did(text: str) -> "Did":
    """A DID."""
    from icn.kernel.ids import Did

    return _parsed(Did.parse, text)


def cid(text: str) -> "Cid":
    """A CID."""
    from icn.kernel.ids import Cid

    return _parsed(Cid.parse, text)


def job_id(text: str) -> "JobId":
    """The id of a job."""
    from icn.kernel.ids import JobId

    return _parsed(JobId.parse, text)


def instant(text: str) -> str:
    """A date or time in ISO 8601, UTC where it says nothing else, as the API writes times."""
    from datetime import UTC, datetime

    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date or time like 2026-11-23 or 2026-11-23T20:45Z") from error
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parsed(parse: Callable[[str], T], text: str) -> T:
    from icn.kernel.errors import Invalid

    try:
        return parse(text)
    except Invalid as error:
        raise argparse.ArgumentTypeError(str(error)) from error


GLOBAL = (
    argument("--node", metavar="URL", help="the node's API; default ICN_NODE_URL, then http://127.0.0.1:7845"),
    argument("--api-key", metavar="KEY", help="seen by everybody on this machine; better --api-key-file"),
    argument(
        "--api-key-file", metavar="FILE", help="holds the API key; default ICN_API_KEY, or the file ICN_API_KEY_FILE"
    ),
    argument("--token", metavar="TOKEN", help="seen by everybody on this machine; better --token-file"),
    argument(
        "--token-file",
        metavar="FILE",
        help="holds a token, sent in place of a key; default ICN_AUTH_TOKEN, or the file ICN_AUTH_TOKEN_FILE",
    ),
    argument(
        "--cacert",
        metavar="FILE",
        help="for https://: certificates (PEM) to trust in place of the system's authorities; default ICN_CACERT",
    ),
    argument("--timeout", metavar="S", type=seconds, help="seconds to wait for the node"),
    argument("--output", choices=("table", "json"), help="tables to read, or the API's JSON; default table"),
)
PASSPHRASE_FILE = argument("--passphrase-file", metavar="FILE", help="holds the passphrase of an encrypted archive")
ARCHIVE_KEYS = (
    argument("--identity", metavar="FILE", help="holds the age identity that opens an encrypted archive"),
    PASSPHRASE_FILE,
)
IDEMPOTENCY_KEY = argument(
    "--idempotency-key",
    metavar="KEY",
    type=request_key,
    help="repeat under the key of an earlier try, so that it is done once; default a new one",
)
