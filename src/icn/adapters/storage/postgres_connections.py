"""Connections to the server: how each is set up, one that is made anew when it was lost, and a bounded pool.

Every session gets `synchronous_commit = on`, whatever the server's default: an acknowledged commit is in the server's
log on disk. A session that changes something also gets a bound on waiting for a lock and on a transaction left open:
an author that is paused, or whose machine vanished, between a statement and its COMMIT would otherwise hold the
author's row, and with it every successor, for as long as it pleases.
"""

import contextlib
import threading
import time
from collections.abc import Callable

import psycopg

from icn.adapters.storage.postgres_address import Address
from icn.adapters.storage.postgres_faults import Edge
from icn.adapters.storage.postgres_format import Connection, require_primary
from icn.stores.kv import SNAPSHOTS_OPEN_MAX, StoreUnavailable

TRANSACTION_IDLE_MS_MAX = 3000
"""Of a writing transaction that waits for its client."""
LOCK_WAIT_MS_MAX = 10_000
IDLE_MAX = 8
"""Connections kept for the next snapshot."""

_DURABLE = "SELECT set_config('synchronous_commit', 'on', false)"
_WRITING = (
    f"SELECT set_config('lock_timeout', '{LOCK_WAIT_MS_MAX}', false), "
    f"set_config('idle_in_transaction_session_timeout', '{TRANSACTION_IDLE_MS_MAX}', false)"
)
_BY_KEY = (
    "SELECT set_config('enable_seqscan', 'off', false), set_config('enable_bitmapscan', 'off', false), "
    "set_config('enable_sort', 'off', false), set_config('jit', 'off', false), "
    "set_config('tcp_keepalives_idle', '10', false)"
)
"""Reads go by the primary key, also before the server has learnt how large the table is, and are never worth compiling
(100 ms); and the server notices when we are gone, so that a forgotten snapshot does not stop it from cleaning up."""


def connect(address: Address) -> Connection:
    """A session that commits each statement by itself, unless told to begin. Raises errors of the client library."""
    connection = psycopg.connect(address.conninfo, autocommit=True)
    try:
        connection.prepare_threshold = 0  # our statements are few and repeat for ever
        connection.execute(_DURABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_writer(address: Address) -> Connection:
    """A session for changes."""
    return _with(connect(address), _WRITING)


def connect_reader(address: Address) -> Connection:
    """A session for reads of the newest commit.

    Raises `StoreUnavailable` for a server that takes no writes: where there are several, or one name that is given to
    another machine, a session that is made anew may meet a standby server, which shows what it has by then.
    """
    connection = _with(connect(address), _BY_KEY)
    try:
        require_primary(connection, address.shown)
    except BaseException:
        connection.close()
        raise
    return connection


def _with(connection: Connection, advice: str) -> Connection:
    try:
        connection.execute(advice)
    except psycopg.Error:  # an engine that only speaks the protocol may not know a setting
        if connection.closed:
            raise
    return connection


class Lasting:
    """One connection, made anew at the next use when it was lost. For one thread at a time."""

    def __init__(self, make: Callable[[], Connection]) -> None:
        self._make = make
        self._connection: Connection | None = make()

    def get(self) -> tuple[Connection, bool]:
        """The connection, and whether it was made just now."""
        connection = self._connection
        if connection is not None and not connection.closed:
            return connection, False
        self._connection = None
        self._connection = connection = self._make()
        return connection, True

    def drop(self) -> None:
        """Close it; the next use makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Pool:
    """Connections for snapshots: at most `size` lent at once; who comes then waits, and is refused in the end."""

    def __init__(self, make: Callable[[], Connection], *, size: int, wait_secs: float, edge: Edge) -> None:
        self._make = make
        self._size = min(size, SNAPSHOTS_OPEN_MAX)
        self._wait_secs = wait_secs
        self._edge = edge
        self._changed = threading.Condition()
        """Guards the three below."""
        self._idle: list[Connection] = []
        self._lent_count = 0
        self._is_closed = False

    def lend(self) -> tuple[Connection, bool]:
        """A connection, and whether it was made just now.

        Raises `StoreUnavailable` when none comes free in time, or the server cannot be reached.
        """
        until = time.monotonic() + self._wait_secs
        with self._changed:
            while self._lent_count >= self._size and not self._is_closed:
                if not self._changed.wait(until - time.monotonic()):
                    raise StoreUnavailable(
                        f"{self._size} snapshots are open, one per connection, and none was closed within "
                        f"{self._wait_secs:.0f} s: raise [storage] max_connections"
                    )
            if self._is_closed:
                raise StoreUnavailable("the store is closed")
            self._lent_count += 1
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            return connection, False
        try:
            with self._edge:
                return self._make(), True
        except BaseException:
            self.give_back(None)
            raise

    def give_back(self, connection: Connection | None) -> None:
        """Return what was lent, outside of any transaction; None when it was lost."""
        with self._changed:
            self._lent_count -= 1
            self._changed.notify()
            kept = not self._is_closed and len(self._idle) < IDLE_MAX
            if connection is not None and kept and not connection.closed:
                self._idle.append(connection)
                return
        if connection is not None:
            connection.close()

    def throw_away(self, connection: Connection) -> None:
        """Return what was lent and is of no use."""
        connection.close()
        self.give_back(connection)

    def forget_idle(self) -> None:
        """Close what lies idle: the server was gone, and with it probably all of them."""
        with self._changed:
            idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def close(self) -> None:
        """Close what lies idle; what is lent is closed when it comes back."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self.forget_idle()
