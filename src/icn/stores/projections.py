"""The state as rows, written in the commit that changed it: a snapshot that is never behind.

A start reads the rows; `services.replay` can rebuild them from the journal, and verification compares the two. The
journal position stands among them, so rows and journal always belong together.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from icn.kernel.fields import Shape, shape_of
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader

Row = TypeVar("Row")


class Table(Generic[Row]):
    """Rows of one dataclass under one prefix."""

    def __init__(self, name: str, row: type[Row]) -> None:
        self._prefix = keyspace.projection(name)
        self._shape: Shape[Row] = shape_of(row)

    @property
    def prefix(self) -> bytes:
        """Of the rows' keys in the store."""
        return self._prefix

    def put(self, batch: Batch, key: bytes, row: Row | None) -> None:
        """Set the row, or remove it when None."""
        if row is None:
            batch.delete(self._prefix + key)
        else:
            batch.put(self._prefix + key, self._shape.encode(row))

    def put_bytes(self, batch: Batch, key: bytes, encoded: bytes) -> None:
        """Set the row to one that is encoded already."""
        batch.put(self._prefix + key, encoded)

    def read(self, encoded: bytes) -> Row:
        """A row of bytes from anywhere. Raises `Invalid` for any but those that are written here."""
        return self._shape.decode(encoded)

    def get(self, reader: Reader, key: bytes) -> Row | None:
        """One row, or None."""
        data = reader.get(self._prefix + key)
        return None if data is None else self._shape.decode_own(data)

    def rows(self, reader: Reader, *, prefix: bytes = b"", after: bytes | None = None) -> Iterator[tuple[bytes, Row]]:
        """(key, row) in order of key."""
        start = None if after is None else self._prefix + after
        for key, data in reader.scan(self._prefix + prefix, after=start):
            yield key[len(self._prefix) :], self._shape.decode_own(data)

    def rows_down(self, reader: Reader, *, before: bytes | None = None) -> Iterator[tuple[bytes, Row]]:
        """(key, row) in descending order of key."""
        start = None if before is None else self._prefix + before
        for key, data in reader.scan_down(self._prefix, before=start):
            yield key[len(self._prefix) :], self._shape.decode_own(data)
