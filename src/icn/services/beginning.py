"""A store that begins empty, as those see it who fill it: what nobody has put in is not asked for.

A filter of fixed size knows what may have been put in; for what it lets pass, which is what was put in and a few
others, the store is asked. Each who fills a part of the store has one of its own, and asks for what it put in itself.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from icn.kernel.errors import InvariantBroken
from icn.stores import keyspace
from icn.stores.kv import Batch

FILTER_BITS = 1 << 25
"""Four MiB: of a million keys one in a thousand is asked for in vain."""
_HALF = (1 << 32) - 1
_ASKED = frozenset((keyspace.CONTENT_META, keyspace.BLOCK_META, keyspace.FEED, keyspace.EVIDENCE))
"""Prefixes of the keys that are asked for one by one, and mostly in vain."""

Views = Mapping[bytes, memoryview]
"""Rows whose values are looked at where they stand in a part of an archive: content, all bytes of which need not be
copied for each to go its own way."""
NO_VIEWS: Views = MappingProxyType({})


class Loading(Protocol):
    """A store being filled, which nobody else sees. What is put into it need not survive a crash.

    Both may be called by two threads at the same time.
    """

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        """Take both over, to be written in the order of the calls. Raises faults, also of earlier ones."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, with everything loaded so far."""


class Beginning:
    """Satisfies `stores.kv.Reader` for a store that began empty."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._about: dict[bytes, bytes | None] = {}
        """Values about the store itself, of which there are few, and which are asked for again and again."""
        self._seen = bytearray(FILTER_BITS // 8)

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        """See `Loading`. Content itself is not asked for: what is kept of it is."""
        for key, value in batch.operations.items():
            prefix = key[:1]
            if prefix == keyspace.ABOUT:
                self._about[key] = value
            elif prefix in _ASKED:
                for number in _places(key):
                    self._seen[number >> 3] |= 1 << (number & 7)
        self._loading.load(batch, views)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        prefix = key[:1]
        if prefix == keyspace.ABOUT:
            return self._about.get(key)
        if prefix in _ASKED:
            for number in _places(key):
                if not self._seen[number >> 3] >> (number & 7) & 1:
                    return None
        return self._loading.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`."""
        return [self.get(key) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Nobody walks through a store that is being filled: it would miss what is still to come."""
        raise InvariantBroken("a store that is being filled is not walked through")

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """As `scan`."""
        raise InvariantBroken("a store that is being filled is not walked through")


def with_views(batch: Batch, views: Views) -> Batch:
    """The batch, with these rows in it."""
    for key, value in views.items():
        batch.put(key, bytes(value))
    return batch


def _places(key: bytes) -> tuple[int, int, int]:
    """Three bits of the filter: of a hash, and of it with another one added once and twice."""
    # All but a feed's keys end with a SHA-256 already, and nobody gains by choosing its end.
    tail = hashlib.blake2b(key, digest_size=8).digest() if key[:1] == keyspace.FEED else key[-8:]
    hashed = int.from_bytes(tail, "big")
    first, step = hashed & _HALF, hashed >> 32
    return first % FILTER_BITS, (first + step) % FILTER_BITS, (first + 2 * step) % FILTER_BITS
