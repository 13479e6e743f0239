"""Stores with a history, their backups, and stores restored from them."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from icn.adapters.archive.directory import FolderArchive, FolderFiles
from icn.adapters.archive.elsewhere import begun_elsewhere
from icn.adapters.archive.examining import examined_elsewhere, examined_here
from icn.adapters.archive.settings import PARTS_SUFFIX, Encryption, Keys
from icn.adapters.archive.tar_gz import TarGzArchive, TarGzFile
from icn.adapters.archive.unfinished import PartsFile
from icn.adapters.archive.writing import Files, Finished, resumable, write_archive
from icn.adapters.storage.filling import Filling, FillingInPlace
from icn.adapters.storage.memory import MemoryStore
from icn.kernel.ids import RAW, Did
from icn.kernel.instant import Instant
from icn.services import restore, rows
from icn.services.archive_check import Archive, claimed, examine
from icn.services.archive_proof import Proving
from icn.services.backup import BackupOrder, draft, entries
from icn.services.beginning import Loading
from icn.services.commands import PutContent
from icn.services.content_writing import Restored
from icn.services.filling import Filled, Reading, Signed, fill
from icn.services.filling_signed import SignedFilling
from icn.services.restore_plan import Plan, plan
from icn.services.verify import verify
from icn.stores import backups, contents, keyspace, schema
from icn.stores.archive import ArchiveKind, Entry, Manifest, Reached
from icn.stores.archive_parts import LOCAL_TABLES
from icn.stores.backups import FinishedBackup
from icn.stores.kv import Batch, KeyValueStore, Reader
from support.world import World, federation

NEW_STORE = b"a store restored"
CREATED = "2026-01-01T00:00:00Z"


def history(contents_count: int = 12) -> World:
    """A federation of three in which something happened."""
    world = federation("a", "b", "c")
    for number in range(contents_count):
        lifetime = None if number % 3 else 1_000_000
        world.done("a", PutContent(b"content %d " % number * 50, RAW, pinned=number % 2 == 0, lifetime_ms=lifetime))
    world.submit("a")
    world.pass_time(5_000)
    return world


def nothing(_size: int) -> None:
    """Progress that nobody watches."""


def order(kind: ArchiveKind = ArchiveKind.FULL, since: Instant | None = None, created: str = CREATED) -> BackupOrder:
    return BackupOrder(kind, since, created, "icn/test", "memory")


def back_up(
    store: KeyValueStore,
    path: Path,
    *,
    kind: ArchiveKind = ArchiveKind.FULL,
    since: Instant | None = None,
    created: str = CREATED,
    encryption: Encryption | None = None,
    extra: Iterable[Entry] = (),
    replace: bool = False,
) -> Finished:
    """Write an archive to `path`, a folder where it has no suffix, and have the store remember it."""
    files: Files
    if path.suffix:
        files = TarGzFile(path, seconds=0, encryption=encryption, replace=replace)
    else:
        files = FolderFiles(path, replace=replace)
    notes = None if encryption is not None else PartsFile(path.with_name(path.name + PARTS_SUFFIX))
    snapshot = store.snapshot()
    try:
        manifest = draft(snapshot, order(kind, since, created))
        kept = () if notes is None else resumable(notes, manifest)
        reached = Reached(manifest.since)
        if notes is not None and kept and (unfinished := notes.read()) is not None:
            reached = unfinished.reached
        parts = (*entries(snapshot, manifest, reached), *extra)
        finished = write_archive(files, notes, manifest, kept, parts, nothing)
    finally:
        files.close()
        snapshot.close()
    batch = Batch()
    done = finished.manifest
    noted = FinishedBackup(finished.sha256, done.created, done.kind, done.to)
    backups.note_finished(batch, backups.finished_backups(store), noted)
    commit_beside(store, batch)
    return finished


def commit_beside(store: KeyValueStore, batch: Batch) -> None:
    """Commit without taking the fence from an engine that has a memory store open."""
    inner = getattr(store, "inner", store)
    inner.commit(batch, inner._epoch or inner.claim() if isinstance(inner, MemoryStore) else inner.claim())


def archive_at(path: Path, keys: Keys | None = None) -> Archive:
    return FolderArchive(path) if path.is_dir() else TarGzArchive(path, keys)


def restore_into(
    target: KeyValueStore,
    *paths: Path,
    keys: Keys | None = None,
    configured: Did | None = None,
    as_new: bool = False,
    skips_damaged: bool = False,
    no_newer_blocks: bool = False,
) -> Restored:
    """Examine, plan, check, apply, as the command does."""
    examined = [examine(archive_at(path, keys), nothing) for path in paths]
    planned = plan(examined, target, configured=configured, as_new=as_new, skips_damaged=skips_damaged)
    restore.check(planned, target, nothing)
    return restore.apply(planned, target, NEW_STORE, no_newer_blocks=no_newer_blocks, on_bytes=nothing)


def fill_from(
    filling: Filling,
    *paths: Path,
    keys: Keys | None = None,
    configured: Did | None = None,
    as_new: bool = False,
    no_newer_blocks: bool = False,
) -> Restored:
    """Fill an empty store, as the command does."""
    archives = [archive_at(path, keys) for path in paths]
    claims = [claim for claim in map(claimed, archives) if claim is not None]
    known = claims if len(claims) == len(archives) else [examine(source, nothing) for source in archives]
    with contextlib.closing(filling):
        try:
            planned = plan(known, MemoryStore(), configured=configured, as_new=as_new)
            filled = fill_planned(planned, filling, no_newer_blocks=no_newer_blocks)
            with filling.seal() as reader:
                report = verify(reader, planned.owner, deep=False)
                assert report.ok, report.findings
            filling.take_place()
        except BaseException:
            filling.discard()
            raise
    return filled.done


Way = Callable[[Plan], AbstractContextManager[tuple[Reading, Callable[[Loading], Signed]]]]
"""Where archives are read while a store is filled from them, and where the signed half of that works."""


@contextlib.contextmanager
def all_here(planned: Plan) -> Iterator[tuple[Reading, Callable[[Loading], Signed]]]:
    """All of it in this process."""
    yield examined_here, partial(SignedFilling, planned)


@contextlib.contextmanager
def all_elsewhere(planned: Plan) -> Iterator[tuple[Reading, Callable[[Loading], Signed]]]:
    """Each in a process of its own."""
    with (
        examined_elsewhere() as examining,
        begun_elsewhere(_signed_filling) as signed,
    ):
        examining.begin(planned.chain)
        yield examining.reading, lambda loading: signed(loading, planned)


def _signed_filling(loading: Loading, planned: Plan) -> SignedFilling:
    return SignedFilling(planned, loading)


def fill_planned(planned: Plan, filling: Filling, *, no_newer_blocks: bool = False, way: Way = all_here) -> Filled:
    """All of it in this process, or elsewhere."""
    with way(planned) as (reading, signed):
        return fill(
            planned,
            filling,
            NEW_STORE,
            no_newer_blocks=no_newer_blocks,
            on_bytes=nothing,
            reading=reading,
            signed=signed,
        )


def fill_into(target: MemoryStore, *paths: Path, **options: Any) -> Restored:
    """`restore_into`, the other way: into an empty store that bears a mark meanwhile."""
    return fill_from(_InMemory(target), *paths, **options)


class _InMemory(FillingInPlace):
    """Leaves the store open: it would be gone."""

    def close(self) -> None:
        self._behind.end()


def proving_here(manifest: Manifest) -> AbstractContextManager[Proving]:
    """What an archive proves, as its entries come."""
    return contextlib.nullcontext(Proving(manifest))


@dataclass(frozen=True)
class Held:
    """What a store holds, in a form that two stores of the same can be compared by."""

    owner: str | None
    root: str
    journal: tuple[bytes, ...]
    rows: tuple[tuple[bytes, bytes], ...]
    content: tuple[tuple[bytes, bytes, int, bool, int | None], ...]
    evidence: tuple[bytes, ...]
    local: tuple[tuple[bytes, bytes], ...]


def held(reader: Reader) -> Held:
    metas = []
    for key, data in reader.scan(keyspace.CONTENT_META):
        meta = contents.read_content_meta(data)
        content = reader.get(keyspace.BLOCK + key[1:]) or b""
        metas.append((key, content, meta.stored_at, meta.pinned, meta.expires_at))
    return Held(
        owner=schema.owner_of(reader),
        root=rows.load(reader).feeds.root(),
        journal=tuple(value for _, value in reader.scan(keyspace.JOURNAL)),
        rows=tuple(reader.scan(keyspace.PROJECTION)),
        content=tuple(metas),
        evidence=tuple(key for key, _ in reader.scan(keyspace.EVIDENCE)),
        local=tuple(pair for prefix in LOCAL_TABLES.values() for pair in reader.scan(prefix)),
    )


def assert_whole(reader: Reader, owner: Did) -> None:
    """A deep verification finds nothing."""
    report = verify(reader, owner, deep=True)
    assert report.ok, report.findings
