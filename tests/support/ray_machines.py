"""A real Ray cluster of two machines for tests: with a token and TLS, without its dashboard, telling nobody outside.

Each machine is a network namespace with a raylet. Ray's programs are children of this process, in the foreground, so
that all that they start can be found, and is ended by its process id.
"""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from icn.adapters.cluster.pool import ClusterPool
from icn.adapters.cluster.settings import ClusterSettings, TlsFiles
from icn.adapters.wasm.settings import SandboxSettings
from support.machines import Machine, two_machines
from support.postgres_certificates import Authority, authority, certificate_for
from support.resources import command_of, descendants_of

ABSENT = "ray is not installed here (make ray installs it into .venv)"
RAY = Path(sys.executable).with_name("ray")
PORT = 6379
START_S = 90.0
STORE_BYTES = 80 * 1024 * 1024
OWNER = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"


@dataclass(slots=True)
class RayMachine:
    """A machine, and Ray on it while that runs."""

    machine: Machine
    folder: Path
    """What stands for its disk."""
    tls: TlsFiles
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{os.uname().nodename} ({self.machine.address})"

    def processes(self) -> set[int]:
        """Everything that runs there."""
        return descendants_of(self.process.pid) if self.process is not None else set()

    def raylet(self) -> int:
        """The process of Ray itself."""
        return next(pid for pid in sorted(self.processes()) if command_of(pid).split(" ")[0].endswith("/raylet"))

    def runner(self) -> int:
        """The process of our actor."""
        return next(pid for pid in sorted(self.processes()) if command_of(pid).startswith("ray::RayRunner"))

    def guests(self) -> set[int]:
        """The workers of its sandbox."""
        return {pid for pid in self.processes() if "icn.adapters.wasm.worker" in command_of(pid)}

    def leave(self) -> None:
        """As when Ray is stopped there for good."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        self.kill()

    def kill(self) -> None:
        """Everything at once, as when its power fails."""
        if self.process is not None:
            for pid in (self.process.pid, *self.processes()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass(slots=True)
class RayMachines:
    """Both of them."""

    head: RayMachine
    other: RayMachine
    token: str = field(default_factory=lambda: secrets.token_hex(32))

    def start_head(self, *more: str) -> None:
        """Begin the cluster."""
        folder = str(self.head.folder / "ray")
        flags = ("--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={folder}", *more)
        self._start(self.head, *flags)

    def join(self, *more: str, inside: Sequence[str] = ()) -> None:
        """Have the other machine join it. `inside`: the words before a command that take something from it."""
        self._start(self.other, f"--address={self.address}", *more, inside=inside)

    @property
    def address(self) -> str:
        """Of the cluster."""
        return f"{self.head.machine.address}:{PORT}"

    def settings(self, **changed: object) -> ClusterSettings:
        """For a node on the head."""
        made = ClusterSettings(
            host=self.head.machine.address,
            port=PORT,
            token=self.token,
            tls=self.head.tls,
            workers_per_machine=1,
            cache_path=str(self.head.folder / "modules"),
            owner=OWNER,
            sandbox=SandboxSettings(),
        )
        return replace(made, **changed)  # type: ignore[arg-type]  # the caller's fields

    @contextmanager
    def pool(self, settings: ClusterSettings | None = None) -> Iterator[ClusterPool]:
        """An executor of a node on the head, once its machines have been heard; closed at the end."""
        with self.head.machine.entered():  # its thread, and so its bridge, is there
            found = ClusterPool(settings or self.settings())
        try:
            yield found
        finally:
            found.close()

    def _start(self, machine: RayMachine, *flags: str, inside: Sequence[str] = ()) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(machine.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": machine.tls.certificate,
            "RAY_TLS_SERVER_KEY": machine.tls.key,
            "RAY_TLS_CA_CERT": machine.tls.authority,
            # Workers that nobody asked for would only take this machine's two processors.
            "RAY_enable_worker_prestart": "0",
            "RAY_prestart_worker_first_driver": "0",
        }
        command = [
            *inside,
            str(RAY),
            "start",
            "--block",
            "--disable-usage-stats",
            f"--node-ip-address={machine.machine.address}",
        ]
        command += [f"--object-store-memory={STORE_BYTES}", *flags]
        if not any(flag.startswith("--num-cpus") for flag in flags):
            command.append("--num-cpus=2")
        with machine.machine.entered(), (machine.folder / "ray.log").open("wb") as log:
            machine.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=machine.folder
            )
        deadline = time.monotonic() + START_S
        while b"Ray runtime started" not in (said := (machine.folder / "ray.log").read_bytes()):
            if machine.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ray did not start: {said.decode(errors='replace')}")
            time.sleep(0.05)


@contextmanager
def ray_machines() -> Iterator[RayMachines]:
    """Two machines without Ray on them yet. Skips where there can be none."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip(ABSENT)
    # Ray's sockets stand in its folder, and a socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="icn-ray-"))
    try:
        with two_machines() as (one, other):
            issuer = authority("cluster")
            made = RayMachines(_machine(one, folder / "1", issuer), _machine(other, folder / "2", issuer))
            try:
                yield made
            finally:
                made.other.kill()
                made.head.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _machine(machine: Machine, folder: Path, issuer: Authority) -> RayMachine:
    folder.mkdir()
    certificate, key = certificate_for(issuer, machine.address)
    for name, content in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", issuer.certificate_pem)):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    files = TlsFiles(certificate=str(folder / "tls.crt"), key=str(folder / "tls.key"), authority=str(folder / "ca.crt"))
    return RayMachine(machine, folder, files)
