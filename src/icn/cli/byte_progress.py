"""How many bytes of something long are done, told as it goes (`cli.progress`)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from icn.cli.progress import progress
from icn.cli.world import World

MEGABYTE = 1_000_000
BAR_COLUMNS = 20


@contextmanager
def byte_progress(world: World, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A function that is told of so many bytes more. `total`: bytes to come, where that is known."""
    begun = time.monotonic()
    done = 0
    with progress(world) as line:

        def add(size: int) -> None:
            nonlocal done
            done += size
            line.tell(f"{what} {shown(done, total, time.monotonic() - begun)}")

        yield add


def shown(done: int, total: int | None, seconds: float) -> str:
    """`[####    ] 52% of 430 MB, 120 MB/s`."""
    rate = f"{done / MEGABYTE / max(seconds, 0.001):.0f} MB/s"
    if not total:
        return f"{done / MEGABYTE:.0f} MB, {rate}"
    share = min(1.0, done / total)
    return f"[{'#' * round(share * BAR_COLUMNS):<{BAR_COLUMNS}}] {share:.0%} of {total / MEGABYTE:.0f} MB, {rate}"
