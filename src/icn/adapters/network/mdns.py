"""Multicast DNS over a UDP socket: asks the local network for nodes, and answers it.

Only where it was asked for: it tells everybody on the network that this node is here, and takes whatever anybody there
says as hearsay. IPv4 only: every network that has nodes to find by multicast has it.

The port is shared with the system's own responder, therefore `SO_REUSEADDR`; for multicast that gives every socket a
copy and takes nothing away.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from icn.adapters.network.ports import ListenFailed, Origin
from icn.kernel.errors import Invalid
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.kademlia.groups import usable
from icn.protocol.libp2p.mdns import GROUP, PORT, Mdns
from icn.protocol.libp2p.multiaddr import Multiaddr

_ANY = "0.0.0.0"  # noqa: S104 - a group's datagrams come to every address
_HOPS = 255
"""RFC 6762: "all Multicast DNS responses […] SHOULD be sent with IP TTL set to 255"."""

Told = Callable[[PeerId, tuple[Multiaddr, ...], Origin], object]


class MdnsSocket(asyncio.DatagramProtocol):
    """One socket and its machine."""

    def __init__(
        self, machine: Mdns, *, addresses: Callable[[], tuple[Multiaddr, ...]], told: Told, clock: Callable[[], int]
    ) -> None:
        """`addresses` are ours, with our id; `told` gets what was heard."""
        self._machine = machine
        self._addresses = addresses
        self._told = told
        self._clock = clock
        self._transport: asyncio.DatagramTransport | None = None
        self._port = PORT

    async def open(self, interface: str, port: int = PORT) -> None:
        """Join the group on the interface that has the address `interface`. Raises `ListenFailed`."""
        self._port = port
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _HOPS)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
            membership = socket.inet_aton(GROUP) + socket.inet_aton(interface)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            sock.bind((_ANY, port))
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)
        except OSError as error:
            sock.close()
            where = f"udp/{port} of {GROUP} at {interface} (mDNS)"
            raise ListenFailed(where, error.strerror or str(error)) from error

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()

    def tick(self, now: int) -> None:
        """Ask, when it is time to."""
        self._send(self._machine.tick(now))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # uvloop's does not inherit from it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Somebody said something."""
        try:
            reply, heard = self._machine.receive(data, self._addresses(), self._clock())
        except Invalid:
            return  # other services share the port, and anybody the network
        self._send(reply)
        for one in heard:
            addresses = tuple(address for address in one.addresses if usable(address, addr[0]))
            self._told(one.peer, addresses, Origin.MDNS)

    def error_received(self, exc: Exception) -> None:
        """A datagram could not be sent: the network is away, and the next question tries again."""

    def _send(self, data: bytes | None) -> None:
        if data is not None and self._transport is not None:
            self._transport.sendto(data, (GROUP, self._port))
