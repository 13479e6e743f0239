"""What leaves the node: a batch's effects, once the head mark they need is durable (semantics §2).

The mark is synced by a thread of its own, so that the writer commits the next batch meanwhile; what waits is let go in
order, and one write of the newest mark serves all of it. Answers to callers do not come this way: they need the commit
only. Where nothing waits and no mark is due, effects leave at once.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from icn.kernel.errors import Fault
from icn.services.effects import Effect
from icn.services.ports import HeadMark, HeadMarker

BATCHES_WAITING_MAX = 64
"""Batches whose effects wait for the disk; then the writer waits as well."""


@dataclass(frozen=True, slots=True)
class MayLeave:
    """Effects of a batch, to be carried out in order."""

    effects: list[Effect]


class Departures:
    """One thread, begun with the first mark. `put`, `drain` and `close` are called by the writer's."""

    def __init__(self, marker: HeadMarker, leave: Callable[[MayLeave], object]) -> None:
        """`leave` is called on either thread, never on both at once."""
        self._marker = marker
        self._leave = leave
        self._waiting: deque[tuple[HeadMark | None, MayLeave]] = deque()  # bounded: BATCHES_WAITING_MAX, in put()
        self._changed = threading.Condition()
        self._is_busy = False
        self._is_over = False
        self._fault: Fault | None = None
        self._thread: threading.Thread | None = None

    def put(self, mark: HeadMark | None, leaving: MayLeave) -> None:
        """Let `leaving` go after everything before it and after `mark`. Raises what befell an earlier mark."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < BATCHES_WAITING_MAX or self._fault is not None)
            self._check()
            if mark is None and not self._waiting and not self._is_busy:
                self._leave(leaving)
                return
            self._waiting.append((mark, leaving))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="icn-head-mark", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until all has left. Raises what befell a mark."""
        with self._changed:
            self._changed.wait_for(lambda: (not self._waiting and not self._is_busy) or self._fault is not None)
            self._check()

    def close(self) -> None:
        """Let what waits go, then end the thread. What a mark kept back stays here."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._is_over)
                if not self._waiting:
                    return
                taken = list(self._waiting)
                self._waiting.clear()
                self._is_busy = True
                self._changed.notify_all()
            mark = next((mark for mark, _ in reversed(taken) if mark is not None), None)
            try:
                if mark is not None:
                    self._marker.write(mark)
            except Fault as fault:
                with self._changed:
                    self._fault = fault
                    self._changed.notify_all()
                return
            for _, leaving in taken:
                self._leave(leaving)
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
