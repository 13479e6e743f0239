"""Kademlia machines that reach each other by function calls, under a clock that moves when told."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.kademlia.machine import Ask, Effect, Finished, Kademlia, Learned
from icn.protocol.libp2p.kademlia.messages import PeerInfo, decode, encode
from icn.protocol.libp2p.kademlia.serving import Refused
from icn.protocol.libp2p.kademlia.settings import KademliaSettings
from icn.protocol.libp2p.multiaddr import Multiaddr

TURNS_MAX = 100_000


def kad_peer(number: int) -> PeerId:
    return PeerId.from_public_key(hashlib.sha256(b"kad %d" % number).digest())


def kad_info(number: int, host: str = "") -> PeerInfo:
    address = Multiaddr.parse(f"/ip4/{host or host_of(number)}/tcp/7000")
    return PeerInfo(kad_peer(number), (address,))


def host_of(number: int) -> str:
    """A public address, each in a group of its own."""
    return f"{20 + number // 200}.{number % 200}.1.1"


@dataclass
class Swarm:
    """Nodes 0 to n; each has its own machine."""

    count: int
    settings: KademliaSettings = field(default_factory=KademliaSettings)
    now: int = 1_000_000
    dead: set[int] = field(default_factory=set)
    lost: Callable[[], bool] = lambda: False
    """Whether the next request goes astray."""
    learned: dict[int, list[PeerInfo]] = field(default_factory=dict)
    finished: dict[int, list[Finished]] = field(default_factory=dict)
    asks: int = 0

    def __post_init__(self) -> None:
        self.machines = [Kademlia(kad_peer(n), self.settings, b"secret %d" % n) for n in range(self.count)]
        self.number_of = {kad_peer(n): n for n in range(self.count)}

    def meet(self, one: int, other: int) -> None:
        """They connect, and identify says that both serve."""
        self.machines[one].met(kad_info(other), host_of(other), self.now)
        self.machines[other].met(kad_info(one), host_of(one), self.now)

    def find(self, number: int, wanted: int) -> PeerInfo | None:
        """Let `number` search for `wanted`; what it finds."""
        begun = self.machines[number].find(kad_peer(wanted), self.now)
        assert begun is not None
        search, effects = begun
        self.carry_out(number, effects)
        [end] = [one for one in self.finished[number] if one.search == search]
        return end.wanted

    def tick(self, milliseconds: int) -> None:
        self.now += milliseconds
        for number in range(self.count):
            if number not in self.dead:
                self.carry_out(number, self.machines[number].tick(self.now))

    def carry_out(self, number: int, effects: list[Effect]) -> None:
        queue = list(effects)
        for _ in range(TURNS_MAX):
            if not queue:
                return
            match queue.pop(0):
                case Ask() as ask:
                    queue += self._ask(number, ask)
                case Learned(info):
                    self.learned.setdefault(number, []).append(info)
                case Finished() as end:
                    self.finished.setdefault(number, []).append(end)
        raise AssertionError("the searches never come to rest")

    def _ask(self, number: int, ask: Ask) -> list[Effect]:
        self.asks += 1
        asker, there = self.machines[number], self.number_of.get(ask.peer.peer)
        reached = (
            there is not None
            and there not in self.dead
            and not self.lost()
            and kad_info(there).addresses[0] in ask.peer.addresses
        )
        if there is None or not reached:
            return asker.failed(ask.number, self.now)
        self.machines[there].met(kad_info(number), host_of(number), self.now)
        try:
            request = decode(encode(ask.request))
            answer = self.machines[there].serve(request, kad_peer(number), host_of(number), kad_info(there), self.now)
        except Refused:
            return asker.failed(ask.number, self.now)
        assert answer is not None
        return asker.answered(ask.number, decode(encode(answer)), host_of(there), self.now)
