"""One process per store: an advisory lock on a file beside it, held from opening to closing.

The kernel frees an flock when its holder dies, however it dies, so there is no stale lock to clean up, and the file is
never removed (removing it would let two processes lock two different files of one name). What it contains, the
holder's process id and host, is only there to be named in the refusal.

The lock belongs to the open file, which a forked child shares: child processes must be started by exec, as
`subprocess` and `multiprocessing`'s spawn do, or close what they inherit (`adapters.archive.forking`), or they keep
the store locked after our death.
"""

import fcntl
import os
import socket
from pathlib import Path
from typing import Self

from icn.adapters.files import PRIVATE_FILE
from icn.stores.kv import StoreInUse

_HOLDER_BYTES_MAX = 300


class ProcessLock:
    """Holds the lock until closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, store: Path) -> Self:
        """Lock the store at `store`, at once or not at all. Raises `StoreInUse`, `OSError` when it cannot be tried."""
        name = store.with_name(store.name + ".lock")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as refused:
            holder = os.read(descriptor, _HOLDER_BYTES_MAX).decode(errors="replace").strip()
            os.close(descriptor)
            raise StoreInUse(f"{store} is in use by {holder or 'another process'}") from refused
        except OSError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        return cls(descriptor)

    def close(self) -> None:
        """Free it. Called once."""
        # Unlocked by name, not just closed: a forked child might still have the file open.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
