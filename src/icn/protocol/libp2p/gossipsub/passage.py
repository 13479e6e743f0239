"""A message on its way through this router.

| it | then |
|---|---|
| is of a topic that is not ours, or by ourselves | ignored |
| was seen before | counted, and noted with who else brought it |
| is not well-formed, or its signature is not the author's | refused; P4 of who brought it |
| is new, and too many are being validated | dropped; it may come again |
| is new | `Deliver`; it waits for the verdict |
| accepted | to the cache, and on to the mesh, except to its author and to those who brought it |
| ignored, or without a verdict for `validating_ms_max` | nothing; it stays in the seen cache |
| rejected | P4 of everybody who brought it, or brings it later |
"""

from dataclasses import dataclass, field

from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.gossipsub import signing
from icn.protocol.libp2p.gossipsub.effects import Deliver
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.lazy import LazyGossip
from icn.protocol.libp2p.gossipsub.message_cache import MessageCache
from icn.protocol.libp2p.gossipsub.outgoing import Outgoing
from icn.protocol.libp2p.gossipsub.scoring import Scores
from icn.protocol.libp2p.gossipsub.seen import SeenCache, Standing
from icn.protocol.libp2p.gossipsub.settings import GossipSettings

_STANDING = {
    Verdict.ACCEPT: Standing.ACCEPTED,
    Verdict.IGNORE: Standing.IGNORED,
    Verdict.REJECT: Standing.REJECTED,
}


@dataclass(slots=True)
class Figures:
    """What has happened since the start."""

    published: int = 0
    delivered: int = 0
    """Messages of others that were given to the application."""
    duplicates: int = 0
    malformed: int = 0
    """Messages that are none, or whose signature is not their author's."""
    crowded: int = 0
    """Messages dropped because too many were being validated."""
    graylisted: int = 0
    """RPCs of peers below the graylist threshold."""
    verdicts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))


Mesh = dict[str, dict[PeerId, None]]


class Passage:
    """What was seen, what is being validated, what can be asked for."""

    def __init__(
        self,
        settings: GossipSettings,
        payload_bytes_max: int,
        *,
        ours: PeerId,
        mesh: Mesh,
        cache: MessageCache,
        lazy: LazyGossip,
        scores: Scores,
        out: Outgoing,
    ) -> None:
        """`mesh` is the overlay's."""
        self._settings = settings
        self._payload_bytes_max = payload_bytes_max
        self._ours = ours
        self._mesh = mesh
        self._cache = cache
        self._lazy = lazy
        self._scores = scores
        self._out = out
        self._seen = SeenCache(settings.seen_ttl_ms, settings.seen_max)
        self._validating: dict[bytes, tuple[int, signing.Publication]] = {}
        """By id, with when it was delivered; the oldest first."""
        self._validating_bytes = 0
        self.figures = Figures()

    def has_seen(self, message: bytes, now: int) -> bool:
        """Whether it need not be asked for."""
        return self._seen.get(message, now) is not None

    def begin(self, publication: signing.Publication, now: int) -> None:
        """A message of ours goes out."""
        self.figures.published += 1
        self._seen.add(publication.id, Standing.ACCEPTED, now)
        self._cache.put(publication.id, publication.topic, publication.raw)

    def take(self, bearer: PeerId, raw: bytes, now: int) -> Deliver | None:
        """A message that a peer brought; what the application is to judge."""
        try:
            publication = signing.read(raw)
        except (Invalid, PeerViolation):
            # Nobody can say of which topic it is; it counts as if it were of one of ours.
            self._refuse(bearer, next(iter(self._mesh), None))
            return None
        message, topic = publication.id, publication.topic
        # 1.0: "if the router receives a message that it published itself, it will not forward it further".
        if topic not in self._mesh or publication.author == self._ours:
            return None
        sighting = self._seen.get(message, now)
        if sighting is not None:
            self.figures.duplicates += 1
            if sighting.bear(bearer):
                self._scores.repeat(bearer, topic, sighting, now)
            return None
        try:
            signing.check_signature(publication)
        except PeerViolation:
            self._refuse(bearer, topic)
            return None
        if len(publication.data) > self._payload_bytes_max:
            self._refuse(bearer, topic)
            return None
        self._lazy.arrived(message)
        if (
            len(self._validating) >= self._settings.validating_max
            or self._validating_bytes + len(raw) > self._settings.validating_bytes_max
        ):
            self.figures.crowded += 1
            return None
        self._validating[message] = (now, publication)
        self._validating_bytes += len(raw)
        self._seen.add(message, Standing.VALIDATING, now).bear(bearer)
        self.figures.delivered += 1
        return Deliver(message, publication.author, bearer, topic, publication.data)

    def judge(self, message: bytes, verdict: Verdict, now: int) -> None:
        """The application's verdict. One on a message that does not wait for it changes nothing."""
        if message not in self._validating:
            return
        _, publication = self._validating.pop(message)
        self._validating_bytes -= len(publication.raw)
        self.figures.verdicts[verdict] += 1
        topic, sighting = publication.topic, self._seen.get(message, now)
        bearers = sighting.bearers if sighting is not None else {}
        if sighting is not None:
            sighting.standing, sighting.judged_at = _STANDING[verdict], now
        if verdict is Verdict.REJECT:
            for bearer in bearers:
                self._scores.invalid(bearer, topic)
        if verdict is not Verdict.ACCEPT:
            return
        mesh = self._mesh.get(topic, {})
        self._cache.put(message, topic, publication.raw)
        self._scores.accept(topic, bearers, mesh, now)
        for peer in mesh:
            # 1.0: "never forwards a message back to the source or the peer that forwarded the message".
            if peer != publication.author and peer not in bearers:
                self._out.message(peer, publication.raw)

    def give_up(self, now: int) -> None:
        """Who asked for a verdict too long ago gets none: the application has lost it."""
        patience = self._settings.validating_ms_max
        late = [message for message, (since, _) in self._validating.items() if now - since >= patience]
        for message in late:
            self.judge(message, Verdict.IGNORE, now)

    def _refuse(self, bearer: PeerId, topic: str | None) -> None:
        self.figures.malformed += 1
        if topic is not None:
            self._scores.invalid(bearer, topic)
