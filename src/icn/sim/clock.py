"""A node's clock and its entropy, made of virtual time and the seed."""

from collections.abc import Callable
from random import Random

from icn.kernel.instant import Instant

EPOCH_MS = 1_700_000_000_000
"""What an exact clock shows when a run begins."""
_PPM = 1_000_000


class SkewedClock:
    """Off by an offset, running fast or slow, set now and then. Satisfies the services' `Clock`.

    Never backwards within a process: set back, it goes on at half speed until time has caught up, as the adapter's
    does. Integers throughout, so that the same seed gives the same instants on every machine.
    """

    def __init__(self, now_us: Callable[[], int], *, offset_ms: int, drift_ppm: int) -> None:
        self._now_us = now_us
        self._zero_ms = EPOCH_MS + offset_ms
        self._zero_set_ms = self._zero_ms
        self._rate = _PPM + drift_ppm
        self._looked_us = now_us()
        self._newest = 0
        """In halves of a microsecond, so that half of any time is a whole number of them."""

    def now(self) -> Instant:
        """The local time."""
        looked_us, self._looked_us = self._looked_us, self._now_us()
        shown_us = self._zero_ms * 1000 + self._looked_us * self._rate // _PPM
        self._newest = max(2 * shown_us, self._newest + self._looked_us - looked_us)
        return Instant(self._newest // 2000)

    def set_off(self, by_ms: int) -> None:
        """Somebody sets it, so far from where it was when the process started."""
        self._zero_ms = self._zero_set_ms + by_ms

    def reached_at_us(self, moment: Instant) -> int:
        """The virtual time at which this clock first shows `moment`."""
        at_full_speed = -(-(moment - self._zero_ms) * _PPM * 1000 // self._rate)
        return min(at_full_speed, self._looked_us + 2000 * moment - self._newest)


class SeededEntropy:
    """Satisfies the services' `Entropy`."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def bytes(self, count: int) -> bytes:
        """`count` bytes of the seed's."""
        return self._rng.randbytes(count)
