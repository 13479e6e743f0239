"""Base58btc and base32 as multibase uses them: the spellings of DIDs, peer ids and CIDs.

Lengths are bounded before decoding, because base58 costs time quadratic in the length.
"""

import base64
import re

from icn.kernel.errors import Invalid

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT = {sign: value for value, sign in enumerate(_ALPHABET)}
BASE58_CHARS_MAX = 128
_BASE32 = re.compile("[a-z2-7]*")
_TO_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")
"""From the signs of RFC 4648 to those of Python's integers."""


def base58_encode(data: bytes) -> str:
    """Base58btc: leading zero bytes become leading `1`s."""
    number = int.from_bytes(data, "big")
    out: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        out.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(out))


def base58_decode(text: str) -> bytes:
    """Inverse of `base58_encode`. Raises `Invalid` for a foreign sign or too long a text."""
    if len(text) > BASE58_CHARS_MAX:
        raise Invalid("base58", f"longer than {BASE58_CHARS_MAX} characters")
    number = 0
    for sign in text:
        digit = _DIGIT.get(sign)
        if digit is None:
            raise Invalid("base58", f"{sign!r} is not in the alphabet")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base32_encode(data: bytes) -> str:
    """RFC 4648 base32, lower case, no padding (multibase `b` without its prefix)."""
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def base32_decode(text: str) -> bytes:
    """Inverse of `base32_encode`; refuses upper case, padding and stray bits, so a text has one spelling."""
    if _BASE32.fullmatch(text) is None:
        raise Invalid("base32", "has signs beside a-z and 2-7")
    stray = len(text) * 5 % 8
    number = int(text.translate(_TO_DIGITS) or "0", 32)  # linear in the length, as 32 is a power of two
    if stray >= 5 or number & ((1 << stray) - 1):
        raise Invalid("base32", "not in its canonical spelling")
    return (number >> stray).to_bytes(len(text) * 5 // 8, "big")
