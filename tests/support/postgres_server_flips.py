"""One bit of what is a PostgreSQL server's own turned over: its catalogues, its control files, and its log.

The log is that of a server that was killed with all commits in it: what it reads back at the next start. Catalogues are
those of the server and of the store's database. The classes are those of `support.bit_flips`, and

    no server   it does not start, or ends by itself, or lets nobody in
    held        the end of the log was taken for torn and commits are missing; the node sees that by its head mark, and
                writes nothing before it has its own blocks again
    behind      the same, and what is missing are blocks of others, which they bring again

For a bit that turned over in the log PostgreSQL has one answer: what comes behind it was never written. So what was
acknowledged can be missing, and that must be noticed.
"""

import contextlib
import re
import subprocess
from collections import Counter
from pathlib import Path
from random import Random

from icn.kernel.errors import Fault, Invalid, InvariantBroken
from icn.services.opening import open_engine
from icn.stores import keyspace
from icn.stores.kv import KeyValueStore
from support import builders, postgres
from support.bit_flip_repairs import OWNER, History, history
from support.bit_flips import Original, turn_over
from support.stores import batch, open_postgres
from support.world import CountingEntropy, Marks, SetClock, terms

AREAS = ("catalogues", "log")
START_SECS_MAX = 20.0
WAL_SEGMENT_BYTES = 16 * 2**20
_OURS = ("icn_kv", "icn_author", "icn_lease")


class _Server:
    """A server with one store, and a copy of all its files for each area."""

    def __init__(self, server: postgres.Cluster, made: History, folder: Path) -> None:
        self._server = server
        self._made = made
        self._original = Original(made)
        self._kept = {area: folder / area for area in AREAS}
        self._url = server.url_of_new_schema()
        server.run("CHECKPOINT")
        begun = self._log_place()
        with contextlib.closing(open_postgres(self._url)) as store:
            fence = store.claim()
            for operations in made.commits:
                store.commit(batch(operations), fence)
        self._log_from, self._log_to = begun, self._log_place()
        self._ours = self._files_of_the_store()
        server.kill()
        self._copy(server.data, self._kept["log"])
        server.start()
        server.run("VACUUM (FREEZE, ANALYZE)")
        server.stop()
        self._copy(server.data, self._kept["catalogues"])

    def flip(self, rng: Random, area: str) -> tuple[str, str]:
        """One bit: which, and its class."""
        data = self._server.data
        subprocess.run(["rm", "-rf", str(data)], check=True)
        self._copy(self._kept[area], data)
        path, offset = self._place(rng, area)
        bit = rng.randrange(8)
        turn_over(path, offset, bit)
        try:
            return f"{path.relative_to(data)} {offset} {bit}", self._judged()
        finally:
            self._server.kill()

    def _place(self, rng: Random, area: str) -> tuple[Path, int]:
        data, databases = self._server.data, {str(Path(name).parent) for name in self._ours}
        if area == "log":
            at = rng.randrange(self._log_from, self._log_to)
            number, offset = divmod(at, WAL_SEGMENT_BYTES)
            return data / "pg_wal" / f"00000001{number >> 8:08X}{number & 0xFF:08X}", offset
        files = sorted(
            path
            for path in data.rglob("*")
            if path.is_file()
            and path.stat().st_size
            and path.relative_to(data).parts[0] != "pg_wal"
            and (path.relative_to(data).parts[0] != "base" or str(path.parent.relative_to(data)) in databases)
            and path.suffix not in {".conf", ".opts"}
            and re.sub(r"_(fsm|vm)\Z", "", str(path.relative_to(data))) not in self._ours
        )
        (file,) = rng.choices(files, [path.stat().st_size for path in files] if rng.randrange(2) else None)
        return file, rng.randrange(file.stat().st_size)

    def _judged(self) -> str:
        if not self._server.start_within(START_SECS_MAX):
            return "no server"
        try:
            with contextlib.closing(open_postgres(self._url)) as store:
                told = self._original.judge(store)
                return self._noticed(store) if told.startswith("earlier") else told
        except Fault as fault:
            return f"refused {type(fault).__name__}"
        except (Invalid, InvariantBroken) as error:
            return f"fault {type(error).__name__}"

    def _noticed(self, store: KeyValueStore) -> str:
        """What a store that lacks commits is to its node."""
        missing = [key for key, value in self._made.newest.items() if store.get(key) != value]
        engine = open_engine(
            store=store,
            clock=SetClock(self._made.time),
            entropy=CountingEntropy(OWNER),
            signer=builders.signer(1),
            terms=terms(),
            marker=Marks(self._made.mark, self._made.mark),
        )
        if engine.authorship.is_held:
            return "held"
        own = [key for key in missing if key.startswith((keyspace.CONTENT_META, keyspace.REPLY))]
        return f"earlier {own}" if own else "behind"

    def _log_place(self) -> int:
        ((place,),) = self._server.run("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        return int(str(place))

    def _files_of_the_store(self) -> frozenset[str]:
        names = ", ".join(f"'{name}'" for name in _OURS)
        found = self._server.run(f"""
            WITH ours AS (SELECT oid, reltoastrelid FROM pg_class WHERE relname IN ({names})),
            tables AS (SELECT oid FROM ours UNION SELECT reltoastrelid FROM ours WHERE reltoastrelid <> 0)
            SELECT pg_relation_filepath(oid) FROM tables
            UNION SELECT pg_relation_filepath(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)
        """)
        return frozenset(str(path) for (path,) in found)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        subprocess.run(["cp", "--archive", str(source), str(target)], check=True)


def count(folder: Path, number: int, seed: int) -> tuple[Counter[str], dict[str, list[str]]]:
    """So many flips, of both areas in turns: how many are of which class, and which they were."""
    classes: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    rng = Random(seed)
    with postgres.own_cluster() as server:
        server.stop()
        server.enable_checksums()
        server.configure({"checkpoint_timeout": "1h", "min_wal_size": "32MB", "recovery_init_sync_method": "syncfs"})
        server.start()
        made = _Server(server, history(folder), folder)
        for turn in range(number):
            area = AREAS[turn % len(AREAS)]
            where, told = made.flip(rng, area)
            name = f"{area}: {'no server' if told == 'no server' else told.partition(' ')[0]}"
            classes[name] += 1
            examples.setdefault(name, []).append(f"{where}: {told}")
    return classes, examples
