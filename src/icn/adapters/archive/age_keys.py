"""The names of age keys: Bech32, `age1…` for a recipient and `AGE-SECRET-KEY-1…` for an identity.

Source: https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki, without its bound of 90 characters, as in age.
"""

from icn.kernel.errors import Invalid

KEY_BYTES = 32
RECIPIENT_PREFIX = "age"
IDENTITY_PREFIX = "age-secret-key-"
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_CHARS = 6


def recipient_key(text: str) -> bytes:
    """The X25519 public key of `age1…`. Raises `Invalid`."""
    return _key(text, RECIPIENT_PREFIX, "age recipient", "one looks like age1…; age-keygen makes them")


def identity_key(text: str) -> bytes:
    """The X25519 private key of `AGE-SECRET-KEY-1…`. Raises `Invalid`, which does not quote it."""
    return _key(text, IDENTITY_PREFIX, "age identity", "one looks like AGE-SECRET-KEY-1…; age-keygen makes them")


def recipient_text(key: bytes) -> str:
    """Inverse of `recipient_key`."""
    return _text(RECIPIENT_PREFIX, key)


def identity_text(key: bytes) -> str:
    """Inverse of `identity_key`."""
    return _text(IDENTITY_PREFIX, key).upper()


def _key(text: str, prefix: str, what: str, hint: str) -> bytes:
    if text not in {text.lower(), text.upper()}:
        raise Invalid(what, f"mixes capitals and small letters; {hint}")
    head, _, tail = text.lower().rpartition("1")
    if head != prefix or any(sign not in _ALPHABET for sign in tail):
        raise Invalid(what, f"not of that form; {hint}")
    values = [_ALPHABET.index(sign) for sign in tail]
    if _checksum([*_expanded(prefix), *values]) != 1:
        raise Invalid(what, f"its checksum is wrong: a character was changed or left out; {hint}")
    key = _regrouped(values[:-_CHECKSUM_CHARS], 5, 8)
    if key is None or len(key) != KEY_BYTES:
        raise Invalid(what, f"does not hold {KEY_BYTES} bytes; {hint}")
    return bytes(key)


def _text(prefix: str, key: bytes) -> str:
    values = _regrouped(list(key), 8, 5, padded=True) or []
    checksum = _checksum([*_expanded(prefix), *values, *(0,) * _CHECKSUM_CHARS]) ^ 1
    values += [checksum >> 5 * (_CHECKSUM_CHARS - 1 - place) & 31 for place in range(_CHECKSUM_CHARS)]
    return f"{prefix}1{''.join(_ALPHABET[value] for value in values)}"


def _expanded(prefix: str) -> list[int]:
    return [*(ord(sign) >> 5 for sign in prefix), 0, *(ord(sign) & 31 for sign in prefix)]


def _checksum(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATOR):
            check ^= generator if top >> place & 1 else 0
    return check


def _regrouped(values: list[int], from_bits: int, to_bits: int, *, padded: bool = False) -> list[int] | None:
    """The same bits in groups of another size. None for what is left over where nothing, or more than zeros, may be."""
    pool = bits = 0
    groups: list[int] = []
    for value in values:
        pool = pool << from_bits | value
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            groups.append(pool >> bits & (1 << to_bits) - 1)
    rest = pool & (1 << bits) - 1
    if padded:
        return [*groups, rest << to_bits - bits] if bits else groups
    return None if bits >= from_bits or rest else groups
