"""An archive as a folder with the files of the archive in it, uncompressed.

Written beside its name and renamed when it is whole. Reading takes regular files with the names of an archive and
nothing else: links are not followed, devices and pipes not opened, lengths are bounded.
"""

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from icn.adapters.archive.ahead import ahead
from icn.adapters.archive.settings import PARTIAL_SUFFIX
from icn.adapters.archive.unfinished import Written
from icn.adapters.archive.writing import ArchiveExists, hold
from icn.adapters.files import PRIVATE_FILE, PRIVATE_FOLDER, sync_folder
from icn.kernel.errors import Invalid
from icn.services.archive_check import Hashed, hashing_all
from icn.stores.archive import IDENTITY, MANIFEST, PARTS_MAX, ArchiveDamaged, Part, size_max, split_name
from icn.stores.tar import Room

FOLDERS = ("blocks", "content", "evidence", "local", "identity")
"""In the order in which they are read."""
REPLACED_SUFFIX = ".replaced"


class FolderFiles:
    """Satisfies `writing.Files`."""

    def __init__(self, target: Path, *, replace: bool) -> None:
        """Raises `ArchiveExists`. An empty folder is no obstacle."""
        self._target = target
        self._replace = replace
        self._require_free()
        self._descriptor: int | None = None

    @property
    def partial(self) -> Path:
        """Where it is written."""
        return self._target.with_name(self._target.name + PARTIAL_SUFFIX)

    def begin(self, kept: tuple[Written, ...]) -> None:
        """Make the folder, and remove what does not stay. Raises `ArchiveBusy`, `Invalid`."""
        self.partial.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        self._descriptor = os.open(self.partial, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        hold(self._descriptor, self.partial)
        names = {written.name for written in kept}
        for path in sorted(self.partial.rglob("*")):
            if not path.is_dir() and path.relative_to(self.partial).as_posix() not in names:
                path.unlink()
        for written in kept:
            path = self.partial / written.name
            if not path.is_file() or path.stat().st_size != written.size:
                raise Invalid("unfinished backup", f"{path} is not as it was noted: repeat the command to begin anew")

    def pack(self, name: str, data: bytes) -> list[bytes]:
        """As it is."""
        return [data]

    def store(self, name: str, pieces: list[bytes]) -> int:
        """A file of its own, on disk when this returns."""
        path = self.partial / name
        path.parent.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(descriptor)
        return 0

    def sync(self) -> None:
        """The entries of the folders."""
        for folder in FOLDERS:
            if (self.partial / folder).is_dir():
                sync_folder(self.partial / folder)
        sync_folder(self.partial)

    def finish(self) -> None:
        """To its name. What was there goes aside first, and away last.

        Raises `ArchiveExists` for what has come there since, and is no archive to be replaced.
        """
        self.sync()
        self._require_free()
        aside = self._target.with_name(self._target.name + REPLACED_SUFFIX)
        if self._target.exists():
            if aside.exists():
                shutil.rmtree(aside)
            self._target.rename(aside)
        self.partial.rename(self._target)
        sync_folder(self._target.parent)
        if aside.exists():
            shutil.rmtree(aside)

    def _require_free(self) -> None:
        occupied = self._target.exists() and (not self._target.is_dir() or any(self._target.iterdir()))
        if occupied and not (self._replace and (self._target / MANIFEST).exists()):
            raise ArchiveExists(str(self._target))

    def discard(self) -> None:
        """See `writing.Files`."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def close(self) -> None:
        """Others may write it now."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class FolderArchive:
    """Satisfies `services.archive_check.Archive`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._path)

    def entries(self, hashed: Hashed = hashing_all) -> Iterator[tuple[Part, bytes]]:
        """Every entry, read and hashed on another thread."""
        with contextlib.closing(ahead(self._read(hashed))) as reading:
            yield from reading

    def entries_in(self, room: Room, hashed: Hashed) -> Iterator[tuple[Part, bytes | memoryview]]:
        """See `Archive`."""
        for part, data in self._read(hashed):
            if (place := room(part.name, part.size)) is not None:
                place[:] = data
            yield part, data if place is None else place

    def manifest(self) -> bytes | None:
        """The file of that name."""
        with contextlib.suppress(Invalid):
            return self._file(MANIFEST)
        return None

    def _read(self, hashed: Hashed) -> Iterator[tuple[Part, bytes]]:
        try:
            for name in self._names():
                data = self._file(name)
                yield Part(name, len(data), hashlib.sha256(data).hexdigest() if hashed(name) else ""), data
        except Invalid as error:
            raise ArchiveDamaged(self.name, f"{error.what}: {error.why}") from error

    def _names(self) -> list[str]:
        """In the order of an archive. Raises `Invalid` for what no archive holds."""
        found: list[str] = []
        with os.scandir(self._path) as listed:
            tops = sorted(listed, key=lambda entry: entry.name)
        for top in tops:
            if top.name == MANIFEST:
                continue
            if top.name not in FOLDERS or not top.is_dir(follow_symlinks=False):
                raise Invalid("archive", f"{top.name[:120]!r} is not part of a backup")
            with os.scandir(top.path) as inside:
                for entry in inside:
                    found.append(f"{top.name}/{entry.name}")
                    size_max(found[-1])
                    if len(found) > PARTS_MAX:
                        raise Invalid("archive", f"more than {PARTS_MAX} files")
        return [*sorted(found, key=_place), MANIFEST]

    def _file(self, name: str) -> bytes:
        path, most = self._path / name, size_max(name)
        try:
            # O_NONBLOCK: a named pipe must not keep us waiting.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise Invalid("archive", f"{name} is missing") from error
        except OSError as error:
            raise Invalid("archive", f"{name} cannot be read, or is a link: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Invalid("archive", f"{name} is not a file")
            data = file.read(most + 1)
        if len(data) > most:
            raise Invalid("archive", f"{name} has more than {most} bytes")
        return data


def _place(name: str) -> tuple[int, int, int]:
    """Where an entry stands; lines stand before the bytes of their number."""
    if name == IDENTITY:
        return len(FOLDERS), 0, 0
    folder, number, suffix = split_name(name)
    return FOLDERS.index(folder), number, int(suffix == "car")
