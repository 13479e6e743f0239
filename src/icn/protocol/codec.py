"""Messages to bytes and back: the DAG-CBOR array `[number, fields]`. Refuses what is too big, unknown or misplaced.

Not here: what a message means, or whether its sender may say it (services).
"""

from typing import Any

from icn.kernel import cbor_items, limits
from icn.kernel.encoding import decode_loose
from icn.kernel.errors import Invalid, PeerViolation, require
from icn.kernel.fields import Shape, shape_of
from icn.protocol.messages import (
    CONTENT_PROTOCOL,
    FEED_PROTOCOL,
    MESH_PROTOCOL,
    NUMBERS,
    Announce,
    Blocks,
    Heads,
    Hello,
    Message,
    Want,
    WantNamed,
    protocol_of,
)

PROTOCOL_MESSAGE_BYTES_MAX: dict[str, int] = {
    FEED_PROTOCOL: limits.MESSAGE_BYTES_MAX,
    MESH_PROTOCOL: limits.MIB,
    CONTENT_PROTOCOL: limits.CHUNK_BYTES_MAX + limits.KIB,
}
_BY_NUMBER: dict[int, Shape[Any]] = {number: shape_of(cls) for cls, number in NUMBERS.items()}


def encode_message(message: Message) -> bytes:
    """The bytes of `message`, which must fit its protocol."""
    data = _encoded(message)
    require(len(data) <= PROTOCOL_MESSAGE_BYTES_MAX[protocol_of(message)], "a message of ours fits its protocol")
    return data


def decode_message(protocol: str, data: bytes) -> Message:
    """The message a peer sent.

    Raises:
        PeerViolation: too large, not canonical, unknown, out of form, or of another protocol.
    """
    if len(data) > PROTOCOL_MESSAGE_BYTES_MAX.get(protocol, 0):
        raise PeerViolation(f"a message of {len(data)} bytes is too large for {protocol}")
    try:
        value = decode_loose(data)
        if type(value) is not list or len(value) != 2 or type(value[0]) is not int:
            raise Invalid("message", "a number and fields are expected")
        shape = _BY_NUMBER.get(value[0])
        if shape is None:
            raise Invalid("message", f"number {value[0]} is not known here: its sender may run a newer version")
        message: Message = shape.from_map(value[1])
        if _encoded(message) != data:
            raise Invalid("message", "not the canonical encoding, or bytes behind it")
    except Invalid as error:
        raise PeerViolation(f"malformed message on {protocol}: {error}") from error
    if protocol_of(message) != protocol:
        raise PeerViolation(f"{type(message).__name__} does not belong on {protocol}")
    if isinstance(message, Hello | Heads | Want) and len(message.counts) > limits.CLOCK_ENTRIES_MAX:
        raise PeerViolation(f"more than {limits.CLOCK_ENTRIES_MAX} feeds in one message")
    if isinstance(message, WantNamed) and len(message.cids) > limits.WANTED_BLOCKS_MAX:
        raise PeerViolation(f"more than {limits.WANTED_BLOCKS_MAX} blocks asked for in one message")
    if isinstance(message, Blocks | Announce) and len(message.blocks) > limits.CATCHUP_BLOCKS_MAX:
        raise PeerViolation(f"more than {limits.CATCHUP_BLOCKS_MAX} blocks in one message")
    return message


def _encoded(message: Message) -> bytes:
    head, shape = _BY_CLASS[type(message)]
    return head + shape.encode(message)


_BY_CLASS: dict[type[Any], tuple[bytes, Shape[Any]]] = {
    cls: (cbor_items.head(cbor_items.LIST, 2) + cbor_items.integer(number), _BY_NUMBER[number])
    for cls, number in NUMBERS.items()
}
"""What every message of a class begins with, and how the rest is written."""
