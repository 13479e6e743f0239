"""A raw stream: bytes both ways, for protocols that are not single messages, and for tests.

Unread bytes wait here, bounded by the stream's receive window: `read` gives the peer room again, so a slow reader slows
its peer and nobody else. `write` waits while more than `WRITE_AHEAD_BYTES` are on their way.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import ClassVar

from icn.adapters.network.link import Link
from icn.kernel.errors import Fault
from icn.kernel.ids import PeerId
from icn.kernel.limits import KIB

WRITE_AHEAD_BYTES = 64 * KIB
READ_BYTES = 64 * KIB


class StreamLost(Fault):
    """The stream was reset or its connection closed."""

    code: ClassVar[str] = "network.stream_lost"
    retryable: ClassVar[bool] = True


class RawStream:
    """One agreed stream. One task reads and one writes; `RawCallback` gets it."""

    def __init__(self, link: Link, stream: int, peer: PeerId, protocol: str, gone: Callable[[], object]) -> None:
        """`gone` is called once nothing more can come of the stream."""
        self._gone = gone
        self._closed = False
        self._discarding = False
        self._link = link
        self._stream = stream
        self._chunks: deque[bytes] = deque()  # bounded: the receive window
        self._ended = False
        self._lost: str | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self.peer = peer
        self.protocol = protocol

    @property
    def host(self) -> str:
        """The peer's IP address."""
        return self._link.host

    async def read(self, bytes_max: int = READ_BYTES) -> bytes:
        """The next bytes, at most `bytes_max`; empty at the end. Raises `StreamLost`."""
        while not self._chunks:
            if self._ended:
                return b""
            self._check()
            self._changed.clear()
            await self._changed.wait()
        chunk = self._chunks.popleft()
        if len(chunk) > bytes_max:
            self._chunks.appendleft(chunk[bytes_max:])
            chunk = chunk[:bytes_max]
        self._link.consume(self._stream, len(chunk))
        return chunk

    async def read_exactly(self, count: int) -> bytes:
        """`count` bytes. Raises `StreamLost` when the stream ends before."""
        out = bytearray()
        while len(out) < count:
            chunk = await self.read(count - len(out))
            if not chunk:
                raise StreamLost(f"ended after {len(out)} of {count} bytes")
            out += chunk
        return bytes(out)

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting until most of it is on its way. Raises `StreamLost`."""
        self._check()
        self._link.machine.write(self._stream, data)
        self._link.flush_soon()
        while self._link.machine.pending_on(self._stream) > WRITE_AHEAD_BYTES:
            self._room.clear()
            await self._room.wait()
            self._check()

    def close(self) -> None:
        """No more will be written. Reading goes on."""
        if self._lost is None and not self._closed:
            self._closed = True
            self._link.machine.close_stream(self._stream)
            self._link.flush_soon()
            self._mind_end()

    def reset(self) -> None:
        """Give the stream up."""
        if self._lost is None:
            self._link.machine.reset_stream(self._stream)
            self._link.flush_soon()
            self.on_lost("reset by us")

    def finish(self) -> None:
        """Close, and read no more: what still comes is discarded."""
        self.close()
        self._discarding = True
        unread = sum(len(chunk) for chunk in self._chunks)
        self._chunks.clear()
        self._link.consume(self._stream, unread)

    # What the network tells.

    def on_data(self, data: bytes) -> None:
        """Bytes have come."""
        if self._discarding:
            self._link.consume(self._stream, len(data))
        else:
            self._chunks.append(data)
            self._changed.set()

    def on_end(self) -> None:
        """The peer will send no more."""
        self._ended = True
        self._changed.set()
        self._mind_end()

    def on_lost(self, reason: str) -> None:
        """The stream is gone."""
        self._lost = reason
        self._changed.set()
        self._room.set()
        self._gone()

    def on_room(self) -> None:
        """Something was written to the socket."""
        self._room.set()

    def _mind_end(self) -> None:
        if self._ended and self._closed:
            self._gone()

    def _check(self) -> None:
        if self._lost is not None:
            raise StreamLost(self._lost)


RawCallback = Callable[[RawStream], Awaitable[None]]
"""Serves one inbound stream. When it returns the stream is closed, when it raises it is reset."""
