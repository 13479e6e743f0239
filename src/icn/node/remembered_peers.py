"""Remembers on disk where the nodes of our federation were reached, and dials them after a start.

So a node comes back to its federation although the node it was first told of is gone, and nodes that all dial one and
the same find each other without it. Only peers of our own federation are remembered: what a stranger says of itself is
not worth a call.
"""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import structlog

from icn.adapters.network.dialing import DialFailed
from icn.adapters.network.peer_book import (
    ADDRESSES_MAX,
    PEERS_MAX,
    KnownPeer,
    PeerBookUnreadable,
    read_book,
    write_book,
)
from icn.adapters.network.ports import ConnectedPeer, Direction, Origin
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did, PeerId
from icn.kernel.instant import Duration, Instant, later
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.services.ports import Clock

LOOK_EVERY_SECS = 1.0
WRITTEN_AGAIN_AFTER = Duration(600_000)
"""Without news, so that who is here counts as seen."""
FORGOTTEN_AFTER = Duration(30 * 86_400_000)
"""Who was not seen for so long is not dialled any more."""

log = structlog.get_logger("icn.node")


class Dialler(Protocol):
    """What is needed of a network."""

    @property
    def peer_id(self) -> PeerId:
        """Who we are."""

    def peers(self) -> list[ConnectedPeer]:
        """Who is connected."""

    def dial(self, address: Multiaddr, origin: Origin) -> None:
        """Keep `address` connected. Raises `DialFailed` when there are too many."""


class RememberedPeers:
    """On the event loop's thread."""

    def __init__(self, path: Path, network: Dialler, ours: Callable[[], Collection[Did]], clock: Clock) -> None:
        """`ours`: the connected peers that are of our federation."""
        self._path = path
        self._network = network
        self._ours = ours
        self._clock = clock
        self._known: dict[PeerId, KnownPeer] = {}
        self._written_at: Instant | None = None

    def __contains__(self, peer: PeerId) -> bool:
        return peer in self._known

    def dial(self) -> None:
        """Read the file and have everybody in it dialled. Once, after the network has started."""
        try:
            book = read_book(self._path)
        except PeerBookUnreadable as error:
            log.warning("remembered peers cannot be read", path=str(self._path), error=str(error))
            return
        now = self._clock.now()
        # Whom we could call goes first: a peer that only ever came to us may be where nobody can call it.
        for known in sorted(book, key=lambda known: -(known.reached_at or 0)):
            if known.peer != self._network.peer_id and now < later(known.seen_at, FORGOTTEN_AFTER):
                self._known[known.peer] = known
                for address in known.worth_calling:
                    self._dial(address)

    async def keep(self) -> None:
        """Note who is here whenever that is news, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECS)
            due = self._written_at is None or self._clock.now() >= later(self._written_at, WRITTEN_AGAIN_AFTER)
            if self.look() or due:
                await self.write()

    def look(self) -> bool:
        """See who is here now; whether somebody is new, or at another address."""
        members, now, news = self._ours(), self._clock.now(), False
        for connected in self._network.peers():
            addresses = addresses_of(connected)
            if connected.peer.did in members and addresses:
                before, record = self._known.get(connected.peer), connected.record
                if before is not None and (record is None or not record.supersedes(before.record)):
                    record = before.record
                earlier = before.reached_at if before is not None else None
                reached = now if connected.direction is Direction.DIALLED else earlier
                known = KnownPeer(connected.peer, addresses, now, record, reached)
                news = news or before is None or (before.addresses, before.record) != (addresses, record)
                self._known[connected.peer] = known
        return news

    async def write(self) -> None:
        """Keep what was seen. A failure is said; the node does not depend on it."""
        if len(self._known) > PEERS_MAX:
            newest = sorted(self._known.values(), key=lambda known: known.seen_at)[-PEERS_MAX:]
            self._known = {known.peer: known for known in newest}
        try:
            await asyncio.to_thread(write_book, self._path, list(self._known.values()))
        except OSError as error:
            log.warning("remembered peers were not written", path=str(self._path), error=str(error))
        self._written_at = self._clock.now()

    def _dial(self, address: Multiaddr) -> None:
        try:
            self._network.dial(address, Origin.REMEMBERED)
        except DialFailed as error:
            log.info("remembered peer not dialled", address=str(address), why=str(error))


def addresses_of(connected: ConnectedPeer) -> tuple[Multiaddr, ...]:
    """Where a connected peer can be dialled: where we dialled it, or where it says that it listens.

    Of what it says, addresses at the host it came from go first: the others may be inside its own network.
    """
    if connected.direction is Direction.DIALLED:
        try:
            return (Multiaddr.parse(connected.address).with_peer(connected.peer),)
        except Invalid:
            return ()
    host = connected.address.split("/")[2]
    said = sorted(connected.listen_addresses, key=lambda address: address.host != host)
    return tuple(address.with_peer(connected.peer) for address in said[:ADDRESSES_MAX])
