"""Virtual time: what is to happen, in order of time and then of being planned."""

import heapq
from collections.abc import Callable
from typing import Any

MS = 1_000
SECOND = 1_000 * MS


class Timeline:
    """The event queue. Times are whole microseconds since the run began."""

    def __init__(self) -> None:
        self.now_us = 0
        self.steps = 0
        self._planned: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def now(self) -> int:
        """The present, in microseconds."""
        return self.now_us

    def plan(self, after_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """Have `action` happen `after_us` from now; what is planned first for one moment happens first."""
        self._count += 1
        heapq.heappush(self._planned, (self.now_us + max(0, after_us), self._count, action, arguments))

    def run_until(self, end_us: int) -> None:
        """Let everything planned up to `end_us` happen."""
        while self._planned and self._planned[0][0] <= end_us:
            self.now_us, _, action, arguments = heapq.heappop(self._planned)
            self.steps += 1
            action(*arguments)
        self.now_us = end_us
