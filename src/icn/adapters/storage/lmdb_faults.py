"""Turns what LMDB and the file system raise into the faults of the storage port, in this one place.

LMDB says `MDB_CORRUPTED` and `MDB_PAGE_NOTFOUND` for a page that is not what its parent promised, `MDB_CURSOR_FULL`
and `MDB_PAGE_FULL` for a tree deeper or fuller than trees are, `MDB_INVALID` for a file without its magic number. It
notices only some of the damage there can be (`lmdb_file` says what that means). `MDB_PANIC` follows a failed write of
the meta page: the environment must be closed and opened again.

What a failed commit means is not decided here but in `lmdb_store`, which alone knows that it was one.
"""

import errno
import os
from pathlib import Path

import lmdb

from icn.adapters.storage.edge import EngineEdge
from icn.kernel.errors import IcnError, InvariantBroken
from icn.stores.kv import StoreCorrupt, StoreFull, StoreInUse, StoreNewer, StoreUnavailable

FULL_BYTES_MARGIN = 1024 * 1024
"""Room on the disk, besides that for the batch, below which a write that broke off is put down to a full disk."""

_WHAT_CLOSED = "Attempt to operate on closed/deleted/dropped object."


def is_for_want_of_room(error: lmdb.Error, path: Path, bytes_wanted: int) -> bool:
    """Whether a commit to the store at `path` broke off because the disk took no more.

    LMDB calls a write that was taken only in part EIO.
    """
    if isinstance(error, lmdb.DiskError) or error.code == errno.EDQUOT:
        return True
    disk = os.statvfs(path)
    return error.code == errno.EIO and disk.f_bavail * disk.f_frsize < bytes_wanted + FULL_BYTES_MARGIN


class Edge(EngineEdge):
    """That of this engine."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def _fault_of(self, error: BaseException) -> IcnError | None:
        return self._fault_of_engine(error) if isinstance(error, lmdb.Error | OSError) else None

    def _fault_of_engine(self, error: lmdb.Error | OSError) -> IcnError:
        says = f"{self._path}: {error}"
        match error:
            case (
                lmdb.DiskError()
                | lmdb.Error(code=errno.EDQUOT)
                | OSError(errno=errno.ENOSPC | errno.EDQUOT)
                | lmdb.MapFullError()
            ):
                return StoreFull(f"{says}: make room on the disk; nothing was written")
            case (
                lmdb.CorruptedError()
                | lmdb.PageNotFoundError()
                | lmdb.CursorFullError()
                | lmdb.PageFullError()
                | lmdb.InvalidError()
            ):
                return StoreCorrupt(f"{says}: restore a backup, or let the federation refill an empty store")
            case lmdb.VersionMismatchError():
                return StoreNewer(f"{says}: start the release that wrote it, or restore a backup into an empty store")
            case lmdb.Error(code=0) if error.what == _WHAT_CLOSED:
                return StoreUnavailable(f"{self._path}: the store is closed")
            case lmdb.Error(code=0) if "already open in this process" in error.what:
                return StoreInUse(f"{self._path} is in use by this process under another name")
            case (
                lmdb.BadTxnError()
                | lmdb.BadDbiError()
                | lmdb.BadRslotError()
                | lmdb.BadValsizeError()
                | lmdb.DbsFullError()
                | lmdb.IncompatibleError()
                | lmdb.InvalidParameterError()
                | lmdb.KeyExistsError()
                | lmdb.NotFoundError()
                | lmdb.TxnFullError()
                | lmdb.Error(code=0)
            ):
                return InvariantBroken(f"a call that LMDB refuses: {says}")
            case _:  # what the operating system says: input and output, memory, permission, locks, readers
                return StoreUnavailable(says)
