"""Where a PostgreSQL server is: the operator's connection string, checked, and a form of it that may be shown.

A connection string may hold a password, and libpq repeats the part it stumbled over in its messages: of a password with
an `@` in it, the rest is taken for the host's name. So what does not look like a URL is refused here, without
repeating any of it, and every message shows `Address.shown` instead.
"""

import re
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from icn.kernel.errors import ConfigError

DEAD_AFTER_MS = 10_000
"""Silence of the server's machine after which a connection is given up; a crashed machine sends no goodbye."""

_URL = re.compile(
    r"postgres(ql)?://"
    r"([^:/?#@\[\]]*(:[^/@]*)?@)?"
    r"(?P<hosts>[^/?#@]*)"
    r"(/[^/?#@]*)?"
    r"(\?[^#]*)?"
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:[0-9]*)?")
_UNKNOWN_OPTION = re.compile(r'invalid URI query parameter: "(\w+)"')
_SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE"


@dataclass(frozen=True, slots=True)
class Address:
    """A checked connection string."""

    conninfo: str = field(repr=False)
    """For libpq. Secret."""
    shown: str
    """For people: user, host, port, database."""
    secrets: tuple[str, ...] = field(repr=False)
    """What must not appear in any message."""


def parse(url: str, *, connection_timeout_ms: int) -> Address:
    """The address in a URL, with our defaults for what it leaves open. Raises `ConfigError`, which repeats nothing."""
    match = _URL.fullmatch(url)
    if match is None or not all(_HOST.fullmatch(host) for host in match["hosts"].split(",")):
        raise ConfigError(
            f"[storage] connection_string is not a URL of the form {_SHAPE}: write special characters in user and "
            "password as %XX (@ is %40, / is %2F, : is %3A)"
        )
    try:
        options = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        unknown = _UNKNOWN_OPTION.search(str(error))
        what = f"has an unknown option {unknown[1]!r}" if unknown else "cannot be read"
        raise ConfigError(f"[storage] connection_string {what}: its form is {_SHAPE}") from None  # it may be quoted
    defaults: dict[str, str | int | None] = {
        "application_name": "icn-node",
        "connect_timeout": max(1, -(-connection_timeout_ms // 1000)),
        "keepalives_idle": DEAD_AFTER_MS // 2000,
        "keepalives_interval": 1,
        "keepalives_count": DEAD_AFTER_MS // 2000,
        "tcp_user_timeout": DEAD_AFTER_MS,
    }
    secrets = tuple(str(options[name]) for name in ("password", "sslpassword") if options.get(name))
    return Address(make_conninfo("", **defaults | options), _shown(options), secrets)


def _shown(options: dict[str, str | int | None]) -> str:
    hosts = str(options.get("host") or options.get("hostaddr") or "").split(",")
    ports = str(options.get("port") or "").split(",")
    places = [
        host + (f":{port}" if port else "")
        for host, port in zip(hosts, ports if len(ports) == len(hosts) else ports[:1] * len(hosts), strict=True)
    ]
    user = f"{options['user']}@" if options.get("user") else ""
    return f"postgresql://{user}{','.join(places)}/{options.get('dbname') or ''}"
