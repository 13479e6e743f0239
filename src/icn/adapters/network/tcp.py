"""libp2p over TCP: listens, dials, and puts sockets, machines and peers together behind the network port.

What a connection is, is in `protocol.libp2p`; what happens on connections, in `switchboard`; when to dial again, in
`dialing`. `SO_REUSEPORT` is not used: it would let another process of the same user take our connections.
"""

import asyncio
import base64
import socket
from collections.abc import Callable, Mapping

from icn.adapters.network.addresses import announced, multicast_interfaces, reachable
from icn.adapters.network.dialing import DialFailed, Dialling
from icn.adapters.network.discovery import Discovery
from icn.adapters.network.gossip import Gossip
from icn.adapters.network.link import Link
from icn.adapters.network.mdns import MdnsSocket
from icn.adapters.network.peers import OutgoingPhase
from icn.adapters.network.ports import (
    ConnectedPeer,
    DialState,
    Direction,
    GossipShown,
    ListenFailed,
    NetworkFigures,
    NetworkListener,
    Origin,
)
from icn.adapters.network.settings import DiscoveryMode, NetworkSettings
from icn.adapters.network.stream import RawCallback, RawStream
from icn.adapters.network.switchboard import Switchboard
from icn.kernel.errors import Invalid, InvariantBroken, require
from icn.kernel.ids import PeerId
from icn.kernel.signing import Signer
from icn.protocol.libp2p import routing_record
from icn.protocol.libp2p.connection import Connection
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.settings import MESHSUB
from icn.protocol.libp2p.identify import IDENTIFY, PUSH, Identification
from icn.protocol.libp2p.kademlia.settings import PROTOCOL as KADEMLIA
from icn.protocol.libp2p.mdns import Mdns
from icn.protocol.libp2p.multiaddr import Host, Multiaddr
from icn.protocol.libp2p.noise import KEY_BYTES, Role
from icn.protocol.libp2p.ping import PING
from icn.protocol.libp2p.routing_record import RoutingRecord
from icn.protocol.libp2p.secure_channel import Keys

_FAMILY = {
    Host.IP4: socket.AF_INET,
    Host.IP6: socket.AF_INET6,
    Host.DNS: socket.AF_UNSPEC,
    Host.DNS4: socket.AF_INET,
    Host.DNS6: socket.AF_INET6,
}
_BACKLOG = 256
_MDNS_NAME_BYTES = 20
"""Of randomness; as text 32 characters, as the specification has it at least."""


class Libp2pNetwork:
    """The network port over real sockets. Lives on one event loop; satisfies `Network`."""

    def __init__(
        self,
        settings: NetworkSettings,
        signer: Signer,
        entropy: Callable[[int], bytes],
        clock: Callable[[], int],
        protocols: Mapping[str, int],
    ) -> None:
        """`clock` gives milliseconds, never backwards; `protocols` are ids with the bytes of their longest message."""
        self._settings = settings
        self._signer = signer
        self._entropy = entropy
        self._clock = clock
        self._protocols = dict(protocols)
        self._peer = PeerId.of(signer.did)
        self._raw: dict[str, RawCallback] = {}
        self._spoken: set[str] = {*protocols, *MESHSUB}
        self._gossip = Gossip(settings.gossip, signer, entropy, clock, self)
        self._servers: list[asyncio.Server] = []
        self._bound: list[tuple[str, int]] = []
        self._addresses: list[Multiaddr] = []
        self._record: RoutingRecord | None = None
        self._looked_at = 0
        """When our addresses were last looked up."""
        self._switchboard: Switchboard | None = None
        self._dialling: Dialling | None = None
        self._discovery: Discovery | None = None
        self._mdns: list[MdnsSocket] = []
        self._prefers: Callable[[PeerId], bool] = lambda _: False
        self._tasks: list[asyncio.Task[None]] = []
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def peer_id(self) -> PeerId:
        """Who we are."""
        return self._peer

    @property
    def listen_addresses(self) -> list[str]:
        """Where we can be dialled, each with our id."""
        return [str(address) for address in self._addresses]

    def handle(self, protocol: str, callback: RawCallback) -> None:
        """Serve `protocol` with raw streams, from now on; connected peers are told."""
        require(protocol not in self._spoken, "a protocol is served in one way")
        self._raw[protocol] = callback
        self._spoken.add(protocol)
        self._describe()

    def prefer(self, prefers: Callable[[PeerId], bool]) -> None:
        """Peers for whom `prefers` is true keep their places when others must go; asked each time."""
        self._prefers = prefers

    async def start(self, listener: NetworkListener) -> None:
        """Listen, and begin to dial. Raises `ListenFailed`."""
        require(self._switchboard is None, "a network is started once")
        self._dialling = Dialling(
            self._settings.dial,
            connect=self._connect,
            connected=self._is_connected,
            clock=self._clock,
            entropy=self._entropy,
            given_up=self._given_up,
        )
        readable = self._protocols | dict.fromkeys(MESHSUB, self._settings.gossip.rpc_bytes_max)
        self._switchboard = Switchboard(
            self._settings, self._peer, readable, self._clock, self._dialling.stir, self._gossip
        )
        self._switchboard.raw = self._raw
        self._switchboard.listener = self._gossip.listener = listener
        for address in self._settings.listen:
            await self._listen(address)
        self._look_up_addresses()
        self._discovery = Discovery(
            self._settings,
            self._peer,
            board=self._switchboard,
            dialling=self._dialling,
            connect=self._connect,
            addresses=lambda: tuple(self._addresses),
            protocols=self._protocols,
            clock=self._clock,
            secret=self._entropy(KEY_BYTES),
        )
        self._switchboard.identified = self._discovery.identified
        self._switchboard.is_wanted = self._is_wanted
        self._switchboard.let_go = self._dialling.drop_hearsay
        if self._settings.discovery.mode is DiscoveryMode.SERVER:
            self.handle(KADEMLIA, self._discovery.serve)
        if self._settings.mdns:
            await self._join_multicast(self._discovery)
        for address in self._settings.bootstrap:
            self._dialling.add(address, Origin.BOOTSTRAP)
        loop = asyncio.get_running_loop()
        for name, run in (("network dialling", self._dialling.run()), ("network discovery", self._discovery.run())):
            task = loop.create_task(run, name=name)
            task.add_done_callback(_report)
            self._tasks.append(task)
        self._tick()

    async def stop(self) -> None:
        """Say goodbye and close everything."""
        self._gossip.end()
        if self._ticking is not None:
            self._ticking.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for sock in self._mdns:
            sock.close()
        for server in self._servers:
            server.close()
        if self._switchboard is not None:
            await self._switchboard.end()

    def send(self, peer: PeerId, protocol: str, payload: bytes) -> bool:
        """Queue one message; False when it was not taken. Raises `Invalid` when it is too long."""
        longest = self._protocols.get(protocol)
        if longest is None or len(payload) > longest:
            raise Invalid("message", f"{len(payload)} bytes under {protocol!r}, which carries {longest or 'nothing'}")
        return self._queue(peer, protocol, payload)

    def _queue(self, peer: PeerId, protocol: str, payload: bytes) -> bool:
        record = self._board.peers.get(peer)
        if record is None:
            return False
        outgoing = record.current.outgoing.get(protocol)
        if outgoing is not None and outgoing.phase is OutgoingPhase.REFUSED:
            return False
        if record.waiting() + len(payload) > self._settings.peer_queue_bytes_max:
            return False
        record.queue(protocol, payload)
        record.pump(self._clock())
        self._board.count(record.current)
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
        return self._queue(peer, protocol, data)

    def reset_rpcs(self, peer: PeerId) -> None:
        """End the stream on which the peer sends RPCs."""
        self._board.reset_incoming(peer, MESHSUB)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End every connection to `peer`."""
        record = self._board.peers.get(peer)
        for one in list(record.records) if record else []:
            one.link.close(reason)

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
        """Where `peer` is said to be; empty when nobody who was asked knows."""
        if self._discovery is None:
            raise InvariantBroken("a network is used after its start")
        return await self._discovery.find(peer)

    def figures(self) -> NetworkFigures:
        """How it fares."""
        board, discovery = self._board, self._discovery
        return NetworkFigures(
            peers=len(board.peers),
            contacts=discovery.contacts if discovery else 0,
            known=discovery.known if discovery else 0,
            memory_bytes=board.memory.used,
            memory_bytes_max=self._settings.memory_bytes_max,
            silent=board.silent,
            trimmed=board.trimmed,
            refused=dict(board.refused),
            gossip=self._gossip.shown(),
        )

    async def open_stream(self, peer: PeerId, protocol: str) -> RawStream:
        """A raw stream to `peer`. Raises `StreamLost` when it is not connected or does not speak `protocol`."""
        return await self._board.open_raw(peer, protocol)

    def peers(self) -> list[ConnectedPeer]:
        """Connected peers, in the order of their ids."""
        records = self._board.peers
        return [records[peer].shown(self._gossip.score(peer)) for peer in sorted(records)]

    def dial_states(self) -> list[DialState]:
        """The addresses that are dialled, in the order given."""
        return self._dialling.states() if self._dialling else []

    @property
    def _board(self) -> Switchboard:
        if self._switchboard is None:
            raise InvariantBroken("a network is used after its start")
        return self._switchboard

    # Sockets.

    async def _listen(self, address: Multiaddr) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: self._link(Direction.ACCEPTED, None, None),
                address.host,
                address.port,
                family=_FAMILY[address.kind],
                backlog=_BACKLOG,
            )
        except OSError as error:
            raise ListenFailed(str(address), error.strerror or str(error)) from error
        self._servers.append(server)
        self._bound += [sock.getsockname()[:2] for sock in server.sockets]

    async def _join_multicast(self, discovery: Discovery) -> None:
        name = base64.b32encode(self._entropy(_MDNS_NAME_BYTES)).rstrip(b"=").lower()
        for interface in multicast_interfaces([host for host, _ in self._bound]):
            sock = MdnsSocket(
                Mdns(self._peer, name),
                addresses=lambda: tuple(self._addresses),
                told=discovery.tell,
                clock=self._clock,
            )
            await sock.open(interface, self._settings.mdns_port)
            self._mdns.append(sock)

    async def _connect(self, address: Multiaddr, origin: Origin) -> PeerId:
        """Dial once. Raises `DialFailed`."""
        if address.peer == self._peer:
            raise DialFailed("this is our own address", lasting=True)
        loop = asyncio.get_running_loop()
        link = self._link(Direction.DIALLED, address.peer, origin)
        answer = self._board.answer(link)
        try:
            async with asyncio.timeout(self._settings.dial.connect_ms_max / 1000):
                await loop.create_connection(lambda: link, address.host, address.port, family=_FAMILY[address.kind])
            # The handshake has a deadline of its own; when it passes, the answer fails.
            return await answer
        except TimeoutError as error:
            raise DialFailed("nobody answered in time") from error
        except OSError as error:
            raise DialFailed(error.strerror or str(error)) from error
        finally:
            self._board.forget_answer(link)

    def _link(self, direction: Direction, expected: PeerId | None, origin: Origin | None) -> Link:
        role = Role.INITIATOR if direction is Direction.DIALLED else Role.RESPONDER

        def machine(link: Link) -> Connection:
            return Connection(
                role,
                Keys(self._signer, self._entropy(KEY_BYTES), self._entropy(KEY_BYTES)),
                self._settings.limits,
                now=self._clock(),
                owners=self._spoken,
                about=self._about(link),
                ping_secret=self._entropy(KEY_BYTES),
                expected=expected,
                admits=self._admits_streams,
            )

        return Link(
            self._board,
            machine,
            self._clock,
            direction,
            origin,
            flush_bytes=self._settings.flush_bytes,
            unread_bytes_max=self._settings.limits.unread_bytes_max,
        )

    def _about(self, link: Link) -> Identification:
        """What identify tells the other end of `link`."""
        kind = Host.IP6 if ":" in link.host else Host.IP4
        return Identification(
            agent=self._settings.agent,
            protocols=(IDENTIFY, PUSH, PING, *sorted(self._spoken)),
            listen_addresses=tuple(self._addresses),
            observed=Multiaddr.make(kind, link.host.partition("%")[0], link.port) if link.host else None,
            record=self._record,
        )

    def _look_up_addresses(self) -> None:
        """Where we can be dialled: of a socket on all addresses this changes with the machine's own."""
        self._looked_at = self._clock()
        found = [one for host, port in self._bound for one in reachable(host, port)]
        addresses = announced(found, self._settings.announce, self._peer)
        if addresses == self._addresses:
            return
        self._addresses = addresses
        # The clock orders our records over restarts, as the specification proposes.
        sequence = max(self._clock(), self._record.sequence + 1 if self._record else 0)
        self._record = routing_record.make(self._signer, sequence, tuple(addresses))
        self._describe()

    def _describe(self) -> None:
        """Tell every peer what has changed about us."""
        if self._switchboard is not None:
            for link in self._switchboard.sockets:
                if link.open:
                    link.machine.describe(self._about(link), self._clock())
                    link.flush_soon()

    def _given_up(self, address: Multiaddr) -> None:
        if self._discovery is not None:
            self._discovery.given_up(address)

    def _is_wanted(self, peer: PeerId) -> bool:
        return self._prefers(peer) or (self._dialling is not None and self._dialling.answers_for(peer))

    def _admits_streams(self) -> bool:
        return self._switchboard is None or not self._switchboard.memory.is_tight

    def _is_connected(self, peer: PeerId) -> bool:
        return peer in self._board.peers

    def _tick(self) -> None:
        # Armed first: a bug in one link must not stop the deadlines of the others.
        self._ticking = asyncio.get_running_loop().call_later(self._settings.tick_ms / 1000, self._tick)
        now = self._clock()
        if now - self._looked_at >= self._settings.addresses_every_ms:
            self._look_up_addresses()
        for sock in self._mdns:
            sock.tick(now)
        self._board.tick(now)


def _report(task: "asyncio.Task[None]") -> None:
    """A task that fails is a bug; whoever owns the loop is told."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        what = f"{task.get_name()} failed"
        asyncio.get_running_loop().call_exception_handler({"message": what, "exception": error})
