"""Finds the addresses to tell others: never a wildcard, always with a port that really listens."""

import socket

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import Host, Multiaddr

_PROBES = {Host.IP4: (socket.AF_INET, "192.0.2.1"), Host.IP6: (socket.AF_INET6, "2001:db8::1")}
"""Addresses reserved for documentation: a route to them is the route to anywhere, and nothing is ever sent."""
_LOOPBACK = {Host.IP4: "127.0.0.1", Host.IP6: "::1"}
_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - recognised here so that they are not announced


def reachable(host: str, port: int) -> list[Multiaddr]:
    """What a socket bound to `host` can be dialled at: the host itself, or for a wildcard this machine's addresses."""
    kind = Host.IP6 if ":" in host else Host.IP4
    if host not in _WILDCARDS:
        return [Multiaddr.make(kind, host, port)]
    outward = _outward(kind)
    hosts = [outward] if outward else []
    if _LOOPBACK[kind] not in hosts:
        hosts.append(_LOOPBACK[kind])
    return [Multiaddr.make(kind, one, port) for one in hosts]


def multicast_interfaces(hosts: list[str]) -> list[str]:
    """The IPv4 addresses at which to listen for the local network, for sockets bound to `hosts`."""
    found = [_outward(Host.IP4) or _LOOPBACK[Host.IP4] if host in _WILDCARDS else host for host in hosts]
    return list(dict.fromkeys(host for host in found if ":" not in host))


def announced(found: list[Multiaddr], configured: tuple[Multiaddr, ...], peer: PeerId) -> list[Multiaddr]:
    """What to tell others: what the operator says, else what was found; each with our id."""
    return [address.with_peer(peer) for address in configured or found]


def _outward(kind: Host) -> str | None:
    """The address this machine would speak from to the rest of the world; None without a route."""
    family, probe = _PROBES[kind]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((probe, 9))  # a datagram socket: chooses a source address, sends nothing
        except OSError:
            return None
        name: str = sock.getsockname()[0]
        return name
