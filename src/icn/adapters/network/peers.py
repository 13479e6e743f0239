"""Who is connected, over which links, and what waits for them.

**Duplicates.** Two nodes may hold several connections to each other: both dialled at once, or one lost its end and
dialled again before the other noticed. One is in use, and both sides must choose the same one:

| the two connections | kept |
|---|---|
| came up within `simultaneous_ms` of each other, dialled by different sides | the one dialled by the lower peer id |
| the same, dialled by the same side (two addresses of one peer) | the one with the lower handshake hash |
| otherwise | the newer: its dialler would not have dialled if the older still worked for it |

The one that is not kept is retired: nothing new is sent on it, what is on its way still arrives, and it is closed after
`retire_ms`. If the kept one ends before that, the retired one is taken back. Messages wait with the peer, not with a
connection, until the connection has room for them; so only what a lost connection had already taken is lost.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto

from icn.adapters.network.link import Link
from icn.adapters.network.ports import ConnectedPeer, Direction
from icn.adapters.network.stream import RawStream
from icn.kernel.ids import PeerId
from icn.kernel.limits import KIB
from icn.protocol.libp2p.framing import MessageReader, framed
from icn.protocol.libp2p.identify import Identification

AHEAD_BYTES = 256 * KIB
"""Handed to a connection before it could send it; the rest waits with the peer."""


class OutgoingPhase(Enum):
    """Where our stream for one protocol stands."""

    OPENING = auto()
    OPEN = auto()
    REFUSED = auto()


@dataclass(slots=True)
class Outgoing:
    """Our stream for the messages of one protocol."""

    stream: int
    phase: OutgoingPhase = OutgoingPhase.OPENING


@dataclass(slots=True)
class Incoming:
    """The peer's stream for the messages of one protocol."""

    stream: int
    protocol: str
    reader: MessageReader


@dataclass(slots=True, eq=False)
class LinkRecord:
    """What the network keeps for one link of a known peer."""

    link: Link
    ready_at: int
    session: bytes
    """The handshake hash: both sides know it, and nobody can choose it."""
    retired_at: int | None = None
    outgoing: dict[str, Outgoing] = field(default_factory=dict)
    incoming: dict[int, Incoming] = field(default_factory=dict)
    raw: dict[int, RawStream] = field(default_factory=dict)
    said: Identification | None = None
    rtt_ms: int | None = None

    @property
    def held(self) -> int:
        """Bytes of incomplete messages."""
        return sum(incoming.reader.held for incoming in self.incoming.values())


@dataclass(slots=True, eq=False)
class PeerRecord:
    """One connected peer."""

    peer: PeerId
    since_ms: int
    records: list[LinkRecord]
    """The last one is in use."""
    queues: dict[str, deque[bytes]] = field(default_factory=dict)
    queued_bytes: int = 0

    @property
    def current(self) -> LinkRecord:
        """The link in use."""
        return self.records[-1]

    def settle(self, record: LinkRecord, ours: PeerId, simultaneous_ms: int) -> None:
        """Add a duplicate and choose between it and the link in use."""
        current = self.current
        if abs(record.ready_at - current.ready_at) > simultaneous_ms:
            newer_wins = True
        elif record.link.direction is current.link.direction:
            newer_wins = record.session < current.session
        else:
            newer_wins = (record.link.direction is Direction.DIALLED) == (ours < self.peer)
        if newer_wins:
            current.retired_at = record.ready_at
            self.records.append(record)
        else:
            record.retired_at = record.ready_at
            self.records.insert(len(self.records) - 1, record)

    def remove(self, record: LinkRecord) -> bool:
        """Forget a link that is gone; whether another one is in use now."""
        was_current = record is self.current
        self.records.remove(record)
        if was_current and self.records:
            self.current.retired_at = None
        return was_current

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that the peer's going would cut off."""
        return bool(self.queued_bytes or any(record.raw for record in self.records))

    def waiting(self) -> int:
        """Bytes that wait for this peer, here and in the connection in use."""
        return self.queued_bytes + self.current.link.machine.pending

    def queue(self, protocol: str, payload: bytes) -> None:
        """Let a message wait."""
        self.queues.setdefault(protocol, deque()).append(payload)  # bounded: peer_queue_bytes_max, at `send`
        self.queued_bytes += len(payload)

    def drop_queue(self, protocol: str) -> None:
        """Nothing more can be sent under `protocol`: what waits is dropped."""
        self.queued_bytes -= sum(len(payload) for payload in self.queues.pop(protocol, ()))

    def pump(self, now: int) -> None:
        """Hand waiting messages to the link in use, as far as it has room; opens streams on the way."""
        record = self.current
        if not record.link.open:
            return
        machine = record.link.machine
        for protocol, queue in self.queues.items():
            if not queue:
                continue
            outgoing = record.outgoing.get(protocol)
            if outgoing is None:
                stream = machine.open_stream(protocol, now)
                if stream is not None:
                    record.outgoing[protocol] = Outgoing(stream)
                continue
            while queue and outgoing.phase is OutgoingPhase.OPEN and machine.pending_on(outgoing.stream) < AHEAD_BYTES:
                payload = queue.popleft()
                self.queued_bytes -= len(payload)
                machine.write(outgoing.stream, framed(payload))
        if machine.has_output:
            record.link.flush_soon()

    def shown(self, score: int | None) -> ConnectedPeer:
        """For people and metrics."""
        current = self.current
        return ConnectedPeer(
            peer=self.peer,
            address=current.link.address,
            direction=current.link.direction,
            origin=current.link.origin,
            since_ms=self.since_ms,
            agent=current.said.agent if current.said else "",
            protocols=current.said.protocols if current.said else (),
            listen_addresses=current.said.listen_addresses if current.said else (),
            record=current.said.record if current.said else None,
            rtt_ms=current.rtt_ms,
            bytes_in=sum(record.link.bytes_in for record in self.records),
            bytes_out=sum(record.link.bytes_out for record in self.records),
            score=score,
        )
