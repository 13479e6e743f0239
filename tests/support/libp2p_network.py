"""Networks for tests: repeatable keys, a listener that remembers, and waiting for what must happen without sleeping."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from icn.adapters.network.loopback import Loopback, LoopbackNetwork
from icn.adapters.network.ports import Delivery
from icn.adapters.network.settings import DialSettings, DiscoverySettings, NetworkSettings
from icn.adapters.network.tcp import Libp2pNetwork
from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.backoff import RetrySettings
from icn.protocol.breaker import BreakerSettings
from icn.protocol.libp2p.gossipsub.settings import OverlaySettings, RouterSettings
from icn.protocol.libp2p.kademlia.settings import KademliaSettings
from icn.protocol.libp2p.multiaddr import Multiaddr

PROTOCOL = "/icn/test/1"
OTHER = "/icn/test/other/1"
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
PATIENCE_S = 20
"""When something that must happen has not happened by then, the test fails."""

ANY_PORT = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
LIVELY = RouterSettings(OverlaySettings(heartbeat_ms=50))
QUICK_DISCOVERY = DiscoverySettings(tick_ms=10, kademlia=KademliaSettings(first_refresh_ms=20))
"""For tests of discovery; the default waits as long as it does for people."""
EAGER = DialSettings(RetrySettings(3, 20, 200), BreakerSettings(3, 100))


def clock() -> int:
    return time.monotonic_ns() // 1_000_000


@dataclass
class RepeatableEntropy:
    """Bytes that look random and are the same in every run."""

    name: str
    count: int = 0

    def __call__(self, length: int) -> bytes:
        self.count += 1
        return hashlib.shake_128(f"{self.name}/{self.count}".encode()).digest(length)


def signer(name: str) -> SeedSigner:
    return SeedSigner(hashlib.sha256(name.encode()).digest())


def peer_of(name: str) -> PeerId:
    return PeerId.of(signer(name).did)


@dataclass
class Recorder:
    """A listener that remembers, and wakes who waits for something to have been said."""

    ups: list[tuple[PeerId, str]] = field(default_factory=list)
    downs: list[tuple[PeerId, str]] = field(default_factory=list)
    messages: list[tuple[PeerId, str, bytes]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    spoken: dict[PeerId, tuple[str, ...]] = field(default_factory=dict)
    said: asyncio.Event = field(default_factory=asyncio.Event)
    on_message: Callable[[PeerId, str, bytes], Any] | None = None
    on_delivery: Callable[[Delivery], Any] | None = None

    def peer_up(self, peer: PeerId, address: str) -> None:
        self.ups.append((peer, address))
        self.said.set()

    def peer_down(self, peer: PeerId, reason: str) -> None:
        self.downs.append((peer, reason))
        self.said.set()

    def message(self, peer: PeerId, protocol: str, payload: bytes) -> None:
        self.messages.append((peer, protocol, payload))
        self.said.set()
        if self.on_message:
            self.on_message(peer, protocol, payload)

    def speaks(self, peer: PeerId, protocols: tuple[str, ...]) -> None:
        self.spoken[peer] = protocols
        self.said.set()

    def delivered(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.said.set()
        if self.on_delivery:
            self.on_delivery(delivery)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until `true`, looking again after each callback."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self.said.clear()
                await self.said.wait()


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until `true`, for what no callback tells. Looks once per loop turn, bounded by time."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


AnyNetwork = Libp2pNetwork | LoopbackNetwork


@dataclass
class World:
    """Makes networks of one kind and stops them all."""

    kind: str
    loopback: Loopback = field(default_factory=Loopback)
    networks: list[AnyNetwork] = field(default_factory=list)

    def make(self, name: str, *bootstrap: str, protocols: dict[str, int] | None = None, **changes: Any) -> AnyNetwork:
        eager: dict[str, Any] = {"dial": EAGER, "gossip": LIVELY}
        arguments: dict[str, Any] = {"listen": (ANY_PORT,), "agent": f"test/{name}"} | eager | changes
        settings = NetworkSettings(bootstrap=tuple(Multiaddr.parse(one) for one in bootstrap), **arguments)
        spoken = protocols if protocols is not None else {PROTOCOL: MESSAGE_BYTES_MAX, OTHER: 1024}
        rest = (settings, signer(name), RepeatableEntropy(name), clock, spoken)
        made = Libp2pNetwork(*rest) if self.kind == "libp2p" else LoopbackNetwork(self.loopback, *rest)
        self.networks.append(made)
        return made

    async def start(self, name: str, *bootstrap: str, **changes: Any) -> tuple[AnyNetwork, Recorder]:
        network, recorder = self.make(name, *bootstrap, **changes), Recorder()
        await network.start(recorder)
        return network, recorder

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for network in self.networks:
            await network.stop()
