"""Everything one connection can tell its owner."""

from dataclasses import dataclass

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.identify import Identification


@dataclass(frozen=True, slots=True)
class Ready:
    """The upgrade is done: we know who it is, and streams can be opened."""

    peer: PeerId
    session: bytes
    """Names the session the same way on both sides."""
    early_muxer: bool
    """Whether the multiplexer was agreed inside the Noise handshake."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A stream and its protocol are agreed; both sides may write."""

    stream: int
    protocol: str
    inbound: bool
    """Whether the peer opened it."""


@dataclass(frozen=True, slots=True)
class StreamRefused:
    """The peer does not speak the protocol we wanted; the stream is gone."""

    stream: int
    protocol: str


@dataclass(frozen=True, slots=True)
class StreamData:
    """Bytes on an agreed stream. Whoever takes them calls `Connection.consume`."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The peer will send no more on the stream; we may still write."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone, with whatever was on its way."""

    stream: int
    reason: str


@dataclass(frozen=True, slots=True)
class Identified:
    """The peer said about itself."""

    said: Identification


@dataclass(frozen=True, slots=True)
class Measured:
    """The peer answered a ping."""

    rtt_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over; it takes no more input and gives no more events."""

    reason: str
    violation: bool
    """Whether the peer broke a rule, which `reason` names."""
    silence: bool = False
    """Whether nothing was heard of it, or no answer to pings."""


ConnectionEvent = (
    Ready | StreamOpened | StreamRefused | StreamData | StreamEnded | StreamReset | Identified | Measured | Closed
)
