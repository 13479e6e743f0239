"""Turns what PostgreSQL and its client library raise into the faults of the storage port, in this one place.

What a lost connection means for a commit under way is not decided here but in `postgres`, which alone knows that there
was one. Messages name the server by its shown address and never contain a password.
"""

import re

import psycopg

from icn.adapters.storage.edge import EngineEdge
from icn.adapters.storage.postgres_address import Address
from icn.kernel.errors import ConfigError, IcnError, InvariantBroken
from icn.stores.kv import StoreCorrupt, StoreFull, StoreUnavailable

SECRET_CHARS_MIN = 4
"""A shorter password is not searched for in messages: it would blot out half of every sentence."""

_READ_ONLY = "25006"
_FULL = "53100"
_TOO_MANY = "53300"
_TOO_MANY_WORDS = re.compile("too many (clients|connections)|remaining connection slots are reserved")
_TOO_MANY_ADVICE = "raise max_connections on the server, or lower [storage] max_connections here"
_NO_PRIVILEGE = "42501"
_NO_DATABASE = "3D000"
_DAMAGED = ("XX001", "XX002")
_PASSING = ("08", "53", "55", "57", "58", "40", "25")
"""Classes of SQLSTATE that say something about the server or the moment, not about the statement."""

_REFUSED_CONNECTIONS = (
    (
        re.compile(r'database "(?P<name>[^"]*)" does not exist'),
        "the database does not exist: create it with `createdb {name}`, owned by the node's role",
    ),
    (re.compile("password authentication failed|no password supplied"), "the server refuses the user or the password"),
    (re.compile('role "(?P<name>[^"]*)" does not exist'), "the role {name} does not exist: create it with createuser"),
    (re.compile("no pg_hba.conf entry"), "the server's pg_hba.conf lets no such connection in"),
    (
        re.compile("certificate verify failed|self-signed certificate"),
        "the server's certificate is not signed by the authority in sslrootcert",
    ),
    (
        re.compile("server certificate for .* does not match host name"),
        "the server's certificate is made out to another host name",
    ),
    (
        re.compile('root certificate file "(?P<name>[^"]*)" does not exist'),
        "sslrootcert names {name}, which does not exist",
    ),
    (
        re.compile("server does not support SSL"),
        "the server has no TLS: set ssl = on there, or another sslmode in the connection string",
    ),
)
"""libpq gives no SQLSTATE for a connection that failed, only words; those that an operator must mend."""


class Edge(EngineEdge):
    """That of this engine."""

    __slots__ = ("_address", "_opening")

    def __init__(self, address: Address, *, opening: bool = False) -> None:
        self._address = address
        self._opening = opening

    def _fault_of(self, error: BaseException) -> IcnError | None:
        return self._fault_of_engine(error) if isinstance(error, psycopg.Error) else None

    def says(self, error: psycopg.Error) -> str:
        """Where it happened and what the server said, in one line, without secrets."""
        words = " ".join(str(error).split())
        for secret in self._address.secrets:
            if len(secret) >= SECRET_CHARS_MIN:
                words = words.replace(secret, "***")
        return f"{self._address.shown}: {words}"

    def _fault_of_engine(self, error: psycopg.Error) -> IcnError:
        says = self.says(error)
        state = error.sqlstate
        if state is None:
            return self._without_state(error, says)
        if state == _FULL:
            return StoreFull(f"{says}: make room on the server's disk; nothing was written")
        if state == _READ_ONLY:
            return StoreUnavailable(
                f"{says}: the server is read-only (a hot standby?): name the primary, or add "
                "target_session_attrs=read-write to the connection string"
            )
        if state == _TOO_MANY:
            return StoreUnavailable(f"{says}: {_TOO_MANY_ADVICE}")
        if state in _DAMAGED:
            return StoreCorrupt(f"{says}: restore a backup, or let the federation refill an empty database")
        if state in {_NO_PRIVILEGE, _NO_DATABASE}:
            return self._for_the_operator(f"{says}: the node's role must own the database, or may create tables in it")
        if state.startswith(_PASSING):
            return StoreUnavailable(says)
        return InvariantBroken(f"a statement that PostgreSQL refuses ({state}): {says}")

    def _without_state(self, error: psycopg.Error, says: str) -> IcnError:
        for pattern, advice in _REFUSED_CONNECTIONS:
            match = pattern.search(str(error))
            if match is not None:
                return self._for_the_operator(f"{says}: {advice.format(**match.groupdict())}")
        if _TOO_MANY_WORDS.search(str(error)):
            return StoreUnavailable(f"{says}: {_TOO_MANY_ADVICE}")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return StoreUnavailable(says)
        return InvariantBroken(f"PostgreSQL's client library: {type(error).__name__}: {says}")

    def _for_the_operator(self, message: str) -> IcnError:
        """At the start the configuration is wrong; later on somebody is changing the server, and may change it back."""
        return ConfigError(message) if self._opening else StoreUnavailable(message)
