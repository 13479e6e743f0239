"""A peer that speaks the protocol, as the router knows it."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Peer:
    """What it told us, and what it may still ask before the next heartbeat."""

    protocol: str
    outbound: bool
    topics: dict[str, None] = field(default_factory=dict)
    """What it is subscribed to."""
    pruned: dict[str, None] = field(default_factory=dict)  # bounded: by our own topics
    """Topics of which a PRUNE has gone over this connection, in whichever direction: it knows of the back-off."""
    advertisements: int = 0
    """IHAVEs taken from it."""
    asked: int = 0
    """Ids we asked it for."""
    looked_up: int = 0
    """Ids it asked us for."""
    answered_bytes: int = 0
    """Messages we sent it for that."""

    @property
    def has_counted(self) -> bool:
        """Whether the next heartbeat has something to set back."""
        return bool(self.advertisements or self.asked or self.looked_up)

    def beat(self) -> None:
        """A heartbeat: it may ask again."""
        self.advertisements = self.asked = self.looked_up = self.answered_bytes = 0
