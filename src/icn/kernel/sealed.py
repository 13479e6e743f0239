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
        return is_signed_by(self.data, did, tag)


def seal(signer: Signer, tag: bytes, body: Any) -> bytes:
    """The sealed bytes of `body`, signed under `tag`."""
    return seal_encoded(signer, tag, encoding.encode(body))


def seal_encoded(signer: Signer, tag: bytes, body: bytes) -> bytes:
    """`seal` for the canonical bytes of a body."""
    return _HEAD + body + _SIGNATURE_HEAD + signer.sign(tag, body)


def open_sealed(data: bytes) -> Sealed:
    """Parse sealed bytes. Raises `Invalid` unless they are canonical and of this form."""
    return Sealed(encoding.decode(encoded_body(data)), data)


def encoded_body(data: bytes) -> bytes:
    """The bytes of the body, which are the caller's to decode. Raises `Invalid` where there is no signature behind.

    What stands between the head and a signature is one canonical value exactly if the whole is.
    """
    if data[:1] != _HEAD or data[-_TAIL_BYTES:-SIGNATURE_BYTES] != _SIGNATURE_HEAD:
        raise Invalid("sealed value", "an array of a body and a signature of 64 bytes is expected")
    return data[1:-_TAIL_BYTES]


def is_signed_by(data: bytes, did: Did, tag: bytes) -> bool:
    """Whether `did` signed the body of these sealed bytes under `tag`."""
    return signing.verify(did, tag, data[1:-_TAIL_BYTES], data[-SIGNATURE_BYTES:])
