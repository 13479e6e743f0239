"""One page of a list, and where the next one begins."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from icn.kernel.errors import Invalid

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list."""

    items: tuple[Row, ...]
    next_cursor: str | None
    """What to ask with for the rows behind these; none at the end."""


def cursor_bytes(cursor: str, length: int) -> bytes:
    """A cursor made of the hexadecimal form of a key. Raises `Invalid` for anything else."""
    try:
        key = bytes.fromhex(cursor)
    except ValueError as error:
        raise Invalid("cursor", "is not one that this list gave") from error
    if len(key) != length or cursor != key.hex():
        raise Invalid("cursor", "is not one that this list gave")
    return key
