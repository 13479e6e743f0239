r"""Agrees on a protocol: multistream-select 1.0, both roles, on connections and on streams.

Source: https://github.com/multiformats/multistream-select. A message is a varint length, UTF-8 text, and a newline that
the length counts: "Messages are sent encoded as UTF-8 byte strings, and they are always followed by a `\n` newline
character." Both sides send the header `/multistream/1.0.0` first, without waiting for the other's.

| role | expects | on header | on a protocol | on `na` |
|---|---|---|---|---|
| proposer | header | expects an answer | as proposed: agreed; else violation | proposes the next; none left: refused |
| responder | header | sends header, expects a proposal | spoken: echoes it, agreed; not spoken: `na` | as not spoken |

The proposer sends header and first proposal together, and nothing behind them before the answer: a responder that says
`na` would read our data as proposals. `ls` is answered `na`; the specification made it optional.

What surprised: an attacker's favourite is text that is not UTF-8, so lines are compared as bytes and decoded nowhere.
"""

from collections.abc import Container, Sequence
from enum import Enum, auto

from icn.kernel import varint
from icn.kernel.errors import PeerViolation

HEADER = b"/multistream/1.0.0"
NOT_AVAILABLE = b"na"


def line(text: bytes) -> bytes:
    """One message."""
    return varint.encode(len(text) + 1) + text + b"\n"


class Lines:
    """Cuts bytes into messages, never buffering more than one of them."""

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take received bytes. What is behind the last line stays for `rest`."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next line without its newline, or None until more is received.

        Raises:
            PeerViolation: too long, empty, or without newline.
            Invalid: the length is not a varint.
        """
        found = varint.decode(self._buffer)
        if found is None:
            return None
        length, start = found
        if not 1 <= length <= self._line_bytes_max:
            raise PeerViolation(f"multistream: a line of {length} bytes (1 to {self._line_bytes_max} are accepted)")
        if len(self._buffer) < start + length:
            return None
        text = bytes(self._buffer[start : start + length])
        if text[-1:] != b"\n":
            # "they are always followed by a \n newline character"
            raise PeerViolation("multistream: a line does not end with a newline")
        del self._buffer[: start + length]
        return text[:-1]

    def rest(self) -> bytes:
        """Bytes behind the negotiation: the agreed protocol's."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


class Outcome(Enum):
    """Where a negotiation stands."""

    OPEN = auto()
    AGREED = auto()
    REFUSED = auto()
    """The responder speaks none of what we proposed."""


class Proposer:
    """The side that opened the connection or stream."""

    def __init__(self, protocols: Sequence[str], line_bytes_max: int) -> None:
        self._proposals = [protocol.encode() for protocol in protocols]
        self._lines = Lines(line_bytes_max)
        self._greeted = False
        self.outcome = Outcome.OPEN
        self.agreed = ""
        """The protocol, once `outcome` is AGREED."""

    def start(self) -> bytes:
        """Header and first proposal, sent at once: it saves a round trip."""
        return line(HEADER) + line(self._proposals[0])

    def receive(self, data: bytes) -> bytes:
        """Take received bytes, give bytes to send. Raises `PeerViolation` or `Invalid`."""
        self._lines.feed(data)
        out = b""
        while self.outcome is Outcome.OPEN and (text := self._lines.next()) is not None:
            out += self._answered(text)
        return out

    def rest(self) -> bytes:
        """Bytes that came behind the agreement."""
        return self._lines.rest()

    def _answered(self, text: bytes) -> bytes:
        if not self._greeted:
            if text != HEADER:
                raise PeerViolation("multistream: the first line is not /multistream/1.0.0")
            self._greeted = True
            return b""
        if text == self._proposals[0]:
            self.outcome, self.agreed = Outcome.AGREED, text.decode()
            return b""
        if text != NOT_AVAILABLE:
            raise PeerViolation("multistream: the answer is neither what we proposed nor na")
        del self._proposals[0]
        if not self._proposals:
            self.outcome = Outcome.REFUSED
            return b""
        return line(self._proposals[0])


class Responder:
    """The side that was dialled, or on which a stream was opened."""

    def __init__(self, spoken: Container[bytes], line_bytes_max: int, proposals_max: int) -> None:
        self._spoken = spoken
        self._lines = Lines(line_bytes_max)
        self._greeted = False
        self._proposals_left = proposals_max
        self.outcome = Outcome.OPEN
        self.agreed = ""
        """The protocol, once `outcome` is AGREED."""

    def receive(self, data: bytes) -> bytes:
        """Take received bytes, give bytes to send. Raises `PeerViolation` or `Invalid`."""
        self._lines.feed(data)
        out = b""
        while self.outcome is Outcome.OPEN and (text := self._lines.next()) is not None:
            out += self._proposed(text)
        return out

    def rest(self) -> bytes:
        """Bytes that came behind the agreement."""
        return self._lines.rest()

    def _proposed(self, text: bytes) -> bytes:
        if not self._greeted:
            if text != HEADER:
                raise PeerViolation("multistream: the first line is not /multistream/1.0.0")
            self._greeted = True
            return line(HEADER)
        if text in self._spoken:
            self.outcome, self.agreed = Outcome.AGREED, text.decode()
            return line(text)
        self._proposals_left -= 1
        if self._proposals_left <= 0:
            raise PeerViolation("multistream: too many proposals in one negotiation")
        return line(NOT_AVAILABLE)
