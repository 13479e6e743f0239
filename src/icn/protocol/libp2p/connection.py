"""One libp2p connection from its first byte to its last: upgrade, streams, identify and its pushes, ping.

Inputs are received bytes, ticks of the clock (milliseconds, from any steady origin) and what the owner asks; outputs
are bytes to send (`output`) and events (`icn.protocol.libp2p.events`).

| state | bytes | tick | leaves for |
|---|---|---|---|
| UPGRADING | to `upgrade` | deadline of the handshake | OPEN with `Ready`; CLOSED |
| OPEN | decrypted, to `yamux`, to the streams | pings, silence, deadlines of negotiations | CLOSED |
| CLOSED | ignored | ignored | - |

| a stream is | data | end | reset |
|---|---|---|---|
| NEGOTIATING | to its multistream machine | reset | gone |
| IDENTIFYING (we asked, or they push) | each message: `Identified` | closed | gone |
| LINGERING (done on our side) | discarded | gone | gone |
| PINGING (ours) | compared: `Measured` | reset | a new one at the next ping |
| ECHOING (theirs) | echoed | closed | gone |
| the owner's | `StreamData` | `StreamEnded` | `StreamReset` |

**Whose fault costs what.** A broken rule of Noise, Yamux or the upgrade ends the connection: nothing behind it can be
trusted. Bad data on one stream (a negotiation, an identify message, a ping) resets that stream, and the rest lives on.

Identify is asked for once, at the beginning; afterwards both sides push what has changed (`identification`). Pings go
on as long as the connection and are its keep-alive.

Not here: sockets, the clock, who may connect, what happens with two connections to one peer (`adapters.network`).
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from enum import Enum, auto

from icn.kernel.errors import Invalid, PeerViolation, require
from icn.kernel.ids import PeerId
from icn.protocol.libp2p import identify
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
from icn.protocol.libp2p.framing import MessageReader, framed
from icn.protocol.libp2p.identification import OwnDescription, PeerDescription
from icn.protocol.libp2p.identify import IDENTIFY, PUSH, Identification
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multistream import Outcome, Proposer, Responder
from icn.protocol.libp2p.noise import Role
from icn.protocol.libp2p.ping import PING, PING_BYTES, Echo, Pinger
from icn.protocol.libp2p.secure_channel import Keys, SecureChannel
from icn.protocol.libp2p.upgrade import Upgrade, Upgraded
from icn.protocol.libp2p.yamux import Data, Departing, Ended, Opened, Reset, Session, YamuxEvent


class State(Enum):
    """Where the connection stands."""

    UPGRADING = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(slots=True)
class _Negotiating:
    """No protocol yet. `protocol` is what we proposed; empty on the peer's streams."""

    machine: Proposer | Responder
    protocol: str
    deadline: int
    ours: bool
    """Whether the stream serves this machine (identify, ping) and not the owner."""


@dataclass(slots=True)
class _Identifying:
    reader: MessageReader
    messages_left: int
    deadline: int


@dataclass(slots=True)
class _Pinging:
    pass


@dataclass(slots=True)
class _Echoing:
    echo: Echo


@dataclass(slots=True)
class _Lingering:
    """We are done with it; the peer has until then to end its side."""

    deadline: int


@dataclass(slots=True)
class _Owned:
    protocol: str


_Use = _Negotiating | _Identifying | _Pinging | _Echoing | _Lingering | _Owned


class Spoken:
    """The protocols answered on inbound streams: identify, its push, ping, and the owner's."""

    def __init__(self, owners: Container[str]) -> None:
        self._owners = owners

    def __contains__(self, line: object) -> bool:
        """Whether the bytes of `line` name one. Bytes that are not UTF-8 name none."""
        if not isinstance(line, bytes):
            return False
        try:
            name = line.decode()
        except UnicodeDecodeError:
            return False
        return name in {IDENTIFY, PUSH, PING} or name in self._owners


class Connection:
    """The machine. One owner calls it, from one thread, and sends what `output` gives in order."""

    def __init__(
        self,
        role: Role,
        keys: Keys,
        limits: ConnectionLimits,
        *,
        now: int,
        owners: Container[str],
        about: Identification,
        ping_secret: bytes,
        expected: PeerId | None = None,
        early_muxer: bool = True,
        admits: Callable[[], bool] = lambda: True,
    ) -> None:
        """A connection just opened.

        `owners` are the protocols the peer may open streams for, asked each time; `about` is what identify tells the
        peer; `expected` is who must answer. `early_muxer` off takes the longer path of older peers. While `admits` is
        false, streams that the peer opens are reset.
        """
        self._admits = admits
        self._role = role
        self._keys = keys
        self._limits = limits
        self._spoken = Spoken(owners)
        self._own = OwnDescription(about)
        self._theirs = PeerDescription(limits)
        self._ping_secret = ping_secret
        self._upgrade = Upgrade(role, keys, limits, expected=expected, early_muxer=early_muxer)
        self._unsent = bytearray(self._upgrade.start())
        self._handshake_ends = now + limits.handshake_ms_max
        self._heard_at = now
        self._state = State.UPGRADING
        self._channel: SecureChannel | None = None
        self._session = Session(role, limits)
        self._pinger = Pinger(ping_secret, limits, now)
        self._ping_stream: int | None = None
        self._uses: dict[int, _Use] = {}
        self._events: list[ConnectionEvent] = []
        self.peer: PeerId | None = None
        """Who it is, once OPEN."""

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def unread(self) -> int:
        """Bytes received on the owner's streams and not consumed."""
        return self._session.unread

    @property
    def pending(self) -> int:
        """Bytes written to streams and not yet taken by `output`."""
        return self._session.pending

    @property
    def has_output(self) -> bool:
        """Whether `output` may give something."""
        return bool(self._unsent) or (self._channel is not None and self._session.has_output)

    # Inputs.

    def receive(self, data: bytes, now: int) -> list[ConnectionEvent]:
        """Take received bytes. A broken rule is not raised but told as `Closed`, behind the events before it."""
        if self._state is State.CLOSED:
            return []
        self._heard_at = now
        try:
            if self._channel is None:
                self._unsent += self._upgrade.receive(data)
                if self._upgrade.result is not None:
                    self._open(self._upgrade.result, now)
            else:
                for plaintext in self._channel.decrypt(data):
                    self._frames(plaintext, now)
        except (PeerViolation, Invalid) as error:
            self._close(str(error), violation=True)
        return self._told()

    def tick(self, now: int) -> list[ConnectionEvent]:
        """Let time pass: deadlines and pings."""
        if self._state is State.UPGRADING and now >= self._handshake_ends:
            self._close("the handshake took too long", violation=False)
        elif self._state is State.OPEN:
            if now - self._heard_at > self._limits.silence_ms_max:
                self._close("the peer has fallen silent", violation=False, silence=True)
            else:
                self._tick_streams(now)
                self._tick_ping(now)
        return self._told()

    def open_stream(self, protocol: str, now: int) -> int | None:
        """Propose `protocol` on a new stream; `StreamOpened`, `StreamRefused` or `StreamReset` will tell.

        None when the connection is not open, or as many streams are as we allow ourselves.
        """
        return self._propose(protocol, now, ours=False)

    def write(self, stream: int, data: bytes) -> None:
        """Send `data` on an agreed stream, when the peer's window and the socket allow. Ignored once it is gone."""
        if stream in self._uses:
            require(isinstance(self._uses[stream], _Owned), "nothing is written before the protocol is agreed")
            self._session.write(stream, data)

    def pending_on(self, stream: int) -> int:
        """Bytes written to the stream and not yet taken by `output`."""
        return self._session.pending_on(stream)

    def consume(self, stream: int, count: int) -> None:
        """The owner took `count` bytes of `StreamData`; the peer may send as many again."""
        self._session.consume(stream, count)

    def close_stream(self, stream: int) -> None:
        """No more will be written; what was written is still sent."""
        self._session.close(stream)

    def reset_stream(self, stream: int) -> None:
        """Give the stream up in both directions. No event follows."""
        self._session.reset(stream)
        self._uses.pop(stream, None)

    def describe(self, about: Identification, now: int) -> None:
        """Tell the peer this about us from now on; a peer that was told something else gets a push."""
        self._own.change(about)
        self._push_if_owed(now)

    def depart(self, reason: str) -> list[ConnectionEvent]:
        """Say goodbye, when there is somebody to say it to; then CLOSED. `output` still gives the goodbye."""
        if self._state is State.OPEN:
            self._session.go_away()
        if self._state is not State.CLOSED:
            self._close(reason, violation=False)
        return self._told()

    # Output.

    def output(self, bytes_max: int) -> bytes:
        """Bytes for the socket, about `bytes_max` of them."""
        out = bytes(self._unsent)
        self._unsent.clear()
        if self._channel is not None and (frames := self._session.take(bytes_max)):
            out += self._channel.encrypt(frames)
            self._sweep()
        return out

    # Upgrade and end.

    def _open(self, upgraded: Upgraded, now: int) -> None:
        self._channel = upgraded.channel
        self._state = State.OPEN
        established = upgraded.established
        self.peer = established.peer
        self._events.append(Ready(established.peer, established.session, upgraded.early_muxer))
        self._propose(IDENTIFY, now, ours=True)
        self._pinger.rest(now - self._limits.ping_every_ms)
        for plaintext in upgraded.rest:
            self._frames(plaintext, now)

    def _close(self, reason: str, *, violation: bool, silence: bool = False) -> None:
        self._state = State.CLOSED
        self._uses.clear()
        self._events.append(Closed(reason, violation, silence))

    def _told(self) -> list[ConnectionEvent]:
        events, self._events = self._events, []
        return events

    # Streams.

    def _propose(self, protocol: str, now: int, *, ours: bool) -> int | None:
        stream = self._session.open() if self._state is State.OPEN else None
        if stream is not None:
            proposer = Proposer((protocol,), self._limits.line_bytes_max)
            self._uses[stream] = _Negotiating(proposer, protocol, now + self._limits.negotiation_ms_max, ours)
            self._session.write(stream, proposer.start())
        return stream

    def _frames(self, plaintext: bytes, now: int) -> None:
        for event in self._session.receive(plaintext):
            self._on_session(event, now)
            if self._state is State.CLOSED:
                return
        self._sweep()

    def _on_session(self, event: YamuxEvent, now: int) -> None:
        match event:
            case Opened(stream):
                self._sweep()
                if not self._admits():
                    self._session.reset(stream)
                    return
                limits = self._limits
                machine = Responder(self._spoken, limits.line_bytes_max, limits.proposals_max)
                self._uses[stream] = _Negotiating(machine, "", now + limits.negotiation_ms_max, ours=False)
            case Data(stream, data):
                self._on_data(stream, data, now)
            case Ended(stream):
                self._on_end(stream, now)
            case Reset(stream):
                self._gone(stream, "the peer reset it", now)
            case Departing(reason):
                self._close(f"the peer said goodbye: {reason}", violation=False)

    def _on_data(self, stream: int, data: bytes, now: int) -> None:
        use = self._uses.get(stream)
        match use:
            case _Owned():
                self._events.append(StreamData(stream, data))
            case None | _Lingering():
                self._session.consume(stream, len(data))
            case _:
                try:
                    rest = self._on_own_data(stream, use, data, now)
                    self._session.consume(stream, len(data) - len(rest))
                except (PeerViolation, Invalid) as error:
                    self._give_up(stream, str(error), now)
                    return
                if rest:
                    self._on_data(stream, rest, now)

    def _on_own_data(
        self, stream: int, use: _Negotiating | _Identifying | _Pinging | _Echoing, data: bytes, now: int
    ) -> bytes:
        """Feed one of our own machines; gives the bytes that belong to the protocol just agreed."""
        match use:
            case _Negotiating(machine):
                self._session.write(stream, machine.receive(data))
                if machine.outcome is Outcome.AGREED:
                    self._agreed(stream, use, now)
                    return machine.rest()
                if machine.outcome is Outcome.REFUSED:
                    self._refused(stream, use, now)
            case _Identifying(reader):
                for message in reader.receive(data):
                    self._identified(use, message, now)
            case _Pinging():
                trip = self._pinger.receive(data, now)
                if trip is not None:
                    self._ping_stream = None
                    self._end_own(stream, now)
                    self._events.append(Measured(trip))
            case _Echoing(echo):
                self._session.write(stream, echo.receive(data))
                if self._session.pending_on(stream) > self._limits.pings_unanswered_max * PING_BYTES:
                    raise PeerViolation("ping: the peer does not read the echoes")
        return b""

    def _agreed(self, stream: int, negotiated: _Negotiating, now: int) -> None:
        protocol = negotiated.machine.agreed
        inbound = isinstance(negotiated.machine, Responder)
        if inbound and protocol == IDENTIFY:
            self._session.write(stream, framed(self._about_us()))
            self._end_own(stream, now)
        elif inbound and protocol == PUSH:
            if not self._theirs.admits_push(now):
                raise PeerViolation("identify: too many pushes in a minute")
            self._uses[stream] = self._identifying(now)
        elif inbound and protocol == PING:
            self._uses[stream] = _Echoing(Echo())
        elif negotiated.ours and protocol == IDENTIFY:
            self._uses[stream] = self._identifying(now)
        elif negotiated.ours and protocol == PUSH:
            self._session.write(stream, framed(self._about_us()))
            self._end_own(stream, now)
        elif negotiated.ours and protocol == PING:
            self._uses[stream] = _Pinging()
            self._session.write(stream, self._pinger.payload(now))
        else:
            self._uses[stream] = _Owned(protocol)
            self._events.append(StreamOpened(stream, protocol, inbound))

    def _refused(self, stream: int, negotiated: _Negotiating, now: int) -> None:
        self._session.reset(stream)
        del self._uses[stream]
        if stream == self._ping_stream:
            self._end_ping(now)
        elif not negotiated.ours:
            self._events.append(StreamRefused(stream, negotiated.protocol))

    def _about_us(self) -> bytes:
        return identify.encode(self._keys.signer.did, self._own.about)

    def _identifying(self, now: int) -> _Identifying:
        limits = self._limits
        reader = MessageReader(limits.identify_bytes_max)
        return _Identifying(reader, limits.identify_messages_max, now + limits.negotiation_ms_max)

    def _identified(self, use: _Identifying, message: bytes, now: int) -> None:
        use.messages_left -= 1
        if use.messages_left < 0:
            raise PeerViolation("identify: too many messages on one stream")
        require(self.peer is not None, "identify runs on an open connection")
        if self.peer is not None:
            self._events.append(Identified(self._theirs.take(message, self.peer)))
        self._push_if_owed(now)

    def _push_if_owed(self, now: int) -> None:
        if self._own.owed_to(self._theirs.said) and self._propose(PUSH, now, ours=True) is not None:
            self._own.settle()

    def _on_end(self, stream: int, now: int) -> None:
        match self._uses.get(stream):
            case _Owned():
                self._events.append(StreamEnded(stream))
            case _Negotiating():
                self._session.reset(stream)
                self._gone(stream, "the peer ended it before a protocol was agreed", now)
            case _Pinging():
                self._give_up(stream, "the peer ended it before its echo", now)
            case _:
                self._end_own(stream, now)

    def _end_own(self, stream: int, now: int) -> None:
        """Nothing more is expected of a stream of this machine's; what still comes is discarded."""
        self._session.close(stream)
        self._uses[stream] = _Lingering(now + self._limits.negotiation_ms_max)

    def _give_up(self, stream: int, reason: str, now: int) -> None:
        self._session.reset(stream)
        self._gone(stream, reason, now)

    def _gone(self, stream: int, reason: str, now: int) -> None:
        """The stream exists no more: the owner is told about its own, and about proposals of its."""
        use = self._uses.pop(stream, None)
        if stream == self._ping_stream:
            self._end_ping(now)
        match use:
            case _Owned():
                self._events.append(StreamReset(stream, reason))
            case _Negotiating(protocol=protocol, ours=False) if protocol:
                self._events.append(StreamReset(stream, reason))

    def _sweep(self) -> None:
        """Forget streams that ended on both sides."""
        for stream in self._session.finished():
            self._uses.pop(stream, None)

    # Time.

    def _tick_streams(self, now: int) -> None:
        timed = _Negotiating | _Identifying | _Lingering
        late = [stream for stream, use in self._uses.items() if isinstance(use, timed) and now >= use.deadline]
        for stream in late:
            self._give_up(stream, "it took too long", now)

    def _tick_ping(self, now: int) -> None:
        if self._pinger.expired(now):
            if self._ping_stream is not None:
                self.reset_stream(self._ping_stream)
            self._end_ping(now)
            if self._pinger.lose():
                self._close("the peer answers no pings", violation=False, silence=True)
                return
        if self._pinger.due(now):
            self._ping_stream = self._propose(PING, now, ours=True)
            if self._ping_stream is not None:
                self._pinger.begin(now)

    def _end_ping(self, now: int) -> None:
        self._ping_stream = None
        self._pinger.rest(now)
