"""What happens on the links: peers come and go, messages and raw streams find their owners.

Messages travel on one stream per peer, protocol and direction, each with its length in front. A stream that breaks this
framing is reset, with what was on it; the sender's next message opens a new one. A second stream for the same protocol
takes the place of the first, so a peer can make us hold one incomplete message per protocol.

Not here: sockets being opened (`tcp`), who may stay (`admission`), which duplicate is kept and what waits (`peers`).
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import assert_never

from icn.adapters.network.admission import Admission
from icn.adapters.network.dialing import DialFailed
from icn.adapters.network.gossip import Gossip
from icn.adapters.network.link import Link
from icn.adapters.network.memory import MemoryBudget
from icn.adapters.network.peers import Incoming, LinkRecord, OutgoingPhase, PeerRecord
from icn.adapters.network.places import Standing, room_for
from icn.adapters.network.ports import Direction, NetworkListener
from icn.adapters.network.settings import NetworkSettings
from icn.adapters.network.stream import RawCallback, RawStream, StreamLost
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.events import (
    Closed,
    ConnectionEvent,
    Identified,
    Measured,
    Ready,
    StreamData,
    StreamEnded,
    StreamOpened,
    StreamRefused,
    StreamReset,
)
from icn.protocol.libp2p.framing import MessageReader
from icn.protocol.libp2p.gossipsub.settings import MESHSUB


class Switchboard:
    """Runs the links. Satisfies `LinkOwner`."""

    def __init__(
        self,
        settings: NetworkSettings,
        ours: PeerId,
        protocols: Mapping[str, int],
        clock: Callable[[], int],
        stir: Callable[[PeerId, str], None],
        gossip: Gossip,
    ) -> None:
        """`stir` is told whenever a peer comes or goes, and why; `gossip` gets what comes under its protocols."""
        self._settings = settings
        self._ours = ours
        self._protocols = protocols
        self._clock = clock
        self._stir = stir
        self._gossip = gossip
        self._loop = asyncio.get_running_loop()
        self._admission = Admission(settings)
        self.memory = MemoryBudget(settings.memory_bytes_max)
        self._records: dict[Link, LinkRecord] = {}
        self._answers: dict[Link, asyncio.Future[PeerId]] = {}
        self._openings: dict[tuple[Link, int], asyncio.Future[RawStream]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._ended = False
        self._socket_closed = asyncio.Event()
        self.raw: dict[str, RawCallback] = {}
        """Protocols served by raw streams."""
        self.identified: Callable[[LinkRecord], object] = lambda _: None
        """Told whenever a peer has said something about itself."""
        self.is_wanted: Callable[[PeerId], bool] = lambda _: False
        """Whether a peer keeps its place whatever happens."""
        self.let_go: Callable[[PeerId], object] = lambda _: None
        """Told of a peer before it is made to go for others."""
        self.silent = 0
        """Connections whose peer was heard of no more."""
        self.trimmed = 0
        """Peers that had to go for others."""
        self.refused = dict.fromkeys(("handshakes", "address", "places", "memory"), 0)
        """Connections that were ended, by what there was too much of."""
        self.listener: NetworkListener | None = None
        """Who is told; None before the start and after the stop."""
        self.sockets: dict[Link, None] = {}
        """Every open socket, the oldest first."""
        self.peers: dict[PeerId, PeerRecord] = {}

    # For the network.

    def answer(self, link: Link) -> asyncio.Future[PeerId]:
        """Who answers on a link of ours; fails with `DialFailed` when nobody does."""
        future = self._answers[link] = self._loop.create_future()
        return future

    def forget_answer(self, link: Link) -> None:
        """Nobody waits for it any more; a link without a result is of no use."""
        answer = self._answers.pop(link, None)
        if answer is not None:
            answer.cancel()
            link.abort("the attempt was given up")

    def open_raw(self, peer: PeerId, protocol: str) -> asyncio.Future[RawStream]:
        """A raw stream of ours; fails with `StreamLost`."""
        future: asyncio.Future[RawStream] = self._loop.create_future()
        record = self.peers.get(peer)
        link = record.current.link if record else None
        stream = link.machine.open_stream(protocol, self._clock()) if link else None
        if link is None or stream is None:
            future.set_exception(StreamLost(f"{peer} is not connected, or has too many streams"))
        else:
            self._openings[link, stream] = future
            link.flush_soon()
        return future

    def reset_incoming(self, peer: PeerId, protocols: Collection[str]) -> None:
        """End the streams on which a peer sends messages of these protocols. It may open others."""
        known = self.peers.get(peer)
        for record in known.records if known else ():
            for stream, incoming in list(record.incoming.items()):
                if incoming.protocol in protocols:
                    self._drop_incoming(record, stream)
                    record.link.machine.reset_stream(stream)
                    record.link.flush_soon()

    def tick(self, now: int) -> None:
        """Deadlines of every link, and the account of what they hold."""
        self.memory.note_shared("gossip", self._gossip.cached_bytes)
        for known in list(self._records.values()):
            self.count(known)
        for link in list(self.sockets):
            record = self._records.get(link)
            if link.closing_since is not None:
                if now - link.closing_since >= self._settings.closing_ms_max:
                    link.abort("the peer did not read our goodbye")
            elif record and record.retired_at is not None and now - record.retired_at >= self._settings.retire_ms:
                link.close("another connection took its place")
            else:
                link.tick(now)

    async def end(self) -> None:
        """Close everything, politely at first."""
        self.listener, self._ended = None, True
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        for link in list(self.sockets):
            link.close("we are stopping")
        try:
            async with asyncio.timeout(self._settings.closing_ms_max / 1000):
                await self._all_closed()
        except TimeoutError:
            for link in list(self.sockets):
                link.abort("the peer did not read our goodbye")
            await self._all_closed()

    async def _all_closed(self) -> None:
        while self.sockets:
            self._socket_closed.clear()
            await self._socket_closed.wait()

    # What links tell.

    def link_made(self, link: Link) -> None:
        """A socket is open."""
        self.sockets[link] = None
        if self._ended:
            link.abort("we are stopping")
        elif link.direction is Direction.ACCEPTED and self.memory.is_tight:
            self.refused["memory"] += 1
            link.abort("there is no memory left for it")
        elif link.direction is Direction.ACCEPTED:
            evicted = self._admission.arrive(link)
            if evicted is not None:
                self.refused["handshakes"] += 1
                evicted.abort("a newer connection took its place before the handshake")
        if link in self.sockets:
            self.memory.note(link, 0)

    def link_event(self, link: Link, event: ConnectionEvent) -> None:
        """The machine told something."""
        if isinstance(event, Ready):
            self._on_ready(link, event)
            return
        record = self._records.get(link)
        if record is None:
            return
        match event:
            case StreamData(stream, data):
                self._on_data(record, stream, data)
            case StreamOpened(stream, protocol, True):
                self._on_inbound(record, stream, protocol)
            case StreamOpened(stream, protocol, _):
                self._on_outbound(record, stream, protocol)
            case StreamEnded(stream):
                self._on_end(record, stream)
            case StreamReset(stream, reason):
                self._on_stream_lost(record, stream, reason)
            case StreamRefused(stream, protocol):
                self._on_refused(record, stream, protocol)
            case Identified(said):
                record.said = said
                self._speaks(record, said.protocols)
                if self.listener and record.link.peer:
                    self._loop.call_soon(self.listener.speaks, record.link.peer, said.protocols)
                self.identified(record)
            case Measured(rtt_ms):
                record.rtt_ms = rtt_ms
            case Closed():
                return  # `link_lost` follows
            case _:
                assert_never(event)

    def link_flushed(self, link: Link) -> None:
        """Room was made."""
        record = self._records.get(link)
        if record is None:
            return
        for stream in record.raw.values():
            stream.on_room()
        self.count(record)
        peer = self.peers.get(link.peer) if link.peer else None
        if peer is not None and peer.current is record and peer.queued_bytes:
            peer.pump(self._clock())

    def link_lost(self, link: Link, reason: str) -> None:
        """The link carries nothing any more."""
        self._admission.leave(link)
        self.memory.forget(link)
        self.silent += link.is_silent
        answer = self._answers.pop(link, None)
        if answer is not None and not answer.done():
            answer.set_exception(DialFailed(reason, lasting=link.is_wrong))
        record = self._records.pop(link, None)
        if record is None or link.peer is None:
            return
        for key in [key for key in self._openings if key[0] is link]:
            self._fail_opening(key, reason)
        for raw in list(record.raw.values()):
            raw.on_lost(reason)
        peer = self.peers[link.peer]
        was_current = peer.remove(record)
        if not peer.records:
            del self.peers[link.peer]
            self._stir(link.peer, reason)
            if self.listener:
                self._loop.call_soon(self._gossip.peer_gone, link.peer)
                self._loop.call_soon(self.listener.peer_down, link.peer, reason)
        elif was_current:
            self._changed(peer)

    def link_closed(self, link: Link) -> None:
        """The socket is closed."""
        self.sockets.pop(link, None)
        self._socket_closed.set()

    # Peers.

    def _on_ready(self, link: Link, ready: Ready) -> None:
        peer = ready.peer
        refusal = "this is our own address" if peer == self._ours else None
        link.is_wrong = refusal is not None
        if refusal is None and link.direction is Direction.ACCEPTED:
            refusal = self._admission.establish(link)
            self.refused["address"] += refusal is not None
        if refusal is None and peer not in self.peers and not self._make_room(link, peer):
            refusal = "all places for peers are taken"
            self.refused["places"] += 1
        if refusal is not None:
            link.close(refusal)
            return
        now = self._clock()
        record = LinkRecord(link, now, ready.session)
        known = self.peers.get(peer)
        self._answered(link, peer)
        if known is None:
            self.peers[peer] = PeerRecord(peer, now, [record])
            self._records[link] = record
            self._stir(peer, "")
            if self.listener:
                self._loop.call_soon(self.listener.peer_up, peer, link.address)
        else:
            self._records[link] = record
            known.settle(record, self._ours, self._settings.simultaneous_ms)
            if len(known.records) > self._settings.connections_per_peer_max:
                known.records[0].link.close("too many connections of one peer")
            if known.current is record:
                self._changed(known)
            else:
                known.pump(now)

    def _changed(self, peer: PeerRecord) -> None:
        """Another connection to a peer is in use: what waits goes there, and it is told again what we gossip about."""
        self._gossip.link_changed(peer.peer, outbound=peer.current.link.direction is Direction.DIALLED)
        peer.pump(self._clock())

    def _speaks(self, record: LinkRecord, protocols: Collection[str]) -> None:
        link = record.link
        if link.peer is not None:
            outbound = link.direction is Direction.DIALLED
            self._gossip.peer_speaks(link.peer, protocols, outbound=outbound, host=link.host)

    def _make_room(self, link: Link, newcomer: PeerId) -> bool:
        """Let peers go for a newcomer, where that must be; whether it may stay."""
        if len(self.peers) < self._settings.peers_max:
            return True
        wanted = self.is_wanted(newcomer) or (link.origin is not None and not link.origin.is_hearsay)
        standings = [self._standing(record) for record in self.peers.values()]
        room = room_for(standings, newcomer_is_wanted=wanted, now=self._clock(), settings=self._settings)
        for peer in room.leaving:
            self.trimmed += 1
            self.let_go(peer)
            for record in list(self.peers[peer].records):
                record.link.close("its place was needed")
        return room.admitted

    def _standing(self, record: PeerRecord) -> Standing:
        said = record.current.said
        return Standing(
            peer=record.peer,
            since_ms=record.since_ms,
            is_wanted=self.is_wanted(record.peer),
            is_busy=record.is_busy,
            speaks_ours=said is None or any(name in said.protocols for name in self._protocols if name not in MESHSUB),
            score=self._gossip.score(record.peer) or 0,
            dialled=record.current.link.direction is Direction.DIALLED,
        )

    def count(self, record: LinkRecord) -> None:
        """Note what a link holds; end the worst while that is too much."""
        if self._records.get(record.link) is not record:
            return
        machine, peer = record.link.machine, self.peers.get(record.link.peer) if record.link.peer else None
        queued = peer.queued_bytes if peer is not None and peer.current is record else 0
        self.memory.note(record.link, machine.unread + machine.pending + record.held + queued)
        while self.memory.is_spent and (worst := self.memory.worst()) is not None:
            self.refused["memory"] += 1
            worst.abort("it held more of our memory than anybody when that ran out")

    def _answered(self, link: Link, peer: PeerId) -> None:
        answer = self._answers.pop(link, None)
        if answer is not None and not answer.done():
            answer.set_result(peer)

    # Streams.

    def _on_inbound(self, record: LinkRecord, stream: int, protocol: str) -> None:
        serve = self.raw.get(protocol)
        if serve is not None:
            raw = self._raw(record, stream, protocol)
            task = self._loop.create_task(self._serve(raw, serve), name=f"serve {protocol}")
            self._serving.add(task)
            task.add_done_callback(self._served)
            return
        for number, incoming in list(record.incoming.items()):
            if incoming.protocol == protocol:
                self._drop_incoming(record, number)
                record.link.machine.reset_stream(number)
        if protocol in MESHSUB:
            self._speaks(record, (protocol,))
        record.incoming[stream] = Incoming(stream, protocol, MessageReader(self._protocols[protocol]))

    def _on_outbound(self, record: LinkRecord, stream: int, protocol: str) -> None:
        opening = self._openings.pop((record.link, stream), None)
        if opening is not None:
            raw = self._raw(record, stream, protocol)
            if opening.cancelled():
                raw.reset()
            else:
                opening.set_result(raw)
            return
        outgoing = record.outgoing.get(protocol)
        if outgoing is not None and outgoing.stream == stream:
            outgoing.phase = OutgoingPhase.OPEN
            self._pump(record)

    def _on_data(self, record: LinkRecord, stream: int, data: bytes) -> None:
        raw = record.raw.get(stream)
        if raw is not None:
            raw.on_data(data)
            self.count(record)
            return
        record.link.machine.consume(stream, len(data))
        incoming = record.incoming.get(stream)
        if incoming is None:
            return
        try:
            messages = incoming.reader.receive(data)
        except (PeerViolation, Invalid):
            self._drop_incoming(record, stream)
            record.link.machine.reset_stream(stream)
            return
        self.count(record)
        if self.listener and record.link.peer:
            for message in messages:
                if incoming.protocol in MESHSUB:
                    self._loop.call_soon(self._gossip.receive, record.link.peer, message)
                else:
                    self._loop.call_soon(self.listener.message, record.link.peer, incoming.protocol, message)

    def _on_end(self, record: LinkRecord, stream: int) -> None:
        raw = record.raw.get(stream)
        if raw is not None:
            raw.on_end()
        elif stream in record.incoming:
            self._drop_incoming(record, stream)
            record.link.machine.close_stream(stream)

    def _on_stream_lost(self, record: LinkRecord, stream: int, reason: str) -> None:
        self._fail_opening((record.link, stream), reason)
        raw = record.raw.get(stream)
        if raw is not None:
            raw.on_lost(reason)
        self._drop_incoming(record, stream)
        for protocol, outgoing in list(record.outgoing.items()):
            if outgoing.stream == stream:
                del record.outgoing[protocol]
                if protocol in MESHSUB and record.link.peer is not None:
                    self._gossip.stream_lost(record.link.peer)

    def _on_refused(self, record: LinkRecord, stream: int, protocol: str) -> None:
        self._fail_opening((record.link, stream), f"the peer does not speak {protocol}")
        outgoing = record.outgoing.get(protocol)
        if outgoing is not None and outgoing.stream == stream:
            outgoing.phase = OutgoingPhase.REFUSED
            peer = self.peers.get(record.link.peer) if record.link.peer else None
            if peer is not None and peer.current is record:
                peer.drop_queue(protocol)
                if protocol in MESHSUB:
                    self._gossip.peer_gone(peer.peer)

    def _pump(self, record: LinkRecord) -> None:
        peer = self.peers.get(record.link.peer) if record.link.peer else None
        if peer is not None and peer.current is record:
            peer.pump(self._clock())

    def _drop_incoming(self, record: LinkRecord, stream: int) -> None:
        if record.incoming.pop(stream, None) is not None:
            self.count(record)

    # Raw streams.

    def _raw(self, record: LinkRecord, stream: int, protocol: str) -> RawStream:
        if record.link.peer is None:
            raise PeerViolation("a stream was agreed before the handshake")
        raw = RawStream(record.link, stream, record.link.peer, protocol, lambda: record.raw.pop(stream, None))
        record.raw[stream] = raw
        return raw

    def _fail_opening(self, key: tuple[Link, int], reason: str) -> None:
        opening = self._openings.pop(key, None)
        if opening is not None and not opening.done():
            opening.set_exception(StreamLost(reason))

    async def _serve(self, stream: RawStream, serve: RawCallback) -> None:
        done = False
        try:
            await serve(stream)
            done = True
        except StreamLost:
            return
        finally:
            if done:
                stream.finish()
            else:
                stream.reset()

    def _served(self, task: "asyncio.Task[None]") -> None:
        self._serving.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._loop.call_exception_handler({"message": "serving a raw stream failed", "exception": error})
