"""One line on standard error that says how far something long has come; for people, so only on a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from icn.cli.world import World, visible

SILENT_SECONDS = 1.0
"""What is done by then needs no telling."""
BETWEEN_SECONDS = 0.2


class Progress:
    """Rewrites its line now and then. Where standard output is no terminal it says nothing."""

    def __init__(self, world: World, clock: Callable[[], float] = time.monotonic) -> None:
        self._world = world
        self._clock = clock
        self._next = clock() + SILENT_SECONDS
        self._shown = 0

    def tell(self, text: str) -> None:
        """How far it is. May be called as often as one likes."""
        now = self._clock()
        if not self._world.draws or now < self._next:
            return
        self._next = now + BETWEEN_SECONDS
        line = visible(text)
        self._write(line + " " * max(0, self._shown - len(line)))
        self._shown = len(line)

    def clear(self) -> None:
        """Take the line away, for what comes next."""
        if self._shown:
            self._write(" " * self._shown + "\r")
            self._shown = 0

    def _write(self, line: str) -> None:
        self._world.stderr.write(f"\r{line}".encode(errors="backslashreplace"))
        self._world.stderr.flush()


@contextmanager
def progress(world: World) -> Iterator[Progress]:
    """Such a line, gone at the end."""
    line = Progress(world)
    try:
        yield line
    finally:
        line.clear()
