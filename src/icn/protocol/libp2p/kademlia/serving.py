"""Answers requests of others.

A well-behaved server that stores nothing: `FIND_NODE` is answered in full, `PING` too. `GET_VALUE` and `GET_PROVIDERS`
are answered truthfully with no value and no providers, and with the closer peers that the asker goes on with.
`ADD_PROVIDER` has no answer in any implementation, and no effect here. `PUT_VALUE` is refused by resetting the stream:
its answer would be an echo, which says that the value was stored.

A peer without addresses is told to nobody, the asker is not told of itself, and addresses are told as far as they mean
the same machine for the asker (`groups.usable`).
"""

from icn.kernel.errors import PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.kademlia.groups import usable
from icn.protocol.libp2p.kademlia.keyspace import place
from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo, Reach
from icn.protocol.libp2p.kademlia.routing_table import RoutingTable
from icn.protocol.libp2p.kademlia.settings import KademliaSettings

_MINUTE_MS = 60_000


class Refused(PeerViolation):
    """A request that is not answered; its stream is reset."""

    code = "network.dht_request_refused"


class Requests:
    """Counts what each peer asks, minute by minute. Bounded by `requesters_max`."""

    def __init__(self, settings: KademliaSettings) -> None:
        self._settings = settings
        self._minute = 0
        self._counts: dict[PeerId, int] = {}

    def admit(self, peer: PeerId, now: int) -> bool:
        """Count one more; False when that is too many."""
        if now // _MINUTE_MS != self._minute:
            self._minute = now // _MINUTE_MS
            self._counts.clear()
        if peer not in self._counts and len(self._counts) >= self._settings.requesters_max:
            del self._counts[next(iter(self._counts))]
        self._counts[peer] = self._counts.get(peer, 0) + 1
        return self._counts[peer] <= self._settings.requests_per_minute_max


def answer(
    request: Message, asker: PeerId, host: str, *, table: RoutingTable, us: PeerInfo, settings: KademliaSettings
) -> Message | None:
    """What to answer a peer that asks from `host`; None where nothing is to be said.

    Raises:
        Refused: the stream is to be reset.
    """
    match request.kind:
        case Kind.PING:
            return Message(Kind.PING)
        case Kind.FIND_NODE | Kind.GET_VALUE | Kind.GET_PROVIDERS:
            return Message(request.kind, request.key, closer=_closer(request, asker, host, table, us, settings))
        case Kind.ADD_PROVIDER:
            return None
        case Kind.PUT_VALUE:
            raise Refused("kademlia: this node stores no values")


def _closer(
    request: Message, asker: PeerId, host: str, table: RoutingTable, us: PeerInfo, settings: KademliaSettings
) -> tuple[PeerInfo, ...]:
    if request.kind is Kind.FIND_NODE and request.key == us.peer.multihash:
        known = [us]
    else:
        contacts = table.closest(place(request.key), settings.bucket_peers_max, without=asker)
        known = [contact.info for contact in contacts]
    told = (_told(info, host) for info in known)
    return tuple(info for info in told if info.addresses)


def _told(info: PeerInfo, host: str) -> PeerInfo:
    addresses = tuple(address for address in info.addresses if usable(address, host))
    return PeerInfo(info.peer, addresses, Reach.CAN_CONNECT)
