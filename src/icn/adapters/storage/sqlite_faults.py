"""Turns what SQLite and the file system raise into the faults of the storage port, in this one place.

What a failed COMMIT means is not decided here but in `sqlite`, which alone knows that it was one.
"""

import errno
from pathlib import Path

import apsw

from icn.adapters.storage.edge import EngineEdge
from icn.kernel.errors import IcnError, InvariantBroken
from icn.stores.kv import StoreCorrupt, StoreFull, StoreInUse, StoreUnavailable


class Edge(EngineEdge):
    """That of this engine."""

    __slots__ = ("_opening", "_path")

    def __init__(self, path: Path, *, opening: bool = False) -> None:
        self._path = path
        self._opening = opening

    def corrupt(self, what: str) -> StoreCorrupt:
        """What an operator reads of damage inside of the file."""
        return StoreCorrupt(f"{self._path}: {what}: restore a backup, or let the federation refill an empty store")

    def _fault_of(self, error: BaseException) -> IcnError | None:
        if isinstance(error, UnicodeDecodeError):  # no text was ever written
            return self.corrupt("a key or value is not of the type that was written")
        return self._fault_of_engine(error) if isinstance(error, apsw.Error | OSError) else None

    def _fault_of_engine(self, error: apsw.Error | OSError) -> IcnError:
        says = f"{self._path}: {error}"
        match error:
            case apsw.FullError() | OSError(errno=errno.ENOSPC | errno.EDQUOT):
                return StoreFull(f"{says}: make room on the disk; nothing was written")
            case apsw.NotADBError():
                return StoreCorrupt(f"{self._path} is not a SQLite database, or its first page is damaged")
            case apsw.CorruptError():
                return self.corrupt(str(error))
            case apsw.BusyError() | apsw.LockedError() if self._opening:
                return StoreInUse(f"{self._path} is in use by a program that is not an icn-node (a SQLite shell?)")
            case apsw.ConnectionClosedError():
                return StoreUnavailable(f"{self._path}: the store is closed")
            case (
                apsw.IOError()
                | apsw.BusyError()
                | apsw.LockedError()
                | apsw.CantOpenError()
                | apsw.ReadOnlyError()
                | apsw.PermissionsError()
                | apsw.AuthError()
                | apsw.NoMemError()
                | OSError()
            ):
                return StoreUnavailable(says)
            case _:
                return InvariantBroken(f"a statement that SQLite refuses: {says}")
