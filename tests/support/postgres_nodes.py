"""Several node processes with one identity on one database, each with listeners of its own."""

from pathlib import Path

from node_process import NodeProcess, wait_until  # type: ignore[import-not-found] # on pytest's path, not mypy's

from support.processes import Nodes, with_few_workers


class Replicas:
    """They share a folder, where the key is, as the replicas of a deployment share a secret."""

    def __init__(self, nodes: Nodes, folder: Path, url: str, *flags: str) -> None:
        self._nodes = nodes
        self._folder = folder
        self._flags = ("--storage-backend", "postgresql", "--db-url", url, *with_few_workers(flags))

    def launch(self, name: str) -> NodeProcess:
        """Start one, and wait for nothing."""
        node = OnDatabase(name, self._folder, *self._flags)
        self._nodes.started.append(node)
        node.launch()
        return node

    def start(self, name: str) -> NodeProcess:
        """One that has become the author."""
        node = OnDatabase(name, self._folder, *self._flags)
        self._nodes.started.append(node)
        return node.start()

    def stand_by(self, name: str) -> NodeProcess:
        """One that says that another is the author."""
        node = self.launch(name)
        wait_until(f"{name} to stand by", lambda: stands_by(node))
        return node


class OnDatabase(NodeProcess):  # type: ignore[misc] # its class is not known to mypy
    """A node whose flags say where the data is."""

    def command(self) -> list[str]:
        """Without the flags for a file."""
        command: list[str] = super().command()
        at = command.index("--storage-backend")
        return command[:at] + command[at + 2 :]


def stands_by(node: NodeProcess) -> bool:
    """Whether it answers, and is not ready."""
    if not node.http:
        return False
    try:
        code, ready = node.call("GET", "/ready")
    except OSError:
        return False
    return code == 503 and any("another process" in reason for reason in ready["reasons"])


def is_ready(node: NodeProcess) -> bool:
    """Whether it may be sent requests."""
    try:
        return bool(node.http) and node.call("GET", "/ready")[0] == 200
    except OSError:
        return False


def author_of(nodes: list[NodeProcess], within: float = 30.0) -> NodeProcess:
    """The one that is ready, once there is one."""
    found: NodeProcess = wait_until("an author", lambda: next((n for n in nodes if is_ready(n)), None), within)
    return found
