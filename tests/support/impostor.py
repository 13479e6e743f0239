"""A key that a test signs with as it likes: a stranger's, or that of a member whose node is away from here on."""

from dataclasses import dataclass
from typing import Any

from icn.domain.dag.block import Block
from icn.domain.federation.events import NodeJoined
from icn.domain.records import Event
from icn.kernel.ids import Cid, Did
from icn.protocol.messages import Announce, Hello
from icn.services.inputs import PeerUp, Received
from icn.stores import blocks
from support import builders
from support.world import World


@dataclass
class Impostor:
    """Its blocks follow each other. Whether anybody takes them is what tests look at."""

    world: World
    number: int
    head: Block | None = None

    @classmethod
    def stranger(cls, world: World, number: int, *names: str) -> "Impostor":
        """Of an open federation: it has joined, and nobody has admitted it."""
        made = cls(world, number)
        made.say(made.block(NodeJoined(made.did, "evil/1")), *names)
        return made

    @classmethod
    def of(cls, world: World, name: str) -> "Impostor":
        """A member that the test plays; its node is cut off."""
        node = world[name]
        head = blocks.get_block(node.store, node.engine.state.feeds.heads[node.did].cid)
        world.isolate(name)
        world.settle()
        return cls(world, node.number, head)

    @property
    def did(self) -> Did:
        return builders.did(self.number)

    @property
    def federation(self) -> Cid:
        ours = next(iter(self.world.nodes.values())).engine.state.federation.federation
        assert ours is not None
        assert ours.id is not None
        return ours.id

    def parents(self, name: str) -> tuple[Cid, ...]:
        """Everything that a node has."""
        return self.world[name].engine.state.feeds.parents_for(self.did)

    def block(self, *events: Event, parents: tuple[Cid, ...] = ()) -> Block:
        """The next one."""
        facts: dict[str, Any] = {
            "federation": self.federation,
            "sequence": 0 if self.head is None else self.head.header.sequence + 1,
            "previous": None if self.head is None else self.head.cid,
            "parents": parents,
            "time": self.world.clock.time,
        }
        self.head = builders.block(self.number, events, **facts)
        return self.head

    def say(self, block: Block, *names: str) -> Block:
        """Show a block to some, over a connection of its own to each."""
        hello = Hello("evil/1", self.federation, (), "", executes=False)
        for name in names:
            if not self.world[name].engine.peers.is_here(self.did):
                self.world.handle(name, PeerUp(self.did), Received(self.did, hello))
            self.world.handle(name, Received(self.did, Announce((block.data,))))
        return block
