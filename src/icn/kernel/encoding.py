"""Canonical bytes: strict DAG-CBOR, so that the same value has the same bytes, and the same name, on every node.

The rules are those of the IPLD DAG-CBOR specification: map keys are text, sorted by length and then bytewise; integers
and lengths minimal; no indefinite lengths; links are tag 42 and no other tag exists; floats are 64 bits and finite.
The core itself never uses floats; they are read only so that members' content can be checked.

`cbor2` does the byte work; what it tolerates, this module refuses: depth is bounded before decoding, and what was
decoded must encode to the very same bytes.

Not here: what the values mean (`domain.records`, `protocol.codec`).
"""

import math
from typing import Any

import cbor2

from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, ForeignCid

DEPTH_MAX = 64
"""Nesting of arrays, maps and tags accepted from outside."""

_UINT_MAX = 2**64 - 1
_INT_MIN = -(2**64)
_CID_TAG = 42


def encode(value: Any) -> bytes:
    """The one DAG-CBOR encoding of `value`.

    Takes None, booleans, integers of 64 bits, finite floats, text, bytes, `Cid`, lists or tuples, and dictionaries
    with text keys in any order.

    Raises:
        Invalid: a value DAG-CBOR cannot carry.
    """
    try:
        return cbor2.dumps(_ordered(value, 0))
    except UnicodeEncodeError as error:  # a lone surrogate: Python holds it, UTF-8 cannot
        raise Invalid("dag-cbor", "text that UTF-8 cannot carry") from error


def decode(data: bytes) -> Any:
    """The value `data` stands for. Links come back as `Cid` (or `ForeignCid`), arrays as lists.

    Raises:
        Invalid: anything but the one canonical encoding of one value, with nothing behind it.
    """
    check_depth(data)
    try:
        value = cbor2.loads(
            data, semantic_decoders={_CID_TAG: _link}, allow_indefinite=False, allow_duplicate_keys=False
        )
        again = encode(value)
    except Invalid:
        raise
    except (cbor2.CBORDecodeError, UnicodeError, ValueError, TypeError, OverflowError) as error:
        raise Invalid("dag-cbor", _first_line(error)) from error
    if again != data:
        raise Invalid("dag-cbor", "not the canonical encoding, or bytes behind it")
    return value


def check_depth(data: bytes) -> None:
    """Raise `Invalid` when `data` nests deeper than `DEPTH_MAX`, without recursion and before anything is built."""
    open_items: list[int] = []
    position, size = 0, len(data)
    while position < size:
        major, argument = data[position] >> 5, data[position] & 31
        position += 1
        if argument >= 24:
            if argument > 27:
                raise Invalid("dag-cbor", "indefinite length or reserved byte")
            width = 1 << (argument - 24)
            argument = int.from_bytes(data[position : position + width], "big")
            position += width
        if major in {2, 3}:
            position += argument
        elif major >= 4 and major != 7:
            children = argument if major == 4 else 2 * argument if major == 5 else 1
            if children:
                if len(open_items) >= DEPTH_MAX:
                    raise Invalid("dag-cbor", f"nested deeper than {DEPTH_MAX}")
                open_items.append(children)
                continue
        while open_items:
            open_items[-1] -= 1
            if open_items[-1]:
                break
            open_items.pop()
        else:
            return  # one complete item; decode() refuses what follows it


def _ordered(value: Any, depth: int) -> Any:
    """`value` with maps in canonical order and links as tags; refuses what DAG-CBOR cannot carry."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bool or value is None:
        return value
    if kind is int:
        if not _INT_MIN <= value <= _UINT_MAX:
            raise Invalid("dag-cbor", f"{value} does not fit 64 bits")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise Invalid("dag-cbor", "NaN and infinity have no encoding")
        return value
    if depth >= DEPTH_MAX:
        raise Invalid("dag-cbor", f"nested deeper than {DEPTH_MAX}")
    if kind is Cid or kind is ForeignCid:  # behind the bound, because its tag is a level when it is read
        return cbor2.CBORTag(_CID_TAG, b"\0" + value.data)
    if kind is dict:
        return {key: _ordered(value[key], depth + 1) for key in sorted(value, key=_map_order)}
    if kind is list or kind is tuple:
        return [_ordered(item, depth + 1) for item in value]
    raise Invalid("dag-cbor", f"{kind.__name__} has no encoding")


def _map_order(key: Any) -> tuple[int, bytes]:
    if type(key) is not str:
        raise Invalid("dag-cbor", "map keys are text")
    encoded = key.encode()
    return len(encoded), encoded


def _link(value: Any, _immutable: bool = False) -> Cid | ForeignCid:  # noqa: FBT001, FBT002 - cbor2's callback signature
    if type(value) is not bytes or value[:1] != b"\0":
        raise Invalid("dag-cbor", "a link is tag 42 of a zero byte and a CID")
    try:
        return Cid.from_bytes(value[1:])
    except Invalid:
        return ForeignCid.from_bytes(value[1:])


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
