"""Stores that are a folder: how one is made, recognised and refused before its engine touches anything.

A marker file in the folder says which backend's it is and which layout it has. It is written twice: as `unfinished`
before the engine makes its files, and as `complete` once an empty store is on disk. So a creation that broke off is
begun anew, and a store whose files went missing is not mistaken for one that was never filled.

What the keys mean has a version of its own, in `stores/schema`.
"""

from dataclasses import dataclass
from pathlib import Path

from icn.adapters.files import PRIVATE_FOLDER, make_private_folders, temporaries_of, write_atomically
from icn.stores.kv import StoreCorrupt, StoreNewer

MARKER = "icn-store"
MARKER_BYTES_MAX = 200


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """What a backend's folders look like."""

    backend: str
    version: int
    """Number of the layout; a higher one is a later release's."""

    def prepare(self, folder: Path) -> bool:
        """Whether the store in `folder` is complete. If not, the folder is there, private and empty for the engine.

        Raises `StoreCorrupt` for what is not a store of this backend, `StoreNewer`, `OSError`.
        """
        if folder.exists() and not folder.is_dir():
            raise StoreCorrupt(f"{folder} is a file; the backend {self.backend} keeps a folder: choose another path")
        make_private_folders(folder)
        marker = folder / MARKER
        if marker.exists():
            if self._is_complete(folder, marker):
                return True
            for left_over in folder.iterdir():
                if left_over != marker:
                    left_over.unlink()
            return False
        broken_off = set(temporaries_of(marker))  # of a creation that was killed before it had a marker
        if any(entry not in broken_off for entry in folder.iterdir()):
            raise StoreCorrupt(
                f"{folder} is not a store of icn-node (it has no file {MARKER}): choose an empty or new folder"
            )
        for left_over in broken_off:
            left_over.unlink()
        folder.chmod(PRIVATE_FOLDER)
        self._mark(folder, "unfinished")
        return False

    def complete(self, folder: Path) -> None:
        """The engine has made its files: from now on they must be there."""
        self._mark(folder, "complete")

    def _mark(self, folder: Path, state: str) -> None:
        write_atomically(folder / MARKER, f"icn-store {self.backend} {self.version} {state}\n".encode())

    def _is_complete(self, folder: Path, marker: Path) -> bool:
        with marker.open("rb") as file:
            words = file.read(MARKER_BYTES_MAX).decode(errors="replace").split()
        match words:
            case ["icn-store", backend, _, _, *_] if backend != self.backend:
                raise StoreCorrupt(f"{folder} is a store of the backend {backend}: set [storage] backend = {backend!r}")
            case ["icn-store", _, version, *_] if version.isdecimal() and int(version) > self.version:
                raise StoreNewer(
                    f"{folder} has layout {version}; this release reads up to {self.version}: start the newer release "
                    "that wrote it, or restore a backup into an empty store"
                )
            case ["icn-store", _, version, "unfinished" | "complete" as state] if version == str(self.version):
                return state == "complete"
            case _:
                raise StoreCorrupt(f"{marker} is damaged: restore a backup")
