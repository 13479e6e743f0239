"""Reads ahead on a thread of its own: decompressing and hashing go on while the reader works."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

AHEAD_MAX = 2
"""Items that wait."""


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items; raises what reading them raises. Close it, or read it to its end."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[tuple[Item] | None]] = deque(maxlen=AHEAD_MAX)
        waiting.extend(pool.submit(_next, items) for _ in range(AHEAD_MAX))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(_next, items))
            yield item[0]


def _next(items: Iterator[Item]) -> tuple[Item] | None:
    for item in items:
        return (item,)
    return None
