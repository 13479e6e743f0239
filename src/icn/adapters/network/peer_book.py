"""Where known nodes were last reached, in a file: what a node dials that was told no address, or only old ones.

JSON, `[{"peer": …, "addresses": [multiaddr, …], "seen_at": ms since 1970, "reached_at": …, "record": base64}, …]`,
replaced as a whole; `reached_at` is there when we called the peer and it answered, `record` when it sent a signed one.
The file is an aid: one that cannot be read is as good as none, and never keeps a node from starting.

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
CALLED_MAX = 4
"""Addresses of one peer that are called after a start."""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A peer and where it was reached, each address with its id."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    seen_at: Instant
    """When it was last connected."""
    record: RoutingRecord | None = None
    """What it last signed about its addresses: an older one is not taken again."""
    reached_at: Instant | None = None
    """When it was last connected by a call of ours."""

    @property
    def worth_calling(self) -> tuple[Multiaddr, ...]:
        """Where it was reached, then where it signed that it is."""
        signed = self.record.addresses if self.record else ()
        both = dict.fromkeys((*self.addresses, *(address.with_peer(self.peer) for address in signed)))
        return tuple(both)[:CALLED_MAX]


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
            **({"reached_at": known.reached_at} if known.reached_at is not None else {}),
            **({"record": base64.b64encode(known.record.envelope).decode()} if known.record else {}),
        }
        for known in newest
    ]
    make_private_folders(path.parent)
    write_atomically(path, json.dumps(document, indent=1).encode() + b"\n")


def _known(item: Any) -> KnownPeer:
    peer = PeerId.parse(item["peer"])
    addresses = tuple(Multiaddr.parse(text).with_peer(peer) for text in item["addresses"][:ADDRESSES_MAX])
    reached = item.get("reached_at")
    return KnownPeer(
        peer,
        addresses,
        Instant(int(item["seen_at"])),
        _record(item.get("record"), peer),
        None if reached is None else Instant(int(reached)),
    )


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
