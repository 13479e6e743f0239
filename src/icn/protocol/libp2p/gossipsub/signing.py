"""Who wrote a message: signatures under the policy StrictSign.

Source: https://github.com/libp2p/specs/blob/master/pubsub/README.md, "Message Signing". What is signed is the text
`libp2p-pubsub:` and the message without its fields `signature` and `key`. They are cut out of the bytes that came, so
the signature covers "any fields that are not recognized" as well, in whatever order their sender wrote them.

Only Ed25519 authors are known here, as everywhere (`kernel.ids`). Their key is part of their peer id, so `key` is not
sent, and where it comes it must say the same.
"""

from dataclasses import dataclass

from icn.kernel import varint
from icn.kernel.errors import Invalid, PeerViolation, require
from icn.kernel.ids import PeerId
from icn.kernel.signing import Signer, verify_raw
from icn.protocol.libp2p.gossipsub.rpc import topic_of
from icn.protocol.libp2p.gossipsub.settings import SEQNO_BYTES
from icn.protocol.libp2p.protobuf import Message, bytes_field
from icn.protocol.libp2p.secure_channel import peer_of_public_key, public_key_message

TAG = b"libp2p-pubsub:"
"""pubsub: "The protobuf blob is prefixed by the string `libp2p-pubsub:` before signing"."""

_FROM, _DATA, _SEQNO, _TOPIC, _SIGNATURE, _KEY = 1, 2, 3, 4, 5, 6
_IDENTITY = b"\x00\x24"
"""A multihash that hashes nothing, of 36 bytes: the public key message follows."""
_LENGTH_DELIMITED = 2


@dataclass(frozen=True, slots=True)
class Publication:
    """One message, as read. Nothing of it is believed before `check_signature`."""

    author: PeerId
    seqno: bytes
    topic: str
    data: bytes
    signature: bytes
    raw: bytes
    """What came, and what travels on."""

    id: bytes
    """See `id_of`. Made once: it is looked up whenever one more peer brings the message."""


def id_of(author: PeerId, seqno: bytes) -> bytes:
    """pubsub: "the concatenation of the `seqno` and the `from` fields"; as go and js do, `from` first."""
    return author.multihash + seqno


def sign(signer: Signer, seqno: bytes, topic: str, data: bytes) -> Publication:
    """A message of ours."""
    require(len(seqno) == SEQNO_BYTES, "a sequence number has eight bytes")
    author = PeerId.of(signer.did)
    unsigned = (
        bytes_field(_FROM, author.multihash)
        + bytes_field(_DATA, data)
        + bytes_field(_SEQNO, seqno)
        + bytes_field(_TOPIC, topic.encode())
    )
    signature = signer.sign(TAG, unsigned)
    raw = unsigned + bytes_field(_SIGNATURE, signature)
    return Publication(author, seqno, topic, data, signature, raw, id_of(author, seqno))


def read(raw: bytes) -> Publication:
    """A message that a peer sent.

    StrictSign, on the consuming side: "Enforce the fields to be present, reject otherwise."

    Raises:
        Invalid: not well-formed, or with a field twice, or more than one topic.
        PeerViolation: a field of the policy is missing; the author or the key is not an Ed25519 key, or they differ.
    """
    message = Message(raw)
    author = _author(_single(message, _FROM))
    key = _single(message, _KEY)
    if key is not None and peer_of_public_key(key) != author:
        # "When present, it must match the peer ID."
        raise PeerViolation("pubsub: the key is not the author's")
    seqno, signature = _single(message, _SEQNO), _single(message, _SIGNATURE)
    if seqno is None or signature is None:
        raise PeerViolation("pubsub: a message has a sequence number and a signature")
    if len(seqno) != SEQNO_BYTES:
        raise PeerViolation(f"pubsub: a sequence number of {len(seqno)} bytes")
    topic, data = topic_of(_single(message, _TOPIC)), _single(message, _DATA) or b""
    return Publication(author, seqno, topic, data, signature, bytes(raw), id_of(author, seqno))


def check_signature(publication: Publication) -> None:
    """StrictSign: "Propagate only if the fields are valid and signature can be verified". Raises `PeerViolation`."""
    signed = TAG + _without_proof(publication.raw)
    if not verify_raw(publication.author.did.public_key, signed, publication.signature):
        raise PeerViolation("pubsub: the signature is not the author's")


def _single(message: Message, field: int) -> bytes | None:
    values = message.byte_strings(field)
    if len(values) > 1:
        # Which of them counts differs between implementations, and so would what is signed.
        raise Invalid("pubsub message", f"field {field} is there {len(values)} times")
    return values[0] if values else None


def _author(multihash: bytes | None) -> PeerId:
    if multihash is None:
        raise PeerViolation("pubsub: a message names its author")
    if multihash[: len(_IDENTITY)] != _IDENTITY:
        raise PeerViolation("pubsub: the author's key is not in its peer id")
    author = peer_of_public_key(multihash[len(_IDENTITY) :])
    require(multihash == _IDENTITY + public_key_message(author.did), "a peer id has one spelling")
    return author


def _without_proof(raw: bytes) -> bytes:
    """The message without signature and key. `raw` is well-formed: it has been read."""
    kept = bytearray()
    position = 0
    while position < len(raw):
        start = position
        tag, position = _number(raw, position)
        match tag & 7:
            case 0:
                _, position = _number(raw, position)
            case 1:
                position += 8
            case 5:
                position += 4
            case _:
                length, position = _number(raw, position)
                position += length
        if tag not in {_SIGNATURE << 3 | _LENGTH_DELIMITED, _KEY << 3 | _LENGTH_DELIMITED}:
            kept += raw[start:position]
    return bytes(kept)


def _number(raw: bytes, position: int) -> tuple[int, int]:
    found = varint.decode(raw, position)
    if found is None:
        raise Invalid("protobuf", "ends inside a number")
    return found
