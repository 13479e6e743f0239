"""Canonical bytes: strict DAG-CBOR, so that the same value has the same bytes, and the same name, on every node.

The rules are those of the IPLD DAG-CBOR specification: map keys are text, sorted by length and then bytewise; integers
and lengths minimal; no indefinite lengths; links are tag 42 and no other tag exists; floats are 64 bits and finite.
The core itself never uses floats; they are read only so that members' content can be checked.

`cbor2` does the byte work, within a bound on depth; what else it tolerates, this module refuses: what was decoded must
encode to the very same bytes.

Not here: what the values mean (`domain.records`, `protocol.codec`).
"""

import math
from collections.abc import Callable
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
        if not _is_ordered(value, 0):
            value = _ordered(value)
        return cbor2.dumps(value, encoders=_ENCODERS)
    except UnicodeEncodeError as error:  # a lone surrogate: Python holds it, UTF-8 cannot
        raise Invalid("dag-cbor", "text that UTF-8 cannot carry") from error


def encode_ordered(value: Any) -> bytes:
    """`encode` for what shapes made (`kernel.fields`): their maps are in canonical order and hold what can be carried.

    Saves the walk over the value, which costs more than the encoding itself.
    """
    return cbor2.dumps(value, encoders=_ENCODERS)


def decode_own(data: bytes) -> Any:
    """`decode` for bytes that this very node wrote for itself: rows, its outbox. Not checked again for being canonical.

    Raises:
        Invalid: not even CBOR: the store is damaged.
    """
    try:
        return cbor2.loads(data, semantic_decoders=_DECODERS, max_depth=DEPTH_MAX)
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError) as error:
        raise Invalid("dag-cbor", _first_line(error)) from error


def decode(data: bytes) -> Any:
    """The value `data` stands for. Links come back as `Cid` (or `ForeignCid`), arrays as lists.

    Raises:
        Invalid: anything but the one canonical encoding of one value, with nothing behind it.
    """
    try:
        value = cbor2.loads(
            data,
            semantic_decoders=_DECODERS,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            max_depth=DEPTH_MAX,
        )
        again = encode(value)
    except Invalid:
        raise
    except (cbor2.CBORDecodeError, UnicodeError, ValueError, TypeError, OverflowError) as error:
        raise Invalid("dag-cbor", _first_line(error)) from error
    if again != data:
        raise Invalid("dag-cbor", "not the canonical encoding, or bytes behind it")
    return value


def _is_ordered(value: Any, depth: int) -> bool:
    """Whether every map in `value` is in canonical order already. Refuses what DAG-CBOR cannot carry."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bool or value is None:
        return True
    if kind is int:
        if not _INT_MIN <= value <= _UINT_MAX:
            raise Invalid("dag-cbor", f"{value} does not fit 64 bits")
        return True
    if kind is float:
        if not math.isfinite(value):
            raise Invalid("dag-cbor", "NaN and infinity have no encoding")
        return True
    if depth >= DEPTH_MAX:
        raise Invalid("dag-cbor", f"nested deeper than {DEPTH_MAX}")
    ordered = True
    if kind is dict:
        last = (-1, "")
        for key, item in value.items():
            if type(key) is not str:
                raise Invalid("dag-cbor", "map keys are text")
            # The order of code points is that of their UTF-8 bytes, so text compares as well as bytes would.
            place = (len(key) if key.isascii() else len(key.encode()), key)
            ordered = place > last and _is_ordered(item, depth + 1) and ordered
            last = place
        return ordered
    if kind is list or kind is tuple:
        for item in value:
            ordered = _is_ordered(item, depth + 1) and ordered
        return ordered
    if kind is Cid or kind is ForeignCid:  # behind the bound, because its tag is a level when it is read
        return True
    raise Invalid("dag-cbor", f"{kind.__name__} has no encoding")


def _ordered(value: Any) -> Any:
    """`value` with its maps in canonical order."""
    kind = type(value)
    if kind is dict:
        return {key: _ordered(value[key]) for key in sorted(value, key=lambda key: (len(key.encode()), key))}
    if kind is list or kind is tuple:
        return [_ordered(item) for item in value]
    return value


def _write_link(encoder: cbor2.CBOREncoder, cid: Cid | ForeignCid) -> None:
    encoder.encode(cbor2.CBORTag(_CID_TAG, b"\0" + cid.data))


def _link(value: Any, _immutable: bool = False) -> Cid | ForeignCid:  # noqa: FBT001, FBT002 - cbor2's callback signature
    if type(value) is not bytes or value[:1] != b"\0":
        raise Invalid("dag-cbor", "a link is tag 42 of a zero byte and a CID")
    try:
        return Cid.from_bytes(value[1:])
    except Invalid:
        return ForeignCid.from_bytes(value[1:])


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


_ENCODERS: dict[type, Callable[[cbor2.CBOREncoder, Any], None]] = {Cid: _write_link, ForeignCid: _write_link}
_DECODERS = {_CID_TAG: _link}
