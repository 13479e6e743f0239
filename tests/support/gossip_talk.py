"""Routers that talk with each other in virtual time, and dialogues with one of them."""

import hashlib
import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p.gossipsub.effects import Deliver, Disconnect, Effect, ResetStream, SendRpc
from icn.protocol.libp2p.gossipsub.inputs import (
    Input,
    Judge,
    PeerJoined,
    Publish,
    RpcReceived,
    Subscribe,
    Tick,
    Verdict,
)
from icn.protocol.libp2p.gossipsub.router import Router
from icn.protocol.libp2p.gossipsub.rpc import Control, Rpc, Subscription, decode, encode
from icn.protocol.libp2p.gossipsub.settings import MESHSUB_1_1, RouterSettings
from icn.protocol.libp2p.gossipsub.signing import Publication, read, sign

TOPIC = "/icn/test/blocks/1"


def signer(name: str) -> SeedSigner:
    """A key that is the same in every run."""
    return SeedSigner(hashlib.sha256(name.encode()).digest())


def peer(name: str) -> PeerId:
    """Whose key that is."""
    return PeerId.of(signer(name).did)


def router(name: str, settings: RouterSettings | None = None) -> Router:
    """A router whose chance is the same in every run."""
    rng = Random(name)
    return Router(settings or RouterSettings(), signer(name), rng, Random(f"{name}/bytes").randbytes)


def message(author: str, payload: bytes, number: int = 1, topic: str = TOPIC) -> Publication:
    """A signed message of somebody's."""
    return sign(signer(author), number.to_bytes(8, "big"), topic, payload)


class Dialogue:
    """One router, "us", and the peers that talk with it. What it answers is shown in words."""

    def __init__(self, settings: RouterSettings | None = None, *, subscribed: bool = True) -> None:
        self.router = router("us", settings)
        self.now = 1_000_000
        self.names: dict[PeerId, str] = {}
        if subscribed:
            self.tell(Subscribe(TOPIC))

    def tell(self, input_: Input) -> list[Effect]:
        """An input, and everything it led to."""
        return self.router.handle(input_, self.now)

    def join(
        self, *names: str, outbound: bool = False, protocol: str = MESHSUB_1_1, origin: str = "", topic: str = TOPIC
    ) -> None:
        """Peers come, and are subscribed."""
        for name in names:
            self.names[peer(name)] = name
            self.tell(PeerJoined(peer(name), protocol, outbound, origin))
            self.say(name, Subscription(topic, subscribe=True))

    def hear(self, name: str, data: bytes) -> list[str]:
        """Bytes of a peer; what came of it, in words."""
        return self.words(self.tell(RpcReceived(peer(name), data)))

    def say(self, name: str, *said: Subscription | Control | Publication) -> list[str]:
        """An RPC of a peer; what came of it, in words."""
        return self.hear(
            name,
            encode(
                Rpc(
                    tuple(one for one in said if isinstance(one, Subscription)),
                    tuple(one.raw for one in said if isinstance(one, Publication)),
                    tuple(one for one in said if not isinstance(one, Subscription | Publication)),
                )
            ),
        )

    def judge(self, publication: Publication, verdict: Verdict) -> list[str]:
        """A verdict; what came of it, in words."""
        return self.words(self.tell(Judge(publication.id, verdict)))

    def publish(self, payload: bytes, topic: str = TOPIC) -> list[str]:
        """A publication of ours; what came of it, in words."""
        return self.words(self.tell(Publish(topic, payload)))

    def wait(self, ms: int) -> list[str]:
        """Time passes, with every heartbeat on the way; what came of it, in words."""
        said: list[str] = []
        until = self.now + ms
        while (at := self.router.wake_at) is not None and at <= until:
            self.now = max(self.now, at)
            said += self.words(self.tell(Tick()))
        self.now = until
        return said

    def mesh(self) -> list[str]:
        """Who is in the mesh."""
        return sorted(self.names[one] for one in self.router.mesh(TOPIC))

    def score(self, name: str) -> int:
        """A peer's score in whole points."""
        return self.router.score(peer(name), self.now) // 1_000

    def words(self, effects: Iterable[Effect]) -> list[str]:
        """Effects as lines, in order."""
        lines: list[str] = []
        for effect in effects:
            match effect:
                case SendRpc(to, data):
                    rpc = decode(data)
                    name = self.names.get(to, str(to))
                    lines += [f"{name} <- {'' if one.subscribe else 'un'}subscribe" for one in rpc.subscriptions]
                    lines += [f"{name} <- message {read(raw).data.decode()}" for raw in rpc.messages]
                    lines += [f"{name} <- {_control_words(one)}" for one in rpc.controls]
                case Deliver(_, _, bearer, _, payload):
                    lines.append(f"deliver {payload.decode()} from {self.names[bearer]}")
                case ResetStream(to, _):
                    lines.append(f"{self.names[to]} is reset")
                case Disconnect(to, _):
                    lines.append(f"{self.names[to]} is disconnected")
        return lines


def _control_words(control: Control) -> str:
    told = type(control).__name__.upper()
    ids = getattr(control, "ids", None)
    backoff = getattr(control, "backoff_s", None)
    if ids is not None:
        told += f" {len(ids)}"
    return told if backoff is None else f"{told} for {backoff} s"


@dataclass
class Swarm:
    """Routers on links of some milliseconds, in virtual time. Every message is accepted after `judge_ms`."""

    names: list[str]
    links: list[tuple[int, int]]
    settings: RouterSettings = field(default_factory=RouterSettings)
    seed: str = "swarm"
    judge_ms: int = 5
    now: int = 1_000_000
    verdict: Callable[[str, bytes], Verdict] = lambda _name, _payload: Verdict.ACCEPT
    mute: frozenset[str] = frozenset()
    """Who takes everything and passes nothing on."""
    lost_percent: int = 0
    twice_percent: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.routers = [router(name, self.settings) for name in self.names]
        self.ids = [peer(name) for name in self.names]
        self.place = {one: at for at, one in enumerate(self.ids)}
        self.delivered: list[dict[bytes, int]] = [{} for _ in self.names]
        """By router: payload to how often it was delivered."""
        self.disconnected: list[tuple[str, str]] = []
        self.rpcs = 0
        self._planned: list[tuple[int, int, int, Input]] = []
        self._count = 0
        self._woken: dict[int, int] = {}
        for at in range(len(self.names)):
            self._do(at, Subscribe(TOPIC))
        for a, b in self.links:
            after = self.rng.randrange(200)
            self.plan(after, a, PeerJoined(self.ids[b], MESHSUB_1_1, outbound=True))
            self.plan(after, b, PeerJoined(self.ids[a], MESHSUB_1_1, outbound=False))

    def plan(self, after: int, at: int, input_: Input) -> None:
        """Let a router have an input a while from now."""
        self._count += 1
        heapq.heappush(self._planned, (self.now + after, self._count, at, input_))

    def publish(self, at: int, payload: bytes) -> None:
        """A router publishes, now."""
        self.delivered[at][payload] = 1
        self._do(at, Publish(TOPIC, payload))

    def run(self, ms: int) -> None:
        """Let time pass."""
        until = self.now + ms
        while self._planned and self._planned[0][0] <= until:
            self.now, _, at, input_ = heapq.heappop(self._planned)
            self._do(at, input_)
        self.now = until

    def score(self, of: str, by: str) -> int:
        """What one thinks of another, in whole points."""
        at = self.names.index(by)
        return self.routers[at].score(peer(of), self.now) // 1_000

    def _do(self, at: int, input_: Input) -> None:
        if isinstance(input_, Tick):
            self._woken.pop(at, None)
        for effect in self.routers[at].handle(input_, self.now):
            self._carry(at, effect)
        wake = self.routers[at].wake_at
        if wake is not None and wake < self._woken.get(at, wake + 1):
            self._woken[at] = wake
            self.plan(max(0, wake - self.now), at, Tick())

    def _carry(self, at: int, effect: Effect) -> None:
        match effect:
            case SendRpc(to, data):
                self.rpcs += 1
                if self.names[at] in self.mute:
                    rpc = decode(data)
                    data = encode(Rpc(rpc.subscriptions, (), rpc.controls))
                if self.rng.randrange(100) >= self.lost_percent:
                    self.plan(1 + self.rng.randrange(20), self.place[to], RpcReceived(self.ids[at], data))
                if self.rng.randrange(100) < self.twice_percent:
                    self.plan(1 + self.rng.randrange(40), self.place[to], RpcReceived(self.ids[at], data))
            case Deliver(message, _, _, _, payload):
                seen = self.delivered[at]
                seen[payload] = seen.get(payload, 0) + 1
                self.plan(self.judge_ms, at, Judge(message, self.verdict(self.names[at], payload)))
            case Disconnect(to, _):
                self.disconnected.append((self.names[at], self.names[self.place[to]]))
            case ResetStream():
                raise AssertionError("our own routers speak the protocol")
