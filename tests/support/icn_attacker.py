"""A peer past its handshake with a real node, that then says whatever a test wants, as member or stranger.

Below is the transport we ship, with its own bounds lifted; above, no rules at all. A hostile member first joins as an
honest one would, with an engine of its own, because only a member's blocks get far.
"""

import itertools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

from node_process import NodeProcess  # type: ignore[import-not-found] # on pytest's path, not mypy's

from icn.adapters.network.ports import Delivery
from icn.adapters.network.settings import DialSettings, DiscoveryMode, DiscoverySettings, NetworkSettings
from icn.adapters.network.tcp import Libp2pNetwork
from icn.adapters.storage.memory import MemoryStore
from icn.domain.dag.block import FORMAT_VERSION, Block, Header, sign_block
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.domain.records import Envelope, Event, Record, write_record
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did, PeerId
from icn.kernel.instant import Duration, Instant
from icn.kernel.limits import MIB
from icn.kernel.signing import SeedSigner
from icn.protocol.backoff import RetrySettings
from icn.protocol.breaker import BreakerSettings
from icn.protocol.codec import decode_message, encode_message
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.messages import (
    CONTENT_PROTOCOL,
    FEED_PROTOCOL,
    MESH_PROTOCOL,
    Blocks,
    FeedCount,
    Hello,
    Message,
    Want,
    protocol_of,
)
from icn.services.effects import Disconnect, Publish, Send
from icn.services.inputs import Input, PeerUp, Received, Tick
from icn.services.opening import open_engine
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from support.libp2p_network import ANY_PORT, RepeatableEntropy, clock, eventually
from support.world import CountingEntropy

PROTOCOLS = dict.fromkeys((FEED_PROTOCOL, MESH_PROTOCOL, CONTENT_PROTOCOL), 16 * MIB)
ONCE = DialSettings(RetrySettings(attempts_max=1), BreakerSettings(1, 60_000))
"""Who is thrown out stays out: that it was is what tests look at."""
ASK_EVERY = 0.05
"""Seconds. By itself the acknowledgement comes with the next heartbeat of gossip, a second later."""
NOBODY = Envelope(None, None, "", "", None)
M = TypeVar("M")


class WallClock:
    """Milliseconds since 1970, as the node has them."""

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1_000_000)


class Attacker:
    """One identity on one connection. `async with` connects and disconnects it."""

    numbers = itertools.count(1)

    def __init__(
        self,
        node: NodeProcess,
        seed: bytes | None = None,
        protocols: Mapping[str, int] = PROTOCOLS,
        *,
        listens: bool = False,
    ) -> None:
        """`listens`: it is dialled instead of dialling."""
        self.node = node
        self.signer = SeedSigner(seed or os.urandom(32))
        self.target = Multiaddr.parse(node.p2p)
        settings = NetworkSettings(
            listen=(ANY_PORT,) if listens else (),
            bootstrap=() if listens else (self.target,),
            agent="hostile",
            dial=ONCE,
            discovery=DiscoverySettings(DiscoveryMode.OFF),  # one connection: that to the node
            peer_queue_bytes_max=1 << 30,
        )
        entropy = RepeatableEntropy(f"attacker {next(self.numbers)} {os.getpid()}")
        self.network = Libp2pNetwork(settings, self.signer, entropy, clock, protocols)
        self.said: list[Message] = []
        """What the node sent."""
        self.is_up = False
        self.ended: list[str] = []
        self.spoken: tuple[str, ...] = ()
        """What the node says it speaks."""
        self.on_message: Callable[[Message], None] | None = None

    async def __aenter__(self) -> Self:
        await self.network.start(self)
        if not self.network.listen_addresses:
            await eventually(lambda: self.is_up or bool(self.ended))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.network.stop()

    def peer_up(self, _peer: PeerId, _address: str) -> None:
        """See `NetworkListener`."""
        self.is_up = True

    def peer_down(self, _peer: PeerId, reason: str) -> None:
        """See `NetworkListener`."""
        self.is_up = False
        self.ended.append(reason)

    def message(self, _peer: PeerId, protocol: str, payload: bytes) -> None:
        """See `NetworkListener`."""
        message = decode_message(protocol, payload)
        self.said.append(message)
        if self.on_message is not None:
            self.on_message(message)

    def speaks(self, _peer: PeerId, protocols: tuple[str, ...]) -> None:
        """See `NetworkListener`."""
        self.spoken = protocols

    def delivered(self, delivery: Delivery) -> None:
        """See `NetworkListener`. Counts as said, like what is sent to it alone."""
        self.said.append(decode_message(FEED_PROTOCOL, delivery.payload))
        self.network.judge(delivery.token, Verdict.ACCEPT)

    @property
    def did(self) -> Did:
        """Who it claims, and proved, to be."""
        return self.signer.did

    @property
    def peer(self) -> PeerId:
        """The node."""
        assert self.target.peer is not None
        return self.target.peer

    def send(self, *messages: Message) -> bool:
        """Queue messages; whether all were taken."""
        taken = [self.send_bytes(protocol_of(message), encode_message(message)) for message in messages]
        return all(taken)

    def send_bytes(self, protocol: str, data: bytes) -> bool:
        """Queue one message of any bytes."""
        return self.network.send(self.peer, protocol, data)

    def heard(self, kind: type[M]) -> list[M]:
        """Messages of one kind that came."""
        return [message for message in self.said if isinstance(message, kind)]

    async def hears(self, kind: type[M], count: int = 1) -> list[M]:
        """Wait for messages of one kind."""
        await eventually(lambda: len(self.heard(kind)) >= count or bool(self.ended))
        return self.heard(kind)

    async def is_thrown_out(self) -> bool:
        """Wait until the node ends the connection. Fails when it does not."""
        await eventually(lambda: bool(self.ended))
        return True

    async def greet(self, **changes: Any) -> Hello:
        """Hear the node's Hello, say ours as one of its federation, and give its.

        Protocols are streams of their own, in no order among each other: an answered `Want` shows that ours was heard.
        """
        (hello, *_) = await self.hears(Hello)
        fields = {"agent": "x", "federation": hello.federation, "counts": (), "root": "", "executes": False} | changes
        self.send(Hello(**fields), Want(()))
        await self.hears(Blocks, len(self.heard(Blocks)) + 1)
        return hello

    def stop_reading(self) -> None:
        """Leave the node's bytes in the socket from now on."""
        link = self.network._board.peers[self.peer].current.link
        assert link._transport is not None
        link._transport.pause_reading()


class HostileMember(Attacker):
    """Joins honestly, then signs what no honest node would."""

    def __init__(self, node: NodeProcess, seed: bytes | None = None) -> None:
        super().__init__(node, seed)
        terms = NodeTerms(
            "hostile/1", MeshTerms(Duration(200), 5), ExecutorTerms(0, Rates(1, 1)), ReplicationTerms(), joins=True
        )
        self.engine = open_engine(
            store=MemoryStore(), clock=WallClock(), entropy=CountingEntropy("x"), signer=self.signer, terms=terms
        )
        self.honest = True
        self.on_message = self._answer

    def _answer(self, message: Message) -> None:
        if self.honest:
            self._handle(Received(self.peer.did, message))

    def _handle(self, *inputs: Input) -> None:
        for effect in self.engine.handle(inputs).effects:
            match effect:
                case Send(_, message) | Publish(_, message):  # it has one peer: publishing would take a mesh
                    self.send(message)
                case Disconnect(_, reason):
                    raise PeerViolation(reason)
                case _:
                    pass

    async def join(self) -> Self:
        """Become a member that the node has acknowledged: it has nothing more to say of its own accord."""
        self._handle(PeerUp(self.peer.did))

        asked_at = 0.0

        def known() -> bool:
            nonlocal asked_at
            feeds = self.engine.state.feeds
            written = feeds.next_sequence(self.did)
            if written == 0:
                self._handle(Tick())
                return False
            # Who joins and hears of a fork accuses its author in a second block.
            if feeds.heads[self.peer.did].clock.get(self.did, 0) >= written:
                return True
            if time.monotonic() - asked_at > ASK_EVERY:
                asked_at = time.monotonic()
                counts = {author: head.sequence + 1 for author, head in feeds.heads.items()}
                self.send(Want(tuple(FeedCount(author, count) for author, count in counts.items())))
            return False

        await eventually(known)
        self.honest = False
        return self

    @property
    def federation(self) -> Cid:
        """The one it joined."""
        federation = self.engine.state.federation.federation
        assert federation is not None
        assert federation.id is not None
        return federation.id

    def sign(self, *events: Event, **changes: Any) -> Block:
        """Its next block, or with `changes` of the header any other; `records` in place of events for odd ones."""
        feeds = self.engine.state.feeds
        head = feeds.heads.get(self.did)
        fields: dict[str, Any] = {
            "version": FORMAT_VERSION,
            "federation": self.federation,
            "author": self.did,
            "sequence": feeds.next_sequence(self.did),
            "previous": head.cid if head else None,
            "parents": feeds.parents_for(self.did),
            "time": max(WallClock().now(), feeds.latest_time()),
        }
        records = changes.pop("records", None)
        if records is None:
            records = tuple(write_record(Record(NOBODY, event)) for event in events)
        return sign_block(Header(**(fields | changes)), records, self.signer)


def claims(hello: Hello, count: int) -> tuple[FeedCount, ...]:
    """The feeds of the node's Hello, each said to have `count` blocks."""
    return tuple(FeedCount(entry.author, count) for entry in hello.counts)
