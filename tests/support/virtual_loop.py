"""An event loop whose time jumps: a coroutine that waits an hour is back at once, and the same every time.

When nothing is ready to run, the clock moves to the next timer instead of waiting for it. For code that only waits for
timers and for itself; a loop with nothing to wait for would stand still, which is an error here.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise AssertionError("everything waits, and for nothing that will come")
        self.now += max(timeout, 1e-6)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's docstring."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def now_ms(self) -> int:
        """Milliseconds since it was made."""
        return round(self._clock.now * 1000)


async def pass_time(seconds: float) -> None:
    """Let so much virtual time pass."""
    if not isinstance(asyncio.get_running_loop(), VirtualLoop):
        raise TypeError("time passes by itself on a real loop")
    await asyncio.sleep(seconds)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
