"""A runner's right to run guests, for so long as its bridge hears from it.

The bridge says that an execution is lost only when its guest cannot compute any more, also where the machine cannot be
reached. So a runner ends itself when it has heard nothing for `LEASE_S`; and the bridge, counting from the newest
answer that it got, waits a little longer than that.

It holds because a ping proves that the answer to the one before arrived: the lease runs from when that answer was
given, which was before the bridge began to count. Neither clock is compared with the other.
"""


class Lease:
    """A runner's end. Times are of its own clock, which goes on while the machine is suspended, in seconds."""

    def __init__(self, now: float, seconds: float) -> None:
        """An answer is about to be given, to the call that made this."""
        self._seconds = seconds
        self._answered = now
        self.until = now + seconds
        """When nothing may run any more."""

    def pinged(self, now: float) -> None:
        """A ping has come, and is answered now: its sender has the answer to the one before."""
        self.until = max(self.until, self._answered + self._seconds)
        self._answered = now

    def is_over(self, now: float) -> bool:
        """Whether guests must have ended."""
        return now >= self.until
