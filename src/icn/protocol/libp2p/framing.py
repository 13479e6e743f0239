"""Cuts a stream into messages with an unsigned varint length in front, as libp2p protocols do.

The length is checked against the protocol's bound before a byte of the message is kept.
"""

from icn.kernel import varint
from icn.kernel.errors import PeerViolation


def framed(message: bytes) -> bytes:
    """`message` with its length in front."""
    return varint.encode(len(message)) + message


class MessageReader:
    """Bytes in, whole messages out; holds at most one incomplete message."""

    __slots__ = ("_buffer", "_bytes_max", "_needed")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._needed = 1
        """Below this many bytes there is nothing to look at: large messages are not measured again per packet."""

    @property
    def held(self) -> int:
        """Bytes of the incomplete message."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[bytes]:
        """The messages complete with `data`.

        Raises:
            PeerViolation: a message longer than the bound.
            Invalid: a length that is not a varint.
        """
        self._buffer += data
        if len(self._buffer) < self._needed:
            return []
        messages: list[bytes] = []
        buffered = bytes(self._buffer)
        position, self._needed = 0, 1
        while (found := varint.decode(buffered, position)) is not None:
            length, start = found
            if length > self._bytes_max:
                raise PeerViolation(f"framing: a message of {length} bytes, {self._bytes_max} are accepted")
            end = start + length
            if end > len(buffered):
                self._needed = end - position
                break
            messages.append(buffered[start:end])
            position = end
        del self._buffer[:position]
        return messages
