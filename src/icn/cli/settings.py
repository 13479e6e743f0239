"""Which node to talk to and with what key: flags before environment before default (surface, "CLI").

Not here: the node's own settings (`icn.config.schema`); variables this program does not know are not its business.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from icn.cli.endings import Ended, Exit
from icn.config.secrets import Variables, read_secret_file
from icn.config.sources import Unusable

DEFAULT_URL = "http://127.0.0.1:7845"
URL_VARIABLE = "ICN_NODE_URL"
KEY_VARIABLE = "ICN_API_KEY"


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


def connection_of(given: argparse.Namespace, environ: Mapping[str, str], *, patience: float) -> Connection:
    """The connection the command line and the environment ask for.

    Raises:
        Ended: with USAGE where a flag is wrong, with CONFIGURATION where a variable or a key's file is.
    """
    timeout: float | None = getattr(given, "timeout", None)
    return Connection(
        address=_address(getattr(given, "node", None), environ),
        api_key=_api_key(getattr(given, "api_key", None), getattr(given, "api_key_file", None), environ),
        timeout=patience if timeout is None else timeout,
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


def _api_key(flag: str | None, file_flag: str | None, environ: Mapping[str, str]) -> str | None:
    if flag is not None and file_flag is not None:
        raise Ended(Exit.USAGE, "--api-key and --api-key-file are both given", next_step="Leave one out.")
    if flag is not None:
        return _sendable(flag, "--api-key", Exit.USAGE)
    try:
        if file_flag is not None:
            return _sendable(read_secret_file(file_flag).text, f"the key in {file_flag}", Exit.CONFIGURATION)
        found = Variables(environ).find(KEY_VARIABLE)
    except Unusable as error:
        raise Ended(Exit.CONFIGURATION, ", ".join(("API key", *error.causes)) + f": {error.what}") from error
    if found is None or not found.text:
        return None
    return _sendable(found.text, ", from ".join(found.causes), Exit.CONFIGURATION)


def _sendable(key: str, place: str, wrong: Exit) -> str:
    """A header holds visible ASCII; anything else would fail later, in an error that quotes it."""
    if not key or not all("!" <= sign <= "~" for sign in key):
        raise Ended(wrong, f"{place}: an API key is made of visible ASCII characters, without spaces")
    return key
