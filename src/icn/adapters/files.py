"""Files that are there whole or not at all, also after a loss of power, and folders that only we may enter.

A rename is atomic but not durable: the file's bytes must be on disk before it and the folder's entry after it, hence
the two syncs. Errors are left as `OSError`; the caller knows what the file was for and says so.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write_atomically(path: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put `content` at `path`, replacing what is there. Readers see the old file or the new one, never a mixture."""
    temporary = _written_beside(path, content, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink()
        raise
    sync_folder(path.parent)


def create_atomically(path: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Put `content` at `path`. Raises `FileExistsError`, and changes nothing, when something is there."""
    temporary = _written_beside(path, content, mode)
    try:
        os.link(temporary, path)  # unlike a rename, a link refuses to replace
    finally:
        temporary.unlink()
    sync_folder(path.parent)


def make_private_folders(folder: Path) -> None:
    """Create `folder` and what is missing above it, each durably and for the owner only."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: those created, renamed and removed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporaries_of(path: Path) -> Iterator[Path]:
    """What is left beside `path` of writes that were killed."""
    return (entry for entry in path.parent.iterdir() if re.fullmatch(rf"\.{re.escape(path.name)}\..*\.tmp", entry.name))


def _written_beside(path: Path, content: bytes, mode: int) -> Path:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        temporary.unlink()
        raise
    return temporary
