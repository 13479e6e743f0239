"""Looks at the machine and tells the engine when it should take no jobs, or may take others again.

What is short stays short until there is clearly more, so that bids do not go on and off.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from icn.services.inputs import Conditions, Strain

log = structlog.get_logger("icn.node")

LOOK_EVERY_SECS = 1.0
TOLD_EVERY_LOOKS = 30
"""Also when nothing has changed: an engine that began anew knows nothing."""


@dataclass(frozen=True, slots=True)
class SheddingLimits:
    """From where on this node takes no jobs."""

    queue_inputs: int
    """That many wait for the writer."""
    disk_bytes: int
    """Less is free beside the store; 0: never mind."""
    memory_bytes: int
    """Less is available; 0: never mind."""


class ConditionsWatch:
    """Owns what was told last."""

    def __init__(
        self,
        *,
        tell: Callable[[Conditions], bool],
        places: Callable[[], int],
        queue_depth: Callable[[], int],
        disk_free: Callable[[], int | None],
        memory_free: Callable[[], int | None],
        limits: SheddingLimits,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`tell` says whether the engine will hear of it; the others may be asked from any thread."""
        self._tell = tell
        self._places = places
        self._queue_depth = queue_depth
        self._disk_free = disk_free
        self._memory_free = memory_free
        self._limits = limits
        self._pause = pause
        self._strain: Strain | None = None

    async def live(self) -> None:
        """Until it is cancelled."""
        told: Conditions | None = None
        looks = 0
        while True:
            seen = await asyncio.to_thread(self.look)  # a disk may be somewhere in the network
            if (seen != told or looks % TOLD_EVERY_LOOKS == 0) and self._tell(seen):
                if seen.strain is not (told.strain if told is not None else None):
                    log.warning("jobs", taken=seen.strain is None, short_of=seen.strain and seen.strain.value)
                told = seen
            looks += 1
            await self._pause(LOOK_EVERY_SECS)

    def look(self) -> Conditions:
        """How it is now."""
        self._strain = next((strain for strain in Strain if self._is_short_of(strain)), None)
        return Conditions(self._places(), self._strain)

    def _is_short_of(self, strain: Strain) -> bool:
        limits, was_short = self._limits, self._strain is strain
        match strain:
            case Strain.QUEUE:
                return self._queue_depth() >= (limits.queue_inputs // 2 if was_short else limits.queue_inputs)
            case Strain.DISK:
                return _is_below(self._disk_free(), limits.disk_bytes, was_short=was_short)
            case Strain.MEMORY:
                return _is_below(self._memory_free(), limits.memory_bytes, was_short=was_short)


def _is_below(free: int | None, least: int, *, was_short: bool) -> bool:
    return free is not None and free < (least + least // 4 if was_short else least)
