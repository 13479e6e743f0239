"""What must reach a peer, committed together with its cause and kept until the peer says that it has it.

At least once: a message may arrive again after a crash or a lost connection, so whoever receives one must bear that.
"""

from dataclasses import dataclass, field

from icn.kernel.ids import Did
from icn.kernel.limits import OUTBOX_PER_PEER_MAX
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader

_NEXT = keyspace.about("outbox")


@dataclass(slots=True)
class Outbox:
    """The waiting messages by peer and number. Mirrors the store's rows."""

    next_number: int = 1
    waiting: dict[Did, dict[int, bytes]] = field(default_factory=dict)
    _seen: dict[Did, int] = field(default_factory=dict)
    """The number up to which messages were waiting at the last `overdue`."""

    @classmethod
    def load(cls, reader: Reader) -> "Outbox":
        """What the store holds."""
        outbox = cls(int(reader.get(_NEXT) or b"1"))
        for key, message in reader.scan(keyspace.OUTBOX):
            peer = Did.from_public_key(key[1:33])
            outbox.waiting.setdefault(peer, {})[int.from_bytes(key[33:], "big")] = message
        return outbox

    def is_full(self, peer: Did) -> bool:
        """Whether so much waits for `peer` that nothing new should be begun with it."""
        return len(self.waiting.get(peer, ())) >= OUTBOX_PER_PEER_MAX

    def reserve(self) -> int:
        """The number of the next message. Numbers are never used twice by one store."""
        number = self.next_number
        self.next_number += 1
        return number

    def add(self, batch: Batch, peer: Did, number: int, message: bytes) -> None:
        """Keep `message` until `remove`."""
        self.waiting.setdefault(peer, {})[number] = message
        batch.put(keyspace.outbox(peer) + keyspace.u64(number), message)
        batch.put(_NEXT, str(self.next_number).encode())

    def remove(self, batch: Batch, peer: Did, number: int) -> None:
        """The peer has it, or it is void. Nothing happens for an unknown number."""
        messages = self.waiting.get(peer, {})
        if messages.pop(number, None) is not None:
            batch.delete(keyspace.outbox(peer) + keyspace.u64(number))
        if not messages:
            self.waiting.pop(peer, None)

    def remove_all(self, batch: Batch, peer: Did) -> None:
        """The peer is gone for good."""
        for number in list(self.waiting.get(peer, ())):
            self.remove(batch, peer, number)

    def overdue(self, peer: Did) -> list[bytes]:
        """What already waited for `peer` when this was last asked, and waits still."""
        waiting = self.waiting.get(peer, {})
        seen = self._seen.get(peer, 0)
        self._seen[peer] = self.next_number - 1
        return [message for number, message in waiting.items() if number <= seen]

    def messages_for(self, peer: Did) -> list[bytes]:
        """Everything that waits for `peer`, oldest first."""
        return list(self.waiting.get(peer, {}).values())
