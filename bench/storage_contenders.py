"""Who takes part in `bench_storage.py`: our adapters, the engines behind them used directly, and the floor.

Each gives its steps by the name of the operation. Directly means: the engine's own calls, the settings and tables of
our adapter, durable when the call returns, and nothing for what the port promises besides (fence, one view for all
readers, pages of a scan, the fate of a commit, faults with names).
"""

import hashlib
import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import apsw
import lmdb
import psycopg
import rocksdict
from node_history import SIGNER, forget_signatures

from icn.adapters.storage.lmdb_store import MAP_BYTES_FIRST
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.adapters.storage.rocksdb_engine import open_engine
from icn.adapters.storage.sqlite_format import CACHE_KIB, PAGE_BYTES
from icn.adapters.storage.sqlite_log import CHECKPOINT_FRAMES
from icn.domain.dag.block import parse_block
from icn.services import rows
from icn.services.verify import verify
from icn.stores import blocks, keyspace
from icn.stores.kv import Batch, KeyValueStore

KEYS_AT_START = 50_000
SCATTERED_KEYS = 50_000
VALUE_BYTES = 200
GETS_PER_CALL = 100
SNAPSHOTS_PER_CALL = 20
SEED = 1
SQLITE_LOG_PAGES = 4000
"""When the log is copied back, as in our adapter; at SQLite's default of 1000 the figures would be of that setting."""

PUTS = (1, 100, 1000)
GET, SCAN, SNAPSHOT, OPEN = "get", "scan", "snapshot, get, close", "open, get, close"
LOAD = "load the state (a start)"
REPLAY = "replay (verify --deep)"

Step = Callable[[], int]
"""Does a bit of work and says how many operations it was."""
Steps = dict[str, Step]
Pairs = list[tuple[bytes, bytes]]


class Keys:
    """The same keys and values for every contender: each asks for its own fresh sequence."""

    def __init__(self) -> None:
        self._random = random.Random(SEED)
        self.value = self._random.randbytes(VALUE_BYTES)
        # From a bounded pool, or the fastest contender would be punished with the largest store.
        self._scattered = [b"n" + self._random.randbytes(16) for _ in range(SCATTERED_KEYS)]

    def start(self) -> Pairs:
        return [(b"k%08d" % number, self.value) for number in range(KEYS_AT_START)]

    def next(self, count: int) -> Pairs:
        return [(key, self.value) for key in self._random.choices(self._scattered, k=count)]

    def known(self) -> bytes:
        return b"k%08d" % self._random.randrange(KEYS_AT_START)


@dataclass(frozen=True, slots=True)
class History:
    """All rows of a node's store, and how many signed blocks are in it."""

    rows: Pairs
    signed: int

    @staticmethod
    def of(store: KeyValueStore) -> "History":
        return History(list(store.scan(b"")), sum(1 for _ in blocks.journal(store)))


# Ours


def ours(settings: StorageSettings, reopened: StorageSettings, replayed: StorageSettings, history: History) -> Steps:
    """Three stores: for reading and writing, for opening, and with the history."""
    keys = Keys()
    store = open_store(settings)
    fence = store.claim()
    store.commit(Batch(dict(keys.start())), fence)
    past = open_store(replayed)
    past.commit(Batch(dict(history.rows)), past.claim())

    def put(count: int) -> Step:
        def step() -> int:
            batch = Batch()
            for key, value in keys.next(count):
                batch.put(key, value)
            store.commit(batch, fence)
            return count

        return step

    def get() -> int:
        for _ in range(GETS_PER_CALL):
            store.get(keys.known())
        return GETS_PER_CALL

    def scan() -> int:
        return _counted(store.scan(b"k"))

    def snapshot() -> int:
        for _ in range(SNAPSHOTS_PER_CALL):
            view = store.snapshot()
            view.get(keys.known())
            view.close()
        return SNAPSHOTS_PER_CALL

    def reopen() -> int:
        again = open_store(reopened)
        again.get(keys.known())
        again.close()
        return 1

    def load() -> int:
        view = past.snapshot()
        rows.load(view)
        view.close()
        return 1

    def replay() -> int:
        forget_signatures()
        view = past.snapshot()
        report = verify(view, SIGNER.did, deep=True)
        view.close()
        if not report.ok or report.checked.blocks != history.signed:
            raise SystemExit(f"{settings.backend}: the history does not verify: {report.findings[:3]}")
        return history.signed

    steps: Steps = {GET: get, SCAN: scan, SNAPSHOT: snapshot, LOAD: load, REPLAY: replay}
    if settings.backend != "memory":
        filled = open_store(reopened)
        filled.commit(Batch(dict(keys.start())), filled.claim())
        filled.close()
        steps[OPEN] = reopen
    return steps | {f"put {count}": put(count) for count in PUTS}


# The engines


class Engine(Protocol):
    """An engine without the port."""

    def write(self, pairs: Pairs) -> None: ...
    def gets(self, keys: Iterable[bytes]) -> None: ...
    def scan(self, low: bytes, high: bytes) -> Iterable[tuple[bytes, bytes]]: ...
    def snapshot(self, key: bytes) -> None: ...
    def close(self) -> None: ...


class Sqlite:
    """SQLite through apsw."""

    def __init__(self, path: Path) -> None:
        self._writer, self._reader = self._connected(path), self._connected(path)
        self._writer.execute(
            "CREATE TABLE IF NOT EXISTS kv (id INTEGER PRIMARY KEY, k BLOB NOT NULL UNIQUE, v BLOB NOT NULL) STRICT"
        )

    @staticmethod
    def _connected(path: Path) -> apsw.Connection:
        connection = apsw.Connection(str(path))
        connection.pragma("page_size", PAGE_BYTES)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "FULL")
        connection.pragma("cache_size", -CACHE_KIB)
        connection.wal_autocheckpoint(CHECKPOINT_FRAMES)
        return connection

    def write(self, pairs: Pairs) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        upsert = "INSERT INTO kv (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
        self._writer.executemany(upsert, pairs)
        self._writer.execute("COMMIT")

    def gets(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._reader.execute("SELECT v FROM kv WHERE k = ?", (key,)).get  # noqa: B018 - reads

    def scan(self, low: bytes, high: bytes) -> Iterable[tuple[bytes, bytes]]:
        return self._reader.execute("SELECT k, v FROM kv WHERE k >= ? AND k < ? ORDER BY k", (low, high))

    def snapshot(self, key: bytes) -> None:
        self._reader.execute("BEGIN")
        self.gets([key])
        self._reader.execute("COMMIT")

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


class Lmdb:
    """LMDB through py-lmdb."""

    def __init__(self, path: Path) -> None:
        self._environment = lmdb.open(str(path), map_size=MAP_BYTES_FIRST, readahead=False, max_spare_txns=1)

    def write(self, pairs: Pairs) -> None:
        with self._environment.begin(write=True) as transaction:
            for key, value in pairs:
                transaction.put(key, value)

    def gets(self, keys: Iterable[bytes]) -> None:
        with self._environment.begin() as transaction:
            for key in keys:
                transaction.get(key)

    def scan(self, low: bytes, high: bytes) -> Iterator[tuple[bytes, bytes]]:
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(low)
            yield from itertools.takewhile(lambda row: row[0] < high, cursor.iternext())

    def snapshot(self, key: bytes) -> None:
        self.gets([key])

    def close(self) -> None:
        self._environment.close()


class Rocksdb:
    """RocksDB through rocksdict."""

    def __init__(self, path: Path) -> None:
        self._database = open_engine(path, create=True)
        self._synced = rocksdict.WriteOptions()
        self._synced.sync = True

    def write(self, pairs: Pairs) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in pairs:
            batch.put(key, value)
        self._database.write(batch, self._synced)

    def gets(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._database.get(key)

    def scan(self, low: bytes, high: bytes) -> Iterable[tuple[bytes, bytes]]:
        return itertools.takewhile(lambda row: row[0] < high, self._database.items(from_key=low))

    def snapshot(self, key: bytes) -> None:
        view = self._database.snapshot()
        _ = view[key]

    def close(self) -> None:
        self._database.close()


class Postgres:
    """PostgreSQL through psycopg: a statement over all rows, committed by itself."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.prepare_threshold = 0
        self._connection.execute("SET synchronous_commit = on")
        self._connection.execute("CREATE TABLE IF NOT EXISTS kv (k bytea PRIMARY KEY, v bytea NOT NULL)")
        self._connection.execute("ALTER TABLE kv ALTER COLUMN v SET STORAGE EXTERNAL")

    def write(self, pairs: Pairs) -> None:
        latest = dict(pairs)  # a statement may not write one row twice
        self._connection.execute(
            "INSERT INTO kv (k, v) SELECT * FROM unnest(%b::bytea[], %b::bytea[]) "
            "ON CONFLICT (k) DO UPDATE SET v = excluded.v",
            (list(latest), list(latest.values())),
        )

    def gets(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._connection.execute("SELECT v FROM kv WHERE k = %b", (key,), binary=True).fetchone()

    def scan(self, low: bytes, high: bytes) -> Iterable[tuple[bytes, bytes]]:
        statement = "SELECT k, v FROM kv WHERE k >= %b AND k < %b ORDER BY k"
        return self._connection.execute(statement, (low, high), binary=True)

    def snapshot(self, key: bytes) -> None:
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self.gets([key])
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


def direct(make: Callable[[], Engine], remake: Callable[[], Engine], past: Engine, history: History) -> Steps:
    """The same steps without the port. `remake` opens a second store, `past` is to hold the history."""
    keys = Keys()
    engine = make()
    engine.write(keys.start())
    filled = remake()
    filled.write(keys.start())
    filled.close()
    past.write(history.rows)

    def put(count: int) -> Step:
        def step() -> int:
            engine.write(keys.next(count))
            return count

        return step

    def get() -> int:
        engine.gets(keys.known() for _ in range(GETS_PER_CALL))
        return GETS_PER_CALL

    def scan() -> int:
        return _counted(engine.scan(b"k", b"l"))

    def snapshot() -> int:
        for _ in range(SNAPSHOTS_PER_CALL):
            engine.snapshot(keys.known())
        return SNAPSHOTS_PER_CALL

    def reopen() -> int:
        again = remake()
        again.gets([keys.known()])
        again.close()
        return 1

    def load() -> int:
        after = bytes([keyspace.PROJECTION[0] + 1])
        _counted(past.scan(keyspace.PROJECTION, after))
        return 1

    def replay() -> int:
        after = bytes([keyspace.BLOCK[0] + 1])
        return _proven(data for _, data in past.scan(keyspace.BLOCK, after))

    steps: Steps = {GET: get, SCAN: scan, SNAPSHOT: snapshot, OPEN: reopen, LOAD: load, REPLAY: replay}
    return steps | {f"put {count}": put(count) for count in PUTS}


# The floor


def floor(path: Path, history: History) -> Steps:
    """What nobody can do without: bytes on the disk (append, fdatasync), and the digests of what is read.

    Of a replay: hash and signature of every block.
    """
    keys = Keys()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    signed = [data for key, data in history.rows if key.startswith(keyspace.BLOCK)]

    def put(count: int) -> Step:
        def step() -> int:
            os.write(descriptor, b"".join(key + value for key, value in keys.next(count)))
            os.fdatasync(descriptor)
            return count

        return step

    def hashes(count: int) -> Step:
        def step() -> int:
            for _ in range(count):
                hashlib.sha256(keys.value).digest()
            return count

        return step

    steps: Steps = {
        GET: hashes(GETS_PER_CALL),
        SCAN: hashes(KEYS_AT_START),
        SNAPSHOT: hashes(SNAPSHOTS_PER_CALL),
        REPLAY: lambda: _proven(signed),
    }
    return steps | {f"put {count}": put(count) for count in PUTS}


def _proven(signed: Iterable[bytes]) -> int:
    """Hash and signature of each; their count."""
    forget_signatures()
    count = 0
    for data in signed:
        hashlib.sha256(data).digest()
        if not parse_block(data).is_genuine():
            raise SystemExit("a block of ours is not genuine")
        count += 1
    return count


def _counted(pairs: Iterable[tuple[bytes, bytes]]) -> int:
    return sum(1 for _ in pairs)
