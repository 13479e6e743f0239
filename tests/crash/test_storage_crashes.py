"""An answer of a storage engine survives SIGKILL at any system call, and the loss of everything that was not synced.

For PostgreSQL it is SIGKILL of the client at any system call, of the server with all of its processes, and the loss of
power below the server's data directory.

The client's log of answers is the judge (`support.crash_rounds`). `make crash-long` repeats it hundreds of times;
`ICN_CRASH_SEED` and `ICN_CRASHES` choose other moments, and how many.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.crash_postgres import kill_clients, kill_servers, killable
from support.crash_postgres_disk import lose_power, powered
from support.crash_rounds import Crashing, Lost
from support.postgres import Cluster
from support.stores import BACKENDS

SEED = int(os.environ.get("ICN_CRASH_SEED", "1"))
CRASHES_LONG = int(os.environ.get("ICN_CRASHES", "250"))
"""Of each kind, on each backend."""
CRASHES_SHORT = 5
POSTGRESQL_CRASHES_SHORT = 2
POSTGRESQL_LOSSES_SHORT = 2
LOSSES_UNTIL_SEEN_MAX = 40

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
needs_fuse = pytest.mark.skipif(
    shutil.which("fusermount3") is None or not os.access("/dev/fuse", os.W_OK),
    reason="no file system can be mounted: needs the package fuse3, and /dev/fuse",
)
EMBEDDED = [backend.name for backend in BACKENDS if backend.durable and not backend.shared]
embedded = pytest.mark.parametrize("backend", EMBEDDED)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """PostgreSQL of our own: making one takes longer than a few kills."""
    with killable() as made:
        yield made


@needs_strace
@pytest.mark.slow
@embedded
def test_answers_survive_sigkill_at_a_system_call(backend: str, tmp_path: Path) -> None:
    totals = Crashing(backend, SEED).kill_many(tmp_path, CRASHES_SHORT)
    assert totals.answered > 0


@needs_fuse
@pytest.mark.slow
@embedded
def test_answers_survive_the_loss_of_what_was_not_synced(backend: str, tmp_path: Path) -> None:
    totals = Crashing(backend, SEED).lose_many(tmp_path, CRASHES_SHORT)
    assert totals.answered > 0


@needs_strace
@pytest.mark.long
@embedded
def test_answers_survive_hundreds_of_sigkills(backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    totals = Crashing(backend, SEED).kill_many(tmp_path, CRASHES_LONG)
    with capsys.disabled():
        print(f"\n{backend}, SIGKILL at system calls, seed {SEED}: {totals}", file=sys.stderr)  # seen with -n, too


@needs_fuse
@pytest.mark.long
@embedded
def test_answers_survive_hundreds_of_losses_of_power(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = Crashing(backend, SEED).lose_many(tmp_path, CRASHES_LONG)
    with capsys.disabled():
        print(f"\n{backend}, loss of power, seed {SEED}: {totals}", file=sys.stderr)


@needs_fuse
@pytest.mark.slow
@embedded
def test_an_engine_that_does_not_wait_for_the_disk_is_found_out(backend: str, tmp_path: Path) -> None:
    with pytest.raises(Lost, match=r"was answered|was given after"):
        Crashing(backend, SEED, weak=True, kept_shares=(0.0,)).lose_many(tmp_path, LOSSES_UNTIL_SEEN_MAX)


@needs_strace
@pytest.mark.slow
def test_postgresql_keeps_answers_when_its_client_is_killed(server: Cluster, tmp_path: Path) -> None:
    assert kill_clients(server, tmp_path, POSTGRESQL_CRASHES_SHORT, SEED).answered > 0


@pytest.mark.slow
def test_postgresql_keeps_answers_when_it_is_killed(server: Cluster, tmp_path: Path) -> None:
    assert kill_servers(server, tmp_path, POSTGRESQL_CRASHES_SHORT, SEED).answered > 0


@needs_strace
@pytest.mark.long
def test_postgresql_keeps_answers_when_hundreds_of_clients_are_killed(
    server: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = kill_clients(server, tmp_path, CRASHES_LONG, SEED)
    with capsys.disabled():
        print(f"\npostgresql, SIGKILL of clients at system calls, seed {SEED}: {totals}", file=sys.stderr)


@pytest.mark.long
def test_postgresql_keeps_answers_when_it_is_killed_hundreds_of_times(
    server: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = kill_servers(server, tmp_path, CRASHES_LONG, SEED)
    with capsys.disabled():
        print(f"\npostgresql, SIGKILL of the server, seed {SEED}: {totals}", file=sys.stderr)


@pytest.mark.slow
def test_postgresql_that_does_not_wait_for_its_log_is_found_out(server: Cluster, tmp_path: Path) -> None:
    with pytest.raises(Lost, match=r"was answered|was given after"):
        kill_servers(server, tmp_path, LOSSES_UNTIL_SEEN_MAX, SEED, weak=True)


@needs_fuse
@pytest.mark.slow
def test_answers_of_postgresql_survive_the_loss_of_what_its_server_did_not_sync(tmp_path: Path) -> None:
    with powered() as machine:
        assert lose_power(machine, tmp_path, POSTGRESQL_LOSSES_SHORT, SEED).answered > 0


@needs_fuse
@pytest.mark.slow
def test_a_server_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    """The harness would not be worth much otherwise. A store itself refuses such a server."""
    with powered(synced=False) as machine, pytest.raises(Lost):
        lose_power(machine, tmp_path, LOSSES_UNTIL_SEEN_MAX, SEED, synced=False)


@needs_fuse
@pytest.mark.long
def test_answers_of_postgresql_survive_many_losses_of_power(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with powered() as machine:
        totals = lose_power(machine, tmp_path, CRASHES_LONG, SEED)
    with capsys.disabled():
        print(f"\npostgresql, loss of power below the server, seed {SEED}: {totals}", file=sys.stderr)
