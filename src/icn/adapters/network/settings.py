"""What an operator may set about the network, and the bounds on connections together.

Bounds of one connection are `ConnectionLimits`; both are settings because what is right depends on the machine.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from icn.kernel.limits import KIB, MIB, PEER_QUEUE_BYTES_MAX
from icn.protocol.backoff import RetrySettings
from icn.protocol.breaker import BreakerSettings
from icn.protocol.libp2p.gossipsub.settings import RouterSettings
from icn.protocol.libp2p.kademlia.settings import KademliaSettings
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.mdns import PORT as MDNS_PORT
from icn.protocol.libp2p.multiaddr import Multiaddr


@dataclass(frozen=True, slots=True)
class DialSettings:
    """How hard to try."""

    retry: RetrySettings = field(default_factory=RetrySettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    steady_ms: int = 30_000
    """A connection that held this long makes its address count from the beginning again."""
    connect_ms_max: int = 10_000
    """For name resolution and the TCP connection. The handshake has its own deadline."""
    dials_max: int = 8
    """Attempts under way at one time."""
    addresses_max: int = 256
    """Addresses kept being dialled."""


class DiscoveryMode(StrEnum):
    """What part a node takes in Kademlia."""

    SERVER = "server"
    """It asks, and answers others."""
    CLIENT = "client"
    """It asks only: for a node that others cannot call."""
    OFF = "off"


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """How a node looks for peers that it was not told of."""

    mode: DiscoveryMode = DiscoveryMode.SERVER
    kademlia: KademliaSettings = field(default_factory=KademliaSettings)
    tick_ms: int = 1_000
    look_again_ms: int = 60_000
    """How often connected peers that serve count as seen again."""
    dials_max: int = 8
    """Attempts to reach whom a search wants to ask, under way at one time."""
    streams_per_peer_max: int = 8
    """Streams of requests that one peer may have open."""
    stream_idle_ms_max: int = 60_000
    """Between two requests on one stream."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """All of it."""

    listen: tuple[Multiaddr, ...]
    announce: tuple[Multiaddr, ...] = ()
    """What to tell others instead of the addresses found, behind NAT or in a container."""
    bootstrap: tuple[Multiaddr, ...] = ()
    agent: str = "icn"
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    dial: DialSettings = field(default_factory=DialSettings)
    gossip: RouterSettings = field(default_factory=RouterSettings)
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    mdns: bool = False
    """Whether nodes of the local network are asked and answered by multicast DNS."""
    mdns_port: int = MDNS_PORT

    peers_max: int = 512
    """Connected peers, whoever dialled; one more makes others go (`places`)."""
    peers_low: int = 32
    """How many stay then. With fewer, addresses that were discovered are dialled."""
    grace_ms: int = 20_000
    """A peer is not let go within this time of its coming."""
    busy_ms_max: int = 300_000
    """From its coming, how long something that is under way keeps a peer from being let go."""
    connections_per_address_max: int = 64
    """Accepted connections past their handshake, from one IPv4 address or one IPv6 /64."""
    connections_per_peer_max: int = 4
    """Beyond the one in use, while duplicates are being settled."""
    handshakes_max: int = 128
    """Accepted connections in their handshake. One more ends the oldest, so idle sockets shut nobody out."""
    handshakes_per_address_max: int = 32

    peer_queue_bytes_max: int = PEER_QUEUE_BYTES_MAX
    """What may wait for one peer."""
    memory_bytes_max: int = 256 * MIB
    """What all peers together may make us hold (`memory`)."""

    simultaneous_ms: int = 5_000
    """Two connections to one peer whose handshakes ended this close together were dialled at the same time."""
    retire_ms: int = 2_000
    """How long the connection that lost against a duplicate may finish what was on it."""
    closing_ms_max: int = 2_000
    """How long a peer may take to read our goodbye."""
    addresses_every_ms: int = 30_000
    """How often our own addresses are looked up again, where we listen on all of the machine's."""
    tick_ms: int = 250
    """How exactly deadlines are kept."""

    flush_bytes: int = 256 * KIB
    """Written to one socket in one loop turn, so that no peer starves the others."""
