"""Unsigned varints as multiformats define them: at most nine bytes, minimal, little-endian groups of seven bits.

Source: https://github.com/multiformats/unsigned-varint. Used by CIDs, multihashes, multistream and CAR.
"""

from icn.kernel.errors import Invalid

VARINT_BYTES_MAX = 9


def encode(number: int) -> bytes:
    """The varint of `number`, which is not negative and below 2^63."""
    if not 0 <= number < 1 << 63:
        raise Invalid("varint", f"{number} is out of range")
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[int, int] | None:
    """(number, offset behind it), or None when `data` ends inside the varint.

    Raises:
        Invalid: longer than nine bytes, or not minimal.
    """
    if offset < len(data) and data[offset] < 0x80:
        return data[offset], offset + 1  # nearly all of them
    number = shift = 0
    for position in range(offset, min(len(data), offset + VARINT_BYTES_MAX)):
        byte = data[position]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise Invalid("varint", "not minimal")
            return number, position + 1
        shift += 7
    if len(data) - offset >= VARINT_BYTES_MAX:
        raise Invalid("varint", f"longer than {VARINT_BYTES_MAX} bytes")
    return None
