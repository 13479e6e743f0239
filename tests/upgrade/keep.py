"""Keeps a store of the format that the code on the path writes, so that later releases prove that they can open it.

    python tests/upgrade/keep.py

makes `tests/upgrade/format-N/`: `dag.sqlite.gz`, the store of one of two nodes with a history, and `truth.json`, what
must be found in it for ever after. Nothing in it depends on chance or on the time. Run it in the release that brings a
new format, commit what it makes, and never change it afterwards. A directory that is there is left alone.

An earlier format is made with the code that wrote it: PYTHONPATH=<its src>:<its tests>, and the target as an argument.
"""

import gzip
import json
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # behind PYTHONPATH, so that older code brings its own

from icn.adapters.storage.sqlite import SqliteStore
from icn.kernel.encoding import encode
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.kernel.instant import Instant
from icn.kernel.mana import mana
from icn.services import rows
from icn.services.commands import OpenAccountFor, Pay, PutContent
from icn.services.queries import dag
from icn.stores import keyspace
from icn.stores.kv import Batch, KeyValueStore, Reader
from icn.stores.replies import Replies
from icn.stores.schema import FORMAT_VERSION
from support import builders
from support.world import World, terms

HERE = Path(__file__).resolve().parent
KEEPER, OTHER, MEMBER = 1, 2, 9
"""Numbers of `builders.signer`: the node whose store is kept, its peer, and somebody with an account."""
SUPPLY = ("minted", "burned", "available", "held", "in_transit")
KINDS = {
    "blocks": keyspace.BLOCK,
    "journal": keyspace.JOURNAL,
    "content": keyspace.CONTENT_META,
    "rows": keyspace.PROJECTION,
    "outbox": keyspace.OUTBOX,
    "replies": keyspace.REPLY,
}


def history() -> World:
    """Transfers within and between homes, jobs in every state, content kept in every way, messages not delivered."""
    world = World()
    world.add("a", terms(capacity=0))  # so that its jobs are run by the other
    world.add("b")
    world.found("a", founders=("b",))
    world.link_all()
    world.pass_time(2000)
    member = builders.did(MEMBER)
    world.done("a", OpenAccountFor(member))
    for amount in (1, 2, 3):
        world.pass_time(1000)
        world.done("a", Pay(member, mana(amount), "bread"))
    world.do("a", Pay(builders.did(OTHER), mana(40), "for the fair"), key="transfer-1")
    world.do("b", Pay(builders.did(KEEPER), mana(5), "thanks"), key="transfer-2")
    world.pass_time(10_000)
    for number in range(3):
        world.submit("a" if number else "b", data=b"job %d" % number)
        world.pass_time(3000)
    world.submit("a", data=b"a long input " * 3000)
    world.pass_time(3000)
    leaf = b"a leaf of a tree of content"
    world.done("a", PutContent(leaf, RAW, pinned=False, lifetime_ms=None))
    tree = encode({"leaf": Cid.of(leaf, RAW), "name": "tree"})
    world.done("a", PutContent(tree, DAG_CBOR, pinned=True, lifetime_ms=None))
    world.done("a", PutContent(b"for a day", RAW, pinned=False, lifetime_ms=86_400_000))
    for number in range(40):
        world.done("a", PutContent(b"recipe %d" % number, RAW, pinned=number % 2 == 0, lifetime_ms=None))
    world["a"].run = world["b"].run = lambda _: None
    world.submit("a", world.spec(within=5000), data=b"never done in time")
    world.pass_time(70_000)
    world.submit("a", world.spec(within=86_400_000), data=b"under way when the store was kept")
    world.pass_time(3000)
    world.drop = lambda _from, _to, message: type(message).__name__ == "AssignmentSent"
    world.submit("a", world.spec(within=86_400_000), data=b"assigned, and the executor has not heard")
    world.pass_time(3000)
    world.isolate("b")
    world.settle()
    world.do("a", Pay(builders.did(OTHER), mana(7), "on its way"), key="transfer-3")
    world.submit("a", world.spec(within=86_400_000), data=b"open when the store was kept")
    world.settle()
    return world


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
        "answered": sorted(
            key
            for key in ("transfer-1", "transfer-3", "never-used")
            if replies.get(reader, str(builders.did(KEEPER)), key) is not None
        ),
        "counts": {name: sum(1 for _ in reader.scan(prefix)) for name, prefix in KINDS.items()},
    }


def content(reader: Reader) -> list[tuple[Cid, object]]:
    """Every content block with its meta, whatever the format's module for it is called."""
    try:
        from icn.stores.contents import get_content_meta
    except ImportError:  # format 1
        from icn.stores.blocks import get_content_meta
    named = [Cid(key[1:]) for key, _ in reader.scan(keyspace.CONTENT_META)]
    return [(cid, get_content_meta(reader, cid)) for cid in named]


def pour(source: Reader, target: KeyValueStore) -> None:
    """Make `target` hold what `source` holds."""
    batch = Batch()
    for key, value in source.scan(b""):
        batch.put(key, value)
    target.commit(batch, target.claim())


def keep(folder: Path) -> None:
    """Make the directory."""
    world = history()
    found = truth(world["a"].store, world.clock.time)
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "dag.sqlite"
        store = SqliteStore.open(path)
        pour(world["a"].store, store)
        store.close()
        data = path.read_bytes()
    folder.mkdir(parents=True)
    (folder / "dag.sqlite.gz").write_bytes(gzip.compress(data, mtime=0))
    (folder / "truth.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / f"format-{FORMAT_VERSION}"
    if target.exists():
        sys.exit(f"{target} is there, and what was kept is never changed")
    keep(target)
