"""One socket and its machine: bytes in, bytes out, nothing decided.

Outgoing bytes are collected by the machine and written once per loop turn: many frames, one Noise message, one system
call. Reading never waits for writing. The socket is not read while the owner's readers hold more than
`unread_bytes_max`; it is not written while the system's buffer is full, and what waits then is bounded by the machine.
Who holds several streams of one connection must therefore read them side by side: waiting for one while the others fill
the bound is a deadlock, which ends when the silence on the socket ends the connection. Messages are never held so.

The owner (`tcp`) is told every event, and the end exactly once.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, cast

from icn.adapters.network.ports import Direction, Origin
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.connection import Connection, State
from icn.protocol.libp2p.events import Closed, ConnectionEvent


class LinkOwner(Protocol):
    """Who runs the links."""

    def link_made(self, link: "Link") -> None:
        """A socket is open. It may be aborted right away."""

    def link_event(self, link: "Link", event: ConnectionEvent) -> None:
        """The machine told something. Never `Closed`."""

    def link_flushed(self, link: "Link") -> None:
        """Room was made: more can be written."""

    def link_lost(self, link: "Link", reason: str) -> None:
        """The link carries nothing any more. Told once, whoever ended it."""

    def link_closed(self, link: "Link") -> None:
        """The socket is closed. Told once, after `link_lost`."""


class Link(asyncio.Protocol):
    """The driver of one connection."""

    def __init__(
        self,
        owner: LinkOwner,
        machine: Callable[["Link"], Connection],
        clock: Callable[[], int],
        direction: Direction,
        origin: Origin | None,
        *,
        flush_bytes: int,
        unread_bytes_max: int,
    ) -> None:
        """`machine` is asked for once the socket is open, because identify tells the peer where we see it from."""
        self._owner = owner
        self._make = machine
        self._clock = clock
        self._flush_bytes = flush_bytes
        self._unread_bytes_max = unread_bytes_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._flush_due = False
        self._writable = True
        self._reading = True
        self._lost = False
        self._closed = False
        self._machine: Connection | None = None
        self.direction = direction
        self.origin = origin
        self.host = ""
        self.port = 0
        self.made_at = clock()
        self.closing_since: int | None = None
        """When we began to close it; the socket may still be open until the peer has read our goodbye."""
        self.is_wrong = False
        """Whether the other end is not whom we want, or does not speak as it must: calling it again changes nothing."""
        self.is_silent = False
        """Whether it ended because nothing, or no answer to a ping, came any more."""
        self.bytes_in = 0
        self.bytes_out = 0

    @property
    def machine(self) -> Connection:
        """The connection's machine. There is one as soon as the owner knows of the link."""
        if self._machine is None:
            self._machine = self._make(self)
        return self._machine

    @property
    def peer(self) -> PeerId | None:
        """Who it is, once the handshake is over."""
        return self._machine.peer if self._machine else None

    @property
    def address(self) -> str:
        """Where it comes from or goes to, as a multiaddr."""
        return f"/{'ip6' if ':' in self.host else 'ip4'}/{self.host}/tcp/{self.port}"

    @property
    def open(self) -> bool:
        """Whether streams can be used."""
        return not self._lost and self._machine is not None and self._machine.state is State.OPEN

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        if self._lost:
            self._transport.abort()
            return
        name = transport.get_extra_info("peername")
        self.host, self.port = (name[0], name[1]) if name else ("", 0)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._owner.link_made(self)
        if self._lost:
            return
        if self.machine.has_output:
            self.flush_soon()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._lost:
            return
        self.bytes_in += len(data)
        self._tell(self.machine.receive(data, self._clock()))
        self._mind_unread()
        if self.machine.has_output:
            self.flush_soon()

    def eof_received(self) -> bool:
        """The peer closed its side: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._end(str(exc) if exc else "the connection was closed")
        self._tell_closed()

    def pause_writing(self) -> None:
        """The socket takes no more."""
        self._writable = False

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._writable = True
        self.flush_soon()

    # What the owner calls.

    def tick(self, now: int) -> None:
        """Let time pass."""
        if not self._lost:
            self._tell(self.machine.tick(now))
            if self.machine.has_output:
                self.flush_soon()

    def flush_soon(self) -> None:
        """Write what waits, once, at the end of this loop turn."""
        if not self._flush_due and self._writable and not self._lost:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def consume(self, stream: int, count: int) -> None:
        """The reader of `stream` took `count` bytes."""
        self.machine.consume(stream, count)
        self._mind_unread()
        if self.machine.has_output:
            self.flush_soon()

    def close(self, reason: str) -> None:
        """Say goodbye and close; what the socket cannot take now is dropped at `abort`."""
        if not self._lost and self._machine is not None:
            self._tell(self._machine.depart(reason))
        elif self._transport is not None:
            self._transport.abort()

    def abort(self, reason: str) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)
        # Not left to `connection_lost`: uvloop does not call it for a connection whose making was cancelled.
        self._tell_closed()

    # Inside.

    def _flush(self) -> None:
        self._flush_due = False
        if self._lost or self._transport is None or not self._writable:
            return
        out = self.machine.output(self._flush_bytes)
        if out:
            self.bytes_out += len(out)
            self._transport.write(out)
            self._owner.link_flushed(self)
        if self.machine.has_output:
            self.flush_soon()

    def _tell(self, events: list[ConnectionEvent]) -> None:
        for event in events:
            if self._lost:
                return
            if isinstance(event, Closed):
                self._finish(event)
            else:
                self._owner.link_event(self, event)

    def _finish(self, closed: Closed) -> None:
        """The machine is done. A peer that broke a rule gets no goodbye."""
        self.is_wrong = self.is_wrong or closed.violation
        self.is_silent = closed.silence
        if self._transport is not None:
            if closed.violation:
                self._transport.abort()
            else:
                out = self.machine.output(self._flush_bytes)
                if out:
                    self._transport.write(out)
                self.closing_since = self._clock()
                self._transport.close()
        self._end(closed.reason)

    def _end(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            self._owner.link_lost(self, reason)

    def _tell_closed(self) -> None:
        if not self._closed:
            self._closed = True
            self._owner.link_closed(self)

    def _mind_unread(self) -> None:
        """Stop reading the socket above the bound, go on below half of it."""
        if self._transport is None or self._lost:
            return
        unread = self.machine.unread
        if self._reading and unread > self._unread_bytes_max:
            self._reading = False
            self._transport.pause_reading()
        elif not self._reading and unread < self._unread_bytes_max // 2:
            self._reading = True
            self._transport.resume_reading()
