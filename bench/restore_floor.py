"""What a restore cannot avoid in this language: unpack, hash every block, fill a new SQLite file, sync that.

Run by `bench_backup.py` as a process of its own. It unpacks on one thread and writes on another, as the restore does,
with the same libraries, table and settings, and checks nothing: no signature, no rule, no order, no count.

    python bench/restore_floor.py target.sqlite full.tar.gz [incremental.tar.gz …]
"""

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import apsw
from isal import igzip

from icn.adapters.archive.ahead import ahead
from icn.adapters.storage.sqlite import PUT
from icn.adapters.storage.sqlite_format import open_writer
from icn.stores import tar
from icn.stores.archive import PART_BYTES_MAX
from icn.stores.archive_parts import read_car

LOAD_BYTES = 16 * 1024 * 1024


def parts(archive: Path):
    """Every part, unpacked."""
    with archive.open("rb", buffering=0) as file, igzip.open(file, "rb") as unpacked:
        yield from tar.read_entries(unpacked.read, lambda _name: PART_BYTES_MAX, piece_bytes=PART_BYTES_MAX)


def main() -> None:
    target, archives = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
    target.touch()
    open_writer(target).close()
    connection = apsw.Connection(str(target))
    for setting, value in (("synchronous", "OFF"), ("journal_mode", "off")):
        connection.pragma(setting, value)

    def load(rows: list[tuple[bytes, bytes]]) -> None:
        connection.execute("BEGIN EXCLUSIVE")
        connection.executemany(PUT, rows)
        connection.execute("COMMIT")

    rows: list[tuple[bytes, bytes]] = []
    size = 0
    with ThreadPoolExecutor(1) as pool:
        under_way: Future[None] = pool.submit(load, [])
        for archive in archives:
            for name, data in ahead(parts(archive)):
                if not name.endswith(".car"):
                    continue
                for cid, block in read_car(data):
                    if not cid.names(block):
                        raise SystemExit("the archive is damaged")
                    rows.append((b"b" + cid.data, block))
                    size += len(block)
                if size >= LOAD_BYTES:
                    under_way.result()
                    under_way, rows, size = pool.submit(load, rows), [], 0
        under_way.result()
    load(rows)
    connection.pragma("journal_mode", "wal")
    connection.close()
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


if __name__ == "__main__":
    main()
