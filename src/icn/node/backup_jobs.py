"""One backup, one retention, one restore drill: each a straight story, on a thread of its own while the node serves.

```
backup   snapshot ─> archive in the scratch folder ─> target: whole under its name, or not there
drill    newest chain from the target ─> examine ─> restore into a scratch store ─> verify ─> compare ─> remove
```

The archive is written beside the node first: the snapshot is given back as soon as the local disk has it, however slow
the target, and an upload that fails is repeated without reading the store again. Whatever is left in the scratch folder
by a death is removed by the next run. Neither may fill the disk that the node lives on: below `ROOM_BYTES_MIN` of free
space it gives up.

Not here: when (node.backups, services.backup_plan), what an archive is (stores.archive), where archives go
(adapters.backup).
"""

import contextlib
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from icn.adapters.archive.examining import examined_here
from icn.adapters.archive.settings import Encryption, Keys
from icn.adapters.archive.tar_gz import TarGzArchive, TarGzFile
from icn.adapters.archive.writing import Finished, write_archive
from icn.adapters.backup.ports import BackupTarget, Stored
from icn.adapters.files import make_private_folders
from icn.adapters.storage.filling import Filling
from icn.adapters.storage.memory import MemoryStore
from icn.adapters.storage.opening import StorageSettings, open_filling
from icn.http.moments import iso_of
from icn.kernel.errors import Fault, Kind, Refusal
from icn.kernel.ids import Did
from icn.kernel.instant import Duration, Instant
from icn.kernel.limits import MIB
from icn.services import backup
from icn.services.archive_check import Examined, examine
from icn.services.backup_plan import (
    ArchiveName,
    Retention,
    archive_id,
    chain,
    goes_on,
    may_go,
    names_of,
    node_mark,
    ours,
)
from icn.services.filling import fill
from icn.services.filling_signed import SignedFilling
from icn.services.ports import Clock
from icn.services.queries import dag
from icn.services.restore_plan import plan
from icn.services.verify import verify
from icn.stores import blocks
from icn.stores.archive import ArchiveKind, Entry, Manifest, Reached
from icn.stores.backup_schedule import MadeBackup, ProvenBackup, schedule_in, wants_full, went_to
from icn.stores.backups import FinishedBackup, finished_backups
from icn.stores.kv import Reader, Snapshot

ROOM_BYTES_MIN = 512 * MIB
"""Free space that is left to the node on the disk of the scratch folder; twice what makes it not ready."""
RESTORED_RATIO = 3
"""The room a drill wants beforehand for a restored store, per byte in its archives: rows, indexes, journal."""
STORE_ID_BYTES = 16


class NoRoom(Fault):
    """The disk beside the node is too full for a backup or a drill."""

    code: ClassVar[str] = "backup.no_room"
    retryable: ClassVar[bool] = True


class Interrupted(Fault):
    """The node stops; the backup or drill under way is given up."""

    code: ClassVar[str] = "backup.interrupted"
    retryable: ClassVar[bool] = True


class NothingToDrill(Refusal):
    """The target has no backup of this node."""

    code: ClassVar[str] = "backup.nothing_to_drill"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(f"there is no backup of this node at {place}: make one with backup run")


class NotRestorable(Exception):
    """A drill's finding: the node could not be restored from what is at the target."""

    def __init__(self, archive: str, what: str) -> None:
        self.archive = archive
        self.what = what
        super().__init__(f"{archive}: {what}")


@dataclass(frozen=True, slots=True)
class BackupTerms:
    """How backups are made and kept."""

    full_every: int
    retention: Retention
    encryption: Encryption | None
    keys: Keys | None
    """What opens archives in a drill."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup at the target, not yet recorded in the store."""

    name: ArchiveName
    finished: FinishedBackup
    made: MadeBackup
    store: str
    """Id of the store, as its manifest has it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a drill found."""

    archive: str
    archives: int
    """Of the chain."""
    blocks: int
    content: int
    finding: str | None
    """Why the node could not be restored from it; None: it could."""
    proven: ProvenBackup


@dataclass(frozen=True, slots=True)
class BackupJobs:
    """What the jobs need. From any thread, one job at a time."""

    target: BackupTarget
    terms: BackupTerms
    snapshot: Callable[[], Snapshot]
    did: Did
    clock: Clock
    elapsed_ms: Callable[[], int]
    """A clock for durations."""
    scratch: Path
    program: str
    backend: str

    def back_up(self, stopping: threading.Event) -> Made:
        """Make the backup that is next, and bring it to the target.

        Raises:
            Fault: the target's, the disk's, or `Interrupted`.
            Refusal: there is nothing to back up.
        """
        begun = self.elapsed_ms()
        with self._scratch("backup") as folder:
            archives = self._archives()
            self.target.clear_unfinished(names_of(self.did))
            now = self.clock.now()
            spool = folder / "archive.tar.gz"
            finished = self._write(spool, archives, now, stopping)
            manifest = finished.manifest
            parent = None if manifest.kind is ArchiveKind.FULL else manifest.parent
            name = ArchiveName(
                node=node_mark(self.did),
                made=now,
                id=archive_id(finished.sha256),
                parent=None if parent is None else archive_id(parent),
                encrypted=self.terms.encryption is not None,
            )
            with _Stoppable(spool, stopping) as file:
                self._require_target()
                self.target.put(name.text, file)
            size = spool.stat().st_size
        return Made(
            name,
            FinishedBackup(finished.sha256, manifest.created, manifest.kind, manifest.to),
            MadeBackup(name.text, now, size, Duration(self.elapsed_ms() - begun)),
            manifest.store,
        )

    def retain(self, after: ArchiveName, stopping: threading.Event) -> list[ArchiveName]:
        """Delete what may go after that backup succeeded. Those deleted."""
        going = may_go(self._archives(), self.terms.retention, after=after, now=self.clock.now())
        for archive in going:
            _go_on(stopping)
            self.target.delete(archive.text)
        return going

    def listed(self) -> list[tuple[ArchiveName, int, bool]]:
        """Archives of this node at the target, oldest first: each with its bytes, and whether its chain is whole."""
        sizes = {stored.name: stored.size for stored in self._stored()}
        archives = ours(sizes, self.did)
        return [(archive, sizes[archive.text], chain(archives, archive.id) is not None) for archive in archives]

    def drill(self, stopping: threading.Event) -> Proof:
        """Restore the newest backup aside and compare it with what it claims, and with this node's journal.

        Raises:
            Fault: the target's, the disk's, or `Interrupted`: nothing was found out.
            NothingToDrill: there is no backup.
        """
        begun = self.elapsed_ms()
        links = self._newest()
        newest = links[-1].text
        checked = (0, 0)
        finding = None
        try:
            checked = self._restore_aside(links, stopping)
        except NotRestorable as error:
            finding = str(error)
        proven = ProvenBackup(newest, self.clock.now(), Duration(self.elapsed_ms() - begun))
        return Proof(newest, len(links), *checked, finding, proven)

    # Backup

    def _archives(self) -> list[ArchiveName]:
        return ours((stored.name for stored in self._stored()), self.did)

    def _stored(self) -> list[Stored]:
        """What is at the target."""
        self._require_target()
        return self.target.stored()

    def _require_target(self) -> None:
        """Where the last backup went, a target is to be found, not made."""
        with self._reading() as reader:
            if went_to(reader.get, self.target.place):
                self.target.require()

    def _write(self, spool: Path, archives: list[ArchiveName], now: Instant, stopping: threading.Event) -> Finished:
        snapshot = self.snapshot()
        try:
            done = finished_backups(snapshot)
            last = archive_id(done[-1].manifest) if done else None
            on = not wants_full(snapshot.get) and goes_on(archives, last, self.terms.full_every)
            order = backup.BackupOrder(
                kind=ArchiveKind.INCREMENTAL if on else ArchiveKind.FULL,
                since=None,
                created=iso_of(now),
                program=self.program,
                backend=self.backend,
            )
            draft = backup.draft(snapshot, order)
            entries = backup.entries(snapshot, draft, Reached(draft.since))
            files = TarGzFile(spool, seconds=now // 1000, encryption=self.terms.encryption, replace=True)
            with contextlib.closing(files), _disk_faults(spool.parent):
                return write_archive(files, None, draft, (), self._guarded(entries, stopping), _ignore)
        finally:
            snapshot.close()

    def _guarded(self, entries: Iterable[Entry], stopping: threading.Event) -> Iterator[Entry]:
        for entry in entries:
            _go_on(stopping)
            self._require_room(len(entry.data))
            yield entry

    # Drill

    def _newest(self) -> list[ArchiveName]:
        """The chain of the newest backup; where it lacks a link that is a finding, no reason to take an older."""
        archives = self._archives()
        if not archives:
            raise NothingToDrill(self.target.place)
        now, recorded = self.clock.now(), self._recorded()
        # Of names that are ahead of the clock, which was set back since, only the store knows whether one came last.
        newest = ([one for one in archives if one.made <= now or one == recorded] or archives)[-1]
        return chain(archives, newest.id) or [newest]

    def _restore_aside(self, links: list[ArchiveName], stopping: threading.Event) -> tuple[int, int]:
        """How many blocks and content blocks were verified. Raises `NotRestorable`."""
        if links[0].parent is not None:
            raise NotRestorable(links[0].text, f"goes on from archive {links[0].parent}, which is not at the target")
        self._require_newest(links[-1])
        with self._scratch("drill") as folder, _disk_faults(folder):
            files = [self._fetch(link, folder, stopping) for link in links]
            on_bytes = self._watch(stopping)
            try:
                examined = [examine(TarGzArchive(path, self.terms.keys), on_bytes) for path in files]
                for link, one in zip(links, examined, strict=True):
                    self._require_name(link, one)
                self._require_room(RESTORED_RATIO * sum(_size(one) for one in examined))
                filling = open_filling(StorageSettings("sqlite", folder / "restored.sqlite"))
                with contextlib.closing(filling):
                    return self._restore(links[-1].text, examined, filling, on_bytes)
            except Refusal as refusal:  # damaged, not to be opened, no chain: the rules of restoring say no
                raise NotRestorable(links[-1].text, str(refusal)) from refusal

    def _require_newest(self, newest: ArchiveName) -> None:
        recorded = self._recorded()
        if recorded is not None and (newest.made, newest.text) < (recorded.made, recorded.text):
            raise NotRestorable(recorded.text, "was made last and is not at the target any more")

    def _recorded(self) -> ArchiveName | None:
        """What the store says was made last."""
        with self._reading() as reader:
            made = schedule_in(reader.get).made
        return None if made is None else ArchiveName.parse(made.archive)

    def _fetch(self, link: ArchiveName, folder: Path, stopping: threading.Event) -> Path:
        path = folder / link.text
        with path.open("xb") as file, contextlib.closing(self.target.read(link.text)) as pieces:
            for piece in pieces:
                _go_on(stopping)
                self._require_room(len(piece))
                file.write(piece)
        return path

    def _require_name(self, link: ArchiveName, examined: Examined) -> None:
        manifest = examined.whole()
        parent = None if manifest.parent is None else archive_id(manifest.parent)
        if (archive_id(examined.sha256), parent, manifest.node) != (link.id, link.parent, self.did):
            raise NotRestorable(link.text, "its name says something else than its manifest: it was renamed or replaced")

    def _restore(
        self, name: str, examined: list[Examined], filling: Filling, on_bytes: Callable[[int], None]
    ) -> tuple[int, int]:
        planned = plan(examined, MemoryStore(), configured=None, as_new=False)
        fill(
            planned,
            filling,
            os.urandom(STORE_ID_BYTES),
            no_newer_blocks=False,
            on_bytes=on_bytes,
            reading=examined_here,
            signed=partial(SignedFilling, planned),  # here: a node's process has threads, and is not forked
        )
        with filling.seal() as restored:
            report = verify(restored, self.did, deep=True)
            for finding in report.findings:
                raise NotRestorable(name, f"restored, {finding.where}: {finding.what}")
            with self._reading() as here:
                for what, alike in _comparisons(planned.newest, restored, here):
                    if not alike:
                        raise NotRestorable(name, what)
        return report.checked.blocks, report.checked.content

    # Disk

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Reader]:
        snapshot = self.snapshot()
        try:
            yield snapshot
        finally:
            snapshot.close()

    @contextlib.contextmanager
    def _scratch(self, name: str) -> Iterator[Path]:
        """An empty folder, removed afterwards with all that is in it. What an earlier run left there goes first."""
        folder = self.scratch / name
        with _disk_faults(folder):
            shutil.rmtree(folder, ignore_errors=True)
            make_private_folders(folder)
        try:
            self._require_room(0)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _require_room(self, bytes_wanted: int) -> None:
        free = shutil.disk_usage(self.scratch).free
        if free < ROOM_BYTES_MIN + bytes_wanted:
            raise NoRoom(
                f"{self.scratch} has {free // MIB} MiB free, and {(ROOM_BYTES_MIN + bytes_wanted) // MIB} MiB are "
                "wanted: make room on this disk; the node itself needs it too"
            )

    def _watch(self, stopping: threading.Event) -> Callable[[int], None]:
        def on_bytes(_count: int) -> None:
            _go_on(stopping)
            self._require_room(0)

        return on_bytes


def _comparisons(manifest: Manifest, restored: Reader, here: Reader) -> Iterator[tuple[str, bool]]:
    """What must be alike in the manifest, in the restored store and in this node's journal."""
    root = dag.root(restored)
    heads = [(head.author, head.sequence, str(head.cid)) for head in root.heads]
    yield "restored, the root is not the manifest's", root.root == manifest.root
    yield (
        "restored, the heads are not the manifest's",
        heads == [(head.author, head.sequence, head.cid) for head in manifest.heads],
    )
    yield "restored, the ledger is not the manifest's", backup.ledger_digest(restored) == manifest.ledger
    for author, sequence, cid in heads:
        known = blocks.cid_at(here, author, sequence)
        yield f"block {sequence} of {author} is not the one in this node's journal", str(known) == cid


class _Stoppable(io.BufferedReader):
    """A file whose reading ends when the node stops."""

    def __init__(self, path: Path, stopping: threading.Event) -> None:
        super().__init__(io.FileIO(path))
        self._stopping = stopping

    def read(self, size: int | None = -1, /) -> bytes:
        """As any file. Raises `Interrupted`."""
        _go_on(self._stopping)
        return super().read(size)


def _size(examined: Examined) -> int:
    """Bytes of everything in an archive."""
    return sum(part.size for part in examined.whole().parts)


def _go_on(stopping: threading.Event) -> None:
    if stopping.is_set():
        raise Interrupted("the node is stopping")


def _ignore(_count: int) -> None:
    """Progress that nobody watches."""


@contextlib.contextmanager
def _disk_faults(folder: Path) -> Iterator[None]:
    """The scratch folder's errors, said in our words."""
    try:
        yield
    except OSError as error:
        raise NoRoom(f"{folder}: {error.strerror or type(error).__name__}: look at the disk it is on") from error
