"""The network port: what the node needs from a network, and all it may assume.

This docstring is the contract; `tests/contract/test_network.py` is its suite, the same for every adapter.

**Peers.** A peer is an identity that has proved its key, not a connection. `peer_up` comes once when the first
connection to it stands, `peer_down` once when the last is gone; between two `peer_up` of one peer there is always a
`peer_down`. Two nodes that dial each other at the same time end up with one connection, the same on both sides.

**Messages** are bytes under a protocol id. Every protocol has a bound, given at construction; a longer message is an
error to the sender (`Invalid`), and from a peer it is a violation that costs the stream, with what was on it. Between
two nodes, messages of one protocol arrive in the order they were sent, at most once. The order across protocols is not
promised, nor is it while duplicate connections are being settled. A message accepted by `send` may still be lost with
its connection: whoever needs more keeps an outbox.

**Sending never waits.** `send` gives False when the peer is not connected, does not speak the protocol as far as we
know, or when what waits for it would exceed `peer_queue_bytes_max`: a slow peer costs its own messages and nobody
else's.

**Publications** are bytes under a topic, for everybody who has subscribed to it, connected or not: they travel from
peer to peer (`protocol.libp2p.gossipsub`), signed by their author. Each is delivered once, in no order, and travels on
only when the listener has judged it valid: `judge` with ACCEPT; IGNORE keeps it here; REJECT counts against who brought
it, and enough of that ends its connection. What a network published itself is not delivered to it. `publish` never
waits; it gives how many peers' queues took the message, 0 when nobody is there to be told, and fails with
`PublicationDropped` when there were peers and no queue had room. A publication may be lost: whoever needs more compares
what both sides have. One longer than `PAYLOAD_BYTES_MAX` is an error to the publisher (`Invalid`). `subscribe` may be
called before `start`.

**Dialling.** Addresses that somebody answers for (bootstrap, remembered, invited, requested) are dialled for ever,
whenever their peer is not connected: a few tries with growing, jittered waits, then, behind a circuit breaker, a trial
from time to time; `dial_states` shows how that goes. Hearsay (discovered, mdns) is given up once its breaker opens.

**Finding.** `find` gives where a peer is said to be, as far as connected peers know; that it is there, only dialling
shows. Addresses learned on the way are dialled by themselves while fewer than `peers_low` peers are connected.

**Callbacks** run on the event loop's thread, in order, each in a loop turn of its own and after the bytes that caused
it were dealt with. They must not block. An exception from one is a bug of the listener's and does not end a connection:
it reaches the loop's exception handler (`loop.set_exception_handler`), which `node.lifecycle` sets so that it ends the
node's task group. No callback comes after `stop` has returned.

**Life.** `start` is called once and returns when all addresses listen (`ListenFailed` otherwise); `stop` once, says
goodbye to everybody, and returns when every socket is closed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol

from icn.kernel.errors import Fault
from icn.kernel.ids import PeerId
from icn.protocol.breaker import BreakerState
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.routing_record import RoutingRecord


class ListenFailed(Fault):
    """An address cannot be listened on: in use, or not this machine's."""

    code: ClassVar[str] = "network.listen_failed"

    def __init__(self, address: str, why: str) -> None:
        self.address = address
        self.why = why
        super().__init__(f"cannot listen on {address}: {why}")


class Direction(StrEnum):
    """Who dialled."""

    DIALLED = "dialled"
    ACCEPTED = "accepted"


class Origin(StrEnum):
    """How we came by an address."""

    BOOTSTRAP = "bootstrap"
    """It is configured."""
    REMEMBERED = "remembered"
    """A node of our federation was reached there before."""
    INVITED = "invited"
    """It stands in an invitation."""
    REQUESTED = "requested"
    """The operator asked for it while the node ran."""
    DISCOVERED = "discovered"
    """Other peers told of it."""
    MDNS = "mdns"
    """It was heard on the local network."""

    @property
    def is_hearsay(self) -> bool:
        """Whether strangers could have made it up: then it is given up when nobody answers there."""
        return self in {Origin.DISCOVERED, Origin.MDNS}


@dataclass(frozen=True, slots=True)
class ConnectedPeer:
    """One peer, as it is known now."""

    peer: PeerId
    address: str
    """Where its connection comes from or goes to."""
    direction: Direction
    origin: Origin | None
    """How we came by that address; None where it came to us."""
    since_ms: int
    """When it came up, on the network's clock."""
    agent: str
    """What it says it runs; empty until it said so."""
    protocols: tuple[str, ...]
    """What it says it speaks; empty until it said so."""
    listen_addresses: tuple[Multiaddr, ...]
    """Where it says it can be dialled; empty until it said so."""
    record: RoutingRecord | None
    """The same with its signature, to keep and pass on; None where it sends none."""
    rtt_ms: int | None
    bytes_in: int
    bytes_out: int
    score: int | None = None
    """What its gossip makes it worth, in thousandths of a point; None when it does not speak the protocol."""


class DialPhase(StrEnum):
    """Where the dialling of one address stands."""

    CONNECTED = "connected"
    CONNECTING = "connecting"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class DialState:
    """One address that is dialled."""

    address: str
    origin: Origin
    state: DialPhase
    breaker: BreakerState
    attempts: int
    """Since it was last connected for a while."""
    next_attempt_ms: int | None
    """When WAITING ends, on the network's clock."""
    last_error: str | None
    retries: int
    """Attempts after the first of a call, since the start."""
    openings: int
    """How often its breaker has opened since the start."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A publication that waits for its verdict."""

    token: bytes
    """Names it in `judge`."""
    topic: str
    payload: bytes
    author: PeerId
    """Who signed it."""
    bearer: PeerId
    """The peer that brought it."""


class Regard(StrEnum):
    """What follows from a peer's score. The values are labels of a metric."""

    GOOD = "good"
    NEGATIVE = "negative"
    """It is in no mesh."""
    NO_GOSSIP = "no_gossip"
    """Nothing is advertised to it, and what it advertises is ignored."""
    NO_PUBLICATIONS = "no_publications"
    """What this node publishes is not sent to it either."""
    GRAYLISTED = "graylisted"
    """It is not heard, and let go."""


@dataclass(frozen=True, slots=True)
class GossipShown:
    """How publications fare. Counts are since the start."""

    mesh: Mapping[str, int] = field(default_factory=dict)
    """By topic: peers that get every message from us."""
    peers: Mapping[Regard, int] = field(default_factory=dict)
    """Peers that speak the protocol, by what is thought of them."""
    published: int = 0
    delivered: int = 0
    duplicates: int = 0
    malformed: int = 0
    crowded: int = 0
    """Not taken because too many waited for their verdict."""
    unheard: int = 0
    """RPCs of graylisted peers."""
    dropped: int = 0
    """RPCs for which a peer's queue had no room."""
    verdicts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NetworkFigures:
    """How a network fares, for metrics. Counts are since the start."""

    peers: int = 0
    contacts: int = 0
    """Peers in the routing table of discovery."""
    known: int = 0
    """Peers that others told of."""
    memory_bytes: int = 0
    memory_bytes_max: int = 0
    silent: int = 0
    """Connections whose peer sent nothing any more, or answered no pings."""
    trimmed: int = 0
    """Peers that had to go for others."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Connections that were ended, by what there was too much of."""
    gossip: GossipShown = field(default_factory=GossipShown)


class NetworkListener(Protocol):
    """Who is told. Calls come on the event loop's thread and must not block."""

    def peer_up(self, peer: PeerId, address: str) -> None:
        """The first connection to `peer` stands."""

    def peer_down(self, peer: PeerId, reason: str) -> None:
        """The last connection to `peer` is gone."""

    def speaks(self, peer: PeerId, protocols: tuple[str, ...]) -> None:
        """`peer` has said which protocols it speaks; told again when that changes."""

    def message(self, peer: PeerId, protocol: str, payload: bytes) -> None:
        """`peer` sent `payload` under `protocol`."""

    def delivered(self, delivery: Delivery) -> None:
        """A publication came. It waits for `judge`, and is ignored after a minute."""


class Network(Protocol):
    """The port."""

    async def start(self, listener: NetworkListener) -> None:
        """Listen, and begin to dial."""

    async def stop(self) -> None:
        """Say goodbye and close everything."""

    def send(self, peer: PeerId, protocol: str, payload: bytes) -> bool:
        """Queue one message; False when it was not taken. Raises `Invalid` when it is too long for its protocol."""

    def subscribe(self, topic: str) -> None:
        """Take publications of `topic` from now on. Nothing happens when it is done already."""

    def unsubscribe(self, topic: str) -> None:
        """Take none any more; others are told. What was delivered may still be judged."""

    def publish(self, topic: str, payload: bytes) -> int:
        """Send `payload` to everybody in `topic`; how many peers have taken it. See the contract for what it raises."""

    def judge(self, token: bytes, verdict: Verdict) -> None:
        """What becomes of a delivery. Nothing happens when it waits no more."""

    def gossip(self) -> GossipShown:
        """How publications fare."""

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End every connection to `peer`; `peer_down` follows. Nothing happens when there is none."""

    def dial(self, address: Multiaddr, origin: Origin) -> None:
        """Keep `address` connected from now on. Raises `DialFailed` when too many are."""

    async def connect(self, address: Multiaddr) -> PeerId:
        """Dial `address` now, once; from then on it is kept connected as requested. Raises `DialFailed`: it is not."""

    async def find(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Where `peer` is said to be; empty when nobody who was asked knows."""

    def peers(self) -> list[ConnectedPeer]:
        """Connected peers, in the order of their ids."""

    def dial_states(self) -> list[DialState]:
        """The addresses that are dialled, in the order given."""

    @property
    def listen_addresses(self) -> list[str]:
        """Where we can be dialled, each with `/p2p/<our id>`; never a wildcard address."""
