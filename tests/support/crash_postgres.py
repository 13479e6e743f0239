"""PostgreSQL and its clients, killed: what `support.crash_rounds` does to embedded engines, for one behind a socket.

A client is killed at a drawn system call, most of them those by which it talks to the server; its session lives on
until the server notices. Or the server is killed with all of its processes, at a drawn moment of the client's work or
of the recovery from the kill before, and is started again.

SIGKILL leaves the system's caches as they are: what the server wrote without waiting for the disk survives. That it
waits is its own promise, made when `fsync` is on, which a store requires.
"""

import contextlib
import dataclasses
import itertools
import random
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from icn.stores.kv import CommitUncertain, StoreUnavailable
from support.crash_client import SAW_A_FAULT
from support.crash_rounds import RECOVERIES_SHARE, ROUND_SECS_MAX, Crashing, Ended, Lost, Totals
from support.crash_stores import URL_NOTE
from support.postgres import Cluster, own_cluster
from support.stores import child_environment

SYSTEM_CALLS = (
    *("socket", "connect", "getsockopt", "sendto", "sendmsg", "recvfrom", "recvmsg"),
    *("poll", "ppoll", "select", "pselect6", "epoll_ctl", "epoll_wait", "epoll_pwait", "write"),
)
"""Of libpq, and the one by which a client tells what was answered."""
SETTINGS = {
    "shared_buffers": "8MB",
    "min_wal_size": "32MB",
    "max_wal_size": "32MB",  # little to recover; and checkpoints come often, so that kills hit them
    "recovery_init_sync_method": "syncfs",  # since version 14; file by file a start takes five times as long
    "wal_writer_delay": "10s",  # what is answered too early stays in memory, and is lost, for as long
}
LINES_UNTIL_KILL_MAX = 60
"""Of what a client says: opened, claimed, found, and batches."""
BATCHES_PER_ROUND_MAX = 1000
"""More than come to an end before the kill."""
DELAY_SECS_MAX = 0.02
"""Between the last line waited for and the kill: some batches."""
RECOVERY_SECS_MAX = 0.3
AGAIN = "killed again while it recovered"
FAULTS = tuple(fault.__name__ for fault in (StoreUnavailable, CommitUncertain))
"""What a client may say of a server that is gone."""


@contextlib.contextmanager
def killable() -> Iterator[Cluster]:
    """A server that recovers quickly."""
    with own_cluster() as server:
        server.kill()
        server.configure(SETTINGS)
        server.start()
        yield server


def kill_clients(server: Cluster, folder: Path, kills: int, seed: int) -> Totals:
    """So many kills of clients at drawn system calls. Raises `Lost`."""
    return _crashing(server, seed, weak=False).kill_many(folder, kills)


def kill_servers(server: Cluster, folder: Path, kills: int, seed: int, *, weak: bool = False) -> Totals:
    """So many kills of the server at drawn moments of a client's work. Raises `Lost`."""
    crashing = _crashing(server, seed, weak=weak)

    def crash(store: Path, number: int, rng: random.Random, totals: Totals) -> tuple[Ended, bool, str]:
        lines, delay_secs = rng.randrange(1, LINES_UNTIL_KILL_MAX), rng.uniform(0, DELAY_SECS_MAX)
        ended = _kill_under_load(server, crashing.client(store, number, BATCHES_PER_ROUND_MAX), lines, delay_secs)
        told = f"server killed {delay_secs:.3f} s after {lines} lines"
        if rng.random() < RECOVERIES_SHARE:
            recovery_secs = rng.uniform(0, RECOVERY_SECS_MAX)
            server.start_and_kill(recovery_secs)
            totals.kinds[AGAIN] += 1
            told += f", and {recovery_secs:.3f} s after it was started"
        server.start()
        totals.kinds[_fault_of(ended)] += 1
        return ended, True, told

    return crashing.rounds(folder, kills, crash)


def _crashing(server: Cluster, seed: int, *, weak: bool) -> Crashing:
    def prepare(store: Path) -> None:
        (store / URL_NOTE).write_text(server.url_of_new_schema())

    crashing = Crashing("postgresql", seed, weak=weak)
    return dataclasses.replace(crashing, calls=SYSTEM_CALLS, reads_call=True, prepare=prepare, refusals_hold=True)


def _kill_under_load(server: Cluster, command: list[str], lines: int, delay_secs: float) -> Ended:
    """Run a client, kill the server so long after so many lines, and hear the client out."""
    with (
        tempfile.TemporaryFile("w+") as error,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=error, text=True, env=child_environment()) as client,
    ):
        watch = threading.Timer(ROUND_SECS_MAX, client.kill)
        watch.start()
        try:
            if client.stdout is None:
                raise AssertionError("it was asked for")
            heard = list(itertools.islice(client.stdout, lines))
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.wait(delay_secs)
            server.kill()
            heard += client.stdout
            code = client.wait()
        finally:
            watch.cancel()
            client.kill()
        error.seek(0)
        return Ended([line.rstrip("\n") for line in heard], code, error.read())


def _fault_of(ended: Ended) -> str:
    """What the client said of the server's end. Raises `Lost` when it ended in another way."""
    if ended.code == -signal.SIGKILL:
        raise Lost(f"a round did not end:\n{ended.told()}")
    told = re.match(r"fault (\w+) ", ended.lines[-1] if ended.lines else "")
    if ended.code != SAW_A_FAULT or told is None or told[1] not in FAULTS:
        raise Lost(f"the client did not see that the server was gone:\n{ended.told()}")
    return told[1]
