"""Canonical bytes: strict DAG-CBOR, so that the same value has the same bytes, and the same name, on every node.

The rules are those of the IPLD DAG-CBOR specification: map keys are text, sorted by length and then bytewise; integers
and lengths minimal; no indefinite lengths; links are tag 42 and no other tag exists; floats are 64 bits and finite.
The core itself never uses floats; they are read only so that members' content can be checked.

`cbor2` does the byte work, within a bound on depth; what else it tolerates, this module refuses: what was decoded must
encode to the very same bytes.

Not here: what the values mean (`domain.records`, `protocol.codec`).
"""

import math
from collections.abc import Mapping
from typing import Any

import cbor2

from icn.kernel import cbor_items
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, ForeignCid

DEPTH_MAX = 64
"""Nesting of arrays, maps and tags accepted from outside."""
ORDERS_REMEMBERED_MAX = 1024
"""Tuples of map keys known to be in order."""
ORDER_KEYS_MAX = 32
ORDER_CHARS_MAX = 512
"""A tuple with more keys, or more characters in them, is not remembered."""

_UINT_MAX = 2**64 - 1
_INT_MIN = -(2**64)
_CID_TAG = 42
Link = cbor2.CBORTag
"""A link as the encoder takes it and the decoder of a node's own bytes gives it."""


def link_to(cid: Cid | ForeignCid) -> Link:
    """`cid` as the encoder takes it: `encode` does this itself, `encode_ordered` wants it done."""
    return Link(_CID_TAG, b"\0" + cid.data)


def cid_of(link: Link) -> Cid | ForeignCid:
    """What a link names. Raises `Invalid` for another tag, and for what is no CID."""
    data = link.value
    if link.tag != _CID_TAG or type(data) is not bytes or data[:1] != b"\0":
        raise Invalid("dag-cbor", "a link is tag 42 of a zero byte and a CID, and there is no other tag")
    try:
        return Cid.from_bytes(data[1:])
    except Invalid:
        return ForeignCid.from_bytes(data[1:])


def encode(value: Any) -> bytes:
    """The one DAG-CBOR encoding of `value`.

    Takes None, booleans, integers of 64 bits, finite floats, text, bytes, `Cid`, lists or tuples, and dictionaries
    with text keys in any order.

    Raises:
        Invalid: a value DAG-CBOR cannot carry.
    """
    try:
        return cbor2.dumps(_writable(value, 0))
    except UnicodeEncodeError as error:  # a lone surrogate: Python holds it, UTF-8 cannot
        raise Invalid("dag-cbor", "text that UTF-8 cannot carry") from error


def encode_ordered(value: Any) -> bytes:
    """`encode` for what shapes made (`kernel.fields`): their maps are in canonical order and hold what can be carried.

    Saves the walk over the value, which costs more than the encoding itself.
    """
    return cbor2.dumps(value)


def encode_map(items: Mapping[str, bytes]) -> bytes:
    """The map, with its keys in canonical order, whose values are encoded already."""
    keys = sorted(items, key=_place)
    return cbor_items.head(cbor_items.MAP, len(keys)) + b"".join(cbor_items.text(key) + items[key] for key in keys)


def decode_own(data: bytes) -> Any:
    """`decode` for bytes that this very node wrote for itself: rows, its outbox. Not checked again for being canonical.

    Links come back as `Link`, which shapes read.

    Raises:
        Invalid: not even CBOR: the store is damaged.
    """
    try:
        return cbor2.loads(data, max_depth=DEPTH_MAX)
    except _NOT_CBOR as error:
        raise Invalid("dag-cbor", _first_line(error)) from error


def decode_loose(data: bytes) -> Any:
    """`decode` for who compares the encoding of what it made of the value with `data`, and accepts nothing else.

    Links come back as `Link`. Integers fit 64 bits; nothing else is promised before the comparison.

    Raises:
        Invalid: not CBOR, of indefinite length, or a map has a key twice.
    """
    try:
        return cbor2.loads(
            data,
            semantic_decoders=_NO_BIG_NUMBERS,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            max_depth=DEPTH_MAX,
        )
    except _NOT_CBOR as error:
        raise Invalid("dag-cbor", _first_line(error)) from error


def decode(data: bytes) -> Any:
    """The value `data` stands for. Links come back as `Cid` (or `ForeignCid`), arrays as lists.

    Raises:
        Invalid: anything but the one canonical encoding of one value, with nothing behind it.
    """
    value = decode_loose(data)
    try:
        again = cbor2.dumps(value)
    except (cbor2.CBOREncodeError, UnicodeError, ValueError, TypeError, OverflowError) as error:
        raise Invalid("dag-cbor", _first_line(error)) from error
    if again != data:
        raise Invalid("dag-cbor", "not the canonical encoding, or bytes behind it")
    if type(value) in _LEAVES:
        return value
    return _read(value)


def _read(value: Any) -> Any:
    """`value` with its links read. Raises `Invalid` for maps out of order and for what DAG-CBOR cannot carry.

    As deep as the decoder went. Maps and lists are changed in place.
    """
    kind = type(value)
    if kind is dict:
        keys = tuple(value)
        if keys not in _IN_ORDER:
            _check_order(keys)
        if not _LEAVES.issuperset(map(type, value.values())):
            for key, item in value.items():
                if type(item) not in _LEAVES:
                    value[key] = _read(item)
        return value
    if kind is list:
        if not _LEAVES.issuperset(map(type, value)):
            for place, item in enumerate(value):
                if type(item) not in _LEAVES:
                    value[place] = _read(item)
        return value
    if kind is Link:
        return cid_of(value)
    if kind is float and math.isfinite(value):
        return value
    raise Invalid("dag-cbor", f"{kind.__name__} {value!r:.40} has no encoding")


def _check_order(keys: tuple[Any, ...]) -> None:
    """Raise `Invalid` unless map keys are text in canonical order."""
    last = (-1, "")
    chars = 0
    for key in keys:
        if type(key) is not str:
            raise Invalid("dag-cbor", "map keys are text")
        place = _place(key)
        if place <= last:
            raise Invalid("dag-cbor", "map keys are not in canonical order")
        last = place
        chars += len(key)
    if len(keys) <= ORDER_KEYS_MAX and chars <= ORDER_CHARS_MAX:
        if len(_IN_ORDER) >= ORDERS_REMEMBERED_MAX:
            _IN_ORDER.clear()  # whoever fills it with maps of its own slows nobody down for long
        _IN_ORDER[keys] = None


def _place(key: str) -> tuple[int, str]:
    """By what keys are sorted: the order of code points is that of their UTF-8 bytes, so text compares as well."""
    return (len(key) if key.isascii() else len(key.encode()), key)


def _writable(value: Any, depth: int) -> Any:
    """`value` as the encoder takes it: maps in canonical order, links as such. Refuses what DAG-CBOR cannot carry."""
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
    if kind is dict:
        if any(type(key) is not str for key in value):
            raise Invalid("dag-cbor", "map keys are text")
        keys = value if tuple(value) in _IN_ORDER else sorted(value, key=_place)
        return {key: _writable(value[key], depth + 1) for key in keys}
    if kind is list or kind is tuple:
        return [_writable(item, depth + 1) for item in value]
    if kind is Cid or kind is ForeignCid:  # behind the bound, because its tag is a level when it is read
        return link_to(value)
    if kind is Link:
        return link_to(cid_of(value))
    raise Invalid("dag-cbor", f"{kind.__name__} has no encoding")


def _refuse_tag(_value: Any, _immutable: bool = False) -> Any:  # noqa: FBT001, FBT002 - cbor2's callback signature
    raise Invalid("dag-cbor", "an integer beyond 64 bits has no encoding")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


_LEAVES = frozenset((str, bytes, int, bool, type(None)))
_IN_ORDER: dict[tuple[str, ...], None] = {}  # bounded: ORDERS_REMEMBERED_MAX, in _check_order()
"""Keys of maps found to be in canonical order: nearly all maps have one of few shapes."""
_NO_BIG_NUMBERS = {2: _refuse_tag, 3: _refuse_tag}
"""The decoder would make integers of these tags, and the encoder tags of those integers again."""
_NOT_CBOR = (cbor2.CBORDecodeError, UnicodeError, ValueError, TypeError, OverflowError)
