"""Signed peer records: where a peer says it can be dialled, in a form that others can pass on and cannot alter.

Source: https://github.com/libp2p/specs/blob/master/RFC/0003-routing-records.md. The RFC proposes another domain and
type than those on which go, js and rust agreed and which stand here.

A signature proves who said it, not that it is true: an address is somebody's claim until somebody answers there. "Newer
records MUST have a higher `seq` value than older records"; whoever keeps records therefore asks `supersedes`.
"""

from dataclasses import dataclass

from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.kernel.signing import Signer
from icn.protocol.libp2p import envelope as envelopes
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.protobuf import Message, bytes_field, number_field

DOMAIN = "libp2p-peer-record"
PAYLOAD_TYPE = bytes.fromhex("0301")
"""The multicodec of that name, as two bytes and not as a varint."""
ADDRESSES_MAX = 32
"""Taken of one record; its sender says the better ones first."""

_PEER_ID, _SEQUENCE, _ADDRESSES = 1, 2, 3
_MULTIADDR = 1


@dataclass(frozen=True, slots=True)
class RoutingRecord:
    """A peer's addresses, as it said them, with the proof."""

    peer: PeerId
    sequence: int
    """Orders the records of one peer, and means nothing else."""
    addresses: tuple[Multiaddr, ...]
    """Without those of transports we do not speak."""
    envelope: bytes
    """As it was signed; what is passed on and kept."""

    def supersedes(self, other: "RoutingRecord | None") -> bool:
        """Whether this one is to be kept, and not the other one of the same peer."""
        return other is None or self.sequence > other.sequence


def make(signer: Signer, sequence: int, addresses: tuple[Multiaddr, ...]) -> RoutingRecord:
    """Our record. `sequence` grows with every change, over restarts too."""
    peer = PeerId.of(signer.did)
    payload = (
        bytes_field(_PEER_ID, peer.multihash)
        + number_field(_SEQUENCE, sequence)
        + b"".join(bytes_field(_ADDRESSES, bytes_field(_MULTIADDR, address.to_bytes())) for address in addresses)
    )
    return RoutingRecord(peer, sequence, addresses, envelopes.seal(signer, DOMAIN, PAYLOAD_TYPE, payload))


def verify(envelope: bytes) -> RoutingRecord:
    """The record in `envelope`.

    Raises:
        Invalid: not protobuf messages.
        PeerViolation: the signature is not valid, or not that of the peer the record is about.
    """
    opened = envelopes.open_envelope(envelope, DOMAIN, PAYLOAD_TYPE)
    message = Message(opened.payload)
    # "the receiving peer MUST verify that the peer_id contained in the RoutingState matches the public_key"
    if message.byte_string(_PEER_ID) != opened.signer.multihash:
        raise PeerViolation("peer record: signed by another peer than it is about")
    addresses = [_address(info) for info in message.byte_strings(_ADDRESSES)[:ADDRESSES_MAX]]
    return RoutingRecord(
        peer=opened.signer,
        sequence=message.number(_SEQUENCE) or 0,
        addresses=tuple(address for address in addresses if address is not None),
        envelope=envelope,
    )


def _address(info: bytes) -> Multiaddr | None:
    """None for transports we do not speak: their addresses are no mistake of the peer's."""
    raw = Message(info).byte_string(_MULTIADDR)
    try:
        return Multiaddr.from_bytes(raw) if raw is not None else None
    except Invalid:
        return None
