"""Scans in bounded pages, over an engine that can read one page: rows from a key upwards or downwards.

So a caller who stops early, or forgets an iterator, leaves no cursor and no transaction open in the engine, and a scan
over large values holds one page of them.
"""

from collections.abc import Callable, Iterator

from icn.adapters.storage.ranges import ascending, descending
from icn.stores.kv import KEY_BYTES_MAX

PAGE_ROWS_FIRST = 16
"""Few, for callers who want only the beginning; each page after it has four times as many."""
PAGE_ROWS_MAX = 1024
PAGE_BYTES_MAX = 1024 * 1024
"""A page ends after the row with which its values reach this."""

ABOVE_ALL_KEYS = b"\xff" * (KEY_BYTES_MAX + 1)
"""Above every key of the port. An engine without a place beside the keys keeps what is its own from here upwards."""
EPOCH_KEY = ABOVE_ALL_KEYS + b"epoch"
"""Where such an engine keeps the epoch, in `EPOCH_BYTES` big-endian bytes."""
EPOCH_BYTES = 8

Row = tuple[bytes, bytes]
ReadPage = Callable[[bytes, bytes, int], tuple[list[Row], bool]]
"""From `low`, `high` and the most rows wanted (`low <= key < high`) to the rows, and whether there are no more."""


def scan_up(read_page: ReadPage, prefix: bytes, after: bytes | None) -> Iterator[Row]:
    """The rows of the port's `scan`. `read_page` gives the lowest rows first."""
    low, high = ascending(prefix, after)
    for rows_max in _page_sizes():
        rows, is_last = read_page(low, ABOVE_ALL_KEYS if high is None else high, rows_max)
        yield from rows
        if is_last:
            return
        low = rows[-1][0] + b"\x00"


def scan_down(read_page: ReadPage, prefix: bytes, before: bytes | None) -> Iterator[Row]:
    """The rows of the port's `scan_down`. `read_page` gives the highest rows first."""
    low, high = descending(prefix, before)
    for rows_max in _page_sizes():
        rows, is_last = read_page(low, ABOVE_ALL_KEYS if high is None else high, rows_max)
        yield from rows
        if is_last:
            return
        high = rows[-1][0]


def _page_sizes() -> Iterator[int]:
    size = PAGE_ROWS_FIRST
    while True:
        yield size
        size = min(size * 4, PAGE_ROWS_MAX)
