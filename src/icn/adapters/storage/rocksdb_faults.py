"""Turns what RocksDB and the file system raise into the faults of the storage port, in this one place.

The library raises bare `Exception` with RocksDB's status as its text: the kind, a colon, and what the system said. So
the kind is read from the text; an exception whose class is exactly `Exception` is nobody else's here.

What a failed commit means is not decided here but in `rocksdb_store`, which alone knows that it was one.
"""

import errno
from pathlib import Path
from types import TracebackType

from rocksdict import DbClosedError

from icn.adapters.storage.edge import EngineEdge
from icn.kernel.errors import IcnError, InvariantBroken
from icn.stores.kv import StoreCorrupt, StoreFull, StoreInUse, StoreNewer, StoreUnavailable

_NO_ROOM = ("No space left on device", "Disk quota exceeded", "Space limit")
_DAMAGED = ("Corruption:",)
_OF_THE_WORLD = ("IO error:", "Busy:", "Timed out:", "Aborted:", "Shutdown in progress", "Try again", "Incomplete:")
_FILES_GONE = ("No such file or directory", "does not exist (create_if_missing is false)")
_NOT_FOUND = "key not found"
_LATER_FORMATS = ("unknown format_version", "Unknown Footer version", "unsupported blob file version")


class Absent:
    """A context manager that is left quietly when a snapshot has not got a key, which the library calls an error."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return kind is Exception and str(error) == _NOT_FOUND


def is_of_the_engine(error: BaseException | None) -> bool:
    """Whether `error` comes from RocksDB."""
    return type(error) is Exception or isinstance(error, DbClosedError)


def is_for_want_of_room(error: BaseException) -> bool:
    """Whether RocksDB says that the disk took no more."""
    return any(sign in str(error) for sign in _NO_ROOM)


class Quiet:
    """A context manager that is left quietly at an error of the engine that changes nothing for anybody."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return is_of_the_engine(error)


class Damage:
    """A context manager that is left quietly when the engine says that its files are damaged, and remembers it."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: str | None = None
        """What the engine said."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not is_of_the_engine(error) or not str(error).startswith(_DAMAGED):
            return False
        self.seen = str(error)
        return True


class Edge(EngineEdge):
    """That of this engine."""

    __slots__ = ("_opening", "_path")

    def __init__(self, path: Path, *, opening: bool = False) -> None:
        self._path = path
        self._opening = opening

    def _fault_of(self, error: BaseException) -> IcnError | None:
        if isinstance(error, OSError):
            return self._fault_of_system(error)
        return self._fault_of_engine(error) if is_of_the_engine(error) else None

    def _fault_of_system(self, error: OSError) -> IcnError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StoreFull(f"{self._path}: {error}: make room on the disk; nothing was written")
        return StoreUnavailable(f"{self._path}: {error}")

    def _fault_of_engine(self, error: BaseException) -> IcnError:
        text = str(error)
        says = f"{self._path}: {text}"
        if isinstance(error, DbClosedError):
            return StoreUnavailable(f"{self._path}: the store is closed")
        if is_for_want_of_room(error):
            return StoreFull(f"{says}: make room on the disk; nothing was written")
        if any(sign in text for sign in _LATER_FORMATS):
            return StoreNewer(f"{says}: start the release that wrote it, or restore a backup into an empty store")
        if self._opening and "/LOCK: " in text:
            return StoreInUse(f"{self._path} is in use by a program that is not an icn-node (a RocksDB tool?)")
        if text.startswith(_DAMAGED) or any(sign in text for sign in _FILES_GONE):
            return StoreCorrupt(f"{says}: restore a backup, or let the federation refill an empty store")
        if text.startswith(_OF_THE_WORLD):
            return StoreUnavailable(says)
        return InvariantBroken(f"a call that RocksDB refuses: {says}")
