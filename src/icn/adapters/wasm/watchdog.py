"""Interrupts a guest at its deadline: one thread that raises the engine's epoch once.

A thread that ticks would wake for nothing and drift; this one sleeps until the deadline it was given. Arming and
disarming take the lock under which it interrupts, so that a late interruption cannot hit the next guest.
"""

import threading
import time

from wasmtime import Engine


class Watchdog:
    """One per worker. Until it is started nothing is interrupted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._deadline: float | None = None

    def start(self) -> None:
        """Start the thread, once, before the worker may no longer start threads."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def arm(self, wall_ms: int) -> None:
        """Interrupt in `wall_ms` milliseconds."""
        with self._changed:
            self._deadline = time.monotonic() + wall_ms / 1000
            self._changed.notify()

    def disarm(self) -> None:
        """Do not interrupt any more."""
        with self._changed:
            self._deadline = None

    def _watch(self) -> None:
        with self._changed:
            while True:
                if self._deadline is None:
                    self._changed.wait()
                elif (left := self._deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._deadline = None
                    self._engine.increment_epoch()
