"""The ping protocol: is the peer there, and how far.

Source: https://github.com/libp2p/specs/blob/master/ping/ping.md. "The dialing peer sends a 32-byte payload of random
binary data on an open stream. The listening peer echoes the same 32-byte payload back".

| state of `Pinger` | tick | payload asked for | echo | stream lost |
|---|---|---|---|---|
| RESTING | `due` after a while | - | - | - |
| WAITING, from `begin` | `expired` after a while | given | equal: RESTING; different: violation | RESTING |

A few pings in a row that expire end the connection (`lose`): a peer whose machine still sends, and whose program does
not answer, is gone. One that refuses the protocol has answered.

Each ping has a stream of its own: go and js end a ping stream that rests for ten seconds.

The payload is a hash of a secret handed in and a counter: as good as random to the peer, and repeatable for us.
"""

import hashlib

from icn.kernel.errors import PeerViolation
from icn.protocol.libp2p.limits import ConnectionLimits

PING = "/ipfs/ping/1.0.0"
PING_BYTES = 32


class Echo:
    """The answering side of one stream."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> bytes:
        """Whole payloads to send back; an incomplete one waits."""
        self._buffer += data
        whole = len(self._buffer) // PING_BYTES * PING_BYTES
        out = bytes(self._buffer[:whole])
        del self._buffer[:whole]
        return out


class Pinger:
    """The asking side of one connection."""

    def __init__(self, secret: bytes, limits: ConnectionLimits, now: int) -> None:
        self._secret = secret
        self._limits = limits
        self._next_at = now
        self._began_at: int | None = None
        self._sent_at: int | None = None
        self._count = 0
        self._lost = 0
        self._echoed = bytearray()

    def due(self, now: int) -> bool:
        """Whether a ping should begin now."""
        return self._began_at is None and now >= self._next_at

    def expired(self, now: int) -> bool:
        """Whether the ping on its way has taken too long."""
        return self._began_at is not None and now - self._began_at > self._limits.ping_answer_ms_max

    def lose(self) -> bool:
        """Count a ping that expired; whether that was one too many in a row."""
        self._lost += 1
        return self._lost >= self._limits.pings_lost_max

    def begin(self, now: int) -> None:
        """A stream is being opened for the next ping."""
        self._began_at = now
        self._count += 1
        self._echoed.clear()

    def payload(self, now: int) -> bytes:
        """What to send, once the stream is agreed. The round trip counts from here."""
        self._sent_at = now
        return self._expected()

    def receive(self, data: bytes, now: int) -> int | None:
        """The round trip in milliseconds once the echo is complete. Raises `PeerViolation` for a wrong echo."""
        self._echoed += data
        if self._sent_at is None or not self._expected().startswith(self._echoed):
            raise PeerViolation("ping: the echo differs from what was sent")
        if len(self._echoed) < PING_BYTES:
            return None
        trip = now - self._sent_at
        self._lost = 0
        self.rest(now)
        return trip

    def rest(self, now: int) -> None:
        """The ping is over, answered or not."""
        self._began_at = self._sent_at = None
        self._next_at = now + self._limits.ping_every_ms

    def _expected(self) -> bytes:
        return hashlib.sha256(self._secret + self._count.to_bytes(8, "big")).digest()
