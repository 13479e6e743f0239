"""Keeps a store of the format that the code on the path writes, so that later releases prove that they can open it.

    python tests/upgrade/keep.py

makes `tests/upgrade/format-N/`: `dag.sqlite.gz`, `dag.sled.tar.gz` and `dag.rocksdb.tar.gz`, the store of one of four
nodes with a history, as each embedded engine has it, and `truth.json`, what must be found in it for ever after. Nothing
that a node wrote depends on chance or on the time; an engine puts names of its own into its files.

Run it in the change that brings a new format, and commit what it makes. Until the format is released its rows may
change; then `--again` makes the directory anew. One of a format that was released is never changed: make a release say
so here (`RELEASED`).

Formats 1 and 2 are of SQLite alone, and were made by this program as it was then.
"""

import argparse
import gzip
import io
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from icn.adapters.storage.opening import StorageSettings, open_store
from icn.kernel.ids import Cid
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.queries import dag
from icn.stores import keyspace
from icn.stores.contents import ContentMeta, get_content_meta
from icn.stores.kv import Reader
from icn.stores.replies import Replies
from icn.stores.schema import FORMAT_VERSION
from support import builders
from support.full_history import KEEPER, history
from support.sample_stores import pour

HERE = Path(__file__).resolve().parent
RELEASED = 2
"""The newest format that a release wrote."""
ENGINES = {"sqlite": "dag.sqlite", "sled": "dag.sled", "rocksdb": "dag.rocksdb"}
"""The embedded ones, and what their stores are called in a data directory."""
SUPPLY = ("minted", "burned", "available", "held", "in_transit")
KINDS = {
    "blocks": keyspace.BLOCK,
    "journal": keyspace.JOURNAL,
    "content": keyspace.CONTENT_META,
    "rows": keyspace.PROJECTION,
    "evidence": keyspace.EVIDENCE,
    "side": rows.SIDES.prefix,
    "outbox": keyspace.OUTBOX,
    "replies": keyspace.REPLY,
}


def truth(reader: Reader, clock: Instant) -> dict[str, object]:
    """What must be found in the store, in words that no format changes."""
    state = rows.load(reader)
    replies = Replies.load(reader)
    return {
        "format": FORMAT_VERSION,
        "seed": (bytes([KEEPER]) * 32).hex(),
        "did": str(builders.did(KEEPER)),
        "clock": clock,
        "root": dag.root(reader).root,
        "heads": {str(author): head.sequence for author, head in sorted(state.feeds.heads.items())},
        "accounts": {
            f"{owner} at {home}": account.balance for (owner, home), account in sorted(state.ledger.accounts.items())
        },
        "supply": [getattr(state.ledger.supply, name) for name in SUPPLY],
        "jobs": {str(job.id): job.status.value for _, job in rows.JOBS.rows(reader)},
        "content": {str(cid): [meta.pinned, meta.expires_at] for cid, meta in content(reader)},
        "members": {
            str(node): [member.joined, state.federation.was_removed(node)]
            for node, member in sorted(state.federation.members.items())
        },
        "cut": {str(cut.author): [cut.forked_at, cut.removed_at] for cut in state.cuts.values()},
        "answered": sorted(
            key
            for key in ("transfer-1", "transfer-3", "never-used")
            if replies.get(reader, str(builders.did(KEEPER)), key) is not None
        ),
        "counts": {name: sum(1 for _ in reader.scan(prefix)) for name, prefix in KINDS.items()},
    }


def content(reader: Reader) -> Iterator[tuple[Cid, ContentMeta]]:
    """Every content block with how long it is kept."""
    for key, _ in reader.scan(keyspace.CONTENT_META):
        cid = Cid(key[len(keyspace.CONTENT_META) :])
        meta = get_content_meta(reader, cid)
        if meta is not None:
            yield cid, meta


def packed(engine: str, place: Path) -> tuple[str, bytes]:
    """A store's files as one, and what that is called: a file by itself, a folder as a tar."""
    name = ENGINES[engine]
    if place.is_file():
        return f"{name}.gz", gzip.compress(place.read_bytes(), mtime=0)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path in sorted(place.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(path.relative_to(place).as_posix())
                entry.size = path.stat().st_size
                tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return f"{name}.tar.gz", gzip.compress(made.getvalue(), mtime=0)


def unpack(file: Path, place: Path) -> None:
    """Inverse of `packed`: the store is at `place`."""
    data = gzip.decompress(file.read_bytes())
    if not file.name.endswith(".tar.gz"):
        place.write_bytes(data)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(place, filter="data")


def keep(folder: Path) -> None:
    """Make the directory."""
    world = history()
    store_of_a = world["a"].store
    found = truth(store_of_a, world.clock.time)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as made:
        for engine, name in ENGINES.items():
            store = open_store(StorageSettings(engine, Path(made) / name))
            pour(store_of_a, store)
            store.close()
            file, data = packed(engine, Path(made) / name)
            (folder / file).write_bytes(data)
    (folder / "truth.json").write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", type=Path, nargs="?", default=HERE / f"format-{FORMAT_VERSION}")
    parser.add_argument("--again", action="store_true", help="of a format that is not released: anew")
    given = parser.parse_args()
    if given.target.exists():
        if not given.again or FORMAT_VERSION <= RELEASED:
            sys.exit(f"{given.target} is there, and what was kept is never changed")
        shutil.rmtree(given.target)
    keep(given.target)


if __name__ == "__main__":
    main()
