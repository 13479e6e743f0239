"""The port of a backup target: where archives are kept, and all the node may assume of it.

`tests/contract/test_backup_target.py` is its suite, the same for every adapter.

**Names** are file names (`check_name`), never paths. What else lies at the place, under other names or in folders below
it, is neither listed nor touched.

**Whole or not at all.** `put` returns when the archive is there, whole and durable. Until then, and for ever when it
fails or the process dies, nobody finds anything under the name but what was there before. What a death may leave
behind is never listed; `clear_unfinished` removes it where the place lets us see it.

**Faults.** `TargetUnavailable` (retryable: time may help), `TargetDenied`, `TargetMissing`, `TargetFull` (an operator
must act; the message says how), `ArchiveMissing`. From any thread, one call at a time. Every call is bounded in time.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Protocol

from icn.kernel.errors import Fault, Invalid
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB
from icn.protocol.breaker import Breaker

NAME_CHARS_MAX = 200
READ_BYTES = 8 * MIB
"""At most so much of an archive is in memory while it is read."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


class TargetUnavailable(Fault):
    """The place cannot be reached, or failed. Trying again later may help."""

    code: ClassVar[str] = "backup.target_unavailable"
    retryable: ClassVar[bool] = True


class TargetDenied(Fault):
    """The place refuses us."""

    code: ClassVar[str] = "backup.target_denied"


class TargetMissing(Fault):
    """The folder or bucket does not exist."""

    code: ClassVar[str] = "backup.target_missing"


class TargetFull(Fault):
    """No room at the place."""

    code: ClassVar[str] = "backup.target_full"


class ArchiveMissing(Fault):
    """No archive of this name is there."""

    code: ClassVar[str] = "backup.archive_missing"


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing at the place."""

    name: str
    size: int
    """Bytes."""
    stored_at: Instant
    """When it came there, by the clock of the place."""


class BackupTarget(Protocol):
    """See the module's docstring."""

    @property
    def place(self) -> str:
        """Where this is, for people. Holds no secret."""

    @property
    def breaker(self) -> Breaker | None:
        """What keeps us from calling a service that is down; None for a place that is not called over the network."""

    def require(self) -> None:
        """Archives were put here before: raise `TargetMissing` where the place is gone, which `put` might make anew."""

    def put(self, name: str, source: BinaryIO) -> None:
        """Keep everything in `source`, a file open for reading, under `name`; replaces what is there."""

    def stored(self) -> list[Stored]:
        """Everything whole, ascending by name."""

    def read(self, name: str) -> Generator[bytes, None, None]:
        """What is under `name`, in pieces of at most `READ_BYTES`. Close the iterator if it is not read to its end."""

    def delete(self, name: str) -> None:
        """Remove what is under `name`; nothing happens when nothing is."""

    def clear_unfinished(self, beginning: str) -> int:
        """Remove what interrupted `put`s under names that begin so have left; others may be at work under others.

        How many there were, as far as the place shows them. Raises `Invalid` for what no name begins with.
        """


def check_name(name: str) -> None:
    """Raise `Invalid` unless `name` can stand at every place."""
    if not is_name(name):
        raise Invalid("archive name", f"{name[:NAME_CHARS_MAX]!r} is not a plain file name")


def is_name(name: str) -> bool:
    """Whether `name` is a plain file name that every place takes."""
    return len(name) <= NAME_CHARS_MAX and _NAME.match(name) is not None
