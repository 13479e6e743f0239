"""One iterative search: ask who is close, hear of closer ones, ask those, until nobody closer is heard of.

| a peer is | leaves for |
|---|---|
| HEARD of | ASKED, when it is among the closest and fewer than `alpha` requests are under way |
| ASKED | ANSWERED, or FAILED (an error; being late is one) |
| FAILED | HEARD, a few times, when somebody tells of it at other addresses |

"The lookup terminates when the initiator has queried and gotten responses from the k closest nodes it has seen." It
also ends when nobody is left to ask, when the time is over, and, where a certain peer is wanted, as soon as that one
itself has answered: it is the closest to its own id, so it is asked once somebody tells of it.

Whoever answers may lie: invented peers cost a request each that fails, `asked_max` and the time bound that, and only
those who answered are the result. Where a wanted peer does not answer (it may serve nobody), what was told of it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.kademlia.keyspace import place, place_of
from icn.protocol.libp2p.kademlia.messages import PeerInfo
from icn.protocol.libp2p.kademlia.settings import ADDRESSES_PER_PEER_MAX, KademliaSettings

TRIES_MAX = 3
"""Of one peer, at different addresses."""


class _Stage(Enum):
    HEARD = auto()
    ASKED = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Candidate:
    info: PeerInfo
    distance: int
    stage: _Stage = _Stage.HEARD
    tries: int = 0

    def may_be_tried_at(self, told: PeerInfo) -> bool:
        """Whether it failed, and is told of at an address it was not tried at."""
        elsewhere = set(told.addresses) - set(self.info.addresses)
        return self.stage is _Stage.FAILED and self.tries < TRIES_MAX and bool(elsewhere)


class Lookup:
    """A search for the peers closest to `target`, a binary peer id."""

    def __init__(
        self, target: bytes, seeds: Iterable[PeerInfo], *, ours: PeerId, settings: KademliaSettings, now: int
    ) -> None:
        self.target = target
        self._place = place(target)
        self._ours = ours
        self._settings = settings
        self._ends_at = now + settings.lookup_ms_max
        self._candidates: dict[PeerId, _Candidate] = {}
        self._over = False
        self._asked = 0
        self._hear(seeds)

    def due(self, now: int) -> list[PeerInfo]:
        """Whom to ask now. They count as asked; `answered` or `failed` follows for each."""
        if self.is_done(now):
            return []
        free = min(self._settings.alpha - len(self._in(_Stage.ASKED)), self._settings.asked_max - self._asked)
        heard = [one for one in self._closest() if one.stage is _Stage.HEARD][: max(0, free)]
        for candidate in heard:
            candidate.stage = _Stage.ASKED
            candidate.tries += 1
            self._asked += 1
        return [candidate.info for candidate in heard]

    def answered(self, peer: PeerId, closer: Iterable[PeerInfo]) -> None:
        """`peer` told of others."""
        candidate = self._candidates.get(peer)
        if candidate is not None and candidate.stage is _Stage.ASKED:
            candidate.stage = _Stage.ANSWERED
            self._hear(closer)

    def failed(self, peer: PeerId) -> None:
        """`peer` did not answer."""
        candidate = self._candidates.get(peer)
        if candidate is not None and candidate.stage is _Stage.ASKED:
            candidate.stage = _Stage.FAILED

    def is_done(self, now: int) -> bool:
        """Whether there is nothing more to ask or wait for."""
        if not self._over:
            stages = {one.stage for one in self._closest()}
            may_ask = self._asked < self._settings.asked_max
            unfinished = _Stage.ASKED in stages or (may_ask and _Stage.HEARD in stages)
            found = any(one.info.peer.multihash == self.target for one in self._in(_Stage.ANSWERED))
            self._over = found or now >= self._ends_at or not unfinished
        return self._over

    def result(self) -> list[PeerInfo]:
        """The closest that answered, the closest first."""
        return [one.info for one in self._closest() if one.stage is _Stage.ANSWERED]

    def wanted(self) -> PeerInfo | None:
        """The peer whose id the target is: as it answered, else as others tell of it."""
        for candidate in self._candidates.values():
            if candidate.info.peer.multihash == self.target:
                return candidate.info
        return None

    def _in(self, stage: _Stage) -> list[_Candidate]:
        return [one for one in self._candidates.values() if one.stage is stage]

    def _closest(self) -> list[_Candidate]:
        """The `k` closest that have not failed."""
        alive = [one for one in self._candidates.values() if one.stage is not _Stage.FAILED]
        return sorted(alive, key=lambda one: one.distance)[: self._settings.bucket_peers_max]

    def _hear(self, infos: Iterable[PeerInfo]) -> None:
        for info in infos:
            if info.peer == self._ours or not info.addresses:
                continue
            known = self._candidates.get(info.peer)
            if known is None:
                self._candidates[info.peer] = _Candidate(info, place_of(info.peer) ^ self._place)
            elif known.stage is _Stage.HEARD:
                both = dict.fromkeys((*known.info.addresses, *info.addresses))
                known.info = PeerInfo(info.peer, tuple(both)[:ADDRESSES_PER_PEER_MAX])
            elif known.may_be_tried_at(info):
                known.info, known.stage = info, _Stage.HEARD
        self._forget_the_farthest()

    def _forget_the_farthest(self) -> None:
        heard = self._in(_Stage.HEARD)
        surplus = len(self._candidates) - self._settings.heard_max
        for candidate in sorted(heard, key=lambda one: -one.distance)[: max(0, surplus)]:
            del self._candidates[candidate.info.peer]
