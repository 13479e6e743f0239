"""Who may stay when all places for peers are taken.

Places are for peers, whoever dialled. At `peers_max` a newcomer makes the least valuable ones go, down to `peers_low`,
so that the next newcomers find room. Not let go are

- peers that are wanted: those somebody answers for (bootstrap and the like) and members of the federation,
- peers whose streams or messages are under way,
- peers that came a moment ago: they could not show their worth yet.

When nobody can go the newcomer does; but one that is wanted takes the place of the least valuable that is not. Being
busy protects for `busy_ms_max` only: a peer that never reads what is sent to it would keep its place for ever.

The order is the same on every node that sees the same: peers that speak none of our protocols first, then those that
gossip badly, then those that came to us, then the youngest, then by peer id. So who floods us with new connections
pushes out its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from icn.adapters.network.settings import NetworkSettings
from icn.kernel.ids import PeerId


@dataclass(frozen=True, slots=True)
class Standing:
    """What a connected peer is worth."""

    peer: PeerId
    since_ms: int
    is_wanted: bool
    is_busy: bool
    speaks_ours: bool
    """Or has not said yet what it speaks."""
    score: int
    """Of its gossip; 0 where it does none."""
    dialled: bool


@dataclass(frozen=True, slots=True)
class Room:
    """What is to be done for a newcomer."""

    leaving: tuple[PeerId, ...]
    admitted: bool


def room_for(standings: Sequence[Standing], *, newcomer_is_wanted: bool, now: int, settings: NetworkSettings) -> Room:
    """Who goes for a newcomer, and whether it may stay."""
    if len(standings) < settings.peers_max:
        return Room((), admitted=True)
    dispensable = sorted((one for one in standings if not one.is_wanted), key=_worth)
    free = [one for one in dispensable if not one.is_busy and now - one.since_ms >= settings.grace_ms]
    if not free:
        old = [one for one in dispensable if newcomer_is_wanted or now - one.since_ms >= settings.busy_ms_max]
        free = old[:1]
    surplus = len(standings) + 1 - max(1, min(settings.peers_low, settings.peers_max))
    leaving = tuple(one.peer for one in free[:surplus])
    return Room(leaving, admitted=bool(leaving))


def _worth(one: Standing) -> tuple[bool, int, bool, int, PeerId]:
    return one.speaks_ours, min(0, one.score), one.dialled, -one.since_ms, one.peer
