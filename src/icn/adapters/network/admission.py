"""Decides which accepted connections may stay.

Before its handshake a connection is nobody: when there are too many, the oldest goes, so sockets that do nothing shut
nobody out who does something. After its handshake a connection is somebody's: when there are too many from one address,
the newcomer goes. Counts are per IPv4 address and per IPv6 /64, since a /64 is what one customer gets.

Not here: how many peers there may be in all (`places`).
"""

import ipaddress

from icn.adapters.network.link import Link
from icn.adapters.network.settings import NetworkSettings


class Admission:
    """The accepted links, by origin and stage."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings
        self._shaking: dict[Link, str] = {}
        self._established: dict[Link, str] = {}
        self._per_origin: dict[str, int] = {}
        """Established links of an origin."""

    def arrive(self, link: Link) -> Link | None:
        """Count a new socket; gives the one that must go for it."""
        origin = origin_of(link.host)
        same = [other for other, its in self._shaking.items() if its == origin]
        self._shaking[link] = origin
        if len(same) >= self._settings.handshakes_per_address_max:
            return same[0]
        if len(self._shaking) > self._settings.handshakes_max:
            return next(iter(self._shaking))
        return None

    def establish(self, link: Link) -> str | None:
        """Its handshake is done; gives the reason why it may not stay, if there is one."""
        origin = self._shaking.pop(link, None) or origin_of(link.host)
        count = self._per_origin.get(origin, 0)
        if count >= self._settings.connections_per_address_max:
            return "too many connections from one address"
        self._established[link] = origin
        self._per_origin[origin] = count + 1
        return None

    def leave(self, link: Link) -> None:
        """It is gone."""
        self._shaking.pop(link, None)
        origin = self._established.pop(link, None)
        if origin is not None:
            self._per_origin[origin] -= 1
            if not self._per_origin[origin]:
                del self._per_origin[origin]


def origin_of(host: str, *, public_only: bool = False) -> str:
    """What connections from `host` are counted under; empty when `public_only` and many may share it for good reasons.

    A machine, a site or a cluster holds many nodes behind one address of a private network.
    """
    address = ipaddress.ip_address(host.partition("%")[0]) if host else None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if public_only and (address is None or not address.is_global):
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)
