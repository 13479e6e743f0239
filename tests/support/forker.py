"""A member that a test plays against several honest nodes: it signs two histories and shows each to whom it likes."""

from dataclasses import dataclass, field
from typing import Any

from icn.domain.dag.block import Block
from icn.domain.federation.events import NodeJoined
from icn.domain.ledger.events import AccountOpened
from icn.domain.records import Event
from icn.kernel.ids import Cid, Did
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, Hello
from icn.services.commands import Admit
from icn.services.inputs import PeerUp, Received
from support import builders
from support.world import World

FORKER = 66


@dataclass
class Forker:
    """Of an open federation; its feed begins with joining, and with its own account where it was admitted."""

    world: World
    head: Block | None = None
    parents: tuple[Cid, ...] = ()
    blocks: list[Block] = field(default_factory=list)

    @property
    def did(self) -> Did:
        return builders.did(FORKER)

    @property
    def federation(self) -> Cid:
        ours = next(iter(self.world.nodes.values())).engine.state.federation.federation
        assert ours is not None
        assert ours.id is not None
        return ours.id

    def greet(self, *names: str) -> None:
        for name in names:
            hello = Hello("evil/1", self.federation, (), "", executes=False)
            self.world.handle(name, PeerUp(self.did), Received(self.did, hello))

    def join(self, *, admitted: bool = True) -> None:
        """Become a member, everywhere, with an account of 1000 mana where it is admitted."""
        names = tuple(self.world.nodes)
        self.greet(*names)
        self.say(self.block(NodeJoined(self.did, "evil/1")), *names)
        self.world.settle()
        if admitted:
            self.world.done(names[0], Admit(self.did))
            self.world.pass_time(1_000)
            policy = builders.policy()
            opened = AccountOpened(
                self.did, self.did, 0, policy.mana_cap, policy.regeneration_per_hour, policy.initial_grant
            )
            self.say(self.block(opened, parents=self.heads_at(names[0])), *names)
            self.world.pass_time(2_000)

    def heads_at(self, name: str) -> tuple[Cid, ...]:
        return self.world[name].engine.state.feeds.parents_for(self.did)

    def block(self, *events: Event, after: Block | None = None, **changes: object) -> Block:
        head = after or self.head
        facts: dict[str, Any] = {
            "federation": self.federation,
            "sequence": 0 if head is None else head.header.sequence + 1,
            "previous": None if head is None else head.cid,
            "parents": (),
            "time": self.world.clock.time,
        }
        return builders.block(FORKER, events, **{**facts, **changes})

    def say(self, block: Block, *names: str) -> None:
        """Show a block to some; it is the head from here on."""
        for name in names:
            self.world.handle(name, Received(self.did, Announce((block.data,))))
        self.head = block

    def opens(self, owner: int, after: Block | None = None) -> Block:
        """A block that opens an empty account for somebody."""
        event = AccountOpened(builders.did(owner), self.did, 0, Mana(0), 0, Mana(0))
        return self.block(event, after=after)
