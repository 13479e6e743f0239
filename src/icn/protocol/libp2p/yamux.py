"""Many streams over one connection: Yamux, with its windows enforced in both directions.

Source: https://github.com/hashicorp/yamux/blob/master/spec.md, and the libp2p notes on it. A frame is a header of 12
bytes (version, type, flags, stream id, length), and for data the body. "The client side should use odd ID's, and the
server even."

A stream, seen from here; either side may go first on every row:

| state | sent FIN | received FIN | RST either way |
|---|---|---|---|
| OPEN | HALF_SENT | HALF_RECEIVED | gone |
| HALF_SENT (we will send no more) | - | gone | gone |
| HALF_RECEIVED (they will send no more) | gone | violation | gone |

A FIN of ours follows the last byte written; what was written before it is sent first, as the window allows.

**Windows.** "Both sides assume the initial 256KB window". More data than granted is a violation and ends the
connection: that is what makes a slow reader safe. A window is restored when half of it was consumed, and doubles then,
up to a bound for the stream and one for all streams together, so a long fat pipe fills and an idle stream stays small.

**Sending.** Written data waits in its stream. `take` turns it into frames, control frames first and then the streams in
turn, so no stream starves another, and what nobody can send (no window, slow socket) stays where it is bounded: with
the writer. Control frames answer the peer (updates, resets, pongs); their queue is bounded, a peer that lets it fill
does not read its answers.

**Strays.** Frames for streams that are gone are discarded: the peer may have sent them before it learned of the end.

What surprised: a data frame may be longer than what is worth buffering, so bodies are delivered as they arrive; and not
everybody reads a data frame that ends its stream, so FIN travels alone.

Not here: encryption (`secure_channel`), protocols on streams (`connection`), time.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from icn.kernel.errors import PeerViolation, require
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.noise import PLAINTEXT_BYTES_MAX, Role

HEADER = struct.Struct("!BBHII")
INITIAL_WINDOW = 256 * 1024
BODY_BYTES_MAX = PLAINTEXT_BYTES_MAX - HEADER.size
"""What we put into one data frame: header and body fill one Noise message."""
_WINDOW_MAX = 2**32 - 1
_CODES = ("normal termination", "protocol error", "internal error")


class FrameType(IntEnum):
    """The type field."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntFlag):
    """The flags field."""

    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


_SYN, _ACK, _FIN, _RST = (int(flag) for flag in Flag)
_DATA, _UPDATE, _PING, _GO_AWAY = (int(kind) for kind in FrameType)


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes on a stream. Whoever takes them calls `Session.consume`."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The peer will send no more on this stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave this stream up; it is gone."""

    stream: int


@dataclass(frozen=True, slots=True)
class Departing:
    """The peer said it goes away, and why."""

    reason: str


YamuxEvent = Opened | Data | Ended | Reset | Departing


@dataclass(slots=True, eq=False)
class _Stream:
    """Both directions of one stream."""

    number: int
    receive_window: int = INITIAL_WINDOW
    """What the peer may still send."""
    window_target: int = INITIAL_WINDOW
    """What the window is restored to."""
    unread: int = 0
    """Received and not consumed."""
    credit: int = 0
    """Consumed and not yet granted again."""
    send_window: int = INITIAL_WINDOW
    """What we may still send."""
    pending: deque[memoryview] = field(default_factory=deque)
    """Written and not yet sent."""
    pending_bytes: int = 0
    closing: bool = False
    """We will write no more; FIN follows the pending data."""
    fin_sent: bool = False
    ended: bool = False
    """The peer's FIN has come."""
    queued: bool = False
    """Waits for its turn in `take`."""


class Session:
    """One side of a Yamux session. `receive` gives events; `take` gives bytes to send."""

    def __init__(self, role: Role, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._own_parity = 1 if role is Role.INITIATOR else 0
        self._next_stream = 1 if role is Role.INITIATOR else 2
        self._streams: dict[int, _Stream] = {}
        self._inbound = 0
        self._growth_left = limits.window_growth_bytes_max
        self._control: list[bytes | memoryview] = []
        self._turns: deque[_Stream] = deque()  # bounded: each stream is in it at most once
        self._header = bytearray()
        self._body_left = 0
        self._body_stream = 0
        self._body_ends = False
        self._pongs = 0
        self._finished: list[int] = []
        self.unread = 0
        """Received on all streams and not consumed."""
        self.pending = 0
        """Written on all streams and not sent."""

    # What the owner asks.

    def open(self) -> int | None:
        """A new stream, or None when we have as many open as we allow ourselves."""
        if len(self._streams) - self._inbound >= self._limits.outbound_streams_max:
            return None
        number = self._next_stream
        self._next_stream += 2
        self._streams[number] = _Stream(number)
        self._send_control(_UPDATE, _SYN, number, 0)
        return number

    def write(self, stream: int, data: bytes) -> None:
        """Queue `data`. Nothing happens when the stream is gone: the caller has been, or will be, told."""
        found = self._streams.get(stream)
        if found is None or not data:
            return
        require(not found.closing, "nothing is written behind the end of a stream")
        found.pending.append(memoryview(data))
        found.pending_bytes += len(data)
        self.pending += len(data)
        self._queue(found)

    def pending_on(self, stream: int) -> int:
        """Bytes written to the stream and not yet sent; 0 when it is gone."""
        found = self._streams.get(stream)
        return found.pending_bytes if found else 0

    def consume(self, stream: int, count: int) -> None:
        """The reader took `count` bytes of the stream: grant that much again, when it is worth a frame."""
        found = self._streams.get(stream)
        if found is None:
            return
        require(count <= found.unread, "no more is consumed than was received")
        found.unread -= count
        self.unread -= count
        found.credit += count
        if found.ended or found.credit < found.window_target // 2:
            return
        growth = min(found.window_target, self._limits.receive_window_max - found.window_target, self._growth_left)
        self._growth_left -= growth
        found.window_target += growth
        found.receive_window += found.credit + growth
        self._send_control(_UPDATE, 0, stream, found.credit + growth)
        found.credit = 0

    def close(self, stream: int) -> None:
        """No more will be written. What was written is still sent."""
        found = self._streams.get(stream)
        if found is not None and not found.closing:
            found.closing = True
            self._queue(found)

    def reset(self, stream: int) -> None:
        """Give the stream up at once, in both directions."""
        found = self._streams.get(stream)
        if found is not None:
            self._send_control(_UPDATE, _RST, stream, 0)
            self._forget(found)

    def go_away(self) -> None:
        """Tell the peer that we leave, normally."""
        self._send_control(_GO_AWAY, 0, 0, 0)

    def finished(self) -> list[int]:
        """Streams gone since the last call, however they ended."""
        finished, self._finished = self._finished, []
        return finished

    @property
    def has_output(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self._control or self._turns)

    def take(self, bytes_max: int) -> bytes:
        """Frames to send now, about `bytes_max` of them: control first, then the streams in turn."""
        out = self._control
        self._control, self._pongs = [], 0
        size = len(out) * HEADER.size
        while self._turns and size < bytes_max:
            stream = self._turns.popleft()
            stream.queued = False
            size += self._take_from(stream, out)
        return b"".join(out)

    # What the peer sends.

    def receive(self, data: bytes) -> Iterator[YamuxEvent]:
        """Events of the frames in `data`, in order.

        A generator, so that the owner may act on one event before the next is read.

        Raises:
            PeerViolation: a frame breaks the rules; the session is over.
        """
        position, size = 0, len(data)
        while position < size:
            if self._body_left:
                count = min(self._body_left, size - position)
                body = data[position : position + count]
                position += count
                self._body_left -= count
                yield from self._body(body)
                continue
            if not self._header and size - position >= HEADER.size:
                header = HEADER.unpack_from(data, position)
                position += HEADER.size
            else:
                count = HEADER.size - len(self._header)
                self._header += data[position : position + count]
                position += count
                if len(self._header) < HEADER.size:
                    return
                header = HEADER.unpack(self._header)
                self._header.clear()
            yield from self._frame(*header)
            if len(self._control) * HEADER.size > self._limits.control_bytes_max:
                raise PeerViolation("yamux: the peer does not read the answers it causes")

    def _frame(self, version: int, kind: int, flags: int, number: int, length: int) -> Iterator[YamuxEvent]:
        if version != 0:
            raise PeerViolation(f"yamux: version {version}, only 0 exists")
        if flags & ~(_SYN | _ACK | _FIN | _RST):
            raise PeerViolation(f"yamux: unknown flags {flags:#06x}")
        if kind == _PING:
            self._ping(flags, number, length)
        elif kind == _GO_AWAY:
            if number != 0:
                raise PeerViolation("yamux: go away is about the session, its stream id is 0")
            yield Departing(_CODES[length] if length < len(_CODES) else f"code {length}")
        elif kind in {_DATA, _UPDATE}:
            yield from self._stream_frame(kind, flags, number, length)
        else:
            raise PeerViolation(f"yamux: unknown frame type {kind}")

    def _ping(self, flags: int, number: int, opaque: int) -> None:
        """A ping of theirs is answered with ACK "and the same opaque value"; we send none, so an answer is a stray."""
        if number != 0:
            raise PeerViolation("yamux: a ping is about the session, its stream id is 0")
        if flags == _SYN:
            self._pongs += 1
            if self._pongs > self._limits.pings_unanswered_max:
                raise PeerViolation(f"yamux: more than {self._limits.pings_unanswered_max} pings without reading")
            self._send_control(_PING, _ACK, 0, opaque)
        elif flags != _ACK:
            raise PeerViolation(f"yamux: a ping with flags {flags:#06x}")

    def _stream_frame(self, kind: int, flags: int, number: int, length: int) -> Iterator[YamuxEvent]:
        if number == 0:
            raise PeerViolation("yamux: stream id 0 is the session's")
        if flags & _SYN and self._accept(number):
            yield Opened(number)
        stream = self._streams.get(number)
        if kind == _DATA:
            self._expect_body(stream, number, length)
        elif stream is not None:
            self._widen(stream, length)
        if stream is None:
            return
        if flags & _RST:
            self._forget(stream)
            yield Reset(number)
        elif flags & _FIN:
            if stream.ended:
                raise PeerViolation("yamux: a stream ended twice")
            if self._body_left:
                self._body_ends = True
            else:
                yield from self._end(stream)

    def _accept(self, number: int) -> bool:
        """Whether the new stream is taken. One too many is reset, as the specification provides."""
        if number % 2 == self._own_parity:
            raise PeerViolation("yamux: the peer opened a stream with an id of ours")
        if number in self._streams:
            raise PeerViolation("yamux: a stream was opened twice")
        if self._inbound >= self._limits.inbound_streams_max:
            self._send_control(_UPDATE, _RST, number, 0)
            return False
        self._streams[number] = _Stream(number)
        self._inbound += 1
        self._send_control(_UPDATE, _ACK, number, 0)
        return True

    def _expect_body(self, stream: _Stream | None, number: int, length: int) -> None:
        if length > self._limits.frame_bytes_max:
            raise PeerViolation(f"yamux: a frame of {length} bytes, {self._limits.frame_bytes_max} are accepted")
        if stream is not None and length:
            if stream.ended:
                raise PeerViolation("yamux: data behind the end of a stream")
            if length > stream.receive_window:
                raise PeerViolation(f"yamux: {length} bytes where the window had {stream.receive_window}")
            stream.receive_window -= length
        self._body_left, self._body_stream = length, number

    def _body(self, body: bytes) -> Iterator[YamuxEvent]:
        stream = self._streams.get(self._body_stream)
        if stream is not None:
            stream.unread += len(body)
            self.unread += len(body)
            yield Data(self._body_stream, body)
        if self._body_ends and not self._body_left:
            self._body_ends = False
            # Looked up again: the owner may have reset the stream on the data.
            stream = self._streams.get(self._body_stream)
            if stream is not None:
                yield from self._end(stream)

    def _widen(self, stream: _Stream, length: int) -> None:
        stream.send_window += length
        if stream.send_window > _WINDOW_MAX:
            raise PeerViolation("yamux: a window grew beyond 32 bits")
        if stream.pending:
            self._queue(stream)

    def _end(self, stream: _Stream) -> Iterator[YamuxEvent]:
        stream.ended = True
        yield Ended(stream.number)
        self._forget_if_done(stream)

    # Bookkeeping.

    def _take_from(self, stream: _Stream, out: list[bytes | memoryview]) -> int:
        """One frame of the stream's data, or its end."""
        count = min(stream.pending_bytes, stream.send_window, BODY_BYTES_MAX)
        ends = stream.closing and count == stream.pending_bytes
        if not count and not ends:
            return 0  # no window: an update will queue it again
        if count:
            self._append_data(stream, count, out)
        if ends:
            # A frame of its own: js-libp2p 3.3 drops the body of a data frame that also has FIN.
            out.append(HEADER.pack(0, _UPDATE, _FIN, stream.number, 0))
            stream.fin_sent = True
            self._forget_if_done(stream)
        elif stream.pending_bytes and stream.send_window:
            self._queue(stream)
        return HEADER.size + count

    def _append_data(self, stream: _Stream, count: int, out: list[bytes | memoryview]) -> None:
        out.append(HEADER.pack(0, _DATA, 0, stream.number, count))
        stream.send_window -= count
        stream.pending_bytes -= count
        self.pending -= count
        left = count
        while left:
            chunk = stream.pending[0]
            if len(chunk) <= left:
                out.append(stream.pending.popleft())
                left -= len(chunk)
            else:
                out.append(chunk[:left])
                stream.pending[0] = chunk[left:]
                left = 0

    def _queue(self, stream: _Stream) -> None:
        if not stream.queued and not stream.fin_sent:
            stream.queued = True
            self._turns.append(stream)

    def _send_control(self, kind: int, flags: int, number: int, length: int) -> None:
        self._control.append(HEADER.pack(0, kind, flags, number, length))

    def _forget_if_done(self, stream: _Stream) -> None:
        if stream.ended and stream.fin_sent:
            self._forget(stream)

    def _forget(self, stream: _Stream) -> None:
        """Drop all that is known of the stream; late frames for it are strays."""
        if self._streams.pop(stream.number, None) is None:
            return
        self._finished.append(stream.number)
        if stream.number % 2 != self._own_parity:
            self._inbound -= 1
        self.unread -= stream.unread
        self.pending -= stream.pending_bytes
        self._growth_left += stream.window_target - INITIAL_WINDOW
        if stream.queued:
            self._turns.remove(stream)
