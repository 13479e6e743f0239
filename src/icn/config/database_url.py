"""The address of a database: `postgresql://user:password@host:port/name`, which prints without its password.

Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS. Only the form is judged here;
whether a server answers, and what its parameters mean, is the adapter's business.
"""

import hmac
import re
from typing import Self, final

from icn.config.values import STARS
from icn.kernel.errors import Invalid

_SCHEME = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_AUTHORITY_END = re.compile(r"[/?#]")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.%-]*)(:[0-9]{1,5})?\Z")
"""A server's name or address; empty for a socket of this machine. Several stand with commas between."""
_SECRET_PARAMETER = re.compile(r"(?i)([?&](?:ssl)?password=)[^&]*")
_SPECIAL = "in a password @ is written %40, / %2F, ? %3F, # %23 and : %3A"


@final
class DatabaseUrl:
    """A URL of a PostgreSQL database. Compared whole, shown without the password."""

    __slots__ = ("_shown", "_text")

    def __init__(self, text: str, shown: str) -> None:
        self._text = text
        self._shown = shown

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `Invalid`, whose message holds no part of `text`, unless it is such a URL."""
        scheme = _SCHEME.match(text)
        if scheme is None:
            raise Invalid("connection string", "should be a URL like postgresql://user:password@host:5432/name")
        if not text.isprintable() or " " in text:
            raise Invalid("connection string", "holds a space or a control sign, which a URL does not")
        rest = text[scheme.end() :]
        authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
        credentials, at, hosts = authority.rpartition("@")
        after = rest[len(authority) :]
        if "@" in credentials or "#" in after or "@" in after.partition("?")[0]:
            raise Invalid("connection string", f"cannot be taken apart; {_SPECIAL}")
        if not all(_HOST.match(host) for host in hosts.split(",")):
            raise Invalid("connection string", f"names no host and port, as in host:5432; {_SPECIAL}")
        user, colon, _ = credentials.partition(":")
        password = STARS if colon else ""
        parameters = _SECRET_PARAMETER.sub(lambda found: found.group(1) + STARS, after)
        return cls(f"postgresql://{rest}", f"postgresql://{user}{colon}{password}{at}{hosts}{parameters}")

    @property
    def has_password(self) -> bool:
        """Whether there is something to hide."""
        return self._shown != self._text

    def reveal(self) -> str:
        """The URL itself, for the one place that connects."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatabaseUrl) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((DatabaseUrl, self._text))

    def __repr__(self) -> str:
        return f"DatabaseUrl({self._shown})"

    def __str__(self) -> str:
        return self._shown

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


def is_database_url(text: str) -> bool:
    """Whether `text` begins as such a URL does, and so is no path."""
    return _SCHEME.match(text) is not None


def credentials_end(text: str) -> int:
    """Where user and password end in a URL that may still hold `${NAME}`; 0 for every other text."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return 0
    authority = _AUTHORITY_END.split(text[scheme.end() :], maxsplit=1)[0]
    return scheme.end() + len(authority.rpartition("@")[0])
