"""Writes an archive, whatever its files are: parts are hashed and packed on threads and stored in order on another.

```
entries ─> pack (hash, compress: threads) ─> store (a thread), in order ─> now and then: disk has it, noted ─> finish
```

Not here: how parts are stored (tar_gz, directory).
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

from icn.adapters.archive.settings import SYNC_BYTES
from icn.adapters.archive.unfinished import PartsFile, Subject, Unfinished, Written
from icn.kernel.errors import Invalid, Kind, Refusal
from icn.stores import archive, archive_parts
from icn.stores.archive import IDENTITY, MANIFEST, Counts, Entry, Manifest, Position, split_name

PACKERS = 2
PENDING_MAX = 3
"""Parts that are being packed, or wait to be stored."""
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArchiveExists(Refusal):
    """There is something where the archive should go."""

    code: ClassVar[str] = "archive.exists"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"there is something at {path} already: choose another name, or replace it with --replace")


class ArchiveBusy(Refusal):
    """Another process writes the same archive."""

    code: ClassVar[str] = "archive.busy"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"another process writes {path}: wait until it has ended, or choose another name")


def hold(descriptor: int, path: Path) -> None:
    """Keep others from writing the file or folder that was opened at `path`, until the descriptor is closed.

    Raises:
        ArchiveBusy: another one does, or has just finished it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ArchiveBusy(str(path)) from error
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False)):
            return
    raise ArchiveBusy(str(path))


class Files(Protocol):
    """Where the parts of one archive go."""

    def begin(self, kept: tuple[Written, ...]) -> None:
        """Be ready to write behind these parts; nothing else of an earlier attempt stays."""

    def pack(self, name: str, data: bytes) -> list[bytes]:
        """What is to be stored of an entry. From any thread."""

    def store(self, name: str, pieces: list[bytes]) -> int:
        """Store it; gives the end of the file."""

    def sync(self) -> None:
        """The disk has everything that was stored."""

    def finish(self) -> None:
        """Put the whole archive, durable, where it belongs."""

    def discard(self) -> None:
        """Remove what was written. Instead of `finish`, before `close`."""

    def close(self) -> None:
        """Let go of files. Called once, also after `finish`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """An archive that is whole and durable."""

    manifest: Manifest
    sha256: str
    """Of the manifest."""
    bytes: int
    """Of all entries."""
    kept: int
    """Parts that an earlier attempt had written."""


def write_archive(
    files: Files,
    notes: PartsFile | None,
    draft: Manifest,
    kept: tuple[Written, ...],
    entries: Iterable[Entry],
    on_bytes: Callable[[int], None],
) -> Finished:
    """Write all of it behind the parts that are `kept`.

    `notes`: where it is noted what is written; None where the files cannot be gone on with.

    What cannot be gone on with is removed, and so is what has filled the disk: a node may live on it.

    Raises:
        ArchiveBusy: another process writes it.
        Invalid: what is `kept` is not there; the notes about it are gone then, and the next attempt begins anew.
        OSError: of the disk.
    """
    try:
        files.begin(kept)
    except Invalid:
        if notes is not None:
            notes.remove()
        raise
    if notes is not None:
        notes.write(Unfinished(Subject.of(draft), kept))
    try:
        with ThreadPoolExecutor(PACKERS) as packers, ThreadPoolExecutor(1) as storer:
            run = _Run(files, notes, kept, draft, packers, storer)
            for entry in entries:
                run.add(entry)
                on_bytes(len(entry.data))
            run.drain()
        manifest = run.manifest()
        data = archive.write_manifest(manifest)
        files.store(MANIFEST, files.pack(MANIFEST, data))
        files.finish()
    except BaseException as error:
        if notes is None or (isinstance(error, OSError) and error.errno in DISK_FULL):
            files.discard()
            if notes is not None:
                notes.remove()
        raise
    if notes is not None:
        notes.remove()
    size = sum(part.size for part in manifest.parts) + len(data)
    return Finished(manifest, archive.manifest_hash(data), size, len(kept))


class _Run:
    def __init__(
        self,
        files: Files,
        notes: PartsFile | None,
        kept: tuple[Written, ...],
        draft: Manifest,
        packers: ThreadPoolExecutor,
        storer: ThreadPoolExecutor,
    ) -> None:
        """`storer` has one thread: what is written and noted is only touched there until all is drained."""
        self._files = files
        self._notes = notes
        self._draft = draft
        self._packers = packers
        self._storer = storer
        self._written = list(kept)
        self._unsynced: list[Written] = []
        self._unsynced_bytes = 0
        self._next = Position(kept[-1].next_arrival, kept[-1].next_change) if kept else draft.since
        self._is_broken = False
        self._pending: deque[Future[None]] = deque()  # bounded: PENDING_MAX, in add()

    def add(self, entry: Entry) -> None:
        """Take the next entry over. Raises what became of earlier ones."""
        while len(self._pending) >= PENDING_MAX:
            self._pending.popleft().result()
        packing = self._packers.submit(self._pack, entry)
        self._pending.append(self._storer.submit(self._store, entry, packing))

    def drain(self) -> None:
        """All of them are stored."""
        while self._pending:
            self._pending.popleft().result()

    def manifest(self) -> Manifest:
        """The draft with what writing brought."""
        lines = dict.fromkeys(("content", "local"), 0)
        for written in self._written:
            folder = written.name.partition("/")[0]
            if folder in lines:
                lines[folder] += written.lines
        counts = Counts(self._draft.counts.blocks, self._draft.counts.evidence, lines["content"], lines["local"])
        return replace(self._draft, counts=counts, parts=tuple(written.part for written in self._written))

    def _pack(self, entry: Entry) -> tuple[str, list[bytes]]:
        return hashlib.sha256(entry.data).hexdigest(), self._files.pack(entry.name, entry.data)

    def _store(self, entry: Entry, packing: Future[tuple[str, list[bytes]]]) -> None:
        if self._is_broken:
            return  # behind a part that is missing nothing is stored
        self._is_broken = True
        sha256, pieces = packing.result()
        end = self._files.store(entry.name, pieces)
        lines = archive_parts.count_lines(entry.data) if entry.name.endswith(".jsonl") else 0
        self._next = _after(entry, self._next)
        size = len(entry.data)
        written = Written(entry.name, size, sha256, end, lines, self._next.arrival, self._next.change)
        self._written.append(written)
        self._unsynced.append(written)
        self._unsynced_bytes += size
        if self._notes is not None and self._unsynced_bytes >= SYNC_BYTES:
            self._files.sync()
            self._notes.add(self._unsynced)
            self._unsynced, self._unsynced_bytes = [], 0
        self._is_broken = False


def _after(entry: Entry, position: Position) -> Position:
    """What comes next in the store behind this part."""
    if entry.name == IDENTITY:
        return position
    folder, _, suffix = split_name(entry.name)
    if folder == "blocks":
        return replace(position, arrival=position.arrival + sum(1 for _ in archive_parts.read_car(entry.data)))
    if (folder, suffix) == ("content", "jsonl"):
        last = entry.data[entry.data[:-1].rfind(b"\n") + 1 :]
        return replace(position, change=next(archive_parts.read_content_lines(last)).changed + 1)
    return position


def resumable(notes: PartsFile, draft: Manifest) -> tuple[Written, ...]:
    """The parts that an earlier attempt has written and that this backup can go on from."""
    unfinished = notes.read()
    if unfinished is None or unfinished.subject != Subject.of(draft):
        return ()
    return unfinished.written if draft.to.covers(unfinished.reached.next) else ()
