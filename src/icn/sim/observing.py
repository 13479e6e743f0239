"""What is watched while a run goes on, over the whole world at once: who signed what, and which hold ended how.

Not here: what is looked at when all is quiet (checkers).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from icn.domain.ledger.events import HoldReleased, HoldSettled, HoldShared
from icn.domain.mesh.events import ReceiptIssued, RevealOpened
from icn.domain.mesh.papers import open_receipt
from icn.kernel.ids import Cid, Did, JobId
from icn.services.effects import Committed
from icn.sim.findings import expect
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader

_KEY_BYTES = 1 + 32


@dataclass(slots=True)
class Watch:
    """Registries that no single node has."""

    is_out_of_reach: Callable[[Did, bytes, bytes], bool] = lambda _author, _key, _cid: False
    """Whether its author was put back, and this block of it is with nobody but who was removed: nobody hears them."""
    signed: dict[bytes, bytes] = field(default_factory=dict)
    """(author, sequence), as the store's key has it, to the one block that its author stored under it."""
    taken: dict[bytes, bytes] = field(default_factory=dict)
    """The same, of blocks that somebody else has stored."""
    ended: dict[tuple[Did, bytes], tuple[Cid, int, str]] = field(default_factory=dict)
    """(home, hold) to the record that ended it."""
    forgers: dict[Did, None] = field(default_factory=dict)
    """Members of whom several histories are expected."""
    revealing: dict[tuple[JobId, int], None] = field(default_factory=dict)
    """Attempts of several executors whose home has opened revealing."""

    def stored(self, batch: Batch, by: Did) -> None:
        """A node has committed `batch`: every block it authored or took in is in there."""
        for key, value in batch.operations.items():
            if key[:1] == keyspace.FEED and value is not None:
                author = Did.from_public_key(key[1:_KEY_BYTES])
                if author in self.forgers:
                    continue
                known = self.signed.get(key) or self.taken.get(key)
                if known not in {None, value} and author == by and self.is_out_of_reach(author, key, known):
                    self.signed.pop(key, None)
                    self.taken.pop(key, None)
                (self.signed if author == by else self.taken).setdefault(key, value)
                if self.taken.get(key, value) != value or self.signed.get(key, value) != value:
                    sequence = int.from_bytes(key[_KEY_BYTES:], "big")
                    expect(False, "no honest equivocation", f"{author} signed two blocks with sequence {sequence}")

    def put_back(self, stores: Sequence[Reader]) -> None:
        """An older copy of a store stands in its place: what is in no store any more was never signed."""
        for registry in (self.signed, self.taken):
            for key, value in list(registry.items()):
                if all(store.get(key) != value for store in stores):
                    del registry[key]
        for name, (cid, _, _) in list(self.ended.items()):
            if all(store.get(keyspace.block(cid)) is None for store in stores):
                del self.ended[name]

    def committed(self, effect: Committed) -> None:
        """A record became durable at some node."""
        event = effect.record.event
        if isinstance(event, RevealOpened):
            self.revealing[event.job, event.attempt] = None
        if isinstance(event, ReceiptIssued) and open_receipt(event.receipt).nonce:
            expect(
                (event.job, event.attempt) in self.revealing,
                "nobody shows before all have pledged",
                f"{effect.author} shows its result for {event.job} attempt {event.attempt}",
            )
        if isinstance(event, HoldSettled | HoldShared | HoldReleased):
            name = (effect.author, event.hold)
            this = (effect.cid, effect.index, effect.record.name)
            known = self.ended.setdefault(name, this)
            expect(
                known == this,
                "exactly-once settlement",
                f"hold {event.hold.hex()} of {effect.author}: {known[2]}, and then {this[2]}",
            )
