"""Ed25519 signatures over `domain tag ‖ bytes`, under one pinned rule set, the same on every node.

The rules (RFC 8032, section 5.1.7, cofactorless): S is below the group order; the public key and R are canonical
encodings; the public key is not of small order. OpenSSL, which does the arithmetic, checks S and compares R's bytes
exactly (so a non-canonical R fails); the checks on the key are added here because libraries differ on them and two
nodes that disagree about one signature would part for good.

Signatures are never verified in batches: a batch accepts what a single check refuses.
"""

import hashlib
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from icn.kernel.errors import Invalid
from icn.kernel.ids import PUBLIC_KEY_BYTES, Did
from icn.kernel.memo import Memo

SIGNATURE_BYTES = 64
SEED_BYTES = 32

GOOD_REMEMBERED_MAX = 4096
_GOOD: Memo[bytes, bool] = Memo(GOOD_REMEMBERED_MAX)
"""SHA-256 of (public key, signature, message) of signatures found good."""

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_ORDER_8_Y = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDER_Y = frozenset((0, 1, _P - 1, _ORDER_8_Y, _P - _ORDER_8_Y))
"""The y coordinates of the eight points of small order: 0 (order 4), 1 (neutral), -1 (order 2), ±y (order 8)."""

BLOCK = b"icn/block/1"
BID = b"icn/bid/1"
RECEIPT = b"icn/receipt/1"
ASSIGNMENT = b"icn/assignment/1"
COMMITMENT = b"icn/commitment/1"
INVITATION = b"icn/invitation/1"
RECHECK = b"icn/recheck/1"
"""Never sent or stored: a home draws by it which of its jobs it runs itself."""


class Signer(Protocol):
    """Holds a private key and signs with it. The key itself never leaves the adapter."""

    @property
    def did(self) -> Did:
        """Whose signatures these are."""

    def sign(self, tag: bytes, message: bytes) -> bytes:
        """64 bytes over `tag ‖ message`."""


class SeedSigner:
    """A signer in memory, from the 32-byte seed of RFC 8032."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._did = Did.from_public_key(self._key.public_key().public_bytes_raw())

    @property
    def did(self) -> Did:
        """Whose signatures these are."""
        return self._did

    def sign(self, tag: bytes, message: bytes) -> bytes:
        """64 bytes over `tag ‖ message`."""
        return self._key.sign(tag + message)


def verify(did: Did, tag: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is `did`'s over `tag ‖ message`, by the rule set above."""
    return verify_raw(did.public_key, tag + message, signature)


def verify_raw(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The rule set on bare bytes; what the published edge cases are run against.

    A receipt is verified when it comes, before we record it, and where its record comes back; the answer for the same
    bytes is the same, so good ones are remembered, within a bound.
    """
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    name = hashlib.sha256(public_key + signature + message).digest()
    if _GOOD.get(name):
        return True
    good = _verify(public_key, message, signature)
    if good:
        _GOOD.put(name, True)
    return good


def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    if int.from_bytes(signature[32:], "little") >= _L:
        return False
    try:
        _key(public_key).verify(signature, message)
    except (InvalidSignature, Invalid):
        return False
    return True


@lru_cache(maxsize=4096)
def _key(public_key: bytes) -> Ed25519PublicKey:
    """The parsed key. Raises `Invalid` for a non-canonical or small-order encoding."""
    y = int.from_bytes(public_key, "little")
    y &= (1 << 255) - 1  # the top bit is the sign of x; -0 is a second spelling only at y = ±1, which is of small order
    if len(public_key) != PUBLIC_KEY_BYTES or y >= _P or y in _SMALL_ORDER_Y:
        raise Invalid("public key", "non-canonical or of small order")
    return Ed25519PublicKey.from_public_bytes(public_key)
