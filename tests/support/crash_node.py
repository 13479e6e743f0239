"""A node that is killed at a drawn system call, by `strace` around it."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from node_process import NodeProcess  # type: ignore[import-not-found] # on pytest's path, not mypy's


class TracedNode(NodeProcess):  # type: ignore[misc] # see the import
    """`icn-node` that SIGKILL ends at the `killing_number`-th system call of a kind that one of its threads makes."""

    killing_call = ""
    """None drawn: an ordinary node."""
    killing_number = 0

    def command(self) -> list[str]:
        """With the trace before it, where a call is drawn."""
        plain: list[str] = super().command()
        if not self.killing_call:
            return plain
        injected = [
            "-e",
            f"trace={self.killing_call}",
            "-e",
            f"inject={self.killing_call}:signal=SIGKILL:when={self.killing_number}",
        ]
        return ["strace", "-f", "-qq", "-o", "/dev/null", *injected, *plain]

    def ends_within(self, seconds: float) -> bool:
        """Whether it is gone by itself, after so long at the most."""
        if self.process is not None:
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
        return True

    def kill(self) -> None:
        """The node first: it would go on without its tracer."""
        if self.process is not None:
            for child in _children(self.process.pid) if self.killing_call else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        super().kill()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
