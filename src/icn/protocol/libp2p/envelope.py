"""Signed envelopes: bytes with a type, and proof of who signed them for which purpose.

Source: https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md. The purpose ("domain") is signed and
not sent: an envelope made for one is not valid for another. The RFC numbers the signature 4; go, js and rust all write
and read 5, so 5 is what is on the wire.

Only Ed25519 keys are accepted, as everywhere here (`secure_channel`).
"""

from dataclasses import dataclass

from icn.kernel.errors import PeerViolation
from icn.kernel.ids import PeerId
from icn.kernel.signing import Signer, verify_raw
from icn.protocol.libp2p.framing import framed
from icn.protocol.libp2p.protobuf import Message, bytes_field
from icn.protocol.libp2p.secure_channel import peer_of_public_key, public_key_message

_PUBLIC_KEY, _PAYLOAD_TYPE, _PAYLOAD, _SIGNATURE = 1, 2, 3, 5


@dataclass(frozen=True, slots=True)
class Opened:
    """What an envelope held, and who signed it."""

    signer: PeerId
    payload: bytes


def seal(signer: Signer, domain: str, payload_type: bytes, payload: bytes) -> bytes:
    """An envelope of `signer`'s around `payload`."""
    # Domain, type and payload are signed, each with its length in front.
    signature = signer.sign(framed(domain.encode()), framed(payload_type) + framed(payload))
    return (
        bytes_field(_PUBLIC_KEY, public_key_message(signer.did))
        + bytes_field(_PAYLOAD_TYPE, payload_type)
        + bytes_field(_PAYLOAD, payload)
        + bytes_field(_SIGNATURE, signature)
    )


def open_envelope(envelope: bytes, domain: str, payload_type: bytes) -> Opened:
    """What is in an envelope made for `domain`; nothing of it is read before its signature is verified.

    Raises:
        Invalid: not a protobuf message.
        PeerViolation: a part is missing, of another type, or the signature is not valid for the domain.
    """
    message = Message(envelope)
    key, payload, signature = (message.byte_string(field) for field in (_PUBLIC_KEY, _PAYLOAD, _SIGNATURE))
    if key is None or payload is None or signature is None:
        raise PeerViolation("envelope: key, payload or signature is missing")
    if message.byte_string(_PAYLOAD_TYPE) != payload_type:
        raise PeerViolation("envelope: the payload is of another type")
    signer = peer_of_public_key(key)
    signed = framed(domain.encode()) + framed(payload_type) + framed(payload)
    if not verify_raw(signer.did.public_key, signed, signature):
        raise PeerViolation("envelope: the signature is not valid")
    return Opened(signer, payload)
