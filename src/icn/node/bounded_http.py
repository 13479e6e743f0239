"""The HTTP/1.1 parser's protocol, with the bounds it lacks: how long a request's head may be, and how long it may take.

What follows the head has its bounds in `icn.http.edge`, which sees a request only once its head is there. Without these
here, anybody who can connect could fill memory with a head that never ends, or hold connections that never ask.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from icn.kernel.limits import KIB

HEAD_BYTES_MAX = 64 * KIB
"""Request line and headers, trailers too; and what may be sent without completing anything."""
HEADER_COSTS_BYTES = 32
"""What a header counts beside its text: many short ones cost more than their letters."""
HEAD_SECS_MAX = 30.0
"""From the connection, or from a further request's first byte, to the end of the head."""


class HeadTooLong(Exception):
    """Raised into the parser, which ends the connection with 400."""


class BoundedHttp(HttpToolsProtocol):
    """One connection of a listener."""

    head_seconds = HEAD_SECS_MAX
    _head_bytes = 0
    _pending_bytes = 0
    _overdue: asyncio.TimerHandle | None = None

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being served; before the first one there is no cycle, whatever its type says."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # - as the class above
        """The clock runs from here."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what led to nothing."""
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._pending_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("Request head too long.")
        elif self._pending_bytes and self._overdue is None and self._is_idle:
            self._expect_head()

    def on_message_begin(self) -> None:
        """A request line begins."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        self._count(len(name) + len(value) + HEADER_COSTS_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._pending_bytes = 0
        self._head_is_there()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body; `icn.http.edge` counts it."""
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._pending_bytes = 0
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            raise HeadTooLong

    def _expect_head(self) -> None:
        self._overdue = self.loop.call_later(self.head_seconds, self.transport.close)

    def _head_is_there(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
