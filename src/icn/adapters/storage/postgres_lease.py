"""Who of several processes on one database is the author: a row that the holder renews, by the server's clock.

The lease decides who tries; the fence, checked in every commit, decides who may. So nothing here has to be exact: a
holder that is paused past its time loses the lease, and what it still writes is refused by the fence.

 ```
 take ─> renewed every RENEWAL_SECS by a thread with a connection of its own ─> released at close, free at once
          └ killed, paused or cut off: free when LEASE_SECS have passed since the last renewal
 ```
"""

import contextlib
import os
import secrets
import socket
import threading
from typing import Self

import psycopg

from icn.adapters.storage import postgres_format
from icn.adapters.storage.postgres_address import Address
from icn.adapters.storage.postgres_connections import Lasting, connect_writer
from icn.adapters.storage.postgres_faults import Edge
from icn.adapters.storage.postgres_format import Connection
from icn.stores.kv import StoreInUse, StoreUnavailable

LEASE_SECS = 3.0
"""A holder that was not heard of for so long is taken for dead."""
RENEWAL_SECS = 0.75
POLL_SECS = 0.25
"""How often a standby looks."""
TOKEN_BYTES = 16

_TAKE = (
    b"UPDATE icn_lease SET token = %b, holder = %t, renewed_at = now() "
    b"WHERE token = '' OR token = ANY(%b) OR renewed_at < now() - %s * interval '1 second'"
)
_HOLDER = b"SELECT holder FROM icn_lease"
_RENEW = b"UPDATE icn_lease SET renewed_at = now() WHERE token = %b"
_RELEASE = b"UPDATE icn_lease SET token = '' WHERE token = %b"


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
        token = secrets.token_bytes(TOKEN_BYTES)
        try:
            while True:
                try:
                    with edge:
                        holder = cls._try(connection, token)
                except StoreUnavailable:
                    if wait is None:
                        raise
                    connection.drop()
                else:
                    if holder is None:
                        cls._unreleased.clear()
                        return cls(token, connection)
                    if wait is None:
                        raise StoreInUse(f"{address.shown} is in use by {holder}")
                if wait.wait(POLL_SECS):
                    connection.drop()
                    return None
        except BaseException:
            connection.drop()
            raise

    @classmethod
    def _try(cls, lasting: Lasting, token: bytes) -> str | None:
        """None when the lease is ours now, else who has it."""
        connection, _ = lasting.get()
        us = f"process {os.getpid()} on {socket.gethostname()}"
        if connection.execute(_TAKE, (token, us, cls._unreleased, LEASE_SECS)).rowcount == 1:
            return None
        row = connection.execute(_HOLDER).fetchone()
        return "an unknown process" if row is None else str(row[0])

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
            # While the server is away nobody else can take the lease either.
            with contextlib.suppress(psycopg.Error, StoreUnavailable):
                connection, _ = self._connection.get()
                if connection.execute(_RENEW, (self._token,)).rowcount == 0:
                    self._is_lost.set()
                    return
