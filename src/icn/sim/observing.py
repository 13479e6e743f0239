"""What is watched while a run goes on, over the whole world at once: who signed what, and which hold ended how.

Not here: what is looked at when all is quiet (checkers).
"""

from dataclasses import dataclass, field

from icn.domain.ledger.events import HoldReleased, HoldSettled
from icn.kernel.ids import Cid, Did
from icn.services.effects import Committed
from icn.sim.findings import expect
from icn.stores import keyspace
from icn.stores.kv import Batch

_KEY_BYTES = 1 + 32


@dataclass(slots=True)
class Watch:
    """Registries that no single node has."""

    signed: dict[bytes, bytes] = field(default_factory=dict)
    """(author, sequence), as the store's key has it, to the one block ever stored under it, anywhere."""
    ended: dict[tuple[Did, bytes], tuple[Cid, int, str]] = field(default_factory=dict)
    """(home, hold) to the record that ended it."""

    def stored(self, batch: Batch) -> None:
        """Some node has committed `batch`: every block it authored or took in is in there."""
        for key, value in batch.operations.items():
            if key[:1] == keyspace.FEED and value is not None:
                known = self.signed.setdefault(key, value)
                if known != value:
                    author = Did.from_public_key(key[1:_KEY_BYTES])
                    sequence = int.from_bytes(key[_KEY_BYTES:], "big")
                    expect(False, "no honest equivocation", f"{author} signed two blocks with sequence {sequence}")

    def committed(self, effect: Committed) -> None:
        """A record became durable at some node."""
        event = effect.record.event
        if isinstance(event, HoldSettled | HoldReleased):
            name = (effect.author, event.hold)
            this = (effect.cid, effect.index, effect.record.name)
            known = self.ended.setdefault(name, this)
            expect(
                known == this,
                "exactly-once settlement",
                f"hold {event.hold.hex()} of {effect.author}: {known[2]}, and then {this[2]}",
            )
