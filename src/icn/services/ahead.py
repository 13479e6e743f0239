"""Making items before they are asked for, as a caller with threads can have it; without, each in its turn.

The order and the items are the same either way. Not here: the threads (adapters.archive.ahead).
"""

from collections.abc import Generator, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Ahead(Protocol):
    """The same items in their order, perhaps made while earlier ones are still in use."""

    def __call__(self, items: Iterator[Item], /) -> Generator[Item, None, None]:
        """Raises what making them raises. Is closed, or read to its end."""


def in_turn(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Each is made when it is asked for."""
    yield from items
