"""Many values at a time: fewer journeys to an engine that is far away, fewer calls to one that is near."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from icn.stores.kv import GET_MANY_MAX, Reader

Item = TypeVar("Item")

SMALL_AT_ONCE = GET_MANY_MAX
"""Of rows that are a few hundred bytes long."""
BLOCKS_AT_ONCE = 16
"""Of signed blocks, each up to `kernel.limits.BLOCK_BYTES_MAX`."""


def groups(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """`items` in their order, `count` at a time."""
    rest = iter(items)
    while group := list(islice(rest, count)):
        yield group


def values(
    reader: Reader, items: Iterable[Item], key_of: Callable[[Item], bytes], *, at_once: int
) -> Iterator[tuple[Item, bytes | None]]:
    """Each item with the value of its key, `at_once` of them read together."""
    for group in groups(items, at_once):
        yield from zip(group, reader.get_many([key_of(item) for item in group]), strict=True)
