"""Runs Kademlia over raw streams, and calls whom it finds while too few peers are connected.

The machine says whom to ask; here the peer is connected to first where it must be, asked on a stream of its own, and
its answer or failure handed back. A connection made for a question stays: its peer is likely one of ours, and what is
too much is trimmed elsewhere.

| a peer says of itself | then |
|---|---|
| that it serves Kademlia | it becomes a contact |
| that it speaks none of our message protocols | a stranger: hearsay does not lead us there again soon |

What was told of a peer counts as good when its connection has held: one that answers and hangs up, as a node of another
federation does, is called less and less often.

Not here: dialling again and again (`dialing`), what is known of addresses (`address_book`), the search (`kademlia`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, assert_never

from icn.adapters.network.address_book import AddressBook
from icn.adapters.network.dialing import DialFailed, Dialling
from icn.adapters.network.peers import LinkRecord
from icn.adapters.network.ports import Direction, Origin
from icn.adapters.network.settings import DiscoveryMode, NetworkSettings
from icn.adapters.network.stream import RawStream, StreamLost
from icn.adapters.network.switchboard import Switchboard
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.framing import MessageReader, framed
from icn.protocol.libp2p.kademlia.machine import Ask, Effect, Finished, Kademlia, Learned
from icn.protocol.libp2p.kademlia.messages import Message, PeerInfo, decode, encode
from icn.protocol.libp2p.kademlia.settings import ADDRESSES_PER_PEER_MAX, MESSAGE_BYTES_MAX, PROTOCOL
from icn.protocol.libp2p.multiaddr import Multiaddr

_SECOND_MS = 1000
TRIED_MAX = 3
"""Addresses of one peer that are called to ask it something."""


class Discovery:
    """On the event loop's thread."""

    def __init__(
        self,
        settings: NetworkSettings,
        ours: PeerId,
        *,
        board: Switchboard,
        dialling: Dialling,
        connect: Callable[[Multiaddr, Origin], Awaitable[PeerId]],
        addresses: Callable[[], tuple[Multiaddr, ...]],
        protocols: Collection[str],
        clock: Callable[[], int],
        secret: bytes,
    ) -> None:
        """`connect` dials once; `addresses` are ours; `protocols` are what a peer worth calling speaks one of."""
        self._settings = settings
        self._ours = ours
        self._board = board
        self._dialling = dialling
        self._connect = connect
        self._addresses = addresses
        self._protocols = protocols
        self._clock = clock
        self._machine = Kademlia(ours, settings.discovery.kademlia, secret)
        self._book = AddressBook()
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(settings.discovery.dials_max)
        self._tasks: set[asyncio.Task[None]] = set()
        self._searches: dict[int, asyncio.Future[PeerInfo | None]] = {}
        self._serving: dict[PeerId, int] = {}
        self._looked_at = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is asked at all."""
        return self._settings.discovery.mode is not DiscoveryMode.OFF

    @property
    def contacts(self) -> int:
        """Peers in the routing table."""
        return len(self._machine.contacts)

    @property
    def known(self) -> int:
        """Peers that others told of."""
        return len(self._book)

    async def run(self) -> None:
        """Let time pass for the machine, and keep enough peers, until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._settings.discovery.tick_ms / _SECOND_MS)
                self._tick(self._clock())
        finally:
            await self._end()

    async def find(self, peer: PeerId) -> tuple[Multiaddr, ...]:
        """Where `peer` is said to be; empty when nobody who was asked knows."""
        record = self._board.peers.get(peer)
        if record is not None:
            return _where(record.current)
        begun = self._machine.find(peer, self._clock()) if self.is_on else None
        if begun is None:
            return self._book.addresses_of(peer)
        search, effects = begun
        future = self._searches[search] = self._loop.create_future()
        self._carry_out(effects)
        try:
            found = await future
        finally:
            self._searches.pop(search, None)
        return found.addresses if found is not None else self._book.addresses_of(peer)

    def tell(self, peer: PeerId, addresses: tuple[Multiaddr, ...], origin: Origin) -> None:
        """Somebody said where `peer` is."""
        if peer != self._ours:
            self._book.tell(peer, addresses, origin, self._clock())

    def given_up(self, address: Multiaddr) -> None:
        """Hearsay led to nobody there."""
        if address.peer is not None:
            self._book.failed(address.peer, address.without_peer(), self._clock())

    def identified(self, record: LinkRecord) -> None:
        """A peer has said something about itself."""
        peer, said = record.link.peer, record.said
        if peer is None or said is None:
            return
        if not any(protocol in said.protocols for protocol in self._protocols):
            self._book.estrange(peer, self._clock())
            self._dialling.drop_hearsay(peer)
        self._meet(record)

    async def serve(self, stream: RawStream) -> None:
        """Answer the requests on one stream of a peer's."""
        settings, peer = self._settings.discovery, stream.peer
        open_streams = self._serving.get(peer, 0)
        if open_streams >= settings.streams_per_peer_max:
            stream.reset()
            return
        self._serving[peer] = open_streams + 1
        try:
            await self._answer_all(stream)
        except (Invalid, PeerViolation, TimeoutError):
            stream.reset()
        finally:
            self._serving[peer] -= 1
            if not self._serving[peer]:
                del self._serving[peer]

    async def _answer_all(self, stream: RawStream) -> None:
        reader = MessageReader(MESSAGE_BYTES_MAX)
        while True:
            async with asyncio.timeout(self._settings.discovery.stream_idle_ms_max / _SECOND_MS):
                chunk = await stream.read()
            if not chunk:
                return
            for request in reader.receive(chunk):
                us = PeerInfo(self._ours, tuple(address.without_peer() for address in self._addresses()))
                answer = self._machine.serve(decode(request), stream.peer, stream.host, us, self._clock())
                if answer is not None:
                    async with asyncio.timeout(self._settings.discovery.stream_idle_ms_max / _SECOND_MS):
                        await stream.write(framed(encode(answer)))

    # Time.

    def _tick(self, now: int) -> None:
        if now - self._looked_at >= self._settings.discovery.look_again_ms:
            self._looked_at = now
            for record in list(self._board.peers.values()):
                self._meet(record.current)
                if now - record.since_ms >= self._settings.dial.steady_ms:
                    self._book.reached(record.peer)
        if self.is_on:
            self._carry_out(self._machine.tick(now))
        self._call_somebody(now)

    def _meet(self, record: LinkRecord) -> None:
        peer, said = record.link.peer, record.said
        if peer is None or said is None or not self.is_on:
            return
        if PROTOCOL in said.protocols:
            self._machine.met(PeerInfo(peer, _where(record)), record.link.host, self._clock())
        else:
            self._machine.left(peer)

    def _call_somebody(self, now: int) -> None:
        """Have discovered addresses dialled while there are fewer peers than there should be."""
        peers = self._board.peers
        missing = self._settings.peers_low - len(peers) - self._dialling.unanswered_hearsay()
        for peer, address, origin in self._book.callable_now(now) if missing > 0 else ():
            if missing <= 0:
                return
            if peer in peers or self._dialling.calls(peer):
                continue
            try:
                self._dialling.add(address.with_peer(peer), origin)
            except DialFailed:
                return  # as many addresses as may be are dialled already
            missing -= 1

    # What the machine wants.

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask():
                    self._spawn(self._ask(effect), f"ask {effect.peer.peer}")
                case Learned(info):
                    self.tell(info.peer, info.addresses, Origin.DISCOVERED)
                case Finished(search, wanted):
                    future = self._searches.get(search)
                    if future is not None and not future.done():
                        future.set_result(wanted)
                case _:
                    assert_never(effect)

    async def _ask(self, ask: Ask) -> None:
        try:
            async with asyncio.timeout(self._settings.discovery.kademlia.ask_ms_max / _SECOND_MS):
                await self._reach(ask.peer)
                answer, host = await self._exchange(ask.peer.peer, ask.request)
        except (DialFailed, StreamLost, Invalid, PeerViolation, TimeoutError):
            self._carry_out(self._machine.failed(ask.number, self._clock()))
        else:
            self._carry_out(self._machine.answered(ask.number, answer, host, self._clock()))

    async def _reach(self, info: PeerInfo) -> None:
        """Connect to a peer, unless it is. Raises `DialFailed`."""
        error = DialFailed(f"no address of {info.peer} is known")
        for address in info.addresses[:TRIED_MAX]:
            if info.peer in self._board.peers:
                return
            try:
                async with self._slots:
                    await self._connect(address.with_peer(info.peer), Origin.DISCOVERED)
            except DialFailed as failed:
                self._book.failed(info.peer, address, self._clock())
                error = failed
        if info.peer not in self._board.peers:
            raise error

    async def _exchange(self, peer: PeerId, request: Message) -> tuple[Message, str]:
        """One request and its answer, with the host it came from."""
        stream = await self._board.open_raw(peer, PROTOCOL)
        try:
            await stream.write(framed(encode(request)))
            reader, messages = MessageReader(MESSAGE_BYTES_MAX), list[bytes]()
            while not messages:
                chunk = await stream.read()
                if not chunk:
                    raise StreamLost("ended without an answer")
                messages = reader.receive(chunk)
            answer = decode(messages[0])
            if answer.kind is not request.kind:
                raise PeerViolation(f"kademlia: {answer.kind.name} is no answer to {request.kind.name}")
        except BaseException:
            stream.reset()
            raise
        stream.finish()
        return answer, stream.host

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._loop.call_exception_handler({"message": "a search failed", "exception": error})

    async def _end(self) -> None:
        for future in self._searches.values():
            future.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _where(record: LinkRecord) -> tuple[Multiaddr, ...]:
    """Where the peer of a connection can be dialled: where we did, then where it says, at the same host first."""
    link = record.link
    dialled = _dialled(link.address) if link.direction is Direction.DIALLED else ()
    said = sorted(record.said.listen_addresses if record.said else (), key=lambda one: one.host != link.host)
    known = dict.fromkeys((*dialled, *(address.without_peer() for address in said)))
    return tuple(known)[:ADDRESSES_PER_PEER_MAX]


def _dialled(address: str) -> tuple[Multiaddr, ...]:
    """Nothing for a link-local address: its zone means something on this machine only."""
    try:
        return (Multiaddr.parse(address),)
    except Invalid:
        return ()
