"""What every rule may know about the block a record stands in. Nothing else: not the clock, not who is asking.

Validity is a function of a block's own ancestry alone (semantics §2). A node's state may be ahead of the ancestry of
the block it judges, so a rule that leans on another author's record asks `ancestry` whether that record is behind it.
"""

from dataclasses import dataclass
from typing import Protocol

from icn.kernel.ids import Did
from icn.kernel.instant import Instant


class Ancestry(Protocol):
    """The blocks behind one block."""

    def has(self, author: Did, sequence: int) -> bool:
        """Whether the block (author, sequence) is among them."""

    def count(self, author: Did) -> int:
        """How many blocks of `author` are among them, from its first on."""

    def has_ended(self, author: Did) -> bool:
        """Whether the feed of `author` has ended within them: it has left or was removed. Nothing can follow."""

    def has_ended_for_good(self, author: Did) -> bool:
        """The same, and no other removal can undo it: where it was removed, every member has built on that in them."""

    def confirms(self, author: Did, sequence: int) -> bool:
        """Whether that block is confirmed by them: a quorum of the voting nodes has built on it."""


@dataclass(frozen=True, slots=True)
class Context:
    """The block whose record is decided, checked or applied."""

    author: Did
    sequence: int
    time: Instant
    ancestry: Ancestry


class EventRefused(Exception):
    """A record its author was not entitled to. The block that carries it is refused whole.

    Not a `Refusal`: nobody asked us for anything; `services.arrivals` turns it into a `PeerViolation`.
    """


def entitled(condition: bool, rule: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
    """Raise `EventRefused` unless `condition`; `rule` says what the author had to obey."""
    if not condition:
        raise EventRefused(rule)
