"""The folder of one devnet: where everything in it lies, its file written whole or not at all, and its lock.

The lock is the kernel's, on an open file: it ends with the process that has it, however that ends.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from icn.adapters.files import create_atomically, make_private_folders, sync_folder, write_atomically
from icn.cli.devnet.state import Devnet
from icn.cli.endings import Ended, Exit

STATE_HOME = "XDG_STATE_HOME"
"""https://specifications.freedesktop.org/basedir-spec/latest/."""
LOCK_SECONDS_MAX = 5.0
"""How long a command waits for another one's end."""
_BETWEEN_TRIES = 0.05


class Folder:
    """Paths and the file. Nothing is made before `make`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.api_key = self.root / "api-key"
        """Of all its nodes: whoever has the folder has the devnet."""
        self._state = self.root / "devnet.json"
        self._lock = self.root / "devnet.lock"
        self._nodes = self.root / "nodes"
        self._logs = self.root / "logs"

    def data_of(self, name: str) -> Path:
        """A node's data directory."""
        return self._nodes / name

    def log_of(self, name: str) -> Path:
        """Everything a node ever said."""
        return self._logs / f"{name}.log"

    def refuse_foreign(self) -> None:
        """Raise `Ended` where other things lie than those of a devnet. Makes nothing."""
        if not self.root.is_dir() or self._state.exists():
            return
        others = sorted(path.name for path in self.root.iterdir() if path not in self._own())
        if others:
            raise Ended(
                Exit.REFUSED,
                f"{self.root} holds {others[0]}, which is of no devnet",
                code="cli.not_a_devnet",
                next_step="Name an empty folder, or one that is not there.",
            )

    def make(self, key: str) -> None:
        """Make what is missing. `key`: the API key of a new devnet."""
        for folder in (self.root, self._nodes, self._logs):
            make_private_folders(folder)
        if not self.api_key.exists():
            create_atomically(self.api_key, key.encode())

    def read(self) -> Devnet:
        """What is there. Raises `Ended` when there is no devnet."""
        found = self.read_or_none()
        if found is None:
            raise Ended(
                Exit.NOT_FOUND_OR_UNVERIFIED,
                f"there is no devnet in {self.root}",
                code="cli.no_devnet",
                next_step="Make one with icn-cli devnet up, or name another --dir.",
            )
        return found

    def read_or_none(self) -> Devnet | None:
        """The same, None where there is none."""
        try:
            data = self._state.read_bytes()
        except FileNotFoundError:
            return None
        return Devnet.decoded(data, str(self._state))

    def write(self, devnet: Devnet) -> None:
        """Durably, so that what was started is known whatever happens to whoever started it."""
        write_atomically(self._state, devnet.encoded())

    def purge(self) -> None:
        """Remove everything that belongs to a devnet, and the folder if nothing else is in it."""
        for path in (self._state, self.api_key, self._nodes, self._logs, self._lock):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(self.root.iterdir()):
            self.root.rmdir()
            sync_folder(self.root.parent)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one command starts and ends processes here. Raises `Ended` while another one does."""
        until = time.monotonic() + LOCK_SECONDS_MAX
        while True:
            make_private_folders(self.root)
            with self._lock.open("w") as file:
                if self._has_locked(file):
                    yield
                    return
            if time.monotonic() > until:
                raise Ended(
                    Exit.REFUSED,
                    f"another icn-cli devnet command works on {self.root}",
                    code="cli.devnet_in_use",
                    next_step="Wait for its end, or end it.",
                )
            time.sleep(_BETWEEN_TRIES)

    def _has_locked(self, file: TextIO) -> bool:
        """Whether the lock is ours, and is still the folder's: a purge takes it away with everything else."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._lock.stat().st_ino == os.fstat(file.fileno()).st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    def _own(self) -> tuple[Path, ...]:
        return (self._lock, self._nodes, self._logs, self.api_key)


def default_folder(environ: Mapping[str, str]) -> Path:
    """Where the devnet of somebody lies who names no folder."""
    named = environ.get(STATE_HOME, "")
    state = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return state / "icn" / "devnet"
