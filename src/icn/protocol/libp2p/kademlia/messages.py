"""Kademlia's one message, to bytes and back.

The specification has one protobuf for requests and answers. Read strictly: an unknown kind, a key or a list beyond its
bound is `Invalid`. Peers whose key is not Ed25519 and addresses of transports we do not speak are left out, since they
are no mistake of the sender's. A record's value is not kept: nothing here uses it.
"""

from dataclasses import dataclass
from enum import IntEnum

from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.kademlia.settings import ADDRESSES_PER_PEER_MAX, KEY_BYTES_MAX, PEERS_PER_MESSAGE_MAX
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.protobuf import Message as Fields
from icn.protocol.libp2p.protobuf import bytes_field, number_field

_KIND, _KEY, _RECORD, _CLOSER, _PROVIDERS = 1, 2, 3, 8, 9
_ID, _ADDRESSES, _REACH = 1, 2, 3
_PEER_ID_BYTES_MAX = 64


class Kind(IntEnum):
    """What a message is, or answers."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5


class Reach(IntEnum):
    """What the sender knows of a peer's reachability."""

    NOT_CONNECTED = 0
    CONNECTED = 1
    CAN_CONNECT = 2
    CANNOT_CONNECT = 3


_KINDS = {int(kind): kind for kind in Kind}
_REACHES = {int(reach): reach for reach in Reach}


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A peer and where it is said to be."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    """Without peer ids in them."""
    reach: Reach = Reach.NOT_CONNECTED


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer."""

    kind: Kind
    key: bytes = b""
    closer: tuple[PeerInfo, ...] = ()
    """Peers that are closer to the key, as the sender knows."""
    providers: tuple[PeerInfo, ...] = ()
    has_record: bool = False
    """Whether a record came with it. Ours never have one."""


def encode(message: Message) -> bytes:
    """The message, without its length."""
    return b"".join(
        (
            number_field(_KIND, message.kind),
            bytes_field(_KEY, message.key) if message.key else b"",
            *(bytes_field(_CLOSER, _peer_message(info)) for info in message.closer),
            *(bytes_field(_PROVIDERS, _peer_message(info)) for info in message.providers),
        )
    )


def decode(data: bytes) -> Message:
    """Raises `Invalid` for what is not a message within the bounds."""
    fields = Fields(data)
    kind = fields.number(_KIND) or 0
    if kind not in _KINDS:
        raise Invalid("kademlia message", f"kind {kind} is not known")
    key = fields.byte_string(_KEY) or b""
    if len(key) > KEY_BYTES_MAX:
        raise Invalid("kademlia message", f"a key of {len(key)} bytes, {KEY_BYTES_MAX} are accepted")
    return Message(
        kind=_KINDS[kind],
        key=key,
        closer=_peers(fields.byte_strings(_CLOSER)),
        providers=_peers(fields.byte_strings(_PROVIDERS)),
        has_record=fields.byte_string(_RECORD) is not None,
    )


def _peer_message(info: PeerInfo) -> bytes:
    return (
        bytes_field(_ID, info.peer.multihash)
        + b"".join(bytes_field(_ADDRESSES, address.to_bytes()) for address in info.addresses)
        + number_field(_REACH, info.reach)
    )


def _peers(raw: list[bytes]) -> tuple[PeerInfo, ...]:
    if len(raw) > PEERS_PER_MESSAGE_MAX:
        raise Invalid("kademlia message", f"{len(raw)} peers in a list, {PEERS_PER_MESSAGE_MAX} are accepted")
    found = (_peer(one) for one in raw)
    return tuple(info for info in found if info is not None)


def _peer(raw: bytes) -> PeerInfo | None:
    """None for a peer whose key is of another type."""
    fields = Fields(raw)
    peer = _peer_id(fields.byte_string(_ID) or b"")
    if peer is None:
        return None
    addresses = (_address(one, peer) for one in fields.byte_strings(_ADDRESSES)[: 2 * ADDRESSES_PER_PEER_MAX])
    known = dict.fromkeys(address for address in addresses if address is not None)
    reach = fields.number(_REACH) or 0
    return PeerInfo(peer, tuple(known)[:ADDRESSES_PER_PEER_MAX], _REACHES.get(reach, Reach.NOT_CONNECTED))


def _peer_id(raw: bytes) -> PeerId | None:
    if len(raw) > _PEER_ID_BYTES_MAX:
        raise Invalid("kademlia message", f"a peer id of {len(raw)} bytes")
    try:
        return PeerId.from_multihash(raw)
    except Invalid:
        return None


def _address(raw: bytes, peer: PeerId) -> Multiaddr | None:
    """None for a transport we do not speak, or an address where another peer is to be expected."""
    try:
        address = Multiaddr.from_bytes(raw)
    except Invalid:
        return None
    return address.without_peer() if address.peer in {None, peer} else None
