"""The installed programs as a person runs them: `icn-node` and `icn-cli` in processes of their own.

`demo/node_process.py` drives one node; here is what tests need besides: exact command lines, one-shot runs, the CLI
against a node, and the default ports, which only one test at a time may have.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from node_process import NODE, NodeError, NodeProcess, wait_until  # type: ignore[import-not-found] # on pytest's path, not mypy's

CLI = Path(sys.executable).with_name("icn-cli")
RUN_SECS_MAX = 60.0
DEFAULT_PORTS = (7845, 7000, 9090)
"""API, P2P, metrics."""
JOBS_AT_ONCE = "performance.max_concurrent_jobs"
FEW_WORKERS = ("--set", f"{JOBS_AT_ONCE}=2")
"""Each is a process that starts with its node, and most tests need none."""
LEAVING_SECS_MAX = 5.0
"""Until a process that was killed has given back its ports."""


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment, without anything that configures a node or its client."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ICN_")} | more


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its standard output, decoded."""
        return json.loads(self.out)


def run(
    program: Path,
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    given: str = "",
    within: float = RUN_SECS_MAX,
) -> Ran:
    """Run `program` to its end."""
    ended = subprocess.run(
        [str(program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        input=given,
        cwd=cwd,
        env=clean_environment(**(env or {})),
        timeout=within,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def node_program(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Ran:
    """`icn-node` where it is expected to end by itself."""
    return run(NODE, *arguments, cwd=cwd, env=env)


def cli(node: NodeProcess, *arguments: str, cwd: Path | None = None) -> Ran:
    """`icn-cli` against `node`, with its key."""
    return run(CLI, *arguments, cwd=cwd, env={"ICN_NODE_URL": f"http://{node.http}", "ICN_API_KEY": node.api_key})


class ExactNode(NodeProcess):  # type: ignore[misc] # see the import
    """`icn-node` with exactly these arguments, in exactly this folder."""

    def __init__(self, folder: Path, *arguments: str, api_key: str = "", env: Mapping[str, str] | None = None) -> None:
        super().__init__("node", folder, *arguments, api_key=api_key)
        self.cwd = folder
        self.environment = dict(env or {})

    def command(self) -> list[str]:
        """Nothing added."""
        return [str(NODE), *self.flags]


def with_few_workers(flags: tuple[str, ...]) -> tuple[str, ...]:
    """Flags of a node that starts fewer workers than by default, unless they say how many."""
    return flags if any(JOBS_AT_ONCE in flag for flag in flags) else (*FEW_WORKERS, *flags)


@dataclass(slots=True)
class Nodes:
    """Nodes of one test or module; all of them are ended with it."""

    folder: Path
    started: list[NodeProcess] = field(default_factory=list)

    def make(self, name: str, *flags: str) -> NodeProcess:
        """A node that is not started."""
        node = NodeProcess(name, self.folder / name, *with_few_workers(flags))
        self.started.append(node)
        return node

    def start(self, name: str, *flags: str) -> NodeProcess:
        """A node that is ready."""
        return self.make(name, *flags).start()

    def adopt(self, node: ExactNode) -> ExactNode:
        """A node made elsewhere."""
        self.started.append(node)
        return node

    def end(self) -> None:
        """Kill what still lives."""
        for node in self.started:
            node.kill()


def is_free(port: int) -> bool:
    """Whether a program could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Ports the system just gave and took back."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def default_ports() -> Iterator[None]:
    """Have the ports that programs use when nobody says otherwise; other test processes wait for them."""
    with (Path(tempfile.gettempdir()) / f"icn-tests-default-ports-{os.getuid()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for port in DEFAULT_PORTS:
            with suppress(NodeError):  # who was killed a moment ago may still be leaving
                wait_until(f"port {port}", partial(is_free, port), LEAVING_SECS_MAX)
            if not is_free(port):
                pytest.skip(f"port {port} is taken on this machine: commands without an address cannot be run")
        yield


def wait_until_known(member: NodeProcess, newcomer: NodeProcess) -> None:
    """Until `member` has heard that `newcomer` has joined, which is a moment after the newcomer says that it is ready.

    Before that `federation admit` refuses it, where anybody may join.
    """

    def has_heard() -> bool:
        members = member.ask("GET", "/federation/status")["members"]
        return any(found["did"] == newcomer.did and found["joined"] for found in members)

    wait_until(f"{member.name} to know {newcomer.name}", has_heard)


def ended_job(node: NodeProcess, job: str, within: float = 60.0) -> dict[str, Any]:
    """The job, once it has ended at `node`."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = node.ask("GET", f"/mesh/jobs/{job}")
        return found if found["status"] in {"completed", "failed", "cancelled"} else None

    found: dict[str, Any] = wait_until(f"the end of {job}", look, within)
    return found


def same_root(nodes: Sequence[NodeProcess]) -> str | None:
    """The root, when all have the same."""
    roots = {node.ask("GET", "/dag/root")["root"] for node in nodes}
    return roots.pop() if len(roots) == 1 else None
