"""HTTP listeners: sockets bound before anything else starts, uvicorn on them, stopped within a bound."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from icn.config.values import HostPort
from icn.kernel.errors import ConfigError
from icn.node.bounded_http import BoundedHttp

BACKLOG = 1024
GRACEFUL_SECS = 2
"""What requests under way get when the node stops."""
IDLE_CONNECTION_SECS = 30


class _Server(uvicorn.Server):
    """A server that leaves signals to the node: there are two of them, and they stop in their order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpListener:
    """One address with one application."""

    def __init__(self, name: str, address: HostPort, app: object) -> None:
        """Binds at once, so that an address in use is known before anything else is done."""
        self.name = name
        self._socket = _bound(name, address)
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]  # an ASGI application
            log_config=None,
            access_log=False,
            lifespan="off",
            loop="none",
            http=BoundedHttp,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SECS,
            timeout_keep_alive=IDLE_CONNECTION_SECS,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where it really listens, `host:port`."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self, group: asyncio.TaskGroup) -> None:
        """Serve until stopped."""
        self._task = group.create_task(self._server.serve(sockets=[self._socket]), name=self.name)

    async def stop(self) -> None:
        """Finish what is under way, within `GRACEFUL_SECS`."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def _bound(name: str, address: HostPort) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address.host, address.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(f"{name}: cannot listen on {address}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener
