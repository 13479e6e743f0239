"""What is thought of each peer: the score of 1.1, P1 to P7, with its decay.

```
Score(p) = TopicCap(Σ tᵢ·(w₁P₁ + w₂P₂ + w₃P₃ + w₃bP₃b + w₄P₄)) + w₅P₅ + w₆P₆ + w₇P₇
```

| part | what it counts | here |
|---|---|---|
| P1 | time in the mesh, capped | from when it was grafted to now; nothing to count |
| P2 | messages it brought first, and that were accepted | `first` |
| P3 | the square of what it should have brought while in the mesh, and did not | `mesh`, of `owed` |
| P3b | the same at the moments it was taken out of the mesh | `failures` |
| P4 | the square of the number of invalid messages | `invalid` |
| P5 | what the application says | `application` |
| P6 | the square of how many more than the threshold come from its address | `origin` |
| P7 | the square of its misbehaviour beyond the threshold | `behaviour` |

"The score is a real value"; here it is a whole number of thousandths of a point, and counters are whole millionths: the
core has no fractions whose last digit differs between machines. Counters decay in steps of `decay_every_ms`, when the
router's heartbeat says so, and a peer without counters costs nothing.

"The score is retained for some period of time when a peer disconnects": `retain_ms`, for the last `retained_max`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.gossipsub.seen import Sighting, Standing
from icn.protocol.libp2p.gossipsub.settings import ScoreSettings, TopicScoring

ONE = 1_000_000
"""A counter of one."""
NOTHING = ONE // 100
"""1.1, `DecayToZero`: "When the value drops below a threshold it is considered zero"."""


@dataclass(slots=True)
class _TopicRecord:
    """One peer in one topic. Counters are millionths."""

    grafted_at: int | None = None
    """Since when it is in the mesh."""
    first: int = 0
    mesh: int = 0
    owed: int = 0
    """Messages accepted in the topic while the peer was in the mesh long enough to be judged by them."""
    failures: int = 0
    invalid: int = 0

    def decay(self, scoring: TopicScoring) -> None:
        self.first = _decayed(self.first, scoring.first_deliveries_decay)
        self.mesh = _decayed(self.mesh, scoring.mesh_deliveries_decay)
        self.owed = _decayed(self.owed, scoring.mesh_deliveries_decay)
        self.failures = _decayed(self.failures, scoring.mesh_failure_decay)
        self.invalid = _decayed(self.invalid, scoring.invalid_decay)

    @property
    def is_active(self) -> bool:
        return bool(self.first or self.mesh or self.owed or self.failures or self.invalid)

    def is_judged(self, scoring: TopicScoring, now: int) -> bool:
        """`P₃`: "the time that the peer must have been in the mesh before the parameter applies"."""
        return self.grafted_at is not None and now - self.grafted_at > scoring.mesh_deliveries_activation_ms

    def deficit_squared(self, scoring: TopicScoring, now: int) -> int:
        """P3: "If the number is below the threshold, then the value of the parameter is the square of the deficit"."""
        if not self.is_judged(scoring, now):
            return 0
        due = min(scoring.mesh_deliveries_threshold * ONE, self.owed * scoring.mesh_deliveries_share // 1_000)
        return _square(max(0, due - self.mesh))

    def points(self, scoring: TopicScoring, now: int) -> int:
        """What the topic adds to the score, in thousandths."""
        in_mesh = counted = 0
        if self.grafted_at is not None:
            quanta, cap = (now - self.grafted_at) // scoring.time_in_mesh_quantum_ms, scoring.time_in_mesh_cap
            in_mesh = min(cap, quanta) * scoring.time_in_mesh_weight
        # Looked at for every message: mostly there is nothing bad to be counted.
        if self.first:
            counted = scoring.first_deliveries_weight * self.first
        if self.owed:
            counted += scoring.mesh_deliveries_weight * self.deficit_squared(scoring, now)
        if self.failures or self.invalid:
            counted += scoring.mesh_failure_weight * self.failures + scoring.invalid_weight * _square(self.invalid)
        return scoring.weight * (in_mesh + counted // ONE) // 1_000


@dataclass(slots=True)
class _PeerRecord:
    """One peer, connected or remembered."""

    origin: str = ""
    """Where it comes from, as far as peers of one origin are to be counted; empty: it is not counted."""
    topics: dict[str, _TopicRecord] = field(default_factory=dict)
    behaviour: int = 0
    application: int = 0
    gone_at: int | None = None

    @property
    def is_active(self) -> bool:
        return bool(self.behaviour) or any(record.is_active for record in self.topics.values())


class Scores:
    """The scores of all peers."""

    def __init__(self, settings: ScoreSettings) -> None:
        self._settings = settings
        self._peers: dict[PeerId, _PeerRecord] = {}
        self._gone: dict[PeerId, None] = {}
        """Who is remembered only, in the order in which they left."""
        self._origins: dict[str, int] = {}
        self._decayed_at: int | None = None
        """When the counters last sank, or began to be watched; None while all are zero."""
        self._any_active = False

    def arrive(self, peer: PeerId, origin: str, now: int) -> None:
        """A peer is here, perhaps again."""
        record = self._peers.get(peer)
        if record is None or (record.gone_at is not None and now - record.gone_at >= self._settings.retain_ms):
            record = self._peers[peer] = _PeerRecord()
        self._gone.pop(peer, None)
        record.gone_at = None
        self._move(record, origin)

    def leave(self, peer: PeerId, now: int) -> None:
        """It is gone; what is thought of it is remembered for a while."""
        record = self._peers.get(peer)
        if record is None or record.gone_at is not None:
            return
        for topic in record.topics:
            self.prune(peer, topic, now)
        self._move(record, "")
        record.gone_at = now
        self._gone[peer] = None
        while len(self._gone) > self._settings.retained_max:
            forgotten = next(iter(self._gone))
            del self._gone[forgotten], self._peers[forgotten]

    def of(self, peer: PeerId, now: int) -> int:
        """The score, in thousandths of a point; 0 of a stranger."""
        record = self._peers.get(peer)
        if record is None:
            return 0
        settings, topics = self._settings, 0
        for one in record.topics.values():
            topics += one.points(settings.topic, now)
        # "The `TopicCap` function allows the application to specify an optional cap to the contribution".
        score = min(settings.topics_cap, topics)
        score += settings.application_weight * record.application // 1_000
        if record.origin:
            surplus = self._origins[record.origin] - settings.colocation_threshold
            if surplus > 0:
                score += settings.colocation_weight * surplus * surplus
        excess = record.behaviour - settings.behaviour_threshold * ONE
        if excess > 0:
            score += settings.behaviour_weight * _square(excess) // ONE
        return score

    # What peers do.

    def graft(self, peer: PeerId, topic: str, now: int) -> None:
        """It is in the mesh now."""
        record = self._topic(peer, topic)
        if record is not None:
            record.grafted_at, record.mesh, record.owed = now, 0, 0

    def prune(self, peer: PeerId, topic: str, now: int) -> None:
        """It is in the mesh no more. P3b: "updated whenever the peer is pruned with an active deficit"."""
        known = self._peers.get(peer)
        record = known.topics.get(topic) if known else None
        if record is not None and record.grafted_at is not None:
            record.failures += record.deficit_squared(self._settings.topic, now)
            record.grafted_at = None

    def misbehave(self, peer: PeerId, times: int = 1) -> None:
        """P7: "explicitly incremented by the router on specific events"."""
        record = self._peers.get(peer)
        if record is not None and times:
            record.behaviour += times * ONE
            self._any_active = True

    def appraise(self, peer: PeerId, points: int) -> None:
        """P5: the application thinks so much of it, in thousandths."""
        record = self._peers.get(peer)
        if record is not None:
            record.application = points

    def accept(self, topic: str, bearers: Iterable[PeerId], mesh: Iterable[PeerId], now: int) -> None:
        """A message was accepted: its bearers have earned something, and the others in the mesh owe it."""
        scoring = self._settings.topic
        for place, bearer in enumerate(bearers):
            record = self._topic(bearer, topic)
            if place == 0 and record is not None:
                record.first = min(record.first + ONE, scoring.first_deliveries_cap * ONE)
            self._bring(bearer, topic)
        for peer in mesh:
            record = self._topic(peer, topic)
            if record is not None and record.is_judged(scoring, now):
                record.owed = min(record.owed + ONE, scoring.mesh_deliveries_cap * 2 * ONE)
                self._any_active = True

    def repeat(self, peer: PeerId, topic: str, sighting: Sighting, now: int) -> None:
        """A message that came before came from `peer` as well, for the first time."""
        if sighting.standing is Standing.REJECTED:
            self.invalid(peer, topic)
        elif (
            sighting.standing is Standing.ACCEPTED
            and now - sighting.judged_at <= self._settings.topic.mesh_deliveries_window_ms
        ):
            self._bring(peer, topic)

    def invalid(self, peer: PeerId, topic: str) -> None:
        """P4: "a counter that increments whenever a message fails validation"."""
        record = self._topic(peer, topic)
        if record is not None:
            record.invalid += ONE
            self._any_active = True

    # Time.

    @property
    def decays_at(self) -> int | None:
        """When `decay` has something to do; None while no counter is known to be above zero."""
        return None if self._decayed_at is None else self._decayed_at + self._settings.decay_every_ms

    def decay(self, now: int) -> None:
        """Let the counters sink, once per `decay_every_ms`."""
        settings = self._settings
        if self._decayed_at is None:
            self._decayed_at = now if self._any_active else None
            return
        if now - self._decayed_at < settings.decay_every_ms:
            return
        self._decayed_at = now
        self._any_active = False
        for record in self._peers.values():
            if record.is_active:
                record.behaviour = _decayed(record.behaviour, settings.behaviour_decay)
                for topic in record.topics.values():
                    topic.decay(settings.topic)
                self._any_active = self._any_active or record.is_active
        if not self._any_active:
            self._decayed_at = None

    def _topic(self, peer: PeerId, topic: str) -> _TopicRecord | None:
        """None of a peer that is forgotten. Topics are ours only: their number is not the peer's to choose."""
        record = self._peers.get(peer)
        return record.topics.setdefault(topic, _TopicRecord()) if record is not None else None

    def _bring(self, peer: PeerId, topic: str) -> None:
        """P3: "increments whenever a first or _near-first_ message delivery occurs … by a peer in the mesh"."""
        record = self._topic(peer, topic)
        if record is not None and record.grafted_at is not None:
            record.mesh = min(record.mesh + ONE, self._settings.topic.mesh_deliveries_cap * ONE)
        self._any_active = True

    def _move(self, record: _PeerRecord, origin: str) -> None:
        if record.origin:
            self._origins[record.origin] -= 1
            if not self._origins[record.origin]:
                del self._origins[record.origin]
        record.origin = origin
        if origin:
            self._origins[origin] = self._origins.get(origin, 0) + 1


def _decayed(counter: int, factor: int) -> int:
    sunk = counter * factor // ONE
    return sunk if sunk >= NOTHING else 0


def _square(counter: int) -> int:
    return counter * counter // ONE
