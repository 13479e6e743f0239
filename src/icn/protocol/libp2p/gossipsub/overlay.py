"""Who is in the mesh of each topic, and who may come in: grafting, pruning, back-off, and upkeep with each heartbeat.

| for a topic we are subscribed to | then |
|---|---|
| a peer's score is below 0 | it is pruned |
| fewer than `d_lo` peers | others are grafted, up to `d` |
| more than `d_hi` | all but `d` are pruned: the `d_score` best stay, `d_out` that we dialled, the others by chance |
| enough, but fewer than `d_out` that we dialled | some of those are grafted |
| now and then, a median score below the threshold | `opportunistic_graft_peers` better ones are grafted |

A GRAFT of a peer is accepted or answered with a PRUNE:

| it is | answer |
|---|---|
| for a topic that is not ours | none: 1.1, "`GRAFT` messages for unknown topics are ignored" |
| within the back-off | PRUNE, the back-off begins again, and it counts against the peer; soon after a PRUNE twice |
| of a peer with a score below 0, or not in the topic | PRUNE |
| at `d_hi` or more, and we did not dial it | PRUNE |
| otherwise | accepted |

Who is in the mesh of ours has us in its own, unless a message was lost: both sides answer for themselves.
Not here: sending (`outgoing`), gossip (`lazy`).
"""

from collections.abc import Callable, Iterable
from random import Random

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.gossipsub.outgoing import Outgoing
from icn.protocol.libp2p.gossipsub.peers import Peer
from icn.protocol.libp2p.gossipsub.rpc import Graft, Prune
from icn.protocol.libp2p.gossipsub.scoring import Scores
from icn.protocol.libp2p.gossipsub.settings import MESHSUB_1_1, OverlaySettings, ScoreSettings


class Overlay:
    """The meshes. Peers are held in order of coming, so that nothing depends on chance but what draws from it."""

    def __init__(
        self,
        settings: OverlaySettings,
        score_settings: ScoreSettings,
        rng: Random,
        peers: dict[PeerId, Peer],
        scores: Scores,
        out: Outgoing,
    ) -> None:
        """`peers` is the router's."""
        self._settings = settings
        self._score_settings = score_settings
        self._rng = rng
        self._peers = peers
        self._scores = scores
        self._out = out
        self._backoffs: dict[tuple[str, PeerId], int] = {}
        """Until when a peer and we stay out of each other's mesh, also while it is gone. What came first goes first."""
        self.mesh: dict[str, dict[PeerId, None]] = {}
        """By topic that we are subscribed to."""

    # Our own coming and going.

    def join(self, topic: str, first: Iterable[PeerId], now: int) -> None:
        """1.0: "the router will form a topic mesh by selecting up to `D` peers", first those it has published to."""
        self.mesh[topic] = {}
        chosen = [peer for peer in first if peer in self._peers and self._may_graft(topic, peer, now)]
        chosen = chosen[: self._settings.d]
        for peer in chosen + self._choose(topic, self._settings.d - len(chosen), now, leave_out=chosen):
            self._graft(topic, peer, now)

    def leave(self, topic: str, now: int) -> None:
        """1.0: "The router will inform the peers in `mesh[topic]` by sending them a `PRUNE`"."""
        for peer in list(self.mesh[topic]):
            self._prune(topic, peer, now, self._settings.leave_backoff_ms)
        del self.mesh[topic]

    def forget(self, peer: PeerId, now: int) -> None:
        """A peer is gone."""
        for topic in self.mesh:
            self.drop(topic, peer, now)

    def drop(self, topic: str, peer: PeerId, now: int) -> bool:
        """A peer is in the topic no more, and knows it; whether it was in the mesh."""
        if peer not in self.mesh.get(topic, ()):
            return False
        del self.mesh[topic][peer]
        self._scores.prune(peer, topic, now)
        return True

    # What peers ask.

    def take_graft(self, topic: str, peer: PeerId, now: int) -> None:
        """A peer has taken us into its mesh."""
        mesh = self.mesh.get(topic)
        if mesh is None or peer in mesh:
            return
        settings, until = self._settings, self._backoffs.get((topic, peer), now)
        if now < until:
            # "Both the pruning and the pruned peer will immediately prune a `GRAFT` within the backoff period and
            # extend it", and "may apply a behavioural penalty": not to one whose process has begun anew since, and
            # that cannot know.
            if topic in self._peers[peer].pruned:
                is_flood = now < until - settings.prune_backoff_ms + settings.graft_flood_ms
                self._scores.misbehave(peer, 2 if is_flood else 1)
        elif (
            self._scores.of(peer, now) >= 0
            and topic in self._peers[peer].topics
            # "it only accepts the new peer in the mesh if it is an outbound connection"
            and (len(mesh) < settings.d_hi or self._peers[peer].outbound)
        ):
            mesh[peer] = None
            self._scores.graft(peer, topic, now)
            return
        self._refuse(topic, peer, now, settings.prune_backoff_ms)

    def take_prune(self, topic: str, peer: PeerId, backoff_s: int | None, now: int) -> None:
        """A peer has taken us out of its mesh. "The peer has to wait the full backoff period"."""
        if topic not in self.mesh:
            return
        self.drop(topic, peer, now)
        self._peers[peer].pruned[topic] = None
        told = self._settings.prune_backoff_ms if backoff_s is None else backoff_s * 1_000
        self._back_off(topic, peer, now + min(told, self._settings.backoff_ms_max))

    # Heartbeat.

    def keep_up(self, topic: str, now: int, *, opportunistic: bool) -> None:
        """Look after the mesh of a topic."""
        settings, mesh = self._settings, self.mesh[topic]
        scores = {peer: self._scores.of(peer, now) for peer in mesh}
        for peer, score in scores.items():
            if score < 0:  # "Peers with negative score are pruned from all meshes."
                self._prune(topic, peer, now, settings.prune_backoff_ms)
        if len(mesh) < settings.d_lo:
            for peer in self._choose(topic, settings.d - len(mesh), now):
                self._graft(topic, peer, now)
        elif len(mesh) > settings.d_hi:
            kept = self._survivors(list(mesh), scores)
            for peer in [peer for peer in mesh if peer not in kept]:
                self._prune(topic, peer, now, settings.prune_backoff_ms)
        outbound = sum(self._peers[peer].outbound for peer in mesh)
        if len(mesh) >= settings.d_lo and outbound < settings.d_out:
            wanted = self._choose(topic, settings.d_out - outbound, now, only=lambda peer: self._peers[peer].outbound)
            for peer in wanted:
                self._graft(topic, peer, now)
        if opportunistic and len(mesh) > 1:
            self._graft_better(topic, now)

    def is_sound(self, topic: str, now: int) -> bool:
        """Whether upkeep would change nothing, as far as nothing else happens and scores stay what they are."""
        settings, mesh = self._settings, self.mesh[topic]
        if any(self._scores.of(peer, now) < 0 for peer in mesh) or len(mesh) > settings.d_hi:
            return False
        lacks = len(mesh) < settings.d_lo
        lacks_outbound = sum(self._peers[peer].outbound for peer in mesh) < settings.d_out
        if not (lacks or lacks_outbound):
            return True
        return not any(
            (lacks or one.outbound) and topic in one.topics and peer not in mesh and self._scores.of(peer, now) >= 0
            for peer, one in self._peers.items()
        )

    def clear_backoffs(self, now: int) -> None:
        """Forget those that are over, with the heartbeat's slack."""
        slack = self._settings.heartbeat_ms
        self._backoffs = {key: until for key, until in self._backoffs.items() if now < until + slack}

    def _survivors(self, mesh: list[PeerId], scores: dict[PeerId, int]) -> list[PeerId]:
        """1.1: "keeps the best `D_score` scoring peers and selects the remaining peers to keep at random … under the
        constraint that `D_out` peers are outbound connections".
        """
        settings = self._settings
        self._rng.shuffle(mesh)
        mesh.sort(key=lambda peer: -scores[peer])  # stable: equals stay in the order of chance
        best, rest = mesh[: settings.d_score], mesh[settings.d_score :]
        self._rng.shuffle(rest)
        kept, others = best + rest[: settings.d - settings.d_score], rest[settings.d - settings.d_score :]
        lacking = settings.d_out - sum(self._peers[peer].outbound for peer in kept)
        # "we replace the random and lower scoring peers in the selection with outbound connection peers"
        spare = [peer for peer in others if self._peers[peer].outbound][: max(0, lacking)]
        for peer in spare:
            place = max(at for at, one in enumerate(kept) if not self._peers[one].outbound)
            kept[place] = peer
        return kept

    def _graft_better(self, topic: str, now: int) -> None:
        """1.1: "If the median score is below the threshold, the router opportunistically grafts (at least) two peers
        with score above the median in the mesh".
        """
        ranked = sorted(self._scores.of(peer, now) for peer in self.mesh[topic])
        median = ranked[len(ranked) // 2]
        if median < self._score_settings.opportunistic_graft_threshold:
            better = self._choose(
                topic,
                self._settings.opportunistic_graft_peers,
                now,
                only=lambda peer: self._scores.of(peer, now) > median,
            )
            for peer in better:
                self._graft(topic, peer, now)

    def _choose(
        self,
        topic: str,
        count: int,
        now: int,
        *,
        leave_out: Iterable[PeerId] = (),
        only: Callable[[PeerId], bool] = lambda _: True,
    ) -> list[PeerId]:
        """At most `count` peers that may be grafted, by chance."""
        left_out = dict.fromkeys(leave_out)
        fit = [p for p in self._peers if p not in left_out and only(p) and self._may_graft(topic, p, now)]
        self._rng.shuffle(fit)
        return fit[: max(0, count)]

    def _may_graft(self, topic: str, peer: PeerId, now: int) -> bool:
        """1.1: "peers with a score below this threshold are … ignored when looking for peers to graft"."""
        slack = self._settings.heartbeat_ms  # "plus some slack to account for the offset until the next heartbeat"
        until = self._backoffs.get((topic, peer))
        return (
            topic in self._peers[peer].topics
            and peer not in self.mesh[topic]
            and (until is None or now >= until + slack)
            and self._scores.of(peer, now) >= 0
        )

    def _graft(self, topic: str, peer: PeerId, now: int) -> None:
        self.mesh[topic][peer] = None
        self._scores.graft(peer, topic, now)
        self._out.control(peer, Graft(topic))

    def _prune(self, topic: str, peer: PeerId, now: int, backoff_ms: int) -> None:
        if self.drop(topic, peer, now):
            self._refuse(topic, peer, now, backoff_ms)

    def _refuse(self, topic: str, peer: PeerId, now: int, backoff_ms: int) -> None:
        """1.1: "the pruning peer should include the backoff period in the PRUNE message"; 1.0 has no field for it."""
        self._back_off(topic, peer, now + backoff_ms)
        self._peers[peer].pruned[topic] = None
        speaks_1_1 = self._peers[peer].protocol == MESHSUB_1_1
        self._out.control(peer, Prune(topic, backoff_ms // 1_000 if speaks_1_1 else None))

    def _back_off(self, topic: str, peer: PeerId, until: int) -> None:
        key = (topic, peer)
        self._backoffs[key] = max(until, self._backoffs.pop(key, until))
        while len(self._backoffs) > self._settings.backoffs_max:
            del self._backoffs[next(iter(self._backoffs))]
