"""What services need from outside, beyond the store."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from icn.kernel.errors import Fault
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant


class Clock(Protocol):
    """The time of day. May not run backwards within a process."""

    def now(self) -> Instant:
        """Milliseconds since 1970, UTC."""


class Entropy(Protocol):
    """Unpredictable bytes, for ids and nonces."""

    def bytes(self, count: int) -> bytes:
        """`count` fresh bytes."""


@dataclass(frozen=True, slots=True)
class HeadMark:
    """How far this node's own feed has gone, as far as any of it may have left the node (semantics §2)."""

    author: Did
    federation: Cid | None
    """None: it belonged to none yet, and had no feed."""
    count: int
    """Blocks of the feed; 0: none."""
    cid: Cid | None
    """The newest of them; None where there is none."""
    is_held: bool = False
    """The feed may be longer than that: the node was held when this was written, and not released since."""


class HeadMarker(Protocol):
    """Keeps the head mark outside the store, so that a store that was put back is noticed."""

    def read(self) -> tuple[HeadMark, ...]:
        """Every mark that is there, at most one per place. A place that has none, or not one of ours, gives none."""

    def write(self, mark: HeadMark) -> None:
        """Keep `mark` instead of what was kept. Durable when this returns. Raises `HeadMarkFailed`."""


class HeadMarkFailed(Fault):
    """The head mark could not be written: nothing that builds on it may leave the node."""

    code: ClassVar[str] = "store.head_mark_failed"
