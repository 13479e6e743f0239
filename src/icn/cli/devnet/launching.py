"""Starts one `icn-node` on loopback so that it is never forgotten.

The process waits before it becomes a node until it was written down who it is; when whoever starts it dies in between,
its standard input ends, and so does it. So there is no moment in which a node runs that no file knows.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from icn.adapters.files import PRIVATE_FILE
from icn.cli.devnet.processes import identify
from icn.cli.devnet.state import ProcessId
from icn.cli.endings import Ended, Exit

ANY_HTTP = "127.0.0.1:0"
ANY_P2P = "/ip4/127.0.0.1/tcp/0"
_GATE = 'read -r _ && exec "$0" "$@" </dev/null'
"""For /bin/sh: the same process, by id and start time, before and after."""


def node_program() -> Path:
    """The `icn-node` that came with this program. Raises `Ended`."""
    program = Path(sys.executable).with_name("icn-node")
    if not program.exists():
        raise Ended(
            Exit.FAULT, f"there is no {program}", code="cli.no_node_program", next_step="Install it: make setup."
        )
    return program


def loopback_flags(folder: Path, key_file: Path, *, backend: str, http: str, p2p: str) -> list[str]:
    """The flags of a node that is reached from this machine only. `http`, `p2p`: where it was before, or empty."""
    return [
        *("--environment", "development", "--data-dir", str(folder), "--no-metrics", "--storage-backend", backend),
        *("--http-listen-addr", http or ANY_HTTP, "--api-key-file", str(key_file)),
        *("--p2p-listen-addr", p2p.partition("/p2p/")[0] or ANY_P2P),
    ]


def launch(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    remember: Callable[[ProcessId], None],
) -> ProcessId:
    """Start it in a session of its own; it becomes `command` once `remember` has returned. Waits for nothing else."""
    descriptor, given = os.pipe()
    try:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", _GATE, *command],
                _for_nodes(environment),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, descriptor, 0),
                    (os.POSIX_SPAWN_DUP2, said, 1),
                    (os.POSIX_SPAWN_DUP2, said, 2),
                ],
                setsid=True,
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # the interpreter ignores them, and that is inherited
            )
        finally:
            os.close(said)
            os.close(descriptor)
        process = identify(pid)
        remember(process)
        os.write(given, b"\n")
        return process
    finally:
        os.close(given)


def _for_nodes(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would configure every node alike, or is the client's."""
    return {name: value for name, value in environment.items() if not name.startswith("ICN_")}
