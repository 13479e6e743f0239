"""One accepted request, from `submit` until `done` was called, and the one race it must settle: being cancelled.

Cancelling kills the worker that is busy with the request. The lock makes sure that a worker is killed only while it is
busy with this request and no other, and that whoever frees the worker afterwards sees that it was killed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from icn.adapters.wasm.child import Child
from icn.adapters.wasm.ports import Done
from icn.domain.mesh.execution import ExecutionRequest


class OpenExecution:
    """Shared by the thread that executes it and whoever cancels it."""

    def __init__(self, request: ExecutionRequest, module: bytes, done: Done) -> None:
        self.request = request
        self.module = module
        self.done = done
        self._lock = threading.Lock()
        self._cancelled = False
        self._busy: list[Child] = []

    @property
    def cancelled(self) -> bool:
        """Whether somebody wants it to stop. Never becomes false again."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop it, guest included."""
        with self._lock:
            self._cancelled = True
            for child in self._busy:
                child.kill()

    @contextmanager
    def occupying(self, child: Child) -> Iterator[None]:
        """While inside, cancelling kills `child`; at once if it came before."""
        with self._lock:
            self._busy.append(child)
            if self._cancelled:
                child.kill()
        try:
            yield
        finally:
            with self._lock:
                self._busy.remove(child)
