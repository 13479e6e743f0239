"""What peers make this node hold, against one budget.

Counted are, per connection: what was received and is not read, halves of messages, what waits to be sent, and a share
for what every connection costs; beside them what is held for all (the gossip's cache). Windows that a peer was granted
are not counted before it uses them: a socket whose peer's bytes nobody reads is not read either (`unread_bytes_max`).

| used | then |
|---|---|
| less than seven eighths of the budget | everything is taken |
| more | no new connections from others, no new streams |
| all of it | the connection that holds most ends, and the next, until less is used |

A connection ends, never the process: who floods loses, who is idle stays.
"""

from icn.adapters.network.link import Link
from icn.kernel.limits import KIB

CONNECTION_BYTES = 48 * KIB
"""What a connection costs that holds nothing: socket buffers of ours, ciphers, streams, tables."""
_TIGHT_NUMERATOR, _TIGHT_DENOMINATOR = 7, 8


class MemoryBudget:
    """The account of all connections."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held: dict[Link, int] = {}
        self._shared: dict[str, int] = {}
        self.used = 0
        """Bytes, as counted."""

    @property
    def is_tight(self) -> bool:
        """Whether nothing new is taken."""
        return self.used * _TIGHT_DENOMINATOR >= self._bytes_max * _TIGHT_NUMERATOR

    @property
    def is_spent(self) -> bool:
        """Whether a connection must end."""
        return self.used > self._bytes_max

    def note(self, link: Link, held: int) -> None:
        """A connection holds so much now."""
        self.used += CONNECTION_BYTES + held - self._held.get(link, 0)
        self._held[link] = CONNECTION_BYTES + held

    def forget(self, link: Link) -> None:
        """It is gone, with what it held."""
        self.used -= self._held.pop(link, 0)

    def note_shared(self, name: str, held: int) -> None:
        """What `name` holds for everybody."""
        self.used += held - self._shared.get(name, 0)
        self._shared[name] = held

    def worst(self) -> Link | None:
        """The connection that holds most, the oldest of equals; None where none holds more than every one costs."""
        worst = max(self._held, key=self._held.__getitem__, default=None)
        return worst if worst is not None and self._held[worst] > CONNECTION_BYTES else None
