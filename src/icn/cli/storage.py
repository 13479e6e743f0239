"""`storage`: what a store is, moving one to another engine, mending one (`rebuild`). Of stores that no node has open.

Moving, in an order in which at every moment at most one of the two stores can be opened by a node:

```
 target: unfinished ─> all pairs copied ─> both read, compared ─> target verified ─> source: moved ─> target: whole
```

Broken off anywhere, the same command goes on. Nothing else in the source is changed, ever.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from icn.cli.answer import Document
from icn.cli.arguments import Action, argument
from icn.cli.blocks import Block, Facts
from icn.cli.endings import Ended, Exit
from icn.cli.offline import OFFLINE_ARGUMENTS, STORE_ARGUMENTS, goes_through_node, load_for_store, open_store_here
from icn.cli.progress import Progress, progress
from icn.cli.rebuild import rebuild
from icn.cli.session import Session

if TYPE_CHECKING:
    from icn.config.schema import Settings
    from icn.stores.copying import Contents
    from icn.stores.kv import KeyValueStore, Reader


def info(session: Session, given: argparse.Namespace) -> Exit:
    """Of a node's store what the node says; of one that no node has open, everything."""
    if goes_through_node(session, given):
        session.show(session.client.get("/info"), _node_view)
        return Exit.DONE
    from icn.config.storage import storage
    from icn.stores import keyspace, moving
    from icn.stores.schema import owner_of, store_id, version_of

    settings = load_for_store(session, given).settings
    with closing(open_store_here(storage(settings), place=_place(settings), must_exist=True)) as store:
        with progress(session.world) as line:
            held = _contents(store, line, "read")
        known_as = store_id(store)
        session.show_own({
            "backend": settings.storage.backend,
            "place": _place(settings),
            "format": version_of(store),
            "owner": owner_of(store),
            "store_id": known_as and known_as.hex(),
            "unfinished_copy": moving.migration_of(store) is not None,
            "moved_to": moving.moved_to(store),
            "blocks": _count(store, keyspace.JOURNAL),
            "content": _count(store, keyspace.CONTENT_META),
            "rows": held.rows,
            "bytes": held.size,
        })  # fmt: skip
    return Exit.DONE


def migrate(session: Session, given: argparse.Namespace) -> Exit:
    """See the module's docstring."""
    from icn.config.storage import storage
    from icn.kernel.errors import require
    from icn.services.verify import verify
    from icn.stores import copying, moving
    from icn.stores.kv import Batch
    from icn.stores.schema import store_id

    settings = load_for_store(session, given).settings
    wanted = _target(session, given, settings)
    here, there = _place(settings), _lasting_place(wanted)
    if _resolved(settings) == _resolved(wanted):
        raise Ended(Exit.USAGE, f"{there} is the store itself", next_step="Give another place to move it to.")
    with (
        closing(open_store_here(storage(settings), place=here, must_exist=True)) as source,
        progress(session.world) as line,
    ):
        _require_movable(source, here, there)
        known_as = store_id(source)
        require(known_as is not None, "a store that can be moved has an id")
        with closing(open_store_here(storage(wanted), place=there, must_exist=False)) as target:
            if moving.moved_to(source) is not None and store_id(target) == known_as and not moving.migration_of(target):
                raise Ended(
                    Exit.REFUSED,
                    f"{here} was moved to {there} before",
                    code="store.moved",
                    next_step=f"Configure that store: {_how(wanted)}.",
                )
            first = copying.begin(target, known_as or b"")
            fence = target.claim()
            target.commit(first, fence)
            for step in copying.steps(source, target):
                target.commit(step.batch, fence)
                line.tell(f"copied {step.rows} rows, {_mebibytes(step.size)}")
            held = _contents(source, line, "read again")
            if _contents(target, line, "compared") != held:
                raise Ended(
                    Exit.NOT_FOUND_OR_UNVERIFIED,
                    f"what was read back from {there} is not what {here} holds; {here} is unchanged",
                    code="cli.copy_differs",
                    next_step="Look after that disk or database, then run the same command again.",
                )
            line.tell("verifying the copy")
            report = verify(target, deep=True)
            if not report.ok:
                raise Ended(
                    Exit.NOT_FOUND_OR_UNVERIFIED,
                    f"{here} itself does not pass verification ({report.findings_total} findings); it was not moved",
                    code="cli.store_damaged",
                    next_step="List them with icn-cli dag verify --deep --offline; then restore a backup.",
                )
            moved, whole = Batch(), Batch()
            moving.mark_moved(moved, there)
            moving.finish(whole)
            source.commit(moved, source.claim())
            target.commit(whole, fence)
    session.show_own({
        "moved_from": f"{settings.storage.backend} at {here}",
        "moved_to": f"{wanted.storage.backend} at {there}",
        "rows": held.rows,
        "bytes": held.size,
        "digest": held.digest.hex(),
        "blocks": report.checked.blocks,
        "content": report.checked.content,
        "verified": report.ok,
        "configure": _how(wanted),
    })  # fmt: skip
    return Exit.DONE


def reopen(session: Session, given: argparse.Namespace) -> Exit:
    """Take back a move whose copy was never used."""
    from icn.config.storage import storage
    from icn.stores import moving
    from icn.stores.kv import Batch

    settings = load_for_store(session, given).settings
    here = _place(settings)
    with closing(open_store_here(storage(settings), place=here, must_exist=True)) as store:
        copy = moving.moved_to(store)
        if copy is None:
            raise Ended(Exit.REFUSED, f"{here} was not moved", code="cli.not_moved")
        if not getattr(given, "copy_never_used", False):
            raise Ended(
                Exit.REFUSED,
                f"{here} was moved to {copy}; if a node ever ran on that copy, what it signed is missing here",
                code="store.moved",
                next_step="If none did, remove the copy and repeat with --copy-never-used.",
            )
        batch = Batch()
        moving.take_back_move(batch)
        store.commit(batch, store.claim())
    session.show_own({"reopened": f"{settings.storage.backend} at {here}", "copy_not_to_be_used": copy})
    return Exit.DONE


def _target(session: Session, given: argparse.Namespace, settings: "Settings") -> "Settings":
    """The settings of the new store: the command line alone, and the data directory of the old one."""
    from icn.config.flags import FlagValue
    from icn.config.load import STORE_SECTIONS, load

    flags = {
        "storage.backend": FlagValue(given.to, "--to"),
        "runtime.data_dir": FlagValue(str(settings.runtime.data_dir), "--data-dir"),
    }
    for name, key in (
        ("to_path", "storage.path"),
        ("to_url", "storage.connection_string"),
        ("to_url_file", "storage.connection_string_file"),
    ):
        if hasattr(given, name):
            flags[key] = FlagValue(getattr(given, name), "--" + name.replace("_", "-"))
    loaded = load(flags=flags, config_path=None, environ={}, sections=STORE_SECTIONS)
    for warning in loaded.warnings:
        session.world.say(f"warning: {warning}")
    if loaded.settings.storage.backend == "memory":
        raise Ended(Exit.USAGE, "memory keeps nothing", next_step="Choose sqlite, sled, rocksdb or postgresql.")
    return loaded.settings


def _require_movable(source: "Reader", here: str, there: str) -> None:
    """Raise unless the store may be moved there, also when that has begun."""
    from icn.stores import moving
    from icn.stores.schema import FORMAT_VERSION, StoreOlder, version_of

    is_whole = moving.migration_of(source) is None and not moving.is_filling(source)
    if not is_whole or moving.moved_to(source) not in {None, there}:
        moving.require_here(source)
    version = version_of(source)
    if version is None:
        raise Ended(Exit.NOT_FOUND_OR_UNVERIFIED, f"{here} is empty", code="cli.no_store")
    if version < FORMAT_VERSION:
        raise StoreOlder(
            f"{here} has format {version}, and this program moves {FORMAT_VERSION}: start icn-node on it once"
        )


def _contents(store: "KeyValueStore", line: Progress, what: str) -> "Contents":
    from icn.stores import copying

    held = copying.Contents(0, 0, b"")
    for held in copying.contents(store):
        line.tell(f"{what} {held.rows} rows, {_mebibytes(held.size)}")
    return held


def _count(reader: "Reader", prefix: bytes) -> int:
    return sum(1 for _ in reader.scan(prefix))


def _place(settings: "Settings") -> str:
    return settings.storage.place or "memory"


def _lasting_place(settings: "Settings") -> str:
    """The same, to be understood from everywhere: a path is absolute."""
    return _place(settings) if settings.storage.backend == "postgresql" else _resolved(settings)[1]


def _resolved(settings: "Settings") -> tuple[str, str]:
    """A name that two settings share when they mean one store."""
    chosen = settings.storage
    if chosen.connection_string is not None and chosen.backend == "postgresql":
        return "postgresql", chosen.connection_string.reveal()
    return "path", str(Path(chosen.path or "").resolve())


def _how(settings: "Settings") -> str:
    """What to put into the configuration. A URL is shown without its password."""
    key = "connection_string" if settings.storage.backend == "postgresql" else "path"
    return f'[storage] backend = "{settings.storage.backend}", {key} = "{_lasting_place(settings)}"'


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def _node_view(answer: Document) -> Sequence[Block]:
    storage = answer.part("storage")
    return [
        Facts([
            ("backend", storage.value("backend")),
            ("place", storage.value("path")),
            ("owner", answer.value("did")),
            ("in use by", f"the node at {answer.part('listen').value('http')}"),
        ])
    ]  # fmt: skip


ACTIONS = {
    "info": Action(info, OFFLINE_ARGUMENTS),
    "migrate": Action(
        migrate,
        (
            argument("--to", metavar="BACKEND", required=True, help="sqlite, sled, rocksdb or postgresql"),
            argument("--to-path", metavar="PATH", help="the new file or directory; default in the data directory"),
            argument("--to-url", metavar="URL", help="the new database: postgresql://user@host/name"),
            argument("--to-url-file", metavar="FILE", help="holds that URL, so that nobody sees its password"),
            *STORE_ARGUMENTS,
        ),
    ),
    "rebuild": Action(
        rebuild,
        (argument("--dry-run", action="store_true", help="say what would be mended, write nothing"), *STORE_ARGUMENTS),
    ),
    "reopen": Action(
        reopen,
        (
            argument("--copy-never-used", action="store_true", help="you know that no node ever ran on the copy"),
            *STORE_ARGUMENTS,
        ),
    ),
}
