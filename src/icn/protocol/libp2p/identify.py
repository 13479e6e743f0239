"""The identify message: what a node says about itself right after connecting.

Source: https://github.com/libp2p/specs/tree/master/identify. The peer that opens the stream `/ipfs/id/1.0.0` reads one
length-prefixed protobuf from it and the other closes; on `/ipfs/id/push/1.0.0` who opens the stream writes instead,
when something about it has changed. go writes what is long as several messages, each with other fields.

All of it is the sender's claim. The public key is checked against the Noise session, and the signed peer record by its
signature: one that is not valid, or not the sender's, is discarded, as its specification says, and the rest counts.

Texts are bounded and made printable here, because they end up in logs and on screens.

Not here: when to say it and what to make of several messages (`identification`).
"""

from dataclasses import dataclass

from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import Did, PeerId
from icn.protocol.libp2p import routing_record
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.protobuf import Message, bytes_field
from icn.protocol.libp2p.routing_record import RoutingRecord
from icn.protocol.libp2p.secure_channel import peer_of_public_key, public_key_message

IDENTIFY = "/ipfs/id/1.0.0"
PUSH = "/ipfs/id/push/1.0.0"
PROTOCOL_VERSION = "ipfs/0.1.0"
"""What go, js and rust send; the specification wants a name for the family of protocols."""
TEXT_CHARS_MAX = 128

_PUBLIC_KEY, _LISTEN_ADDRS, _PROTOCOLS, _OBSERVED_ADDR, _PROTOCOL_VERSION, _AGENT_VERSION = 1, 2, 3, 4, 5, 6
_SIGNED_RECORD = 8


@dataclass(frozen=True, slots=True)
class Identification:
    """What a node says about itself."""

    agent: str
    protocols: tuple[str, ...]
    listen_addresses: tuple[Multiaddr, ...]
    """Where it says it can be dialled; addresses of transports we do not speak are left out."""
    observed: Multiaddr | None
    """Where it sees us from; None when it did not say, or not in terms we know."""
    record: RoutingRecord | None = None
    """Its signed peer record, verified; then `listen_addresses` are those of the record."""


def encode(did: Did, said: Identification) -> bytes:
    """The message, without its length."""
    return b"".join(
        (
            bytes_field(_PUBLIC_KEY, public_key_message(did)),
            *(bytes_field(_LISTEN_ADDRS, address.to_bytes()) for address in said.listen_addresses),
            *(bytes_field(_PROTOCOLS, protocol.encode()) for protocol in said.protocols),
            bytes_field(_OBSERVED_ADDR, said.observed.to_bytes()) if said.observed else b"",
            bytes_field(_PROTOCOL_VERSION, PROTOCOL_VERSION.encode()),
            bytes_field(_AGENT_VERSION, said.agent.encode()),
            bytes_field(_SIGNED_RECORD, said.record.envelope) if said.record else b"",
        )
    )


def decode(data: bytes, peer: PeerId, limits: ConnectionLimits) -> Identification:
    """What `peer` says about itself in one message; what it does not mention is empty.

    Raises:
        Invalid: not a protobuf message.
        PeerViolation: the public key in it is not `peer`'s.
    """
    message = Message(data)
    key = message.byte_string(_PUBLIC_KEY)
    if key is not None and peer_of_public_key(key) != peer:
        raise PeerViolation("identify: the public key is not that of the session")
    entries = limits.identify_entries_max
    observed = message.byte_string(_OBSERVED_ADDR)
    addresses = [_address(raw) for raw in message.byte_strings(_LISTEN_ADDRS)[:entries]]
    envelope = message.byte_string(_SIGNED_RECORD)
    record = _record(envelope, peer) if envelope else None
    said = tuple(address for address in addresses if address is not None)
    return Identification(
        agent=_printable(message.byte_string(_AGENT_VERSION) or b""),
        protocols=tuple(_printable(name) for name in message.byte_strings(_PROTOCOLS)[:entries]),
        # "it MUST use the data contained within it and ignore duplicated fields present in the main identify message"
        listen_addresses=record.addresses if record else said,
        observed=_address(observed) if observed else None,
        record=record,
    )


def _record(envelope: bytes, peer: PeerId) -> RoutingRecord | None:
    """None when it is not valid: "the envelope MUST be discarded"."""
    try:
        record = routing_record.verify(envelope)
    except (PeerViolation, Invalid):
        return None
    return record if record.peer == peer else None


def _address(raw: bytes) -> Multiaddr | None:
    """None for transports we do not speak: their addresses are no mistake of the peer's."""
    try:
        return Multiaddr.from_bytes(raw)
    except Invalid:
        return None


def _printable(raw: bytes) -> str:
    text = raw[: 4 * TEXT_CHARS_MAX].decode("utf-8", "replace")[:TEXT_CHARS_MAX]
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
