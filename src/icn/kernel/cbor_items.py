"""Single values as the bytes of canonical DAG-CBOR, for shapes (`kernel.fields`), which know what each of theirs is.

The heads of RFC 8949, section 3, always the shortest. What may have any type goes through `kernel.encoding`, whose
library looks at each value before it writes it: that took twice as long as all else about a row.
"""

from collections.abc import Sequence
from functools import lru_cache

from icn.kernel.errors import Invalid

UNSIGNED, NEGATIVE, BYTES, TEXT, LIST, MAP = range(6)
"""Major types."""
NOTHING = b"\xf6"
LINK_PREFIX = b"\xd8\x2a\x58\x25\x00"
"""Of the 36 bytes of a CID: tag 42, a byte string of 37, and the zero byte in front."""
REMEMBERED_MAX = 4096
"""Names, integers and heads whose bytes are at hand, of each: most come again within a batch."""

_FEW_MAX = 23
"""What the first byte of a head has room for."""
_EMPTY_TEXT = b"\x60"
EMPTY_LIST = b"\x80"
_WIDTHS = ((1, 24), (2, 25), (4, 26), (8, 27))
"""Bytes of an argument, and what the first byte says for it."""


@lru_cache(maxsize=REMEMBERED_MAX, typed=True)  # as with integers
def head(major: int, number: int) -> bytes:
    """The head of an item: its major type with its value, length or count.

    Raises:
        Invalid: the number does not fit 64 bits.
    """
    if number <= _FEW_MAX:
        return bytes((major << 5 | number,))
    for width, mark in _WIDTHS:
        if number < 1 << 8 * width:
            return bytes((major << 5 | mark,)) + number.to_bytes(width, "big")
    raise Invalid("dag-cbor", f"{number} does not fit 64 bits")


@lru_cache(maxsize=REMEMBERED_MAX, typed=True)  # or True, and 1.0, would be what 1 is once that was asked for
def integer(number: int) -> bytes:
    """Raises `Invalid` for one that does not fit 64 bits."""
    return head(UNSIGNED, number) if number >= 0 else head(NEGATIVE, -1 - number)


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the value itself
    """True or false."""
    return b"\xf5" if value else b"\xf4"


def text(value: str) -> bytes:
    """Raises `Invalid` for a lone surrogate: Python holds it, UTF-8 cannot."""
    if not value:
        return _EMPTY_TEXT
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise Invalid("dag-cbor", "text that UTF-8 cannot carry") from error
    return head(TEXT, len(data)) + data


@lru_cache(maxsize=REMEMBERED_MAX)
def name(value: str) -> bytes:
    """`text` for what is short and comes again: names of nodes, names of states."""
    return text(value)


def byte_string(value: bytes) -> bytes:
    """Bytes."""
    return head(BYTES, len(value)) + value


def list_of(items: Sequence[bytes]) -> bytes:
    """The list of items that are encoded already."""
    return head(LIST, len(items)) + b"".join(items)
