"""The scan of the store as a task: reads slices on a thread, at a bounded rate, and tells the engine what it found.

What is read and judged is `services.scan`'s; here is only when. The position is stored every `TOLD_EVERY_SECS`, with
every finding and at the end, so a restart repeats that much at most. A scan that cannot go on (the engine is
overloaded, the store unavailable) waits and goes on where it was.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import structlog

from icn.kernel.errors import Fault, Refusal
from icn.kernel.instant import later, seconds
from icn.kernel.limits import MIB
from icn.services.answers import Answer, Refused
from icn.services.commands import NodeCommand, NoteScan
from icn.services.ports import Clock
from icn.services.scan import ScanPosition, ScanSlice, load_position, scan, write_position
from icn.stores.kv import Snapshot

log = structlog.get_logger("icn.node")

Result = TypeVar("Result")

SLICE_BYTES = 4 * MIB
TOLD_EVERY_SECS = 10.0
RETRY_SECS = 5.0
IDLE_SECS_MAX = 60.0
"""Between two looks at the clock while no scan is due."""


class Scanner:
    """Scans the store again and again."""

    def __init__(
        self,
        *,
        snapshot: Callable[[], Snapshot],
        record: Callable[[NodeCommand], Awaitable[Answer]],
        clock: Clock,
        every_secs: int,
        bytes_per_second: int,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`every_secs`: from the end of one scan to the begin of the next; 0: never. `pause` takes seconds."""
        self._snapshot = snapshot
        self._record = record
        self._clock = clock
        self._every = seconds(every_secs)
        self._rate = bytes_per_second
        self._pause = pause
        self._reading: asyncio.Future[Any] | None = None

    async def live(self) -> None:
        """Until it is cancelled."""
        if not self._every:
            return
        while True:
            try:
                await self._scan_when_due()
            except (Fault, Refusal) as error:
                log.warning("scan waits", error=str(error))
                await self._pause(RETRY_SECS)

    async def stop(self) -> None:
        """Wait for the slice that is being read: its snapshot must be closed before the store."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _scan_when_due(self) -> None:
        position = await self._aside(self._load)
        now = self._clock.now()
        # One that ended in the future says that the clock was set back since, and nothing of when the next is due.
        if position.begun_at is None and position.finished_at is not None and position.finished_at <= now:
            wait = (later(position.finished_at, self._every) - now) / 1000
            if wait > 0:
                await self._pause(min(wait, IDLE_SECS_MAX))
                return
        untold = 0.0
        while True:
            found = await self._aside(partial(self._read, position))
            position = found.position
            pause = found.size / self._rate
            untold += pause
            ended = position.begun_at is None
            if found.damaged or ended or untold >= TOLD_EVERY_SECS:
                await self._tell(found)
                untold = 0.0
            if ended:
                log.info(
                    "store scanned",
                    blocks=position.last_blocks,
                    bytes=position.last_size,
                    damaged=position.last_damaged,
                )
                return
            await self._pause(pause)

    async def _tell(self, found: ScanSlice) -> None:
        told = NoteScan(write_position(found.position), found.damaged)
        while isinstance(answer := await self._record(told), Refused):
            log.warning("scan waits", error=answer.message)
            await self._pause(RETRY_SECS)

    def _load(self) -> ScanPosition:
        snapshot = self._snapshot()
        try:
            return load_position(snapshot)
        finally:
            snapshot.close()

    def _read(self, position: ScanPosition) -> ScanSlice:
        snapshot = self._snapshot()
        try:
            return scan(snapshot, position, bytes_max=SLICE_BYTES, now=self._clock.now())
        finally:
            snapshot.close()

    async def _aside(self, read: Callable[[], Result]) -> Result:
        """`read` on a thread. It is waited for by `stop` when this task is cancelled."""
        reading = asyncio.ensure_future(asyncio.to_thread(read))
        self._reading = reading
        return await asyncio.shield(reading)
