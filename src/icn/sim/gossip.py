"""The gossip of a simulated node: the shipped router, over the simulated links, in virtual time.

It stands where the network adapter stands in a node: peers come and go by what the network tells the node, RPCs
travel like messages, under a protocol of their own, and are lost, delayed, repeated and reordered as the run has drawn.
It lives and dies with the node's process; what a router thinks of others dies with it.
"""

from collections.abc import Callable
from random import Random
from typing import assert_never

from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Did, PeerId
from icn.kernel.making import maker
from icn.kernel.signing import Signer
from icn.protocol.codec import decode_message, encode_message
from icn.protocol.libp2p.gossipsub import effects, inputs
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.router import Router
from icn.protocol.libp2p.gossipsub.settings import MESHSUB_1_1, RouterSettings
from icn.protocol.messages import FEED_PROTOCOL, Announce
from icn.services.effects import Gossip as GossipEffect
from icn.services.effects import Judge, Publish, Subscribe
from icn.services.inputs import Gossiped, Input, PeerDown, PeerUp
from icn.sim.findings import Finding
from icn.sim.network import Network
from icn.sim.timeline import MS, Timeline

_received = maker(inputs.RpcReceived)
SETTINGS = RouterSettings()
"""Of every node: those that are shipped."""


def read_publication(payload: bytes) -> Announce | None:
    """What the payload of a publication says; None where that is nothing that is published."""
    try:
        message = decode_message(FEED_PROTOCOL, payload)
    except PeerViolation:
        return None
    return message if isinstance(message, Announce) else None


class Gossip:
    """One process's router."""

    def __init__(
        self, signer: Signer, rng: Random, timeline: Timeline, network: Network, push: Callable[[Input], None]
    ) -> None:
        """`push` gives the node an input."""
        self._did = signer.did
        self._router = Router(SETTINGS, signer, rng, rng.randbytes)
        self._timeline = timeline
        self._network = network
        self._push = push
        self._woken_at: int | None = None
        self._is_over = False

    def end(self) -> None:
        """The process is gone."""
        self._is_over = True

    def notice(self, input_: Input) -> None:
        """What the network tells the node, its router hears as well."""
        match input_:
            case PeerUp(peer):
                # Who dialled is not simulated: the one with the lower name did.
                self._take(inputs.PeerJoined(PeerId.of(peer), MESHSUB_1_1, outbound=self._did < peer))
            case PeerDown(peer):
                self._take(inputs.PeerLeft(PeerId.of(peer)))
            case _:
                pass

    def hear(self, peer: Did, data: bytes) -> None:
        """An RPC came."""
        self._take(_received(PeerId.of(peer), data))

    def carry_out(self, effect: GossipEffect) -> None:
        """What the engine asks."""
        match effect:
            case Subscribe(topic):
                self._take(inputs.Subscribe(topic))
            case Publish(topic, message):
                self._take(inputs.Publish(topic, encode_message(message)))
            case Judge(token, verdict):
                self._take(inputs.Judge(token, verdict))

    def _take(self, input_: inputs.Input) -> None:
        if self._is_over:
            return
        for effect in self._router.handle(input_, self._timeline.now_us // MS):
            match effect:
                case effects.SendRpc(peer, data):
                    self._network.send_rpc(self._did, peer.did, MESHSUB_1_1, data)
                case effects.Deliver():
                    self._deliver(effect)
                case effects.Disconnect(peer, reason):
                    self._network.disconnect(self._did, peer.did, reason)
                case effects.ResetStream(peer, reason):
                    raise Finding("honest peers speak the protocol", f"{self._did} resets {peer}: {reason}")
                case _:
                    assert_never(effect)
        wake_at = self._router.wake_at
        if wake_at is not None and (self._woken_at is None or wake_at < self._woken_at):
            self._woken_at = wake_at
            self._timeline.plan(wake_at * MS - self._timeline.now_us, self._wake, wake_at)

    def _deliver(self, said: effects.Deliver) -> None:
        message = read_publication(said.payload)
        if message is not None:
            self._push(Gossiped(said.message, said.bearer.did, said.author.did, message))
        else:
            self._take(inputs.Judge(said.message, Verdict.REJECT))

    def _wake(self, at: int) -> None:
        if self._woken_at == at:
            self._woken_at = None
            self._take(inputs.Tick())
