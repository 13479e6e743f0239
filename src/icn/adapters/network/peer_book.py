"""Where known nodes were last reached, in a file: what a node dials that was told no address, or only old ones.

JSON, `[{"peer": …, "addresses": [multiaddr, …], "seen_at": ms since 1970, "record": base64}, …]`, replaced as a whole;
`record` is the peer's signed record, where it sent one. The file is an aid: one that cannot be read is as good as none,
and never keeps a node from starting.

Not here: whose addresses are worth remembering (`node.remembered_peers`), dialling them.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icn.adapters.files import make_private_folders, write_atomically
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.kernel.instant import Instant
from icn.kernel.limits import MIB
from icn.protocol.libp2p import routing_record
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.routing_record import RoutingRecord

PEERS_MAX = 64
"""Remembered, those seen last."""
ADDRESSES_MAX = 2
"""Of one peer."""
FILE_BYTES_MAX = 1 * MIB
FILE_NAME = "peers.json"


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A peer and where it was reached, each address with its id."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    seen_at: Instant
    record: RoutingRecord | None = None
    """What it last signed about its addresses: an older one is not taken again."""


class PeerBookUnreadable(Exception):
    """The file is there and is no peer book. Says what is wrong with it."""


def read_book(path: Path) -> list[KnownPeer]:
    """What is in the file; nothing when there is none. Raises `PeerBookUnreadable`."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise PeerBookUnreadable(f"is longer than {FILE_BYTES_MAX} bytes")
        return [_known(item) for item in json.loads(data)[:PEERS_MAX]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, LookupError, RecursionError, Invalid, PeerViolation) as error:
        raise PeerBookUnreadable(str(error)) from error


def write_book(path: Path, peers: Sequence[KnownPeer]) -> None:
    """Replace the file. Raises `OSError`; then the old one stands."""
    newest = sorted(peers, key=lambda known: (-known.seen_at, known.peer))[:PEERS_MAX]
    document = [
        {
            "peer": str(known.peer),
            "addresses": [str(address) for address in known.addresses[:ADDRESSES_MAX]],
            "seen_at": known.seen_at,
            **({"record": base64.b64encode(known.record.envelope).decode()} if known.record else {}),
        }
        for known in newest
    ]
    make_private_folders(path.parent)
    write_atomically(path, json.dumps(document, indent=1).encode() + b"\n")


def _known(item: Any) -> KnownPeer:
    peer = PeerId.parse(item["peer"])
    addresses = tuple(Multiaddr.parse(text).with_peer(peer) for text in item["addresses"][:ADDRESSES_MAX])
    return KnownPeer(peer, addresses, Instant(int(item["seen_at"])), _record(item.get("record"), peer))


def _record(encoded: str | None, peer: PeerId) -> RoutingRecord | None:
    if encoded is None:
        return None
    try:
        record = routing_record.verify(base64.b64decode(encoded, validate=True))
    except binascii.Error as error:
        raise Invalid("peer record", "is not base64") from error
    if record.peer != peer:
        raise Invalid("peer record", f"is not {peer}'s")
    return record
