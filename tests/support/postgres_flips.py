"""One bit of the files of a store turned over on a PostgreSQL server with checksums on, and what the store is then.

The server reads a page from the disk once. So there are many stores in one database, each in a schema of its own; the
server stops, one bit of the files of each store is turned over, the server starts, and each store is read and judged as
those of the other engines are (`support.bit_flips`). Then all files are as they were, for the next round.

The files are those of the tables, their indexes and their overflowing values, with the maps beside them. Those of the
server itself, its catalogues and its log, are its own affair: what is wrong with them keeps it from starting, or ends
the session.
"""

import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from icn.kernel.errors import Fault, Invalid, InvariantBroken
from support import postgres
from support.bit_flip_repairs import history
from support.bit_flips import Original, turn_over
from support.stores import batch, open_postgres

TOGETHER = 40
"""Stores on one server: flips of one round."""
_FILES = """
WITH tables AS (
    SELECT oid, reltoastrelid FROM pg_class WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r'
), all_tables AS (
    SELECT oid FROM tables UNION SELECT reltoastrelid FROM tables WHERE reltoastrelid <> 0
)
SELECT pg_relation_filepath(oid) FROM all_tables
UNION SELECT pg_relation_filepath(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM all_tables)
"""
_FORKS = ("", "_fsm", "_vm")


class Flip(NamedTuple):
    """One bit."""

    schema: str
    file: Path
    offset: int
    bit: int


class _Stores:
    """The server with its stores, as they were made."""

    def __init__(self, server: postgres.Cluster, made: Original, folder: Path, number: int) -> None:
        self._server = server
        self._original = made
        self._kept = folder / "kept"
        self._schemas = [f"store_{place}" for place in range(number)]
        for schema in self._schemas:
            server.run(f"CREATE SCHEMA {schema}")
            with contextlib.closing(open_postgres(self._url(schema))) as store:
                fence = store.claim()
                for operations in made.commits:
                    store.commit(batch(operations), fence)
        server.run("VACUUM (FREEZE, ANALYZE)")  # reading changes nothing from here on
        self._files = {
            schema: [str(path) for (path,) in server.run(_FILES.format(schema=schema))] for schema in self._schemas
        }
        server.stop()
        _copy(server.data, self._kept)

    def round(self, rng: Random, count: int) -> Iterator[tuple[Flip, str]]:
        """So many flips, of a store each, and their classes."""
        flips = [self._flip(rng, schema) for schema in self._schemas[:count]]
        for flip in flips:
            turn_over(flip.file, flip.offset, flip.bit)
        self._server.start()
        for flip in flips:
            yield flip, self._judged(flip.schema)
        self._server.stop()
        subprocess.run(["rm", "-rf", str(self._server.data)], check=True)
        _copy(self._kept, self._server.data)

    def _flip(self, rng: Random, schema: str) -> Flip:
        """Anywhere, or, every second time, in a file that was drawn first: small ones had no share."""
        paths = [self._server.data / (name + fork) for name in self._files[schema] for fork in _FORKS]
        files = [path for path in sorted(paths) if path.exists() and path.stat().st_size]
        (file,) = rng.choices(files, [path.stat().st_size for path in files] if rng.randrange(2) else None)
        return Flip(schema, file, rng.randrange(file.stat().st_size), rng.randrange(8))

    def _judged(self, schema: str) -> str:
        try:
            store = open_postgres(self._url(schema))
        except Fault as fault:
            return f"refused {type(fault).__name__}"
        with contextlib.closing(store):
            try:
                return self._original.judge(store)
            except (Fault, Invalid, InvariantBroken) as fault:
                return f"fault {type(fault).__name__}"

    def _url(self, schema: str) -> str:
        return f"{self._server.url('postgres')}&options=-csearch_path%3D{schema}"


def count(folder: Path, number: int, seed: int) -> tuple[Counter[str], dict[str, list[str]]]:
    """So many flips: how many are of which class, and which they were."""
    classes: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    rng = Random(seed)
    with postgres.own_cluster() as server:
        server.stop()
        server.enable_checksums()
        server.start()
        stores = _Stores(server, Original(history(folder)), folder, min(number, TOGETHER))
        while (left := number - classes.total()) > 0:
            for flip, told in stores.round(rng, min(left, TOGETHER)):
                name = told.partition(" ")[0]
                classes[name] += 1
                examples.setdefault(name, []).append(f"{flip}: {told}")
    return classes, examples


def _copy(source: Path, target: Path) -> None:
    """With owners and rights."""
    subprocess.run(["cp", "--archive", str(source), str(target)], check=True)
