"""Network namespaces of a test's own, joined by a cable: machines, as far as programs in them can tell."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ABSENT = "network namespaces cannot be made here, so there are no two machines (needs root, and ip of iproute2)"
_CLONE_NEWNET = 0x4000_0000


@dataclass(frozen=True, slots=True)
class Machine:
    """One end of the cable."""

    namespace: str
    address: str

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is on that machine."""
        libc = ctypes.CDLL(None, use_errno=True)
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        try:
            _enter(libc, there)
            yield
        finally:
            _enter(libc, here)
            os.close(there)
            os.close(here)

    def unplug(self) -> None:
        """Its end of the cable."""
        _ip("-n", self.namespace, "link", "set", "cable", "down")

    def plug(self) -> None:
        """The reverse."""
        _ip("-n", self.namespace, "link", "set", "cable", "up")


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two that reach each other and nobody else. Skips where that cannot be made."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip(ABSENT)
    machines = [Machine(f"icn-{os.getpid()}-{number}", f"10.77.0.{number}") for number in (1, 2)]
    names = [machine.namespace for machine in machines]
    made: list[str] = []
    try:
        for name in names:
            try:
                _ip("netns", "add", name)
            except subprocess.CalledProcessError:
                pytest.skip(ABSENT)
            made.append(name)
        cable = ("type", "veth", "peer", "name", "cable", "netns", names[1])
        _ip("-n", names[0], "link", "add", "cable", *cable)
        for machine in machines:
            _ip("-n", machine.namespace, "addr", "add", f"{machine.address}/24", "dev", "cable")
            _ip("-n", machine.namespace, "link", "set", "lo", "up")
            machine.plug()
        yield machines[0], machines[1]
    finally:
        for name in made:
            _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def is_there(name: str) -> bool:
    """Whether a namespace of this name exists."""
    return Path(f"/run/netns/{name}").exists()
