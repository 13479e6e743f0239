"""Announcements that wait for a free place: bounded, by arrival, and in turn between homes.

A home with many jobs gets no more than its turn, and cannot fill the list. Nobody is overtaken by what needs less: who
waits for much memory would wait for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.protocol.messages import JobAnnounced
from icn.services.capacity import BidKey

WAITING_MAX = 1024
WAITING_PER_HOME_MAX = 64


@dataclass(frozen=True, slots=True)
class Waits:
    """Who waits, since when."""

    home: Did
    message: JobAnnounced
    since: Instant


@dataclass(slots=True)
class WaitingList:
    """Homes in the order of their turns, each with its announcements in the order they came."""

    _homes: dict[Did, dict[BidKey, Waits]] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(waiting) for waiting in self._homes.values())

    def __contains__(self, key: BidKey) -> bool:
        """Whether this announcement waits."""
        return key in self._homes.get(key[0], {})

    def add(self, home: Did, message: JobAnnounced, now: Instant) -> bool:
        """Have it wait; one that waits already keeps its place in the order. False: there is no room."""
        key = (home, message.job, message.attempt)
        waiting = self._homes.get(home, {})
        if key not in waiting and (len(waiting) >= WAITING_PER_HOME_MAX or len(self) >= WAITING_MAX):
            return False
        since = waiting[key].since if key in waiting else now
        self._homes.setdefault(home, waiting)[key] = Waits(home, message, since)
        return True

    def first(self) -> Waits | None:
        """Whose turn it is."""
        return next((next(iter(waiting.values())) for waiting in self._homes.values()), None)

    def has_others(self, home: Did) -> bool:
        """Whether another home than this one waits."""
        return any(other != home for other in self._homes)

    def serve(self) -> None:
        """Who had the turn has got what it waited for: its home goes to the end."""
        home = next(iter(self._homes))
        waiting = self._homes.pop(home)
        del waiting[next(iter(waiting))]
        if waiting:
            self._homes[home] = waiting

    def remove(self, home: Did, is_over: Callable[[JobAnnounced], bool]) -> None:
        """Take out what waits in vain of one home's."""
        waiting = self._homes.get(home, {})
        for key in [key for key, waits in waiting.items() if is_over(waits.message)]:
            del waiting[key]
        if not waiting:
            self._homes.pop(home, None)

    def remove_home(self, home: Did) -> None:
        """It is gone, and will announce again."""
        self._homes.pop(home, None)

    def clear(self) -> None:
        """As at a start."""
        self._homes.clear()
