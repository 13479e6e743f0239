"""The wall clock of this machine, as the core wants it: whole milliseconds that never run backwards.

The operating system's clock may be set back while we run; then `now` stands still until real time has caught up, since
a node that dates its second block before its first looks dishonest. Across restarts the journal guards the order, not
this module.
"""

import threading
import time
from collections.abc import Callable

from icn.kernel.instant import Instant


def monotonic_ms() -> int:
    """Milliseconds since some moment: for how long things take, whatever happens to the wall clock."""
    return time.monotonic_ns() // 1_000_000


class SystemClock:
    """Satisfies the services' `Clock`. From any thread."""

    def __init__(self, read_ns: Callable[[], int] = time.time_ns) -> None:
        self._read_ns = read_ns
        self._newest = 0
        self._reading = threading.Lock()

    def now(self) -> Instant:
        """The present moment, never earlier than one given before."""
        with self._reading:
            self._newest = max(self._newest, self._read_ns() // 1_000_000)
            return Instant(self._newest)
