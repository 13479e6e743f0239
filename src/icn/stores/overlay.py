"""A store as it will be after a commit that is being prepared. Satisfies `stores.kv.Reader`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from icn.stores.kv import Batch, Reader


@dataclass(frozen=True, slots=True)
class Overlay:
    """`batch` on top of `reader`. The batch may grow meanwhile, but not during a scan."""

    reader: Reader
    batch: Batch

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        if key in self.batch.operations:
            return self.batch.operations[key]
        return self.reader.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """As `Reader.get_many`."""
        here = self.batch.operations
        others = [key for key in keys if key not in here]
        found = dict(zip(others, self.reader.get_many(others), strict=True)) if others else {}
        return [here[key] if key in here else found[key] for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """As `Reader.scan`."""
        own = sorted(key for key in self._own(prefix) if after is None or key > after)
        for key, value in self.reader.scan(prefix, after=after):
            while own and own[0] <= key:
                yield from self._pair(own.pop(0))
            if key not in self.batch.operations:
                yield key, value
        for key in own:
            yield from self._pair(key)

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """As `Reader.scan_down`."""
        own = sorted((key for key in self._own(prefix) if before is None or key < before), reverse=True)
        for key, value in self.reader.scan_down(prefix, before=before):
            while own and own[0] >= key:
                yield from self._pair(own.pop(0))
            if key not in self.batch.operations:
                yield key, value
        for key in own:
            yield from self._pair(key)

    def _own(self, prefix: bytes) -> list[bytes]:
        return [key for key in self.batch.operations if key.startswith(prefix)]

    def _pair(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        value = self.batch.operations[key]
        if value is not None:
            yield key, value
