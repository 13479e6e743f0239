"""The node's end of one worker process: start it, ask it, kill it.

The process gets an empty environment, one socket, and its own session. It is started anew, never forked off with the
node's memory in it.
"""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from icn.adapters.wasm.artifact import Artifact
from icn.adapters.wasm.frames import Frame, Kind, WorkerGarbled, pack, receive, send
from icn.adapters.wasm.messages import Ended, Run
from icn.adapters.wasm.refusals import ModuleRefused
from icn.kernel.errors import Fault


class GuestOverdue(Fault):
    """The guest did not end by its deadline and grace; its worker must be killed."""

    code = "sandbox.guest_overdue"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far and holds now, as the kernel counts it."""

    processor_s: int
    resident_bytes: int


def spawn(*program: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Our own interpreter running `program` as every worker runs, and the node's end of its socket. Raises `OSError`.

    It gets an empty environment, a session of its own, and no descriptor but the socket and two ends of nothing.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
                [sys.executable, "-I", *program],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
    except OSError:
        ours.close()
        raise
    return process, ours


class Child:
    """One worker process. Asked from one thread at a time; `kill` may come from any."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self.isolation: frozenset[str] = frozenset()
        """What the worker says it is sealed with, before it saw any guest."""
        self.executions = 0

    @classmethod
    def start(cls, start_ms: int) -> Self:
        """A worker that is ready. Raises `OSError`, `TimeoutError`, `WorkerGone` or `WorkerGarbled`."""
        child = cls(*spawn("-m", "icn.adapters.wasm.worker"))
        try:
            said = child._expect(Kind.READY, _in(start_ms)).payload
            child.isolation = frozenset(said.decode(errors="replace").split())
        except BaseException:
            child.end()
            raise
        return child

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def usage(self) -> Usage | None:
        """What the process uses; None when it has ended."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        # The second field is a name that may hold anything; what follows it is numbered from 3 (proc(5)).
        fields = text.rpartition(")")[2].split()
        ticks = int(fields[14 - 3]) + int(fields[15 - 3])
        return Usage(ticks // os.sysconf("SC_CLK_TCK"), int(fields[24 - 3]) * os.sysconf("SC_PAGE_SIZE"))

    def compile(self, module: bytes, compile_ms: int) -> Artifact:
        """Raises `ModuleRefused`, and as `start` does."""
        deadline = _in(compile_ms)
        send(self._channel, Kind.COMPILE, module, deadline=deadline)
        frame = receive(self._channel, deadline=deadline)
        if frame.kind is Kind.REFUSED:
            raise ModuleRefused(frame.payload.decode(errors="replace"))
        if frame.kind is not Kind.COMPILED:
            raise WorkerGarbled(f"{frame.kind.name} instead of COMPILED")
        return Artifact.decode(frame.payload)

    def load(self, key: bytes, artifact: bytes, start_ms: int) -> None:
        """Make a compiled module ready. There is no answer: a run that finds nothing says so."""
        send(self._channel, Kind.LOAD, pack(key, artifact), deadline=_in(start_ms))

    def run(self, asked: Run, *, start_ms: int, grace_ms: int) -> Ended | None:
        """How the guest ended, or None when its module is not loaded. Raises `GuestOverdue`, and as `start` does."""
        deadline = _in(start_ms)
        send(self._channel, Kind.RUN, asked.encode(), deadline=deadline)
        frame = receive(self._channel, deadline=deadline)
        if frame.kind is Kind.MISSING:
            return None
        if frame.kind is not Kind.STARTED:
            raise WorkerGarbled(f"{frame.kind.name} instead of STARTED")
        self.executions += 1
        began = time.monotonic()
        try:
            ended = self._expect(Kind.ENDED, began + (asked.limits.wall_ms + grace_ms) / 1000)
        except TimeoutError:
            raise GuestOverdue(f"killed: did not end by its deadline of {asked.limits.wall_ms} ms") from None
        return Ended.decode(ended.payload)

    def kill(self) -> None:
        """End the process at once. Whoever waits for its answer gets `WorkerGone`."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process, wait until it is gone, and give back what it took."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _expect(self, kind: Kind, deadline: float) -> Frame:
        frame = receive(self._channel, deadline=deadline)
        if frame.kind is not kind:
            raise WorkerGarbled(f"{frame.kind.name} instead of {kind.name}")
        return frame


def _in(milliseconds: int) -> float:
    return time.monotonic() + milliseconds / 1000
