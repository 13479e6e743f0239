"""Which addresses are probably one operator's, and which are of use to whom.

A group is an IPv4 /16 or an IPv6 /32: about what a hosting company hands out. Addresses that are not public (those of a
site, or of one machine) are in no group: all of a federation may live there.
"""

import ipaddress
from enum import IntEnum
from functools import lru_cache

from icn.protocol.libp2p.multiaddr import Multiaddr

HOSTS_REMEMBERED_MAX = 1024
"""What was found out about an address, to be told again at once: the same ones come in every answer."""
_IP4_PREFIX, _IP6_PREFIX = 16, 32


class Scope(IntEnum):
    """From how far away an address means the same machine."""

    MACHINE = 0
    """Loopback: another machine's is another machine."""
    SITE = 1
    """Private and link-local addresses."""
    WORLD = 2
    """Public addresses, and names, whose address is not known before it is asked for."""


@lru_cache(maxsize=HOSTS_REMEMBERED_MAX)
def group_of(host: str) -> str | None:
    """The group of an IP address; None when it is in none."""
    address = _ip(host)
    if address is None or not address.is_global:
        return None
    prefix = _IP4_PREFIX if address.version == 4 else _IP6_PREFIX
    return str(ipaddress.ip_network((address, prefix), strict=False))


def scope_of(host: str) -> Scope:
    """The scope of an IP address or name."""
    address = _ip(host)
    if address is None or address.is_global:
        return Scope.WORLD
    return Scope.MACHINE if address.is_loopback else Scope.SITE


def usable(address: Multiaddr, told_at: str) -> bool:
    """Whether `address` is worth telling to, or believing from, a peer at the host `told_at`.

    A peer from the world that tells of `127.0.0.1` or `10.0.0.1` would have us call machines that are none of its
    business; one of our own site may.
    """
    if address.port == 0 or _is_nowhere(address.host):
        return False
    return scope_of(address.host) >= scope_of(told_at)


@lru_cache(maxsize=HOSTS_REMEMBERED_MAX)
def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_nowhere(host: str) -> bool:
    """Wildcards, groups and reserved addresses: nobody can be called there."""
    address = _ip(host)
    return address is not None and (address.is_unspecified or address.is_multicast or address.is_reserved)
