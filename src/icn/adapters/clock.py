"""The wall clock of this machine, as the core wants it: whole milliseconds that never run backwards.

The operating system's clock may be set back while we run. A node that dates its second block before its first looks
dishonest, so `now` does not follow: it goes on at half speed until real time has caught up. Nor does it stand still,
for all that a node does of its own accord waits for a moment to come. Across restarts the journal guards the order, not
this module.
"""

import threading
import time
from collections.abc import Callable

from icn.kernel.instant import Instant

_NS_PER_MS = 1_000_000


def monotonic_ms() -> int:
    """Milliseconds since some moment: for how long things take, whatever happens to the wall clock."""
    return time.monotonic_ns() // _NS_PER_MS


class SystemClock:
    """Satisfies the services' `Clock`. From any thread."""

    def __init__(
        self, read_ns: Callable[[], int] = time.time_ns, elapsed_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """`read_ns` tells the time and may be set; `elapsed_ns` never is."""
        self._read_ns = read_ns
        self._elapsed_ns = elapsed_ns
        self._newest_ns = 0
        self._looked_ns = elapsed_ns()
        self._reading = threading.Lock()

    def now(self) -> Instant:
        """The present moment, never earlier than one given before."""
        with self._reading:
            elapsed_ns = self._elapsed_ns()
            passed_ns, self._looked_ns = elapsed_ns - self._looked_ns, elapsed_ns
            self._newest_ns = max(self._read_ns(), self._newest_ns + passed_ns // 2)
            return Instant(self._newest_ns // _NS_PER_MS)
