"""A node that has a federation is to join another one by an address alone: it looks there before it gives up its own.

```
 Join ──> sought, kept in the store ──> addresses dialled ──> a member there says its federation ──> `changing`
                                                          └─> nobody answers: the node stays what it is
```

An invitation is a member's word, and names the federation; an address says nothing until somebody answers there.
"""

from dataclasses import dataclass

from icn.kernel.errors import Refusal
from icn.kernel.ids import Did
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.messages import Hello
from icn.services.changing import ChangingService
from icn.services.effects import Dial
from icn.services.replication import ReplicationService
from icn.services.state import State
from icn.services.work import UnitOfWork
from icn.stores import joining
from icn.stores.joining import Aim
from icn.stores.kv import Reader


@dataclass(slots=True)
class SeekingService:
    """Soft but for the aim, which stands in the store."""

    changing: ChangingService
    replication: ReplicationService
    aim: Aim | None = None
    why_not: str = ""
    """Why the federation that was found there is not joined; empty where none was found, or it is."""
    _has_found: bool = False
    _is_dialled: bool = False

    def load(self, reader: Reader) -> None:
        """As the store has it."""
        self._look_at(joining.sought_of(reader))

    def begin(self, work: UnitOfWork, aim: Aim) -> None:
        """Look there from now on, and nowhere else. Raises a `Refusal` where this node may not give up its federation.

        Each address names the peer that is to answer there.
        """
        self.changing.require_free(work)
        joining.put_sought(work.batch, aim)
        self.why_not = ""
        self._look_at(aim)

    def meet(self, work: UnitOfWork, peer: Did, hello: Hello) -> None:
        """A peer says which federation it is in."""
        ours = work.state.federation.federation
        if peer not in self.replication.sought or ours is None or hello.federation in (None, ours.id):
            return
        if hello.federation in self.replication.former:
            self._forget(work, f"{peer} is in a federation that this node has given up")
        else:
            self._has_found = True

    def tick(self, work: UnitOfWork) -> None:
        """Dial whom it was told, once in a process; change to what was found, unless something speaks against it."""
        aim = self.aim
        if aim is None:
            return
        if not self._is_dialled:
            self._is_dialled = True
            work.effects += [Dial(address) for address in aim.addresses]
        if not self._has_found:
            return
        try:
            self.changing.begin(work, aim, None)
        except Refusal as refusal:
            self._forget(work, str(refusal))
        else:
            self._look_at(None)

    def explain(self, state: State) -> str:
        """For the operator: what this node looks for, or why it does not join it; empty where it does neither."""
        federation = state.federation.federation
        name = "" if federation is None else federation.name
        if self.aim is not None:
            return (
                f"looking for a member of another federation at {', '.join(self.aim.addresses)}: this node stays in "
                f"{name!r} until one has answered there"
            )
        return f"this node stays in {name!r}: {self.why_not}" if self.why_not else ""

    def _look_at(self, aim: Aim | None) -> None:
        self.aim, self._has_found, self._is_dialled = aim, False, False
        named = [Multiaddr.parse(address).peer for address in aim.addresses] if aim is not None else []
        self.replication.sought = tuple(peer.did for peer in named if peer is not None)

    def _forget(self, work: UnitOfWork, why: str) -> None:
        self.why_not = why
        self._look_at(None)
        joining.forget_sought(work.batch)
