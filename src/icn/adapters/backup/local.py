"""Archives in a folder: on another disk, or one that a file server shares.

The folder itself is made with the first archive, and never again (`require`); what is above it is not made at all. So a
disk that is not mounted is noticed, instead of the backup going to the disk it was to protect: what is mounted lies in
an empty folder, in which ours would be made. Files and folder are for their owner only.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from icn.adapters.backup.ports import (
    READ_BYTES,
    ArchiveMissing,
    Stored,
    TargetDenied,
    TargetFull,
    TargetMissing,
    TargetUnavailable,
    check_name,
    is_name,
)
from icn.adapters.files import PRIVATE_FOLDER, sync_folder
from icn.kernel.errors import Fault
from icn.kernel.instant import Instant

UNFINISHED_PREFIX = ".icn-"
UNFINISHED_SUFFIX = ".unfinished"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


class LocalTarget:
    """A folder. Satisfies `ports.BackupTarget`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._folder)

    @property
    def breaker(self) -> None:
        """None: a folder is not called over the network."""

    def require(self) -> None:
        """See the port."""
        if not self._folder.is_dir():
            raise TargetMissing(
                f"{self._folder} is gone, and archives were put there before: mount the disk it is on; on a new disk, "
                "create the folder"
            )

    def put(self, name: str, source: BinaryIO) -> None:
        """See the port."""
        check_name(name)
        with self._ours():
            self._make_folder()
            descriptor, temporary = tempfile.mkstemp(
                dir=self._folder, prefix=f"{UNFINISHED_PREFIX}{name}.", suffix=UNFINISHED_SUFFIX
            )
            try:
                with os.fdopen(descriptor, "wb") as file:  # mkstemp made it for its owner only
                    shutil.copyfileobj(source, file, READ_BYTES)
                    file.flush()
                    os.fsync(descriptor)
                Path(temporary).replace(self._folder / name)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            sync_folder(self._folder)

    def stored(self) -> list[Stored]:
        """See the port."""
        with self._ours():
            if not self._is_made():
                return []
            with os.scandir(self._folder) as entries:
                found = [
                    Stored(entry.name, stat.st_size, Instant(stat.st_mtime_ns // 1_000_000))
                    for entry in entries
                    if is_name(entry.name) and S_ISREG((stat := entry.stat(follow_symlinks=False)).st_mode)
                ]
        return sorted(found, key=lambda stored: stored.name)

    def read(self, name: str) -> Generator[bytes, None, None]:
        """See the port."""
        check_name(name)
        with self._ours(name):
            descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            while True:
                with self._ours(name):
                    piece = file.read(READ_BYTES)
                if not piece:
                    return
                yield piece

    def delete(self, name: str) -> None:
        """See the port."""
        check_name(name)
        with self._ours():
            (self._folder / name).unlink(missing_ok=True)
            if self._folder.is_dir():
                sync_folder(self._folder)

    def clear_unfinished(self, beginning: str) -> int:
        """See the port."""
        check_name(beginning)
        with self._ours():
            left = f"{UNFINISHED_PREFIX}{beginning}*{UNFINISHED_SUFFIX}"
            found = sorted(self._folder.glob(left)) if self._is_made() else []
            for path in found:
                path.unlink(missing_ok=True)
        return len(found)

    def _is_made(self) -> bool:
        """Whether something is there. Raises `FileNotFoundError` where the folder could not even be made."""
        if self._folder.exists():
            return True
        self._folder.parent.stat()
        return False

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=PRIVATE_FOLDER)
            sync_folder(self._folder.parent)

    @contextmanager
    def _ours(self, name: str | None = None) -> Iterator[None]:
        """The errors of the file system, said in our words. `name`: the archive that is to be there."""
        try:
            yield
        except OSError as error:
            raise self._fault(error, name) from error

    def _fault(self, error: OSError, name: str | None) -> Fault:
        why = error.strerror or type(error).__name__
        if isinstance(error, FileNotFoundError):
            if name is not None and self._folder.is_dir():
                return ArchiveMissing(f"there is no archive {name} in {self._folder}: backup list shows what is there")
            return TargetMissing(
                f"the folder of {self._folder} does not exist: mount the disk it is to be on, or create the folder"
            )
        if error.errno in _FULL:
            return TargetFull(f"no room in {self._folder} ({why}): make room, or keep fewer archives")
        if error.errno in _DENIED or isinstance(error, NotADirectoryError | FileExistsError):
            return TargetDenied(f"{self._folder} cannot be used ({why}): the node's user must own this folder")
        return TargetUnavailable(f"{self._folder} failed ({why}): look at the disk or the file server behind it")
