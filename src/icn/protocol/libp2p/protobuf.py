"""Reads and writes the little of Protocol Buffers that libp2p uses: numbers and byte strings.

Source: https://protobuf.dev/programming-guides/encoding/. Fixed-width fields are skipped; groups (wire types 3 and 4)
are refused: they are deprecated and no libp2p message has one. The number of fields is bounded, because a field may be
two bytes on the wire and becomes an object of some hundred in memory.

Not here: which fields a message has (`secure_channel`, `identify`).
"""

from icn.kernel import varint
from icn.kernel.errors import Invalid

FIELDS_MAX = 1024

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIELD_NUMBER_MAX = (1 << 29) - 1


def number_field(field: int, value: int) -> bytes:
    """`field` as a varint."""
    return varint.encode(field << 3 | _VARINT) + varint.encode(value)


def bytes_field(field: int, value: bytes) -> bytes:
    """`field` as a length-delimited byte string, text or nested message."""
    return varint.encode(field << 3 | _BYTES) + varint.encode(len(value)) + value


class Message:
    """The fields of one message, in the order they came."""

    def __init__(self, data: bytes, *, fields_max: int = FIELDS_MAX) -> None:
        """Parse `data`. Raises `Invalid` for anything that is not a well-formed message of at most `fields_max`."""
        self._fields = _parse(data, fields_max)

    def byte_strings(self, field: int) -> list[bytes]:
        """Every value of a repeated byte field. Raises `Invalid` when one is not a byte string."""
        values: list[bytes] = []
        for number, value in self._fields:
            if number == field:
                if not isinstance(value, bytes):
                    raise Invalid("protobuf", f"field {field} is a number, not bytes")
                values.append(value)
        return values

    def byte_string(self, field: int) -> bytes | None:
        """The value of a single byte field, or None. The last one counts, as the encoding's rules say."""
        values = self.byte_strings(field)
        return values[-1] if values else None

    def number(self, field: int) -> int | None:
        """The value of a single number field, or None. The last one counts."""
        found = None
        for number, value in self._fields:
            if number == field:
                if not isinstance(value, int):
                    raise Invalid("protobuf", f"field {field} is bytes, not a number")
                found = value
        return found


def _parse(data: bytes, fields_max: int) -> list[tuple[int, int | bytes]]:
    fields: list[tuple[int, int | bytes]] = []
    position, size = 0, len(data)
    while position < size:
        if len(fields) >= fields_max:
            raise Invalid("protobuf", f"more than {fields_max} fields")
        tag, position = _number(data, position)
        field, wire_type = tag >> 3, tag & 7
        if not 1 <= field <= _FIELD_NUMBER_MAX:
            raise Invalid("protobuf", f"field number {field} is out of range")
        if wire_type == _VARINT:
            value, position = _number(data, position)
            fields.append((field, value))
            continue
        if wire_type == _BYTES:
            length, position = _number(data, position)
        elif wire_type in {_FIXED64, _FIXED32}:
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise Invalid("protobuf", f"wire type {wire_type} is not accepted")
        if length > size - position:
            raise Invalid("protobuf", "a field ends behind the message")
        if wire_type == _BYTES:
            fields.append((field, bytes(data[position : position + length])))
        position += length
    return fields


def _number(data: bytes, position: int) -> tuple[int, int]:
    """A varint of the message. Numbers above 2^63 (negative int32 and int64) are refused: no field of ours has any."""
    found = varint.decode(data, position)
    if found is None:
        raise Invalid("protobuf", "ends inside a number")
    return found
