"""Where peers are said to be that we are not connected to: what discovery told, and what became of calling there.

| an address | leaves for |
|---|---|
| told of | tried, when peers are wanted and its time has come |
| tried in vain | tried again later, each time twice as long; forgotten after a few times |
| the last one of its peer, and forgotten so | whoever tells of the peer again, it is not called for a while |
| reached, and its peer speaks other protocols | the same |
| not told of again for a day | forgotten |

Bounded: so many peers, so many addresses each; beyond it those told of longest ago go. It is all hearsay, kept in
memory: what proved good is remembered on disk by `node.remembered_peers`.
"""

from dataclasses import dataclass, field

from icn.adapters.network.ports import Origin
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import Multiaddr

PEERS_MAX = 1024
ADDRESSES_MAX = 8
"""Of one peer."""
FAILURES_MAX = 5
"""In a row, after which an address is forgotten."""
FIRST_PAUSE_MS = 60_000
"""After the first failure; doubles from there."""
FORGOTTEN_AFTER_MS = 86_400_000
LEFT_ALONE_MS = 3_600_000
"""A peer that cannot be reached, or does not speak our protocols, is not called for so long."""


@dataclass(slots=True)
class _Address:
    told_at: int
    origin: Origin
    failures: int = 0
    not_before: int = 0


@dataclass(slots=True)
class _Peer:
    addresses: dict[Multiaddr, _Address] = field(default_factory=dict)
    not_before: int = 0


class AddressBook:
    """All of them, those told of longest ago first."""

    def __init__(self) -> None:
        self._peers: dict[PeerId, _Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def tell(self, peer: PeerId, addresses: tuple[Multiaddr, ...], origin: Origin, now: int) -> None:
        """`peer` is said to be at `addresses`."""
        if not addresses:
            return
        known = self._peers.pop(peer, None) or _Peer()
        self._peers[peer] = known
        for address in addresses:
            one = known.addresses.pop(address, None) or _Address(now, origin)
            one.told_at = now
            known.addresses[address] = one
        while len(known.addresses) > ADDRESSES_MAX:
            del known.addresses[next(iter(known.addresses))]
        while len(self._peers) > PEERS_MAX:
            del self._peers[next(iter(self._peers))]

    def failed(self, peer: PeerId, address: Multiaddr, now: int) -> None:
        """Nobody answered there, or not that peer."""
        known = self._peers.get(peer)
        one = known.addresses.get(address) if known else None
        if known is None or one is None:
            return
        one.failures += 1
        one.not_before = now + (FIRST_PAUSE_MS << one.failures - 1)
        if one.failures >= FAILURES_MAX:
            del known.addresses[address]
            if not known.addresses:
                known.not_before = now + LEFT_ALONE_MS

    def reached(self, peer: PeerId) -> None:
        """It has been connected for a while: what failed before counts no more."""
        known = self._peers.get(peer)
        for one in known.addresses.values() if known else ():
            one.failures = one.not_before = 0

    def estrange(self, peer: PeerId, now: int) -> None:
        """It was reached, and does not speak our protocols."""
        known = self._peers.get(peer)
        if known is not None:
            known.not_before = now + LEFT_ALONE_MS

    def addresses_of(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Where it is said to be, those told of last first."""
        known = self._peers.get(peer)
        return tuple(reversed(known.addresses)) if known else ()

    def callable_now(self, now: int) -> list[tuple[PeerId, Multiaddr, Origin]]:
        """Whom one may call, each at one address: those told of last first. Forgets who was not told of for long."""
        self._forget(now)
        found = []
        for peer, known in reversed(self._peers.items()):
            if known.not_before <= now:
                ready = [(at, one) for at, one in known.addresses.items() if one.not_before <= now]
                if ready:
                    address, one = min(ready, key=lambda pair: (pair[1].failures, -pair[1].told_at))
                    found.append((peer, address, one.origin))
        return found

    def _forget(self, now: int) -> None:
        for peer, known in list(self._peers.items()):
            for address, one in list(known.addresses.items()):
                if now - one.told_at >= FORGOTTEN_AFTER_MS:
                    del known.addresses[address]
            if not known.addresses and known.not_before <= now:
                del self._peers[peer]
