"""A disk that forgets: a file system in memory that loses, at a drawn moment, what was not synced.

    python -m support.crash_disk folder mountpoint --lose-at 120 --kept-share 0.5 --seed 7 [--account postgres]

It begins with the files of `folder`, all of them durable, and says `mounted`. At the operation that changes something
and has the number of `--lose-at` the power fails: that operation and all later ones fail, what survives is put into
`folder`, the program says `lost …` and is gone. A mount that is taken away before says `unmounted`; nothing is lost.

What survives:
- every page (4 KiB; engines have pages of 4 to 16, so theirs are torn) that was synced since it was written; each of
  the others with a chance of `--kept-share`, in any combination, as a drive is free to write them in any order;
- a file's new length, if it was synced, or by that chance, or because a page beyond the old one survived;
- names created, removed or changed before the folder's last sync; of the later changes of a folder a drawn number,
  the earlier ones first, as file systems with a journal keep them. A sync of the file alone does not keep its name:
  stricter than Linux is, and what POSIX promises.

With `--account` everything is that account's, and others than whoever mounted it may enter: a server that refuses to
run as root.

The system's page cache stands above, so memory maps and what is read through them are as on any disk.
"""

import argparse
import errno
import itertools
import os
import pwd
import random
import shutil
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfusepy import FUSE, FuseOSError, Operations  # type: ignore[import-untyped] # it has no py.typed

PAGE_BYTES = 4096
BLOCK_BYTES = 512
"""Of which `stat` counts."""


@dataclass(slots=True)
class File:
    """As programs see it, and as it is on the platter."""

    number: int
    mode: int
    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    unsynced: set[int] = field(default_factory=set)
    """Pages."""

    def write(self, data: bytes, offset: int) -> range:
        """The pages it touched."""
        if offset > len(self.seen):
            self.resize(offset)
        self.seen[offset : offset + len(data)] = data
        touched = range(offset // PAGE_BYTES, -(-(offset + len(data)) // PAGE_BYTES))
        self.unsynced.update(touched)
        return touched

    def resize(self, length: int) -> None:
        """Cut, or fill with zeros."""
        before = len(self.seen)
        if length < before:
            del self.seen[length:]
        else:
            self.seen.extend(bytes(length - before))
        self.unsynced.update(range(min(before, length) // PAGE_BYTES, -(-max(before, length) // PAGE_BYTES)))

    def sync(self, pages: Iterable[int] | None = None) -> None:
        """Make `pages` durable, or all, and the length."""
        chosen = sorted(self.unsynced if pages is None else pages)
        self._copy(self.durable, chosen)
        self._fit(self.durable)
        self.unsynced.difference_update(chosen)

    def survivor(self, rng: random.Random, kept_share: float) -> tuple[bytearray, int]:
        """What is left after a loss of power, and how many pages are not."""
        left = bytearray(self.durable)
        kept = [page for page in sorted(self.unsynced) if rng.random() < kept_share]
        self._copy(left, kept)
        if rng.random() < kept_share:
            self._fit(left)
        return left, len(self.unsynced) - len(kept)

    def _copy(self, to: bytearray, pages: Iterable[int]) -> None:
        for page in pages:
            begin = page * PAGE_BYTES
            data = self.seen[begin : begin + PAGE_BYTES]
            if begin > len(to):
                to.extend(bytes(begin - len(to)))
            to[begin : begin + len(data)] = data

    def _fit(self, to: bytearray) -> None:
        if len(to) > len(self.seen):
            del to[len(self.seen) :]
        else:
            to.extend(bytes(len(self.seen) - len(to)))


@dataclass(slots=True)
class Folder:
    """Names, as programs see them and as they are on the platter."""

    number: int
    mode: int
    seen: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    unsynced: list[dict[str, "File | Folder | None"]] = field(default_factory=list)
    """Changes, oldest first. Names of one change survive together: a rename is atomic."""

    def change(self, names: dict[str, "File | Folder | None"]) -> None:
        """Set names, or remove them."""
        _apply(self.seen, names)
        self.unsynced.append(names)

    def sync(self) -> None:
        """Make all names durable."""
        self.durable = dict(self.seen)
        self.unsynced.clear()

    def survivor(self, rng: random.Random, kept_share: float) -> tuple[dict[str, "File | Folder"], int]:
        """The names that are left after a loss of power, and how many changes are not."""
        left = dict(self.durable)
        kept = 0
        while kept < len(self.unsynced) and rng.random() < kept_share:
            _apply(left, self.unsynced[kept])
            kept += 1
        return left, len(self.unsynced) - kept


def _apply(to: dict[str, File | Folder], names: dict[str, File | Folder | None]) -> None:
    for name, node in names.items():
        if node is None:
            to.pop(name, None)
        else:
            to[name] = node


class Disk(Operations):  # type: ignore[misc] # the package has no types for it
    """The operations of the file system, one at a time."""

    use_ns = True

    def __init__(
        self, image: Path, lose_at: int, kept_share: float, seed: int, owner: tuple[int, int] | None = None
    ) -> None:
        """`owner`: user and group of everything; without, whoever mounts it."""
        self._image = image
        self._owner = owner or (os.getuid(), os.getgid())
        self._lose_at = lose_at
        self._kept_share = kept_share
        self._rng = random.Random(seed)
        self._numbers = itertools.count(1)
        self._handles = itertools.count(1)
        self._open: dict[int, tuple[File, bool]] = {}
        """Handle to file, and whether each write is a sync."""
        self._changes = 0
        self._syncs = 0
        self._root = self._loaded(image)

    # What programs do. The names and parameters are those of FUSE.

    def init(self, path: str) -> None:
        say("mounted")

    def destroy(self, path: str) -> None:
        self._save(self._root, self._image, lossy=False)
        say(f"unmounted after {self._changes} changes")

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        node = self._open[fh][0] if fh in self._open else self._node(path)
        if isinstance(node, Folder):
            return self._attributes(node, stat.S_IFDIR, 0)
        return self._attributes(node, stat.S_IFREG, len(node.seen))

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *self._folder(path).seen]

    def statfs(self, path: str) -> dict[str, int]:
        plenty = 1 << 24
        return {
            "f_bsize": PAGE_BYTES,
            "f_frsize": PAGE_BYTES,
            "f_blocks": plenty,
            "f_bfree": plenty,
            "f_bavail": plenty,
        }

    def open(self, path: str, flags: int) -> int:
        return self._handle(self._file(path), flags)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._count()
        folder, name = self._place(path)
        made = File(next(self._numbers), mode & 0o7777)
        folder.change({name: made})
        return self._handle(made, 0)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._open[fh][0].seen[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._count()
        file, is_synced = self._open[fh]
        touched = file.write(data, offset)
        if is_synced:
            file.sync(touched)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._count()
        file = self._open[fh][0] if fh in self._open else self._file(path)
        file.resize(length)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        self._count()
        self._open[fh][0].sync()
        self._syncs += 1

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        self._count()
        self._folder(path).sync()
        self._syncs += 1

    def release(self, path: str, fh: int) -> None:
        del self._open[fh]

    def mkdir(self, path: str, mode: int) -> None:
        self._count()
        folder, name = self._place(path)
        folder.change({name: Folder(next(self._numbers), mode & 0o7777)})

    def unlink(self, path: str) -> None:
        self._count()
        folder, name = self._place(path)
        folder.change({name: None})

    def rmdir(self, path: str) -> None:
        if self._folder(path).seen:
            raise FuseOSError(errno.ENOTEMPTY)
        self.unlink(path)

    def rename(self, old: str, new: str) -> None:
        self._count()
        node = self._node(old)
        (folder, old_name), (other, new_name) = self._place(old), self._place(new)
        if folder is not other:
            raise FuseOSError(errno.EXDEV)  # no engine does it, and a change of two folders would not be atomic here
        folder.change({old_name: None, new_name: node})

    def link(self, target: str, source: str) -> None:
        self._count()
        folder, name = self._place(target)
        folder.change({name: self._file(source)})

    def chmod(self, path: str, mode: int) -> None:
        self._node(path).mode = mode & 0o7777

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Everything has one owner."""

    def utimens(self, path: str, times: Any = None) -> None:
        """Nobody here asks when a file was changed."""

    def flush(self, path: str, fh: int) -> None:
        """A close is no sync."""

    # How

    def _count(self) -> None:
        """One change more; the one at which the power fails is not made, and nothing is afterwards."""
        self._changes += 1
        if self._changes == self._lose_at:
            try:
                pages, names = self._save(self._root, self._image, lossy=True)
                say(f"lost {pages} pages and {names} names, after {self._syncs} syncs")
            finally:
                os._exit(0)  # whoever waits for the line sees that it did not come

    def _handle(self, file: File, flags: int) -> int:
        handle = next(self._handles)
        self._open[handle] = file, bool(flags & (os.O_DSYNC | os.O_SYNC))
        return handle

    def _attributes(self, node: File | Folder, kind: int, size: int) -> dict[str, Any]:
        return {
            "st_mode": kind | node.mode,
            "st_ino": node.number,
            "st_nlink": 1,
            "st_size": size,
            "st_blocks": -(-size // BLOCK_BYTES),
            "st_uid": self._owner[0],
            "st_gid": self._owner[1],
        }

    def _node(self, path: str) -> File | Folder:
        node: File | Folder = self._root
        for name in path.split("/"):
            if not name:
                continue
            inside = node.seen.get(name) if isinstance(node, Folder) else None
            if inside is None:
                raise FuseOSError(errno.ENOENT)
            node = inside
        return node

    def _file(self, path: str) -> File:
        node = self._node(path)
        if isinstance(node, Folder):
            raise FuseOSError(errno.EISDIR)
        return node

    def _folder(self, path: str) -> Folder:
        node = self._node(path)
        if isinstance(node, File):
            raise FuseOSError(errno.ENOTDIR)
        return node

    def _place(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        return self._folder(above), name

    def _loaded(self, path: Path) -> Folder:
        folder = Folder(next(self._numbers), path.stat().st_mode & 0o7777)
        for inside in sorted(path.iterdir()):
            if inside.is_dir():
                folder.seen[inside.name] = self._loaded(inside)
            else:
                file = File(next(self._numbers), inside.stat().st_mode & 0o7777, bytearray(inside.read_bytes()))
                file.durable = bytearray(file.seen)
                folder.seen[inside.name] = file
        folder.sync()
        return folder

    def _save(self, folder: Folder, to: Path, *, lossy: bool) -> tuple[int, int]:
        """Replace what is in `to`. Pages and names that are lost."""
        for old in to.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
        left, names_lost = folder.survivor(self._rng, self._kept_share) if lossy else (folder.seen, 0)
        pages_lost = 0
        for name, node in sorted(left.items()):
            path = to / name
            if isinstance(node, Folder):
                path.mkdir()
                pages, names = self._save(node, path, lossy=lossy)
                names_lost += names
            else:
                data, pages = node.seen, 0
                if lossy:
                    data, pages = node.survivor(self._rng, self._kept_share)
                path.write_bytes(data)
            path.chmod(node.mode)
            pages_lost += pages
        return pages_lost, names_lost


def say(line: str) -> None:
    """Tell whoever started this."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def main() -> None:
    """Mount, and serve until it is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--lose-at", type=int, required=True)
    parser.add_argument("--kept-share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--account")
    given = parser.parse_args()
    account = None if given.account is None else pwd.getpwnam(given.account)
    owner = None if account is None else (account.pw_uid, account.pw_gid)
    disk = Disk(given.folder.resolve(), given.lose_at, given.kept_share, given.seed, owner)
    # No time in which names or lengths are believed without asking; an unlinked file that is open has no other name.
    options = {"attr_timeout": 0, "entry_timeout": 0, "hard_remove": True, "default_permissions": True}
    if owner is not None:
        options["allow_other"] = True
    FUSE(disk, str(given.mountpoint), foreground=True, nothreads=True, fsname="icn-crash-disk", **options)


if __name__ == "__main__":
    main()
