"""`postgresql`: the storage port on plain tables of a PostgreSQL server, shared by several processes.

An answer means that the server has it in its log on disk. A commit is two journeys: everything in one pipeline, the
fence first, then COMMIT alone; so whatever fails before that wrote nothing, and only an answer to COMMIT that never
came leaves the fate of a batch open. So does a server that has fewer commits of ours than it answered, as after a
failover to one that lagged behind. Then this object takes no further commit. Reopening finds out: `claim` waits for
the author's row, which a commit under way holds locked, and what is read after it is the truth.

One connection writes, one reads the newest commit, one renews the lease, and each open snapshot has one of the rest of
`connections_max`. Lost connections are made anew at the next use: a restarted server costs what was under way.

Not here: the tables (`postgres_format`), who may try to author (`postgres_lease`), connections and their settings
(`postgres_connections`), reads (`postgres_reading`), the names of errors (`postgres_faults`).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NoReturn, Self

import psycopg

from icn.adapters.storage import postgres_format
from icn.adapters.storage.postgres_address import Address, parse
from icn.adapters.storage.postgres_connections import Lasting, Pool, connect_reader, connect_writer
from icn.adapters.storage.postgres_faults import Edge
from icn.adapters.storage.postgres_format import Connection
from icn.adapters.storage.postgres_lease import Lease
from icn.adapters.storage.postgres_reading import NewestReading, SnapshotReading
from icn.kernel.errors import ConfigError, InvariantBroken
from icn.stores.kv import Batch, CommitUncertain, Fence, FenceLost, Properties, Snapshot, StoreUnavailable

CONNECTIONS_MIN = 4
"""Writer, reader, lease and one snapshot."""
STATEMENT_BYTES_MAX = 16 * 1024 * 1024
"""Values of a batch beyond this go in a further statement: the server holds a whole statement in memory."""
ATTEMPTS_MAX = 5
"""Of a transaction that an engine aborted for another one's sake, and for a connection found dead."""

NO_FENCE = Fence(0)

_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"
_FENCE = b"UPDATE icn_author SET commits = commits + 1 WHERE epoch = %s RETURNING commits"
_FENCE_OF_LEASE = (
    b"UPDATE icn_author SET commits = commits + 1 WHERE epoch = %s "
    b"AND EXISTS (SELECT 1 FROM icn_lease WHERE token = %b) RETURNING commits"
)
"""A server that was promoted without our claim gives the next author our epoch again, but not our lease."""
_EPOCH = b"SELECT epoch FROM icn_author"
_NEXT_EPOCH = b"UPDATE icn_author SET epoch = epoch + 1 RETURNING epoch"
_PUT = (
    b"INSERT INTO icn_kv (k, v) SELECT * FROM unnest(%b::bytea[], %b::bytea[]) "
    b"ON CONFLICT (k) DO UPDATE SET v = excluded.v"
)
_DELETE = b"DELETE FROM icn_kv WHERE k = ANY(%b::bytea[])"

_Statement = tuple[bytes, tuple[Any, ...]]


class PostgresStore:
    """See the module's docstring. Made by `open` or `open_as_author`."""

    def __init__(self, address: Address, connections_max: int, connection_timeout_ms: int) -> None:
        self._address = address
        self._edge = Edge(address)
        make_reader = partial(connect_reader, address)
        with Edge(address, opening=True):
            self._writer = Lasting(partial(connect_writer, address))
            try:
                connection, _ = self._writer.get()
                postgres_format.prepare(connection, address.shown)
                incarnation = postgres_format.incarnation(connection)
                self._properties = Properties("postgresql", durable=True, shared=True, incarnation=incarnation)
                self._pool = Pool(
                    make_reader,
                    size=connections_max - (CONNECTIONS_MIN - 1),
                    wait_secs=connection_timeout_ms / 1000,
                    edge=self._edge,
                )
                self._reading = NewestReading(Lasting(make_reader), self._edge, self._pool)
            except BaseException:
                self._writer.drop()
                raise
        self._lease: Lease | None = None
        self._closing = threading.Lock()
        self._is_closed = False
        self._lost_a_commit = False
        self._answered = NO_FENCE, 0
        """The newest commit that was answered: its fence, and its number on the server."""

    @classmethod
    def open(cls, url: str, *, connections_max: int, connection_timeout_ms: int) -> Self:
        """Open the store in the database that `url` names, making its tables where there are none. Takes no lease.

        Raises `ConfigError` for what an operator must mend (the URL, password, privileges, no such database, a server
        without fsync), `StoreUnavailable`, `StoreCorrupt` (also for tables that are not ours) and `StoreNewer`.
        """
        return cls(_address(url, connections_max, connection_timeout_ms), connections_max, connection_timeout_ms)

    @classmethod
    def open_as_author(
        cls, url: str, *, connections_max: int, connection_timeout_ms: int, wait: threading.Event | None
    ) -> Self | None:
        """`open` once the lease is ours, and keep it until closed. None when `wait` was set before.

        Raises what `open` does, and `StoreInUse` when another process is the author and there is no `wait`.
        """
        address = _address(url, connections_max, connection_timeout_ms)
        lease = Lease.take(address, wait=wait)
        if lease is None:
            return None
        try:
            store = cls(address, connections_max, connection_timeout_ms)
        except BaseException:
            lease.close()
            raise
        store._lease = lease
        return store

    @staticmethod
    def is_there(url: str, *, connection_timeout_ms: int) -> bool:
        """Whether the database holds a store, or something in its place. Makes nothing. Raises as `open` does."""
        address = parse(url, connection_timeout_ms=connection_timeout_ms)
        with Edge(address, opening=True), contextlib.closing(connect_reader(address)) as connection:
            return postgres_format.has_tables(connection)

    @property
    def properties(self) -> Properties:
        """What may differ between engines."""
        return self._properties

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` in the newest commit, or None."""
        return self._reading.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys` in the newest commit."""
        return self._reading.get_many(keys)

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is above `after`, ascending."""
        return self._reading.scan(prefix, after=after)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with `prefix` and is below `before`, descending."""
        return self._reading.scan_down(prefix, before=before)

    def snapshot(self) -> Snapshot:
        """A view of the newest commit. From any thread. Waits for a connection when all are in use."""
        return SnapshotReading(self._pool, self._edge)

    def claim(self) -> Fence:
        """Become the author: raise the epoch durably and return it. Waits for a commit that is under way elsewhere."""
        return Fence(self._transact(_next_epoch, "claim"))

    def commit(self, batch: Batch, fence: Fence) -> None:
        """Apply `batch` whole and durably, if `fence` is the newest. An empty batch only reads the epoch."""
        if self._lease is not None and self._lease.is_lost:
            raise FenceLost(f"{self._address.shown}: another process has taken the author's lease")
        statements = list(_statements(batch))
        fencing: _Statement = (_FENCE, (fence,))
        if self._lease is not None:
            fencing = (_FENCE_OF_LEASE, (fence, self._lease.token))

        def write(connection: Connection) -> int:
            with connection.pipeline():
                connection.execute(_BEGIN)
                fenced = connection.execute(*fencing)
                for statement, values in statements:
                    connection.execute(statement, values)
            counted = fenced.fetchone()
            if counted is None or fence == 0:  # 0: nobody has claimed the store yet
                self._refuse(fence, _epoch(connection))
            self._require_nothing_lost(fence, counted[0])
            return int(counted[0])

        if statements:
            self._answered = fence, self._transact(write, f"commit under epoch {fence}")
        elif fence != (newest := self._transact(_epoch, None)) or fence == 0:
            self._refuse(fence, newest)

    def close(self) -> None:
        """Release everything, the lease too. Called once, after every snapshot is closed."""
        with self._closing:
            if self._is_closed:
                raise StoreUnavailable(f"{self._address.shown}: the store is closed")
            self._is_closed = True
        self._reading.close()
        self._pool.close()
        self._writer.drop()
        if self._lease is not None:
            self._lease.close()

    def _require_nothing_lost(self, fence: Fence, number: int) -> None:
        """Only the holder of a fence counts its commits up: they follow each other, or some are gone."""
        last_fence, last = self._answered
        if last_fence == fence and number != last + 1:
            self._lost_a_commit = True
            raise CommitUncertain(
                f"{self._address.shown}: commit {last} was answered, and the database is at {number - 1}: it has gone "
                "back, as at a failover to a server that lags behind"
            )

    def _refuse(self, fence: Fence, newest: int) -> NoReturn:
        if fence == newest != 0:
            raise FenceLost(f"{self._address.shown}: epoch {fence} is another process's: it has the author's lease")
        raise FenceLost(f"{self._address.shown}: epoch {fence} is over; the author is now that of epoch {newest}")

    def _transact(self, work: Callable[[Connection], int], what: str | None) -> int:
        """Run `work`, which begins a transaction, and commit it; again when that is sure to be harmless.

        `what` is for the message of a commit whose fate is open; None: `work` begins none.
        """
        if self._is_closed:
            raise StoreUnavailable(f"{self._address.shown}: the store is closed")
        if self._lost_a_commit:
            raise StoreUnavailable(
                f"{self._address.shown}: the fate of an earlier commit is open: close and reopen the store"
            )
        with self._edge:
            for attempt in range(1, ATTEMPTS_MAX + 1):
                connection, is_new = self._writer.get()
                try:
                    answer = work(connection)
                    if what is not None:
                        self._end(connection, what)
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                    self._roll_back(connection)
                    if attempt == ATTEMPTS_MAX:
                        raise
                except psycopg.OperationalError:
                    was_dead = connection.closed and not is_new
                    self._roll_back(connection)
                    if not was_dead:
                        raise
                except BaseException:
                    self._roll_back(connection)
                    raise
                else:
                    return answer
        raise InvariantBroken("a transaction ends, is tried again or raises")

    def _end(self, connection: Connection, what: str) -> None:
        """COMMIT, or say exactly how far we know it failed."""
        try:
            done = connection.execute(b"COMMIT", prepare=False).statusmessage
        except psycopg.Error as error:
            if not connection.closed and not isinstance(error, psycopg.errors.StatementCompletionUnknown):
                raise  # the server says that it rolled back
            self._lost_a_commit = True
            raise CommitUncertain(f"{what}: no answer: {self._edge.says(error)}") from error
        if done != "COMMIT":
            raise InvariantBroken(f"{self._address.shown}: COMMIT was answered {done}")

    def _roll_back(self, connection: Connection) -> None:
        """Leave no transaction open; a connection that cannot say so is not used again."""
        if connection.closed:
            self._writer.drop()
            return
        try:
            connection.execute(b"ROLLBACK", prepare=False)
        except psycopg.Error:
            self._writer.drop()


def _address(url: str, connections_max: int, connection_timeout_ms: int) -> Address:
    if connections_max < CONNECTIONS_MIN:
        raise ConfigError(
            f"[storage] max_connections = {connections_max} is too few: {CONNECTIONS_MIN} are needed (one writes, one "
            "reads, one renews the lease, and each snapshot has its own)"
        )
    return parse(url, connection_timeout_ms=connection_timeout_ms)


def _epoch(connection: Connection) -> int:
    row = connection.execute(_EPOCH).fetchone()
    if row is None:
        raise InvariantBroken("the author's row is gone")
    return int(row[0])


def _next_epoch(connection: Connection) -> int:
    with connection.pipeline():
        connection.execute(_BEGIN)
        cursor = connection.execute(_NEXT_EPOCH)
    row = cursor.fetchone()
    if row is None:
        raise InvariantBroken("the author's row is gone")
    return int(row[0])


def _statements(batch: Batch) -> Iterator[_Statement]:
    """The batch as statements over many rows each, in the order of keys: rows locked in any other can deadlock."""
    keys: list[bytes] = []
    values: list[bytes] = []
    bytes_count = 0
    deletes: list[bytes] = []
    for key in sorted(batch.operations):
        value = batch.operations[key]
        if value is None:
            deletes.append(key)
            continue
        keys.append(key)
        values.append(value)
        bytes_count += len(key) + len(value)
        if bytes_count >= STATEMENT_BYTES_MAX:
            yield _PUT, (keys, values)
            keys, values, bytes_count = [], [], 0
    if keys:
        yield _PUT, (keys, values)
    if deletes:
        yield _DELETE, (deletes,)
