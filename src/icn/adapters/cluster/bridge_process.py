"""The node's end of one bridge: start it, talk with it, end it.

Sending never waits: what is to be said goes to a thread that writes. Reading is for one thread, the pool's.
"""

import contextlib
import os
import queue
import socket
import subprocess
import sys
import threading
from typing import Self, cast

from icn.adapters.cluster import messages
from icn.adapters.cluster.messages import ToBridge, ToNode
from icn.adapters.cluster.settings import ClusterSettings
from icn.kernel.errors import Fault, Invalid


class BridgeGone(Fault):
    """The bridge has ended, says nothing, or says what no bridge of ours says."""

    code = "cluster.bridge_gone"


class BridgeProcess:
    """One bridge. `send` may come from any thread, `receive` from one at a time."""

    def __init__(self, process: "subprocess.Popen[bytes] | None", channel: socket.socket) -> None:
        """`process`: none where the other end is not one that this must end."""
        self._process = process
        self._channel = channel
        self._channel.settimeout(None)
        self._reader = channel.makefile("rb")
        # Two for each place, in pool: Begin and Stop.
        self._to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()  # bounded: see above
        self._writer = threading.Thread(target=self._write, name="cluster-writer", daemon=True)
        self._writer.start()

    @classmethod
    def start(cls, settings: ClusterSettings) -> Self:
        """A process that has been told nothing yet. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-m", "icn.adapters.cluster.bridge"],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment(settings),
                    cwd="/",
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            raise
        return cls(process, ours)

    def send(self, message: ToBridge) -> None:
        """To be said in its turn; to one that has gone, nothing."""
        self._to_send.put(messages.framed(message))

    def receive(self, within_s: float) -> ToNode:
        """The next message. Raises `BridgeGone`, also when none comes in this time."""
        self._channel.settimeout(within_s)
        try:
            size, number = messages.header(self._exactly(messages.HEADER_BYTES))
            return cast("ToNode", messages.message_of(number, self._exactly(size)))
        except TimeoutError as error:
            raise BridgeGone(f"it has said nothing for {within_s:.0f} s") from error
        except (OSError, Invalid) as error:
            raise BridgeGone(str(error)) from error

    def hang_up(self) -> None:
        """Say no more: a bridge that hears nothing more ends what it has, and itself."""
        self._to_send.put(None)

    def kill(self) -> None:
        """End it at once. Whoever reads gets `BridgeGone`."""
        if self._process is not None:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Kill it, wait until it is gone, and give back what it took."""
        self.kill()
        if self._process is not None:
            self._process.wait()
        self.hang_up()
        self._writer.join()
        self._reader.close()
        self._channel.close()

    def _exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) != size:
            raise BridgeGone("it has ended")
        return data

    def _write(self) -> None:
        while (frame := self._to_send.get()) is not None:
            try:
                self._channel.sendall(frame)
            except OSError:  # it has gone, or takes nothing: whoever reads finds out
                with contextlib.suppress(OSError):
                    self._channel.shutdown(socket.SHUT_RDWR)
                return
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)


def environment(settings: ClusterSettings) -> dict[str, str]:
    """All that a bridge has of one: where Ray reads how it is secured, and that it tells nobody that it is used."""
    made = {"PATH": os.defpath, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    if settings.token is not None:
        made |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": settings.token}
    if settings.tls is not None:
        made |= {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": settings.tls.certificate,
            "RAY_TLS_SERVER_KEY": settings.tls.key,
            "RAY_TLS_CA_CERT": settings.tls.authority,
        }
    return made
