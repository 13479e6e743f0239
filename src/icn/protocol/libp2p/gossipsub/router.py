"""The router of one node: who is here, what they want, what travels on.

Inputs are the union `inputs.Input`, answers the union `effects.Effect`; `handle(input, now)` takes one and gives the
others. `now` is milliseconds from any steady origin. Chance is the `Random` and the random bytes handed in.

**A message** on its way: see `passage`.

**A peer.** `PeerJoined` greets it with our topics. Below the graylist threshold "its RPCs are ignored", and with the
next heartbeat it is to be disconnected. Its score outlives its connection.

**Heartbeat.** Once per `heartbeat_ms` while there is something to do: a mesh to be mended, messages to be advertised,
promises to be watched, counters to decay. A router with nothing of that has no `wake_at`, and costs nothing.

Deliberately absent: floodsub; explicit peering; peer exchange (optional in 1.1: peers in a PRUNE are not read, and none
are sent); messages without a signature; answers to who published (the application has connections for that).
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import assert_never

from icn.kernel.errors import Invalid, require
from icn.kernel.ids import PeerId
from icn.kernel.signing import Signer
from icn.protocol.libp2p.gossipsub import signing
from icn.protocol.libp2p.gossipsub.effects import Disconnect, Effect, ResetStream
from icn.protocol.libp2p.gossipsub.inputs import (
    Appraise,
    Input,
    Judge,
    PeerJoined,
    PeerLeft,
    Publish,
    RpcReceived,
    Subscribe,
    Tick,
    Unsubscribe,
)
from icn.protocol.libp2p.gossipsub.lazy import LazyGossip
from icn.protocol.libp2p.gossipsub.message_cache import MessageCache
from icn.protocol.libp2p.gossipsub.outgoing import Outgoing
from icn.protocol.libp2p.gossipsub.overlay import Overlay
from icn.protocol.libp2p.gossipsub.passage import Figures, Passage
from icn.protocol.libp2p.gossipsub.peers import Peer
from icn.protocol.libp2p.gossipsub.rpc import Control, Graft, IHave, IWant, Prune, Subscription, decode
from icn.protocol.libp2p.gossipsub.scoring import Scores
from icn.protocol.libp2p.gossipsub.settings import MESHSUB, SEQNO_BYTES, TOPIC_BYTES_MAX, RouterSettings


@dataclass(slots=True)
class _Fanout:
    """1.0: `fanout` "contains topics to which we _are not_ subscribed"."""

    published_at: int
    peers: dict[PeerId, None]


class Router:
    """One owner calls it, from one thread, and does what `handle` gives, in order."""

    def __init__(self, settings: RouterSettings, signer: Signer, rng: Random, entropy: Callable[[int], bytes]) -> None:
        """`entropy` gives unpredictable bytes, for sequence numbers: a counter would begin again with the process."""
        gossip = settings.gossip
        self._settings = settings
        self._signer = signer
        self._rng = rng
        self._entropy = entropy
        self._peers: dict[PeerId, Peer] = {}
        self._scores = Scores(settings.scores)
        self._out = Outgoing(settings.rpc_bytes_max)
        self._cache = MessageCache(gossip.cache_windows, gossip.advertised_windows, gossip.cache_bytes_max)
        self._overlay = Overlay(settings.overlay, settings.scores, rng, self._peers, self._scores, self._out)
        self._lazy = LazyGossip(gossip, settings.overlay, rng, self._cache, self._out)
        self._passage = Passage(
            gossip,
            settings.payload_bytes_max,
            ours=PeerId.of(signer.did),
            mesh=self._overlay.mesh,
            cache=self._cache,
            lazy=self._lazy,
            scores=self._scores,
            out=self._out,
        )
        self._fanout: dict[str, _Fanout] = {}
        self._effects: list[Effect] = []
        self._improved_at = 0
        """When a mesh was last looked at for better peers."""
        self._next_beat: int | None = None

    # What can be seen.

    @property
    def wake_at(self) -> int | None:
        """When `Tick` is wanted; None while nothing is to be done by itself."""
        return self._next_beat

    @property
    def figures(self) -> Figures:
        """What has happened since the start."""
        return self._passage.figures

    def score(self, peer: PeerId, now: int) -> int:
        """What is thought of a peer, in thousandths of a point."""
        return self._scores.of(peer, now)

    @property
    def cached_bytes(self) -> int:
        """Messages kept for those who ask for them."""
        return self._cache.size

    def mesh(self, topic: str) -> tuple[PeerId, ...]:
        """Who is in the mesh of a topic of ours."""
        return tuple(self._overlay.mesh.get(topic, ()))

    @property
    def topics(self) -> tuple[str, ...]:
        """What we are subscribed to."""
        return tuple(self._overlay.mesh)

    def peers_in(self, topic: str) -> tuple[PeerId, ...]:
        """Peers that are subscribed to a topic."""
        return tuple(peer for peer, one in self._peers.items() if topic in one.topics)

    # The machine.

    def handle(self, input_: Input, now: int) -> list[Effect]:
        """Take an input.

        Raises:
            Invalid: a publication of ours, or its topic, is longer than anybody would take; nothing happened.
        """
        match input_:
            case RpcReceived(peer, data):
                self._receive(peer, data, now)
            case Judge(message, verdict):
                self._passage.judge(message, verdict, now)
            case Publish(topic, payload):
                self._publish(topic, payload, now)
            case PeerJoined():
                self._join(input_, now)
            case PeerLeft(peer):
                self._part(peer, now)
            case Subscribe(topic):
                self._subscribe(topic, now)
            case Unsubscribe(topic):
                self._unsubscribe(topic, now)
            case Appraise(peer, points):
                self._scores.appraise(peer, points)
            case Tick():
                if self._next_beat is not None and now >= self._next_beat:
                    self._beat(now)
            case _:
                assert_never(input_)
        if not isinstance(input_, Tick):
            soon = now + self._settings.overlay.heartbeat_ms
            self._next_beat = soon if self._next_beat is None else min(self._next_beat, soon)
        effects, self._effects = [*self._effects, *self._out.take()], []
        return effects

    # Peers and topics.

    def _join(self, joined: PeerJoined, now: int) -> None:
        require(joined.protocol in MESHSUB, "a peer of the router speaks its protocol")
        known = self._peers.get(joined.peer)
        if known is None:
            self._peers[joined.peer] = Peer(joined.protocol, joined.outbound)
            self._scores.arrive(joined.peer, joined.origin, now)
        else:
            known.protocol, known.outbound = joined.protocol, joined.outbound
        # 1.0: "it sends it a hello packet that announces the topics that it is currently subscribing to".
        for topic in self._overlay.mesh:
            self._out.subscription(joined.peer, Subscription(topic, subscribe=True))

    def _part(self, peer: PeerId, now: int) -> None:
        if self._peers.pop(peer, None) is None:
            return
        self._overlay.forget(peer, now)
        self._lazy.forget(peer)
        self._scores.leave(peer, now)
        self._out.forget(peer)
        for fanout in self._fanout.values():
            fanout.peers.pop(peer, None)

    def _subscribe(self, topic: str, now: int) -> None:
        _check_topic(topic)
        if topic in self._overlay.mesh:
            return
        for peer in self._peers:
            self._out.subscription(peer, Subscription(topic, subscribe=True))
        # "If there are peers in `fanout[topic]`, the router will move those peers from the `fanout` map".
        known = self._fanout.pop(topic, None)
        self._overlay.join(topic, known.peers if known else (), now)

    def _unsubscribe(self, topic: str, now: int) -> None:
        if topic not in self._overlay.mesh:
            return
        for peer in self._peers:
            self._out.subscription(peer, Subscription(topic, subscribe=False))
        self._overlay.leave(topic, now)

    # Messages of ours.

    def _publish(self, topic: str, payload: bytes, now: int) -> None:
        _check_topic(topic)
        if len(payload) > self._settings.payload_bytes_max:
            raise Invalid("publication", f"{len(payload)} bytes, {self._settings.payload_bytes_max} can be published")
        publication = signing.sign(self._signer, self._entropy(SEQNO_BYTES), topic, payload)
        self._passage.begin(publication, now)
        for peer in self._audience(topic, now):
            self._out.message(peer, publication.raw)

    def _audience(self, topic: str, now: int) -> list[PeerId]:
        """1.1: "publishing the message to all connected peers with a score above a publish threshold"."""
        overlay, threshold = self._settings.overlay, self._settings.scores.publish_threshold
        fit = [p for p, one in self._peers.items() if topic in one.topics and self._scores.of(p, now) >= threshold]
        if overlay.flood_publish:
            return fit
        if topic in self._overlay.mesh:
            return list(self._overlay.mesh[topic])
        # 1.0: "If this set is empty, the router will choose up to `D` peers from `peers.gossipsub[topic]`".
        fanout = self._fanout.setdefault(topic, _Fanout(now, {}))
        fanout.published_at = now
        if not fanout.peers:
            self._fill(fanout, fit)
        return list(fanout.peers)

    def _fill(self, fanout: _Fanout, fit: list[PeerId]) -> None:
        chosen = [peer for peer in fit if peer not in fanout.peers]
        self._rng.shuffle(chosen)
        fanout.peers.update(dict.fromkeys(chosen[: max(0, self._settings.overlay.d - len(fanout.peers))]))

    # What peers say.

    def _receive(self, name: PeerId, data: bytes, now: int) -> None:
        peer = self._peers.get(name)
        if peer is None:
            return
        if self._is_graylisted(name, now):
            self._passage.figures.graylisted += 1  # "the peer is graylisted and its RPCs are ignored"
            return
        try:
            rpc = decode(data)
        except Invalid as error:
            self._scores.misbehave(name)
            self._effects.append(ResetStream(name, str(error)))
            return
        for subscription in rpc.subscriptions:
            self._note(name, peer, subscription, now)
        for raw in rpc.messages:
            delivery = self._passage.take(name, raw, now)
            if delivery is not None:
                self._effects.append(delivery)
            elif self._is_graylisted(name, now):
                return  # what else is in it would cost as much to be found out
        if not rpc.controls:
            return
        gossips = self._scores.of(name, now) >= self._settings.scores.gossip_threshold
        for control in rpc.controls:
            self._control(name, peer, control, now, gossips=gossips)

    def _is_graylisted(self, name: PeerId, now: int) -> bool:
        return self._scores.of(name, now) < self._settings.scores.graylist_threshold

    def _note(self, name: PeerId, peer: Peer, subscription: Subscription, now: int) -> None:
        if not subscription.subscribe:
            peer.topics.pop(subscription.topic, None)
            self._overlay.drop(subscription.topic, name, now)
            if (fanout := self._fanout.get(subscription.topic)) is not None:
                fanout.peers.pop(name, None)
        elif subscription.topic not in peer.topics:
            if len(peer.topics) >= self._settings.overlay.topics_per_peer_max:
                self._scores.misbehave(name)
            else:
                peer.topics[subscription.topic] = None

    def _control(self, name: PeerId, peer: Peer, control: Control, now: int, *, gossips: bool) -> None:
        match control:
            case Graft(topic):
                self._overlay.take_graft(topic, name, now)
            case Prune(topic, backoff_s):
                self._overlay.take_prune(topic, name, backoff_s, now)
            case IHave(topic, ids):
                if gossips and topic in self._overlay.mesh:
                    self._lazy.take_ihave(name, peer, ids, self._passage.has_seen, now)
            case IWant(ids):
                if gossips:
                    self._lazy.take_iwant(name, peer, ids)
            case _:
                assert_never(control)

    # Time.

    def _beat(self, now: int) -> None:
        overlay, thresholds = self._settings.overlay, self._settings.scores
        self._passage.give_up(now)
        for peer, count in self._lazy.broken(now).items():
            self._scores.misbehave(peer, count)
        self._scores.decay(now)
        self._overlay.clear_backoffs(now)
        for name, one in self._peers.items():
            one.beat()
            if self._is_graylisted(name, now):
                self._effects.append(Disconnect(name, "its score in the gossip is too low"))
        opportunistic = now - self._improved_at >= overlay.opportunistic_graft_ms
        if opportunistic:
            self._improved_at = now
        for topic in self._overlay.mesh:
            self._overlay.keep_up(topic, now, opportunistic=opportunistic)
            self._advertise(topic, self._overlay.mesh[topic], now)
        for topic, fanout in list(self._fanout.items()):
            if now - fanout.published_at > overlay.fanout_ttl_ms:
                del self._fanout[topic]
                continue
            fit = [
                peer
                for peer, one in self._peers.items()
                if topic in one.topics and self._scores.of(peer, now) >= thresholds.publish_threshold
            ]
            self._fill(fanout, fit)
            self._advertise(topic, fanout.peers, now)
        self._cache.shift()
        self._next_beat = now + overlay.heartbeat_ms if self._is_busy(now) else self._scores.decays_at

    def _advertise(self, topic: str, leave_out: dict[PeerId, None], now: int) -> None:
        threshold = self._settings.scores.gossip_threshold
        self._lazy.advertise(topic, self._peers, self._scores, leave_out, threshold, now)

    def _is_busy(self, now: int) -> bool:
        """Whether the next heartbeat has something to do before counters decay."""
        return bool(
            self._cache
            or self._fanout
            or self._lazy.has_promises
            or any(peer.has_counted for peer in self._peers.values())
            or not all(self._overlay.is_sound(topic, now) for topic in self._overlay.mesh)
            or any(self._is_graylisted(peer, now) for peer in self._peers)
        )


def _check_topic(topic: str) -> None:
    if not 0 < len(topic.encode()) <= TOPIC_BYTES_MAX:
        raise Invalid("topic", f"a name of 1 to {TOPIC_BYTES_MAX} bytes is expected")
