"""The three ways to read a PostgreSQL store, the same for the store itself and for its snapshots.

A page of a scan is one statement, bounded in rows by LIMIT and in bytes by the server adding up the lengths of values,
which it knows without reading them; only what is within the bound is read and sent.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import psycopg

from icn.adapters.storage.paging import PAGE_BYTES_MAX, Row, scan_down, scan_up
from icn.adapters.storage.postgres_connections import Lasting, Pool
from icn.adapters.storage.postgres_faults import Edge
from icn.adapters.storage.postgres_format import Connection
from icn.stores.kv import StoreUnavailable

Value = bytes | int | list[bytes]

_GET = b"SELECT v FROM icn_kv WHERE k = %b"
_GET_MANY = b"SELECT k, v FROM icn_kv WHERE k = ANY(%b)"
_PAGE = (
    "SELECT k, v FROM (SELECT k, v, sum(octet_length(v)) OVER (ORDER BY k {0} ROWS UNBOUNDED PRECEDING) "
    "- octet_length(v) AS before FROM (SELECT k, v FROM icn_kv WHERE k >= %b AND k < %b ORDER BY k {0} LIMIT %b) "
    "AS page) AS bounded WHERE before < {1} ORDER BY k {0}"
)
_ASCENDING = _PAGE.format("ASC", PAGE_BYTES_MAX).encode()
_DESCENDING = _PAGE.format("DESC", PAGE_BYTES_MAX).encode()
_BEGIN_VIEW = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT epoch FROM icn_author"
"""The first read, not BEGIN, fixes what a transaction sees; both in one journey."""


class _Reading(ABC):
    """`get`, `get_many`, `scan` and `scan_down` over one statement at a time."""

    @abstractmethod
    def _rows(self, statement: bytes, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        """What the statement gives, whole."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        rows = self._rows(_GET, (key,))
        return rows[0][0] if rows else None

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order, in one journey."""
        found: dict[bytes, bytes] = dict(self._rows(_GET_MANY, (list(keys),)))
        return [found.get(key) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[Row]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return scan_up(partial(self._page, _ASCENDING), prefix, after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[Row]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return scan_down(partial(self._page, _DESCENDING), prefix, before)

    def _page(self, statement: bytes, low: bytes, high: bytes, rows_max: int) -> tuple[list[Row], bool]:
        """The next rows, and whether there are no more."""
        rows: list[Row] = self._rows(statement, (low, high, rows_max))
        was_cut = len(rows) == rows_max or sum(len(value) for _, value in rows) >= PAGE_BYTES_MAX
        return rows, not was_cut


class NewestReading(_Reading):
    """Reads the newest commit, over one lasting connection. From any thread; one statement at a time."""

    def __init__(self, connection: Lasting, edge: Edge, pool: Pool) -> None:
        self._connection: Lasting | None = connection
        self._edge = edge
        self._pool = pool
        self._using = threading.Lock()

    def _rows(self, statement: bytes, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        with self._using, self._edge:
            if self._connection is None:
                raise StoreUnavailable("the store is closed")
            connection, is_new = self._connection.get()
            try:
                return connection.execute(statement, values, binary=True).fetchall()
            except psycopg.OperationalError:
                if is_new or not connection.closed:
                    raise
            # The server was restarted, say, since the last read: what lies in the pool is as dead.
            self._pool.forget_idle()
            connection, _ = self._connection.get()
            return connection.execute(statement, values, binary=True).fetchall()

    def close(self) -> None:
        """Read no more."""
        with self._using:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.drop()


class SnapshotReading(_Reading):
    """One commit, seen by a transaction on a connection of the pool."""

    def __init__(self, pool: Pool, edge: Edge) -> None:
        """Raises `StoreUnavailable` when there is no connection to be had."""
        self._pool = pool
        self._edge = edge
        self._using = threading.Lock()
        self._connection: Connection | None = self._begin()

    def _begin(self) -> Connection:
        while True:
            connection, is_new = self._pool.lend()
            try:
                with self._edge:
                    connection.execute(_BEGIN_VIEW, prepare=False)
            except StoreUnavailable:
                is_stale = connection.closed and not is_new
                self._pool.throw_away(connection)
                if not is_stale:
                    raise
                self._pool.forget_idle()  # the server was restarted, say: what lies there is as dead
            except BaseException:
                self._pool.throw_away(connection)
                raise
            else:
                return connection

    def _rows(self, statement: bytes, values: tuple[Value, ...]) -> list[tuple[Any, ...]]:
        with self._using, self._edge:
            return self._open().execute(statement, values, binary=True).fetchall()

    def close(self) -> None:
        """End the transaction and return the connection."""
        with self._using:
            connection = self._open()
            self._connection = None
            try:
                connection.execute(b"ROLLBACK", prepare=False)
            except psycopg.Error:  # it was lost, and with it the transaction
                connection.close()
            self._pool.give_back(connection)

    def _open(self) -> Connection:
        if self._connection is None:
            raise StoreUnavailable("the snapshot is closed")
        return self._connection
