"""Who of several processes on one database is the author: a row that the holder renews, by the server's clock.

The lease decides who tries; the fence, checked in every commit, decides who may. So nothing here has to be exact: a
holder that is paused past its time loses the lease, and what it still writes is refused by the fence.

 ```
 take ─> renewed every RENEWAL_SECS by a thread with a connection of its own ─> released at close, free at once
          └ killed, paused or cut off: free when LEASE_SECS have passed since the last renewal
 ```

The server's clock may be set back, by hand or by a failover to a machine whose clock is behind: then the last renewal
lies in the future, and by that clock it would not be over for as long. So a row that does not change is also over after
`LEASE_SECS` of whoever looks at it.
"""

import contextlib
import os
import secrets
import socket
import threading
import time
from datetime import datetime
from typing import NamedTuple, Self

import psycopg

from icn.adapters.storage import postgres_format
from icn.adapters.storage.postgres_address import Address
from icn.adapters.storage.postgres_connections import Lasting, connect_writer
from icn.adapters.storage.postgres_faults import Edge
from icn.adapters.storage.postgres_format import Connection
from icn.kernel.errors import IcnError
from icn.stores.kv import StoreCorrupt, StoreInUse, StoreUnavailable

LEASE_SECS = 3.0
"""A holder that was not heard of for so long is taken for dead."""
RENEWAL_SECS = 0.75
POLL_SECS = 0.25
"""How often a standby looks."""
TOKEN_BYTES = 16

_TAKE = (
    b"UPDATE icn_lease SET token = %b, holder = %t, renewed_at = now() "
    b"WHERE token = '' OR token = ANY(%b) OR renewed_at < now() - %s * interval '1 second' "
    b"OR (token = %b AND renewed_at = %s)"
)
_HOLDER = b"SELECT holder, token, renewed_at, renewed_at > now() FROM icn_lease"
_RENEW = b"UPDATE icn_lease SET renewed_at = now() WHERE token = %b"
_RELEASE = b"UPDATE icn_lease SET token = '' WHERE token = %b"


class _Holder(NamedTuple):
    """Who has the lease."""

    name: str
    token: bytes
    renewed_at: datetime
    is_ahead: bool
    """Its renewal is yet to come, by the server's clock."""


class _Watch:
    """How long a holder has not renewed, by our own clock."""

    def __init__(self) -> None:
        self._seen: tuple[bytes, datetime] | None = None
        self._since = 0.0

    def look(self, holder: _Holder) -> None:
        """As it is now."""
        seen = (holder.token, holder.renewed_at)
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()

    @property
    def silent(self) -> tuple[bytes | None, datetime | None]:
        """Token and renewal of the holder that has been silent for as long as a lease lasts; nothing where none has."""
        is_over = self._seen is not None and time.monotonic() - self._since >= LEASE_SECS
        return self._seen if self._seen is not None and is_over else (None, None)


class Lease:
    """The right to try to author, held until closed or lost. Made by `take`."""

    _unreleased: list[bytes] = []  # noqa: RUF012 - one per process on purpose
    """Tokens of leases that this process let go of while the server was away: nobody but us waits for them to end.
    bounded: emptied by the next lease that is taken."""

    def __init__(self, token: bytes, connection: Lasting) -> None:
        self._token = token
        self._connection = connection
        self._stopping = threading.Event()
        self._is_lost = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="icn-lease", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, address: Address, *, wait: threading.Event | None) -> Self | None:
        """The lease; None when `wait` was set before it came free.

        Makes the tables where there are none. Raises what opening a store raises; `StoreInUse`, naming the holder, when
        another process has it and there is no `wait`. Who waits outlasts a server that goes away and comes back.
        """
        edge = Edge(address, opening=True)

        def make() -> Connection:
            connection = connect_writer(address)
            try:
                postgres_format.prepare(connection, address.shown)
            except BaseException:
                connection.close()
                raise
            return connection

        with edge:
            connection = Lasting(make)
        token, watch = secrets.token_bytes(TOKEN_BYTES), _Watch()
        try:
            while True:
                try:
                    with edge:
                        holder = cls._try(connection, token, watch)
                except StoreUnavailable:
                    if wait is None:
                        raise
                    connection.drop()
                else:
                    if holder is None:
                        cls._unreleased.clear()
                        return cls(token, connection)
                    if wait is None and not holder.is_ahead:
                        raise StoreInUse(f"{address.shown} is in use by {holder.name}")
                    watch.look(holder)
                if wait is None:
                    time.sleep(POLL_SECS)  # until it renews, or has been silent for long enough
                elif wait.wait(POLL_SECS):
                    connection.drop()
                    return None
        except BaseException:
            connection.drop()
            raise

    @classmethod
    def _try(cls, lasting: Lasting, token: bytes, watch: _Watch) -> _Holder | None:
        """None when the lease is ours now, else who has it."""
        connection, _ = lasting.get()
        us = f"process {os.getpid()} on {socket.gethostname()}"
        if connection.execute(_TAKE, (token, us, cls._unreleased, LEASE_SECS, *watch.silent)).rowcount == 1:
            return None
        row = connection.execute(_HOLDER).fetchone()
        if row is None:
            raise StoreCorrupt("the lease's row is gone: restore a backup into an empty database")
        return _Holder(*row)

    @property
    def token(self) -> bytes:
        """What stands in the row while it is ours."""
        return self._token

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken it."""
        return self._is_lost.is_set()

    def close(self) -> None:
        """Let another process have it at once. Where the server cannot be told, it lapses by itself."""
        self._stopping.set()
        self._thread.join()
        try:
            connection, _ = self._connection.get()
            connection.execute(_RELEASE, (self._token,))
        except (psycopg.Error, StoreUnavailable):
            self._unreleased.append(self._token)
        self._connection.drop()

    def _keep(self) -> None:
        while not self._stopping.wait(RENEWAL_SECS):
            # While the server is away nobody else can take the lease either. One that comes back without fsync, say, or
            # without our tables, is for the next commit to find: it is no reason to let others try.
            with contextlib.suppress(psycopg.Error, IcnError):
                connection, _ = self._connection.get()
                if connection.execute(_RENEW, (self._token,)).rowcount == 0:
                    self._is_lost.set()
                    return
