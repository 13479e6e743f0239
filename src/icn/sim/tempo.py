"""When callers ask: all the time, in bursts with idle stretches between, or seldom. Drawn from the seed.

A real federation is idle for most of the time and busy now and then, and defects hide in both: what is left over from a
burst shows in the stillness after it, and a crash in stillness meets other timers than one under load. One seed of
128 asks all the time, as every seed once did.

Not here: what is asked (workload).
"""

from dataclasses import dataclass
from enum import Enum
from random import Random

from icn.sim.timeline import MS, SECOND


class Tempo(Enum):
    """The names `--tempo` takes."""

    DENSE = "dense"
    BURSTS = "bursts"
    SELDOM = "seldom"


DRAWN = (Tempo.DENSE,) * 1 + (Tempo.BURSTS,) * 92 + (Tempo.SELDOM,) * 35
"""Of so many seeds, on average."""
BURST_MS = (500, 1_500)
IDLE_MS = (15_000, 30_000)
BURST_PAUSE_MS = 1_000
SELDOM_PAUSE_MS = 45_000
"""Between an answer and the next request of a caller, on average."""
DENSE_PAUSES_MS = (500, 2_000, 5_000)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often callers ask, and when."""

    tempo: Tempo
    pause_ms: int
    """Between an answer and the next request of the same caller, on average."""
    bursts: tuple[tuple[int, int], ...] = ()
    """The stretches in which they ask, in order, as (from, to) in virtual microseconds; beyond the last: always."""

    def opens_in(self, now_us: int) -> int:
        """Microseconds until a caller may ask; 0: now."""
        for begin, end in self.bursts:
            if now_us < end:
                return max(0, begin - now_us)
        return 0


def draw_rhythm(rng: Random, tempo: Tempo | None, seconds: int, *, dense_pause_ms: int) -> Rhythm:
    """That of one run of so many seconds; `tempo`: None for one that is drawn as well.

    Every run begins with a burst, in which the federation is founded and accounts are opened.
    """
    drawn = rng.choice(DRAWN)
    chosen = drawn if tempo is None else tempo
    match chosen:
        case Tempo.DENSE:
            return Rhythm(chosen, dense_pause_ms)
        case Tempo.SELDOM:
            return Rhythm(chosen, SELDOM_PAUSE_MS)
        case Tempo.BURSTS:
            bursts, at = [], 0
            while at < seconds * SECOND:
                end = at + rng.randint(*BURST_MS) * MS
                bursts.append((at, end))
                at = end + rng.randint(*IDLE_MS) * MS
            return Rhythm(chosen, BURST_PAUSE_MS, (*bursts, (seconds * SECOND, seconds * SECOND)))
