"""From a path to the archives there: a file, a folder that is one, or a folder with several in it."""

from pathlib import Path
from typing import ClassVar

from icn.adapters.archive.directory import REPLACED_SUFFIX, FolderArchive
from icn.adapters.archive.settings import PARTIAL_SUFFIX, PARTS_SUFFIX, Keys
from icn.adapters.archive.tar_gz import TarGzArchive
from icn.kernel.errors import Kind, Refusal
from icn.services.archive_check import Archive
from icn.stores.archive import MANIFEST

SUFFIXES = (".tar.gz", ".tgz", ".tar.gz.age")
"""Of files that are taken for archives where a folder is given."""
ARCHIVES_MAX = 10_000
"""In one folder."""


class NoArchive(Refusal):
    """There is no archive at the path."""

    code: ClassVar[str] = "archive.none"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, path: str, why: str = "") -> None:
        self.path = path
        super().__init__(f"there is no backup at {path}{why}")


def archives_at(path: Path, keys: Keys | None) -> list[Archive]:
    """The archives, by name. Raises `NoArchive`."""
    if not path.exists():
        aside = path.with_name(path.name + REPLACED_SUFFIX)
        raise NoArchive(str(path), f"; {aside} is the one that was being replaced" if aside.exists() else "")
    if not path.is_dir():
        return [TarGzArchive(path, keys)]
    if (path / MANIFEST).exists() or any((path / folder).is_dir() for folder in ("blocks", "content")):
        return [FolderArchive(path)]
    found: list[Archive] = []
    for inside in sorted(path.iterdir()):
        if inside.name.endswith((PARTIAL_SUFFIX, PARTS_SUFFIX)):
            continue
        if inside.is_dir() and (inside / MANIFEST).exists():
            found.append(FolderArchive(inside))
        elif inside.name.endswith(SUFFIXES) and inside.is_file():
            found.append(TarGzArchive(inside, keys))
    if len(found) > ARCHIVES_MAX:
        raise NoArchive(str(path), f", but {len(found)}: name those that are meant, at most {ARCHIVES_MAX}")
    if not found:
        raise NoArchive(str(path))
    return found
