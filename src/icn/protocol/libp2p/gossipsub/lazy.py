"""Gossip: what is advertised to peers outside of the mesh, what they ask for, and whether they keep their word.

| input | answer |
|---|---|
| IHAVE | IWANT for what has not been seen, within the limits; one id of it, by chance, becomes a promise |
| IWANT | the messages that are still in the cache, each `retransmissions_max` times to one peer at most |
| a promised message came, from whomever | the promise is kept |
| it did not come within `follow_up_ms` | it counts against who advertised it (P7) |
| heartbeat | IHAVE to `d_lazy` peers, or `gossip_percent` of them if that is more; limits begin anew |

Who scores below the gossip threshold is neither told nor heard: 1.1, "no gossip is emitted towards that peer and gossip
from that peer is ignored".
"""

from collections.abc import Callable, Container
from random import Random

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.gossipsub.message_cache import MessageCache
from icn.protocol.libp2p.gossipsub.outgoing import Outgoing
from icn.protocol.libp2p.gossipsub.peers import Peer
from icn.protocol.libp2p.gossipsub.rpc import IHave, IWant
from icn.protocol.libp2p.gossipsub.scoring import Scores
from icn.protocol.libp2p.gossipsub.settings import GossipSettings, OverlaySettings


class LazyGossip:
    """Promises, and what is said about messages instead of the messages."""

    def __init__(
        self, settings: GossipSettings, overlay: OverlaySettings, rng: Random, cache: MessageCache, out: Outgoing
    ) -> None:
        self._settings = settings
        self._overlay = overlay
        self._rng = rng
        self._cache = cache
        self._out = out
        self._promises: dict[bytes, dict[PeerId, int]] = {}
        """By message: until when each peer that we asked has to have sent it."""
        self._promised = 0

    @property
    def has_promises(self) -> bool:
        """Whether a heartbeat has to look whether they were kept."""
        return bool(self._promises)

    def take_ihave(
        self, name: PeerId, peer: Peer, ids: tuple[bytes, ...], has_seen: Callable[[bytes, int], bool], now: int
    ) -> None:
        """1.0: "If the `IHAVE` message contains message IDs that have not been seen, the router will request them".

        1.1: "`IHAVE` messages are capped to a certain number of `IHAVE` messages and aggregate number of message IDs
        advertised per heartbeat".
        """
        settings = self._settings
        peer.advertisements += 1
        room = settings.ids_max - peer.asked
        if peer.advertisements > settings.advertisements_max or room <= 0:
            return
        wanted = [one for one in dict.fromkeys(ids) if not has_seen(one, now)]
        if not wanted:
            return
        self._rng.shuffle(wanted)
        wanted = wanted[:room]
        peer.asked += len(wanted)
        # "For each `IHAVE` advertisement which elicits an `IWANT` request, the router tracks a random message ID".
        self._promise(wanted[0], name, now + settings.follow_up_ms)
        self._out.control(name, IWant(tuple(wanted)))

    def take_iwant(self, name: PeerId, peer: Peer, ids: tuple[bytes, ...]) -> None:
        """1.0: "will forward any requested messages that are present in the `mcache`"."""
        settings = self._settings
        room = settings.ids_max - peer.looked_up
        peer.looked_up += min(len(ids), max(0, room))
        for one in dict.fromkeys(ids[: max(0, room)]):
            if peer.answered_bytes >= settings.answer_bytes_max:
                return
            raw = self._cache.ask(one, name, settings.retransmissions_max)
            if raw is not None:
                peer.answered_bytes += len(raw)
                self._out.message(name, raw)

    def arrived(self, message: bytes) -> None:
        """A message came with a good signature: whoever promised it has kept its word."""
        self._promised -= len(self._promises.pop(message, ()))

    def forget(self, peer: PeerId) -> None:
        """A peer is gone: nothing is to be expected of it."""
        for message in [message for message, by in self._promises.items() if peer in by]:
            self._break(message, peer)

    def broken(self, now: int) -> dict[PeerId, int]:
        """How many promises each peer has broken since the last time."""
        late = [(m, peer) for m, by in self._promises.items() for peer, until in by.items() if now >= until]
        count: dict[PeerId, int] = {}
        for message, peer in late:
            count[peer] = count.get(peer, 0) + 1
            self._break(message, peer)
        return count

    def advertise(
        self,
        topic: str,
        peers: dict[PeerId, Peer],
        scores: Scores,
        leave_out: Container[PeerId],
        threshold: int,
        now: int,
    ) -> None:
        """Tell peers in the topic that are not in `leave_out` what came lately."""
        ids = self._cache.advertised(topic)
        if not ids:
            return
        fit = [
            peer
            for peer, one in peers.items()
            if topic in one.topics and peer not in leave_out and scores.of(peer, now) >= threshold
        ]
        self._rng.shuffle(fit)
        # "it randomly selects gossip factor peers with a minimum of `D_lazy`"
        count = max(self._overlay.d_lazy, len(fit) * self._overlay.gossip_percent // 100)
        for peer in fit[:count]:
            told = list(ids)
            self._rng.shuffle(told)
            self._out.control(peer, IHave(topic, tuple(told[: self._settings.ids_max])))

    def _promise(self, message: bytes, peer: PeerId, until: int) -> None:
        by = self._promises.setdefault(message, {})
        if peer not in by:
            if self._promised < self._settings.promises_max:
                by[peer] = until
                self._promised += 1
            elif not by:
                del self._promises[message]

    def _break(self, message: bytes, peer: PeerId) -> None:
        by = self._promises[message]
        del by[peer]
        self._promised -= 1
        if not by:
            del self._promises[message]
