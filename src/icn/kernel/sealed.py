"""A value with its signer's signature, as bytes: the form of blocks, bids, assignments and receipts.

The bytes are the DAG-CBOR array `[body, signature]`. The body keeps its links, so IPFS tools can follow them, and what
was signed is the exact slice of the bytes between the array head and the signature: it is verified as received, never
after re-encoding (semantics §2).
"""

from dataclasses import dataclass
from typing import Any

from icn.kernel import encoding, signing
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did
from icn.kernel.signing import SIGNATURE_BYTES, Signer

_HEAD = b"\x82"  # array of two
_SIGNATURE_HEAD = b"\x58\x40"  # byte string of 64
_TAIL_BYTES = len(_SIGNATURE_HEAD) + SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Sealed:
    """Opened, well-formed, not yet verified: `body` says what, `data` is what was received."""

    body: Any
    data: bytes

    def is_signed_by(self, did: Did, tag: bytes) -> bool:
        """Whether `did` signed this very body under `tag`."""
        return signing.verify(did, tag, self.data[1:-_TAIL_BYTES], self.data[-SIGNATURE_BYTES:])


def seal(signer: Signer, tag: bytes, body: Any) -> bytes:
    """The sealed bytes of `body`, signed under `tag`."""
    return _sealed(signer, tag, encoding.encode(body))


def seal_ordered(signer: Signer, tag: bytes, body: Any) -> bytes:
    """`seal` for a body made of shapes, whose maps are in canonical order already."""
    return _sealed(signer, tag, encoding.encode_ordered(body))


def _sealed(signer: Signer, tag: bytes, encoded: bytes) -> bytes:
    return _HEAD + encoded + _SIGNATURE_HEAD + signer.sign(tag, encoded)


def open_sealed(data: bytes) -> Sealed:
    """Parse sealed bytes. Raises `Invalid` unless they are canonical and of this form."""
    if data[:1] != _HEAD or data[-_TAIL_BYTES:-SIGNATURE_BYTES] != _SIGNATURE_HEAD:
        raise Invalid("sealed value", "an array of a body and a signature of 64 bytes is expected")
    value = encoding.decode(data)
    if type(value[1]) is not bytes or len(value[1]) != SIGNATURE_BYTES:
        raise Invalid("sealed value", "the signature has 64 bytes")
    return Sealed(value[0], data)
