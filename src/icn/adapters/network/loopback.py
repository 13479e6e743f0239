"""The network port within one process: nodes that share a `Loopback` and an event loop.

For single-process federations and tests. It keeps the port's contract, including bounded queues, dialling for ever and
one connection between two nodes that dial each other; it has no sockets, no encryption and no framing. Bytes on the
wire are counted as the messages' own.

An address is a multiaddr like any other; who listens on it is looked up in the `Loopback`. Port 0 is replaced by a free
number, as the operating system would.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from icn.adapters.network.dialing import DialFailed, Dialling
from icn.adapters.network.gossip import Gossip
from icn.adapters.network.ports import (
    ConnectedPeer,
    DialState,
    Direction,
    GossipShown,
    ListenFailed,
    NetworkListener,
    Origin,
)
from icn.adapters.network.settings import NetworkSettings
from icn.kernel.errors import Invalid, InvariantBroken, require
from icn.kernel.ids import PeerId
from icn.kernel.signing import Signer
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.settings import MESHSUB, MESHSUB_1_1
from icn.protocol.libp2p.multiaddr import Multiaddr

_FIRST_FREE_PORT = 49_152


class Loopback:
    """The wire: who listens where."""

    def __init__(self) -> None:
        self._listening: dict[tuple[str, int], LoopbackNetwork] = {}
        self._next_port = _FIRST_FREE_PORT

    def listen(self, address: Multiaddr, network: "LoopbackNetwork") -> Multiaddr:
        """Take an address. Raises `ListenFailed` when somebody has it."""
        port = address.port
        if port == 0:
            port = self._next_port
            self._next_port += 1
        if (address.host, port) in self._listening:
            raise ListenFailed(str(address), "somebody listens there already")
        self._listening[address.host, port] = network
        return Multiaddr.make(address.kind, address.host, port)

    def leave(self, network: "LoopbackNetwork") -> None:
        """Give all addresses of `network` back."""
        self._listening = {at: who for at, who in self._listening.items() if who is not network}

    def find(self, address: Multiaddr) -> "LoopbackNetwork | None":
        """Who listens there."""
        return self._listening.get((address.host, address.port))


@dataclass(slots=True, eq=False)
class _Wire:
    """One end of one connection."""

    other: "LoopbackNetwork"
    shown: ConnectedPeer
    """As it came up: without what was sent since."""
    in_flight: int = 0
    """Sent, and not yet delivered."""
    bytes_in: int = 0
    bytes_out: int = 0


class LoopbackNetwork:
    """One node's end; satisfies `Network`."""

    def __init__(
        self,
        loopback: Loopback,
        settings: NetworkSettings,
        signer: Signer,
        entropy: Callable[[int], bytes],
        clock: Callable[[], int],
        protocols: Mapping[str, int],
    ) -> None:
        """Like `Libp2pNetwork`, on `loopback` instead of sockets."""
        self._loopback = loopback
        self._settings = settings
        self._peer = PeerId.of(signer.did)
        self._entropy = entropy
        self._clock = clock
        self._protocols = dict(protocols)
        self._gossip = Gossip(settings.gossip, signer, entropy, clock, self)
        self._listener: NetworkListener | None = None
        self._addresses: list[Multiaddr] = []
        self._wires: dict[PeerId, _Wire] = {}
        self._dialling: Dialling | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def peer_id(self) -> PeerId:
        """Who we are."""
        return self._peer

    @property
    def listen_addresses(self) -> list[str]:
        """Where we can be dialled, each with our id."""
        return [str(address) for address in self._addresses]

    async def start(self, listener: NetworkListener) -> None:
        """Listen, and begin to dial. Raises `ListenFailed`."""
        require(self._dialling is None, "a network is started once")
        self._addresses = [self._loopback.listen(one, self).with_peer(self._peer) for one in self._settings.listen]
        self._listener = self._gossip.listener = listener
        self._dialling = Dialling(
            self._settings.dial,
            connect=self._connect,
            connected=self._wires.__contains__,
            clock=self._clock,
            entropy=self._entropy,
        )
        for address in self._settings.bootstrap:
            self._dialling.add(address, Origin.BOOTSTRAP)
        self._task = asyncio.get_running_loop().create_task(self._dialling.run(), name="loopback dialling")

    async def stop(self) -> None:
        """Say goodbye and close everything."""
        self._gossip.end()
        self._listener = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._loopback.leave(self)
        for peer in list(self._wires):
            self._cut(peer, "we are stopping")
        await asyncio.sleep(0)  # deliveries already on their way find no listener

    def send(self, peer: PeerId, protocol: str, payload: bytes) -> bool:
        """Queue one message; False when it was not taken. Raises `Invalid` when it is too long."""
        longest = self._protocols.get(protocol)
        if longest is None or len(payload) > longest:
            raise Invalid("message", f"{len(payload)} bytes under {protocol!r}, which carries {longest or 'nothing'}")
        wire = self._wires.get(peer)
        if wire is None or protocol not in wire.other._protocols:  # noqa: SLF001 - another object of this class
            return False
        return self._queue(wire, protocol, payload)

    def _queue(self, wire: _Wire, protocol: str, payload: bytes) -> bool:
        if wire.in_flight + len(payload) > self._settings.peer_queue_bytes_max:
            return False
        wire.in_flight += len(payload)
        wire.bytes_out += len(payload)
        asyncio.get_running_loop().call_soon(self._deliver, wire, protocol, payload)
        return True

    def subscribe(self, topic: str) -> None:
        """Take publications of `topic` from now on."""
        self._gossip.subscribe(topic)

    def unsubscribe(self, topic: str) -> None:
        """Take none any more."""
        self._gossip.unsubscribe(topic)

    def publish(self, topic: str, payload: bytes) -> int:
        """Send `payload` to everybody in `topic`; how many peers have taken it. Raises as the port says."""
        return self._gossip.publish(topic, payload)

    def judge(self, token: bytes, verdict: Verdict) -> None:
        """What becomes of a delivery."""
        self._gossip.judge(token, verdict)

    def gossip(self) -> GossipShown:
        """How publications fare."""
        return self._gossip.shown()

    def send_rpc(self, peer: PeerId, protocol: str, data: bytes) -> bool:
        """Queue an RPC of the gossip's; False when it was not taken."""
        wire = self._wires.get(peer)
        return wire is not None and self._queue(wire, protocol, data)

    def reset_rpcs(self, peer: PeerId) -> None:
        """There are no streams here, and the other end is one of ours."""
        raise InvariantBroken(f"{peer}, of this process, sent what is no RPC")

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End the connection to `peer`."""
        if peer in self._wires:
            self._cut(peer, reason)

    def dial(self, address: Multiaddr, origin: Origin) -> None:
        """Keep `address` connected from now on. Raises `DialFailed` when too many are."""
        if self._dialling is None:
            raise InvariantBroken("a network dials after its start")
        self._dialling.add(address, origin)

    async def connect(self, address: Multiaddr) -> PeerId:
        """Dial now; then keep it connected. Raises `DialFailed`."""
        if self._dialling is None:
            raise InvariantBroken("a network dials after its start")
        return await self._dialling.once(address, Origin.REQUESTED)

    async def find(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Where `peer` is, if one of our peers, or one of theirs and so on, is connected to it."""
        reached, waiting = {self._peer: self}, [self]
        while waiting:
            for other in (wire.other for wire in waiting.pop()._wires.values()):  # noqa: SLF001 - as above
                if other.peer_id == peer:
                    return tuple(address.without_peer() for address in other._addresses)  # noqa: SLF001 - as above
                if other.peer_id not in reached:
                    reached[other.peer_id] = other
                    waiting.append(other)
        return ()

    def peers(self) -> list[ConnectedPeer]:
        """Connected peers, in the order of their ids."""
        wires = [self._wires[peer] for peer in sorted(self._wires)]
        return [
            replace(
                wire.shown,
                bytes_in=wire.bytes_in,
                bytes_out=wire.bytes_out,
                score=self._gossip.score(wire.shown.peer),
            )
            for wire in wires
        ]

    def dial_states(self) -> list[DialState]:
        """The addresses that are dialled, in the order given."""
        return self._dialling.states() if self._dialling else []

    async def _connect(self, address: Multiaddr, origin: Origin) -> PeerId:
        await asyncio.sleep(0)  # a dial takes time, so two nodes can dial each other at once
        other = self._loopback.find(address)
        if other is None:
            raise DialFailed("nobody listens there")
        if other is self:
            raise DialFailed("this is our own address", lasting=True)
        if address.peer is not None and address.peer != other.peer_id:
            raise DialFailed(f"{other.peer_id} answered where {address.peer} was expected", lasting=True)
        if other.peer_id not in self._wires:
            other._join(self, f"/ip4/127.0.0.1/tcp/{_FIRST_FREE_PORT}", Direction.ACCEPTED, None)  # noqa: SLF001 - as above
            self._join(other, str(address), Direction.DIALLED, origin)
        return other.peer_id

    def _join(self, other: "LoopbackNetwork", address: str, direction: Direction, origin: Origin | None) -> None:
        peer = other.peer_id
        shown = ConnectedPeer(
            peer=peer,
            address=address,
            direction=direction,
            origin=origin,
            since_ms=self._clock(),
            agent=other._settings.agent,  # noqa: SLF001 - another object of this class
            protocols=tuple(sorted((*other._protocols, *MESHSUB))),  # noqa: SLF001 - as above
            listen_addresses=tuple(other._addresses),  # noqa: SLF001 - as above
            record=None,
            rtt_ms=0,
            bytes_in=0,
            bytes_out=0,
        )
        self._wires[peer] = _Wire(other, shown)
        self._changed(peer)
        if self._listener:
            asyncio.get_running_loop().call_soon(self._listener.peer_up, peer, address)
            asyncio.get_running_loop().call_soon(self._listener.speaks, peer, shown.protocols)
        outbound = direction is Direction.DIALLED
        self._gossip.peer_speaks(peer, (MESHSUB_1_1,), outbound=outbound, host="")

    def _cut(self, peer: PeerId, reason: str) -> None:
        wire = self._wires.pop(peer)
        self._down(peer, reason)
        if wire.other._wires.pop(self._peer, None):  # noqa: SLF001 - another object of this class
            wire.other._down(self._peer, reason)  # noqa: SLF001 - as above

    def _down(self, peer: PeerId, reason: str) -> None:
        self._changed(peer, reason)
        if self._listener:
            asyncio.get_running_loop().call_soon(self._gossip.peer_gone, peer)
            asyncio.get_running_loop().call_soon(self._listener.peer_down, peer, reason)

    def _changed(self, peer: PeerId, lost_for: str = "") -> None:
        if self._dialling:
            self._dialling.stir(peer, lost_for)

    def _deliver(self, wire: _Wire, protocol: str, payload: bytes) -> None:
        wire.in_flight -= len(payload)
        wire.other._receive(self._peer, protocol, payload)  # noqa: SLF001 - another object of this class

    def _receive(self, peer: PeerId, protocol: str, payload: bytes) -> None:
        wire = self._wires.get(peer)
        if wire is not None and self._listener is not None:
            wire.bytes_in += len(payload)
            if protocol in MESHSUB:
                self._gossip.receive(peer, payload)
            else:
                self._listener.message(peer, protocol, payload)
