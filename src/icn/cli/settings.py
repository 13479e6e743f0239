"""Which node to talk to, with what key, and whom to trust: flags before environment before default (surface, "CLI").

Not here: the node's own settings (`icn.config.schema`); variables this program does not know are not its business.
"""

import argparse
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from icn.cli.endings import Ended, Exit
from icn.cli.trust import trust_of
from icn.config.secrets import Variables, read_secret_file
from icn.config.sources import Unusable

DEFAULT_URL = "http://127.0.0.1:7845"
URL_VARIABLE = "ICN_NODE_URL"
KEY_VARIABLE = "ICN_API_KEY"
TOKEN_VARIABLE = "ICN_AUTH_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_VARIABLES = frozenset((TOKEN_VARIABLE, f"{TOKEN_VARIABLE}_FILE"))


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node's API: `http://host:port/prefix`, taken apart."""

    scheme: str
    host: str
    port: int
    prefix: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to be told."""

    address: NodeAddress
    api_key: str | None = field(repr=False)
    timeout: float
    """Seconds that connecting, and each wait for bytes of the answer, may take."""
    token: str | None = field(default=None, repr=False)
    """Sent in place of a key. There is never both: a node that got both would look at one of them."""
    trust: ssl.SSLContext | None = None
    """For TLS; None: whom the system trusts."""


@dataclass(frozen=True, slots=True)
class _Credential:
    """One of the ways to say who is asking. `option`: its name as it is typed; the file's is `option`-file."""

    noun: str
    option: str
    variable: str

    def flags(self, given: argparse.Namespace) -> tuple[str | None, str | None]:
        """The value and the file that the command line gives."""
        name = self.option.removeprefix("--").replace("-", "_")
        return getattr(given, name, None), getattr(given, f"{name}_file", None)


_API_KEY = _Credential("an API key", "--api-key", KEY_VARIABLE)
_TOKEN = _Credential("a token", "--token", TOKEN_VARIABLE)


def connection_of(given: argparse.Namespace, environ: Mapping[str, str], *, patience: float) -> Connection:
    """The connection the command line and the environment ask for.

    Raises:
        Ended: with USAGE where a flag is wrong, with CONFIGURATION where a variable or a key's file is.
    """
    timeout: float | None = getattr(given, "timeout", None)
    address = _address(getattr(given, "node", None), environ)
    api_key, token = _credentials(given, environ)
    return Connection(
        address=address,
        api_key=api_key,
        timeout=patience if timeout is None else timeout,
        token=token,
        trust=trust_of(given, environ, address.scheme),
    )


def _address(flag: str | None, environ: Mapping[str, str]) -> NodeAddress:
    text, place, wrong = flag, "--node", Exit.USAGE
    if text is None:
        text, place, wrong = environ.get(URL_VARIABLE) or DEFAULT_URL, URL_VARIABLE, Exit.CONFIGURATION
    try:
        return parse_address(text)
    except ValueError as error:
        raise Ended(wrong, f"{place}: {error}", next_step=f"It looks like {DEFAULT_URL}.") from error


def parse_address(text: str) -> NodeAddress:
    """Take an URL apart. Raises `ValueError`, which does not quote it: there may be a password in it."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("not an http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has a user name or password in it; the node takes an API key")
    if parts.query or parts.fragment:
        raise ValueError("has a query or a fragment")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("holds characters that no address has")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port is not a number from 0 to 65535") from None
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return NodeAddress(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def _credentials(given: argparse.Namespace, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The API key and the token, of which at most one is there. What the command line gives replaces both variables."""
    flagged = [kind for kind in (_API_KEY, _TOKEN) if any(flag is not None for flag in kind.flags(given))]
    if len(flagged) > 1:
        raise Ended(Exit.USAGE, "an API key and a token are both given", next_step="Leave one out.")
    if _API_KEY in flagged:
        return _of_flags(_API_KEY, given), None
    if _TOKEN in flagged:
        return None, _of_flags(_TOKEN, given)
    api_key, token = _of_environment(_API_KEY, environ), _of_environment(_TOKEN, environ)
    if api_key is not None and token is not None:
        raise Ended(
            Exit.CONFIGURATION,
            f"{KEY_VARIABLE} and {TOKEN_VARIABLE}, or their files, are both set",
            next_step="Unset one, or say which by an option.",
        )
    return api_key, token


def _of_flags(kind: _Credential, given: argparse.Namespace) -> str | None:
    text, file = kind.flags(given)
    if text is not None and file is not None:
        raise Ended(Exit.USAGE, f"{kind.option} and {kind.option}-file are both given", next_step="Leave one out.")
    if text is not None:
        return _sendable(kind, text, kind.option, Exit.USAGE)
    if file is None:
        return None
    try:
        return _sendable(kind, read_secret_file(file).text, f"{kind.option}-file, file {file}", Exit.CONFIGURATION)
    except Unusable as error:
        raise _unusable(kind, error) from error


def _of_environment(kind: _Credential, environ: Mapping[str, str]) -> str | None:
    try:
        found = Variables(environ).find(kind.variable)
    except Unusable as error:
        raise _unusable(kind, error) from error
    if found is None or not found.text:
        return None
    return _sendable(kind, found.text, ", from ".join(found.causes), Exit.CONFIGURATION)


def _unusable(kind: _Credential, error: Unusable) -> Ended:
    noun = kind.noun.partition(" ")[2]
    return Ended(Exit.CONFIGURATION, ", ".join((noun, *error.causes)) + f": {error.what}")


def _sendable(kind: _Credential, text: str, place: str, wrong: Exit) -> str:
    """A header holds visible ASCII; anything else would fail later, in an error that quotes it."""
    if not text or not all("!" <= sign <= "~" for sign in text):
        raise Ended(wrong, f"{place}: {kind.noun} is made of visible ASCII characters, without spaces")
    return text
