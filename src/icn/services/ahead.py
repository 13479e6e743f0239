"""Making items before they are asked for, as a caller with threads can have it.

The order and the items are the same. Not here: the threads (adapters.archive.ahead).
"""

from collections.abc import Generator, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Ahead(Protocol):
    """The same items in their order, perhaps made while earlier ones are still in use."""

    def __call__(self, items: Iterator[Item], /) -> Generator[Item, None, None]:
        """Raises what making them raises. Is closed, or read to its end."""
