"""What a store of ours looks like as a SQLite file: how one is made, recognised and refused.

One table with an ordinary row id and a unique index on the key. Measured against WITHOUT ROWID with 16 KiB pages: a
commit of 200 updates to scattered keys takes 1.9 ms instead of 6.9 (a page holds many more keys of the index than whole
entries, so fewer pages go through the log), and values of 8 MiB are read and written two to three times as fast; scans
of small entries pay for it with 1.1 instead of 0.3 µs a row, less than decoding them costs.

`application_id` says that the file is ours, `user_version` is the number of this layout. What the keys mean has a
version of its own, in `stores/schema`.
"""

from pathlib import Path

import apsw

from icn.adapters.storage import sqlite_log
from icn.stores.kv import StoreCorrupt, StoreNewer

APPLICATION_ID = 0x49434E31
"""`ICN1`, shown by `file`."""
FORMAT = 1
PAGE_BYTES = 16 * 1024
BUSY_TIMEOUT_MS = 2000
"""How long we wait for a program of the operator's, say a SQLite shell, that holds the file's write lock."""
LOG_BYTES_KEPT_MAX = 128 * 1024 * 1024
"""A log that grew beyond this under a long snapshot is cut when it is reused."""
CACHE_KIB = 16 * 1024
"""Of each of the two connections that live as long as the store."""
SNAPSHOT_CACHE_KIB = 2 * 1024
"""Of each of the many that serve snapshots."""

_TABLES = (
    "CREATE TABLE kv (id INTEGER PRIMARY KEY, k BLOB NOT NULL UNIQUE, v BLOB NOT NULL) STRICT",
    "CREATE TABLE author (epoch INTEGER NOT NULL) STRICT",
    "INSERT INTO author (epoch) VALUES (0)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)


def open_writer(path: Path) -> apsw.Connection:
    """The writing connection to the store in the file `path`, which exists; an empty file becomes a store.

    Raises `StoreCorrupt`, `StoreNewer`, `apsw.Error`, `OSError`.
    """
    connection = _connect(path, CACHE_KIB)
    try:
        # Until it is accepted, nothing in it is changed, not even by closing it.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        sqlite_log.check(connection, path)
        is_new = _is_new(connection, path)  # before anything is changed: the file might be somebody else's
        connection.pragma("page_size", PAGE_BYTES)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "FULL")  # NORMAL loses acknowledged commits at a loss of power
        connection.pragma("journal_size_limit", LOG_BYTES_KEPT_MAX)
        if is_new:
            _create(connection)
        # What a predecessor left in the log may be in the system's cache only, if its last sync failed. Copying it into
        # the database makes what we are about to read durable.
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, *, cache_kib: int) -> apsw.Connection:
    """A connection that cannot write, to a file that `open_writer` has accepted."""
    connection = _connect(path, cache_kib)
    connection.pragma("query_only", True)
    return connection


def open_unchanging(path: Path, *, cache_kib: int) -> apsw.Connection:
    """A connection to a file that nobody changes while it is open, without its log: no lock, and no file beside it."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"{path.resolve().as_uri()}?immutable=1", flags=flags)
    connection.pragma("cache_size", -cache_kib)
    return connection


def _connect(path: Path, cache_kib: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.pragma("cache_size", -cache_kib)
    return connection


def _is_new(connection: apsw.Connection, path: Path) -> bool:
    application = connection.pragma("application_id")
    version = connection.pragma("user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application == version == tables == 0:
        return True
    if application != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is a SQLite database, but not a store of icn-node: choose another storage path")
    if version > FORMAT:
        raise StoreNewer(
            f"{path} has format {version}; this release reads up to {FORMAT}: start the newer release that wrote it, "
            "or restore a backup into an empty store"
        )
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not {"kv", "author"} <= names:
        raise StoreCorrupt(f"{path} is a store of icn-node, but its tables are missing: restore a backup")
    return False


def _create(connection: apsw.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute("COMMIT")
