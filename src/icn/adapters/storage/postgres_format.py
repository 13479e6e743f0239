"""What a store of ours looks like as PostgreSQL tables: how they are made, recognised and refused.

Three plain tables in the first schema of the search path, so that anything that speaks the protocol can hold them. Keys
are `bytea`, which every such engine compares bytewise. Values are stored `EXTERNAL`, uncompressed: they are mostly
hashes, signatures and members' bytes, and the length of an uncompressed value is known without reading it, which is how
a page of a scan is bounded.

- `icn_kv`: the pairs.
- `icn_author`: one row. `epoch` is the fence. `commits` is raised by every commit of a batch, so that commit and fence
  check are one statement that also locks the row: two authors cannot write side by side.
- `icn_lease`: one row, apart from the former so that renewing does not wait for a commit. See `postgres_lease`.

`format` is the number of this layout. What the keys mean has a version of its own, in `stores/schema`.
"""

from typing import Any

import psycopg

from icn.kernel.errors import ConfigError, InvariantBroken
from icn.stores.kv import StoreCorrupt, StoreNewer, StoreUnavailable

FORMAT = 1
MAKING_ATTEMPTS_MAX = 5
"""Processes that start on an empty database at once race for making the tables; the losers look again."""

_TABLES = (
    "CREATE TABLE icn_kv (k bytea PRIMARY KEY, v bytea NOT NULL)",
    "CREATE TABLE icn_author (format bigint NOT NULL, epoch bigint NOT NULL, commits bigint NOT NULL)",
    "CREATE TABLE icn_lease (token bytea NOT NULL, holder text NOT NULL, renewed_at timestamptz NOT NULL)",
    f"INSERT INTO icn_author (format, epoch, commits) VALUES ({FORMAT}, 0, 0)",  # noqa: S608 - a number of ours
    "INSERT INTO icn_lease (token, holder, renewed_at) VALUES ('', '', now())",
)
_ADVICE = "ALTER TABLE icn_kv ALTER COLUMN v SET STORAGE EXTERNAL"
"""Engines that only speak the protocol may not know it."""
_COLUMNS = {
    "icn_kv": {("k", "bytea"), ("v", "bytea")},
    "icn_author": {("format", "bigint"), ("epoch", "bigint"), ("commits", "bigint")},
    "icn_lease": {("token", "bytea"), ("holder", "text"), ("renewed_at", "timestamp with time zone")},
}
_LOOK = (
    "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name IN ('icn_kv', 'icn_author', 'icn_lease')"
)
_FSYNC = "SELECT current_setting('fsync', true)"
_READ_ONLY = "SELECT current_setting('transaction_read_only', true)"
_INCARNATION = (
    "SELECT (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8), "
    "(SELECT oid FROM pg_database WHERE datname = current_database()), 'icn_kv'::regclass::oid"
)
_LOST_THE_RACE = (
    psycopg.errors.DuplicateTable,
    psycopg.errors.UniqueViolation,
    psycopg.errors.SerializationFailure,
)

Connection = psycopg.Connection[tuple[Any, ...]]


def prepare(connection: Connection, shown: str) -> None:
    """Make sure that the server keeps what it acknowledges and that the tables are there and ours.

    Raises `ConfigError` for a server without fsync, `StoreUnavailable` for one that is read-only, `StoreCorrupt` for
    tables that are not ours and `StoreNewer`; and errors of the client library.
    """
    _require_durable(connection, shown)
    for _attempt in range(MAKING_ATTEMPTS_MAX):
        found: dict[str, set[tuple[str, str]]] = {}
        for table, column, kind in connection.execute(_LOOK):
            found.setdefault(table, set()).add((column, kind))
        if found:
            _require_ours(connection, shown, found)
            return
        try:
            with connection.transaction():
                for statement in _TABLES:
                    connection.execute(statement.encode())
        except _LOST_THE_RACE:
            continue
        try:
            connection.execute(_ADVICE)
        except psycopg.Error:
            if connection.closed:
                raise
        return
    raise InvariantBroken(f"{shown}: the tables can neither be made nor found: is the search path's schema writable?")


def has_tables(connection: Connection) -> bool:
    """Whether there is a table of one of our names, ours or not: then there is something to be opened, or refused."""
    return connection.execute(_LOOK).fetchone() is not None


def incarnation(connection: Connection) -> str | None:
    """Which cluster, line of time, database and table this is. None where the server cannot tell.

    A dump that is put back makes the table anew, under another number; so does copying it to another server. A recovery
    to a point in time, and a standby server that is promoted, begin a new line of time.
    """
    try:
        row = connection.execute(_INCARNATION).fetchone()
    except psycopg.Error:  # an engine that only speaks the protocol, or a role that may not look
        if connection.closed:
            raise
        return None
    return None if row is None or None in row else "/".join(map(str, row))


def require_primary(connection: Connection, shown: str) -> None:
    """Raise `StoreUnavailable` for a server that takes no writes: a hot standby, which may show what was long ago."""
    if _setting(connection, _READ_ONLY) == "on":
        raise StoreUnavailable(
            f"{shown}: the server is read-only (a hot standby?): name the primary, or add "
            "target_session_attrs=read-write to the connection string"
        )


def _require_durable(connection: Connection, shown: str) -> None:
    if _setting(connection, _FSYNC) == "off":
        raise ConfigError(
            f"{shown}: the server runs with fsync = off and would lose acknowledged writes when the power fails: "
            "set fsync = on in its postgresql.conf and reload it"
        )
    require_primary(connection, shown)


def _setting(connection: Connection, query: str) -> object:
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise InvariantBroken("SELECT without FROM gives one row")
    return row[0]


def _require_ours(connection: Connection, shown: str, found: dict[str, set[tuple[str, str]]]) -> None:
    formats: list[int] = []
    if ("format", "bigint") in found.get("icn_author", set()):
        formats = [number for (number,) in connection.execute("SELECT format FROM icn_author")]
        if formats and formats[0] > FORMAT:
            raise StoreNewer(
                f"{shown} has format {formats[0]}; this release reads up to {FORMAT}: start the newer release that "
                "wrote it, or restore a backup into an empty database"
            )
    leases = connection.execute("SELECT count(*) FROM icn_lease").fetchone() if found == _COLUMNS else None
    if found != _COLUMNS or len(formats) != 1 or leases != (1,):
        raise StoreCorrupt(
            f"{shown} has tables named icn_kv, icn_author or icn_lease that are not a whole store of icn-node: choose "
            "another database, or restore a backup into an empty one"
        )
