"""Machines of a test's own on a network of its own: namespaces of Linux, two switches, and a cable between these.

Each namespace is held by a process that ends with its standard input, and everything in it (addresses, devices, mounts)
ends with that process: a test that is killed leaves nothing behind. No address of it leads anywhere else. Programs are
put inside by `nsenter`, which becomes them, so that their process ids are their own; sockets are made inside by a
thread that enters for a moment.
"""

import ctypes
import functools
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess  # type: ignore[import-not-found] # on pytest's path

from icn.adapters.keys.file import CREATING_BYTES, create_key
from icn.kernel.ids import PeerId

ABSENT = "no network namespaces for tests here (needs root, /dev/net/tun, and ip, unshare, nsenter)"
WIRE = Path(__file__).with_name("wire.py")
P2P_PORT = 7000
DEVICE = "eth0"
NETWORK = "10.77.0"
CLONE_NEWNET = 0x40000000
_LEFT, _RIGHT = "left", "right"
CALL_SECS_MAX = 30.0
_LIBC = ctypes.CDLL(None, use_errno=True)


@functools.cache
def _may() -> bool:
    tools = all(shutil.which(tool) for tool in ("ip", "unshare", "nsenter"))
    if not tools or not Path("/dev/net/tun").exists():
        return False
    return subprocess.run(["unshare", "--net", "--mount", "true"], check=False, capture_output=True).returncode == 0


def require_machines() -> None:
    """Skips where there can be none."""
    if not _may():
        pytest.skip(ABSENT)


def lasts(seconds: float) -> None:
    """A fault that was begun goes on for so long: its duration is what is tested."""
    time.sleep(seconds)


class Machine:
    """Network and mounts of its own; the loopback is up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        program = "import sys; print(flush=True); sys.stdin.read()"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if self._holder.stdout is None or not self._holder.stdout.readline():
            raise OSError(f"{name}: no namespace")
        self._handle = os.open(f"/proc/{self._holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        """Of the process that holds it."""
        return self._holder.pid

    def inside(self, *words: str) -> list[str]:
        """The command line that runs this one inside."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--", *words]

    def run(self, *words: str) -> None:
        """Run it inside, to its end."""
        subprocess.run(self.inside(*words), check=True, capture_output=True)

    def disk(self, folder: Path, mebibytes: int) -> None:
        """From now on the folder is a disk of this size, for programs inside only."""
        self.run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "disk", str(folder))

    def seen(self, path: Path) -> Path:
        """A path of the inside, from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection from inside."""
        with self.entered():
            made = socket.socket()  # a socket stays where it was made
        made.settimeout(timeout)
        try:
            made.connect((host, port))
        except BaseException:
            made.close()
            raise
        return made

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is on that machine's network."""
        with _entered(self._handle):
            yield

    def settle(self, address: str) -> None:
        """Its end of a cable is there: it has this address from now on, and is plugged in."""
        self.address = address
        self.run("ip", "address", "add", f"{address}/24", "dev", DEVICE)
        self.plug()

    def unplug(self) -> None:
        """Its end of the cable."""
        self.run("ip", "link", "set", DEVICE, "down")

    def plug(self) -> None:
        """The reverse."""
        self.run("ip", "link", "set", DEVICE, "up")

    def end(self) -> None:
        """Everything inside that is not a process is gone after this."""
        os.close(self._handle)
        self._holder.communicate()


@contextmanager
def _entered(handle: int) -> Iterator[None]:
    """This thread is inside, and comes out again."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if _LIBC.setns(outside, CLONE_NEWNET) != 0:
                os.abort()  # in a strange network nothing that follows would be true
    finally:
        os.close(outside)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two that reach each other and nobody else. Skips where that cannot be made."""
    require_machines()
    one, other = Machine("one"), Machine("other")
    try:
        one.run("ip", "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns", str(other.pid))
        one.settle(f"{NETWORK}.1")
        other.settle(f"{NETWORK}.2")
        yield one, other
    finally:
        one.end()
        other.end()


@dataclass
class Network:
    """Machines at two switches. `end` when the programs on them have ended."""

    machines: list[Machine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._switches = Machine("switches")
        self._wire = subprocess.Popen(
            self._switches.inside(sys.executable, str(WIRE), "tap-left", "tap-right"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._wire.stdout is None or self._wire.stdout.readline() != "ready\n":
            raise OSError("no cable")
        for side in (_LEFT, _RIGHT):
            self._switches.run("ip", "link", "add", side, "type", "bridge")
            self._switches.run("ip", "link", "set", side, "up")
            self._switches.run("ip", "link", "set", f"tap-{side}", "master", side, "up")

    def add(self, name: str, *, right: bool = False) -> Machine:
        """A machine, at the left switch or at the right one."""
        machine = Machine(name)
        self.machines.append(machine)
        number = len(self.machines)
        peer = ("peer", "name", DEVICE, "netns", str(machine.pid))
        self._switches.run("ip", "link", "add", f"port{number}", "type", "veth", *peer)
        self._switches.run("ip", "link", "set", f"port{number}", "master", _RIGHT if right else _LEFT, "up")
        machine.settle(f"{NETWORK}.{number}")
        return machine

    def wire(self, **wanted: float) -> dict[str, int]:
        """Cut the cable (`cut=1`), heal it (`cut=0`), make it slow or bad; what it has carried and lost so far."""
        stdin, stdout = self._wire.stdin, self._wire.stdout
        if stdin is None or stdout is None:
            raise OSError("no cable")
        stdin.write(json.dumps(wanted) + "\n")
        stdin.flush()
        told: dict[str, int] = json.loads(stdout.readline())
        return told

    def end(self) -> None:
        """All of it."""
        with suppress(BrokenPipeError):
            self._wire.communicate()
        for machine in (*self.machines, self._switches):
            machine.end()


class FarNode(NodeProcess):  # type: ignore[misc] # see the import
    """A node on a machine: peers reach it by the machine's address, its API is on the machine's own loopback.

    Where peers reach it is known before it starts.
    """

    def __init__(self, machine: Machine, folder: Path, *flags: str) -> None:
        listen = ("--p2p-listen-addr", f"/ip4/{machine.address}/tcp/{P2P_PORT}")
        super().__init__(machine.name, folder, *listen, *flags)
        self.machine = machine
        key = create_key(folder / "identity.key", os.urandom(CREATING_BYTES), passphrase=None)
        self.p2p = f"{listen[1]}/p2p/{PeerId.of(key.did)}"
        self.wrapper: Sequence[str] = ()
        """Words before the program, such as those that set its clock."""

    def command(self) -> list[str]:
        """Inside."""
        return self.machine.inside(*self.wrapper, *super().command())

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> tuple[int, Any]:
        """See `NodeProcess.call`."""
        host, _, port = self.http.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=CALL_SECS_MAX)
        connection.sock = self.machine.connect(host, int(port), CALL_SECS_MAX)
        headers = {"x-api-key": self.api_key, "content-type": "application/json", "connection": "close"}
        if key:
            headers["idempotency-key"] = key
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            data = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status, json.loads(data) if is_json else data
