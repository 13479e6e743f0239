"""Which messages came before, and what became of them. Bounded in time and number.

1.0: the `seen` cache is "a timed least-recently-used cache of message IDs that we have observed recently". It is also
where scoring finds who else brought a message, and when (`P₃`: "while a message has been first received and is being
validated or it has been received within a configurable window").

| standing | becomes |
|---|---|
| VALIDATING | ACCEPTED, IGNORED or REJECTED, by the verdict |
| the others | nothing else; forgotten `ttl_ms` after the first sight |
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from icn.kernel.ids import PeerId

BEARERS_MAX = 64
"""Peers remembered as having brought one message."""


class Standing(Enum):
    """What became of a message."""

    VALIDATING = auto()
    ACCEPTED = auto()
    IGNORED = auto()
    REJECTED = auto()


@dataclass(slots=True)
class Sighting:
    """One message that has been seen."""

    first_seen: int
    standing: Standing
    judged_at: int = 0
    bearers: dict[PeerId, None] = field(default_factory=dict)
    """Who brought it, the first one first. Empty for our own."""

    def bear(self, peer: PeerId) -> bool:
        """`peer` brought it, too; whether that is news."""
        if peer in self.bearers or len(self.bearers) >= BEARERS_MAX:
            return False
        self.bearers[peer] = None
        return True


class SeenCache:
    """Sightings by message id, in the order in which they came."""

    def __init__(self, ttl_ms: int, entries_max: int) -> None:
        self._ttl_ms = ttl_ms
        self._entries_max = entries_max
        self._sightings: dict[bytes, Sighting] = {}
        self._forget_at = 0
        """Before that none is too old."""

    def __len__(self) -> int:
        return len(self._sightings)

    def get(self, message: bytes, now: int) -> Sighting | None:
        """What is known of it."""
        if now >= self._forget_at:
            self._forget(now)
        return self._sightings.get(message)

    def add(self, message: bytes, standing: Standing, now: int) -> Sighting:
        """It came, and was not known."""
        self._forget(now)
        while len(self._sightings) >= self._entries_max:
            del self._sightings[next(iter(self._sightings))]
        sighting = self._sightings[message] = Sighting(now, standing, now)
        return sighting

    def _forget(self, now: int) -> None:
        """Let go what is too old. The first is the oldest, so this costs little when there is nothing to do."""
        self._forget_at = now + self._ttl_ms
        while self._sightings:
            oldest = next(iter(self._sightings))
            too_old_at = self._sightings[oldest].first_seen + self._ttl_ms
            if now < too_old_at:
                self._forget_at = too_old_at
                return
            del self._sightings[oldest]
