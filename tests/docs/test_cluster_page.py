"""The page that sets up two machines step by step does: its lines are run as they stand, elsewhere."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from node_process import NodeProcess, wait_until

from support.machines import NETWORK, Machine, two_machines
from support.pages import ROOT
from support.processes import Nodes
from support.ray_machines import ABSENT

PAGE = (ROOT / "docs" / "operating" / "cluster.md").read_text()
STEPS = PAGE[PAGE.index("**1.") : PAGE.index("## Places")]
SETTLING_S = 90.0

pytestmark = [pytest.mark.slow, pytest.mark.long]


def lines(step: int) -> list[str]:
    """The indented blocks of one step, each as it stands."""
    text = STEPS[STEPS.index(f"**{step}.") :]
    text = text[: text.index(f"**{step + 1}.")] if f"**{step + 1}." in text else text
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", text, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


class Host:
    """A machine of the page, with a folder for its `/etc/icn`."""

    def __init__(self, machine: Machine, name: str, folder: Path) -> None:
        self.machine, self.name, self.folder = machine, name, folder
        folder.mkdir()

    def here(self, text: str) -> str:
        """Paths and addresses of the page as they are here."""
        text = text.replace("/etc/icn", str(self.folder)).replace("10.0.0.", f"{NETWORK}.")
        return text.replace("/opt/icn/bin", str(Path(sys.executable).parent))

    def run(self, *blocks: str) -> None:
        """As a person would type it, in one shell."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "RAY_TMPDIR": str(self.folder.parent)}
        script = "set -eu\n" + self.here("\n".join(blocks))
        with self.machine.entered():
            done = subprocess.run(
                ["bash", "-c", script], cwd=self.folder, env=environment, capture_output=True, check=False, timeout=90
            )
        assert done.returncode == 0, done.stdout + done.stderr

    def end(self) -> None:
        """Ray is a daemon there; what lives in the namespace is what was started in it."""
        there = Path(f"/proc/{self.machine.pid}/ns/net").readlink()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                is_there = entry.name.isdigit() and (entry / "ns" / "net").readlink() == there
                if is_there and int(entry.name) != self.machine.pid:
                    os.kill(int(entry.name), signal.SIGKILL)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip(ABSENT)
    # Ray's sockets stand in its folder, and a socket's path may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="icn-ray-", ignore_cleanup_errors=True) as kept, two_machines() as both:
        folder = Path(kept)
        made = Host(both[0], "mill", folder / "mill"), Host(both[1], "barn", folder / "barn")
        try:
            yield made
        finally:
            for host in made:
                host.end()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    made.end()


def test_two_machines_step_by_step(hosts: tuple[Host, Host], nodes: Nodes) -> None:
    mill, barn = hosts
    assert "icn[ray]" in lines(1)[0]
    (token,) = lines(2)
    mill.run(token)
    barn.run(f"cp -p {mill.folder}/ray-token /etc/icn/ray-token")
    (certificates,) = lines(3)
    mill.run(certificates)
    for_barn = certificates[certificates.index("openssl req -newkey") :].replace("mill", "barn").replace(".0.1", ".0.2")
    mill.run(for_barn)
    for host in hosts:
        for kind in ("key", "crt"):
            host.run(f"cp {mill.folder}/{host.name}.{kind} /etc/icn/ray.{kind}")
        host.run(f"chmod 600 /etc/icn/ray.key; [ -e /etc/icn/ca.crt ] || cp {mill.folder}/ca.crt /etc/icn/ca.crt")
    variables, head, joining = lines(4)
    mill.run(variables, head)
    barn.run(variables, joining)
    (configuration,) = lines(5)
    (mill.folder / "node.toml").write_text(mill.here(configuration))
    with mill.machine.entered():
        node: NodeProcess = nodes.start("mill", "--no-p2p", "--config", str(mill.folder / "node.toml"))
        processors = len(os.sched_getaffinity(0))
        wait_until(
            "the places of both",
            lambda: node.ask("GET", "/status")["executor"]["capacity"] == 2 * processors,
            SETTLING_S,
        )
        assert node.stop()[0] == 0
