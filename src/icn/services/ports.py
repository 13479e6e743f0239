"""What services need from outside, beyond the store."""

from typing import Protocol

from icn.kernel.instant import Instant


class Clock(Protocol):
    """The time of day. May not run backwards within a process."""

    def now(self) -> Instant:
        """Milliseconds since 1970, UTC."""


class Entropy(Protocol):
    """Unpredictable bytes, for ids and nonces."""

    def bytes(self, count: int) -> bytes:
        """`count` fresh bytes."""
