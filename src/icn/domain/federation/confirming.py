"""When the feed of a removed member is settled: what it keeps is confirmed then, and nothing more can be cut off it.

A vote to remove a member silences its author about that member, so that nothing is confirmed that a removal might not
accept. What the member signed shortly before would stay unconfirmed for ever, and mana it sent in transit. But a member
whose newest block has a removal behind it will count no other one: once that is so of all, all removals are known.
"""

from collections.abc import Callable, Iterable, Mapping

from icn.domain.federation.model import Removal
from icn.kernel.ids import Did

Seen = Callable[[Did], Mapping[Did, int] | None]
"""The clock of a member's newest block."""


def settled_count(removals: Iterable[Removal], voters: Iterable[Did], seen_by: Seen) -> int | None:
    """How many blocks of a removed member's feed count for good; None where that is open, or it was not removed.

    `removals`: those known. `voters`: the members, without the removed one.
    """
    known = tuple(removals)
    if not known:
        return None

    def has_heard(voter: Did) -> bool:
        clock = seen_by(voter) or {}
        return any(clock.get(one.by, 0) > one.sequence for one in known)

    return min(one.accepted for one in known) if all(has_heard(voter) for voter in voters) else None
