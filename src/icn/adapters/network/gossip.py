"""Publications: runs the gossip router (`protocol.libp2p.gossipsub`) over a network's links.

The router decides everything; this carries RPCs both ways, wakes the router when it asks for it, and tells the listener
what is to be judged. An RPC that finds the peer's queue full is lost, as gossip may be: what was in it is advertised
again. A publication of ours that nobody's queue has room for is an error to who published it.

Not here: streams and framing (`switchboard`), who is in the mesh.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol, assert_never

from icn.adapters.network.admission import origin_of
from icn.adapters.network.ports import Delivery, GossipShown, NetworkListener, Regard
from icn.kernel.errors import Fault
from icn.kernel.ids import PeerId
from icn.kernel.signing import Signer
from icn.protocol.libp2p.gossipsub.effects import Deliver, Disconnect, ResetStream, SendRpc
from icn.protocol.libp2p.gossipsub.inputs import (
    Input,
    Judge,
    PeerJoined,
    PeerLeft,
    Publish,
    RpcReceived,
    Subscribe,
    Tick,
    Unsubscribe,
    Verdict,
)
from icn.protocol.libp2p.gossipsub.router import Router
from icn.protocol.libp2p.gossipsub.settings import MESHSUB, RouterSettings

GREET_AGAIN_S = 1.0
"""After a peer has ended our stream to it, it is greeted on another one; not at once, for it may end that as well."""
_SEED_BYTES = 32


class PublicationDropped(Fault):
    """There were peers to tell, and none of their queues had room, or their connections had just ended."""

    code: ClassVar[str] = "network.publication_dropped"
    retryable: ClassVar[bool] = True

    def __init__(self, topic: str, peers: int) -> None:
        self.topic = topic
        super().__init__(f"nothing was published on {topic}: none of the queues of its peers ({peers}) had room")


class Links(Protocol):
    """What the gossip needs of the network it runs on."""

    def send_rpc(self, peer: PeerId, protocol: str, data: bytes) -> bool:
        """Queue an RPC; False when it was not taken."""

    def reset_rpcs(self, peer: PeerId) -> None:
        """What the peer sends is of no use: end its stream."""

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End every connection to `peer`."""


@dataclass(slots=True)
class _Speaker:
    protocol: str
    outbound: bool
    origin: str


class Gossip:
    """One node's router at work. Lives on one event loop once there is a peer."""

    def __init__(
        self,
        settings: RouterSettings,
        signer: Signer,
        entropy: Callable[[int], bytes],
        clock: Callable[[], int],
        links: Links,
    ) -> None:
        """`clock` gives milliseconds, never backwards."""
        self._router = Router(settings, signer, Random(int.from_bytes(entropy(_SEED_BYTES), "big")), entropy)
        scores = settings.scores
        self._thresholds: tuple[tuple[Regard, int | None], ...] = (
            (Regard.GOOD, 0),
            (Regard.NEGATIVE, scores.gossip_threshold),
            (Regard.NO_GOSSIP, scores.publish_threshold),
            (Regard.NO_PUBLICATIONS, scores.graylist_threshold),
            (Regard.GRAYLISTED, None),
        )
        """The least score that earns each, from the best one down."""
        self._clock = clock
        self._links = links
        self._speakers: dict[PeerId, _Speaker] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: int | None = None
        self._dropped = 0
        self.listener: NetworkListener | None = None
        """Who judges; None before the start and after the stop."""

    # For the node.

    def subscribe(self, topic: str) -> None:
        """Take messages of `topic` from now on."""
        self._handle(Subscribe(topic))

    def unsubscribe(self, topic: str) -> None:
        """Take none any more."""
        self._handle(Unsubscribe(topic))

    def publish(self, topic: str, payload: bytes) -> int:
        """Send a message to everybody in `topic`; how many peers' queues have taken it.

        Raises:
            Invalid: it is too long.
            PublicationDropped: nobody's queue had room.
        """
        effects = self._router.handle(Publish(topic, payload), self._clock())
        sent = [effect for effect in effects if isinstance(effect, SendRpc)]
        taken = sum(self._send(effect) for effect in sent)
        self._arm()
        if sent and not taken:
            raise PublicationDropped(topic, len(sent))
        return taken

    def judge(self, token: bytes, verdict: Verdict) -> None:
        """The listener's verdict on a delivery."""
        self._handle(Judge(token, verdict))

    def shown(self) -> GossipShown:
        """For people and metrics."""
        figures = self._router.figures
        return GossipShown(
            mesh={topic: len(self._router.mesh(topic)) for topic in self._router.topics},
            peers=self._regards(),
            published=figures.published,
            delivered=figures.delivered,
            duplicates=figures.duplicates,
            malformed=figures.malformed,
            crowded=figures.crowded,
            unheard=figures.graylisted,
            dropped=self._dropped,
            verdicts={verdict.value: count for verdict, count in figures.verdicts.items()},
        )

    @property
    def cached_bytes(self) -> int:
        """Messages kept for those who ask for them."""
        return self._router.cached_bytes

    def score(self, peer: PeerId) -> int | None:
        """What is thought of a peer, in thousandths of a point; None where it does not speak the protocol."""
        return self._router.score(peer, self._clock()) if peer in self._speakers else None

    def end(self) -> None:
        """Nothing more is told or done."""
        self.listener = None
        self._speakers.clear()
        if self._timer is not None:
            self._timer.cancel()

    # For the links.

    def peer_speaks(self, peer: PeerId, protocols: Collection[str], *, outbound: bool, host: str) -> None:
        """A connected peer says what it speaks, or has opened a stream for it."""
        spoken = next((protocol for protocol in MESHSUB if protocol in protocols), None)
        if spoken is not None and peer not in self._speakers:
            self._speakers[peer] = _Speaker(spoken, outbound, origin_of(host, public_only=True))
            self._greet(peer)

    def stream_lost(self, peer: PeerId) -> None:
        """Our stream to a peer has ended, and it may have forgotten what we told it."""
        if peer in self._speakers:
            asyncio.get_running_loop().call_later(GREET_AGAIN_S, self._greet, peer)

    def link_changed(self, peer: PeerId, *, outbound: bool) -> None:
        """Another connection to a peer is in use."""
        speaker = self._speakers.get(peer)
        if speaker is not None:
            speaker.outbound = outbound
            self._greet(peer)

    def peer_gone(self, peer: PeerId) -> None:
        """The last connection to a peer is gone, or it does not speak the protocol after all."""
        if self._speakers.pop(peer, None) is not None:
            self._handle(PeerLeft(peer))

    def receive(self, peer: PeerId, data: bytes) -> None:
        """A peer sent an RPC."""
        if peer in self._speakers:
            self._handle(RpcReceived(peer, data))

    # Inside.

    def _greet(self, peer: PeerId) -> None:
        speaker = self._speakers.get(peer)
        if speaker is not None:
            self._handle(PeerJoined(peer, speaker.protocol, speaker.outbound, speaker.origin))

    def _handle(self, input_: Input) -> None:
        for effect in self._router.handle(input_, self._clock()):
            match effect:
                case SendRpc():
                    self._send(effect)
                case Deliver():
                    self._deliver(effect)
                case ResetStream(peer):
                    self._links.reset_rpcs(peer)
                case Disconnect(peer, reason):
                    self._links.disconnect(peer, reason)
                case _:
                    assert_never(effect)
        self._arm()

    def _send(self, effect: SendRpc) -> bool:
        speaker = self._speakers.get(effect.peer)
        taken = speaker is not None and self._links.send_rpc(effect.peer, speaker.protocol, effect.data)
        self._dropped += not taken
        return taken

    def _regards(self) -> dict[Regard, int]:
        now, thresholds = self._clock(), self._thresholds
        counts = dict.fromkeys(Regard, 0)
        for peer in self._speakers:
            score = self._router.score(peer, now)
            counts[next(regard for regard, least in thresholds if least is None or score >= least)] += 1
        return counts

    def _deliver(self, effect: Deliver) -> None:
        if self.listener is not None:
            delivery = Delivery(effect.message, effect.topic, effect.payload, effect.author, effect.bearer)
            asyncio.get_running_loop().call_soon(self.listener.delivered, delivery)

    def _arm(self) -> None:
        """See to it that the router is woken when it wants to be. Without peers there is nothing to be done."""
        wake_at = self._router.wake_at if self._speakers else None
        if wake_at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, wake_at
        if wake_at is not None:
            after = max(0, wake_at - self._clock()) / 1_000
            self._timer = asyncio.get_running_loop().call_later(after, self._wake)

    def _wake(self) -> None:
        self._timer, self._timer_at = None, None
        self._handle(Tick())
