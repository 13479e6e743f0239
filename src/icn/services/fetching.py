"""One fetch under way: what came, from whom, and who is asked next.

Parts of one block may come from several sources, one going on where another stopped: content has one name, so they fit
together when everybody is honest. When they do not, nobody can say who of them it was; then each is asked for the
whole, alone, and a wrong one shows itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB
from icn.services.work import UnitOfWork

PARTS_KEPT_BYTES_MAX = 16 * MIB
"""Of fetches that ended before they were complete; the oldest go first."""

Waiter = Callable[[UnitOfWork, bool], None]
"""Told whether the content is here now."""


@dataclass(slots=True)
class Part:
    """The beginning of a block."""

    data: bytearray = field(default_factory=bytearray)
    total: int | None = None
    """How long the whole is, by those who brought it."""
    brought_by: dict[Did, None] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return len(self.data) == self.total


@dataclass(slots=True)
class Fetching:
    """See the module's docstring."""

    sources: list[Did]
    """Not asked yet."""
    waiters: list[Waiter]
    part: Part = field(default_factory=Part)
    current: Did | None = None
    asked: dict[Did, None] = field(default_factory=dict)
    heard_at: Instant = Instant(0)
    doubters: dict[Did, None] = field(default_factory=dict)
    """Who did not have the rest of what others had begun: perhaps it has the block, and the beginning is wrong."""
    is_alone: bool = False
    """Parts did not fit together: every source begins from the beginning."""
    is_paused: bool = False
    """As much as may be in memory is being fetched; this one goes on when another has ended."""

    def next_source(self) -> Did | None:
        """Whom to ask now; None when nobody is left."""
        if not self.sources and self.doubters and not self.is_alone:
            self.start_over()
        if not self.sources:
            return None
        self.current = self.sources.pop(0)
        self.asked[self.current] = None
        if self.is_alone:
            self.part = Part()
        return self.current

    def has_none(self) -> None:
        """The source that was asked does not have it, or not from there on."""
        if self.current is not None and self.part.data:
            self.doubters[self.current] = None

    def start_over(self) -> None:
        """What came may be wrong, and nobody knows by whom: ask again, each alone, who doubts it and who brought it."""
        self.sources = list(dict.fromkeys((*self.doubters, *self.part.brought_by, *self.sources)))
        self.is_alone = True
        self.part = Part()


@dataclass(slots=True)
class KeptParts:
    """Beginnings of blocks that could not be completed yet: the next fetch goes on from there."""

    _parts: dict[Cid, Part] = field(default_factory=dict)

    def keep(self, cid: Cid, part: Part) -> None:
        """For the next time."""
        self._parts.pop(cid, None)
        self._parts[cid] = part
        while sum(len(kept.data) for kept in self._parts.values()) > PARTS_KEPT_BYTES_MAX:
            del self._parts[next(iter(self._parts))]

    def take(self, cid: Cid) -> Part:
        """What was kept; an empty part where nothing was."""
        return self._parts.pop(cid, None) or Part()
