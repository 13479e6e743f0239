"""`storage migrate` killed at any system call: never two stores that a node would open, and the same command ends it.

Each pair of engines is moved by `icn-cli` in a process of its own, killed by SIGKILL at a drawn system call, and looked
at; then the same command again, and again, until one ends by itself. Some of the kills hit the very end: between the
original's note and the copy's.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from icn.adapters.storage.opening import StorageSettings, open_store
from icn.services.verify import verify
from icn.stores import copying, moving, schema
from icn.stores.kv import StoreInUse
from icn.stores.moving import StoreIncomplete, StoreMoved
from support import postgres
from support.processes import CLI, clean_environment
from support.sample_stores import busy_node, pour

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

SEED = int(os.environ.get("ICN_CRASH_SEED", "1"))
KILLS_LONG = int(os.environ.get("ICN_CRASHES", "60"))
"""Of each pair of engines."""
KILLS_SHORT = 2
CALLS = {
    "write": 60,
    "pwrite64": 60,
    "fdatasync": 15,
    "fsync": 15,
    "openat": 900,
    "rename": 3,
    "sendto": 60,
    "recvfrom": 120,
    "flock": 4,
    "unlink": 6,
    "close": 900,
}
"""Where a move is killed, and up to which one of them: those it never makes that often let it come to its end."""
ROUND_SECS_MAX = 120.0
LEASE_SECS_MAX = 30.0
PAIRS = (("sqlite", "sled"), ("sled", "rocksdb"), ("rocksdb", "postgresql"), ("postgresql", "sqlite"))


@dataclass
class Seen:
    """What the kills of one pair led to."""

    kills: int = 0
    moves: int = 0
    states: Counter[str] = field(default_factory=Counter)


class Move:
    """One store, on its way from one engine to another."""

    def __init__(self, here: str, there: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.source, self.target = _settings(here, folder / "from"), _settings(there, folder / "to")
        self._folder = folder
        node = busy_node()
        with contextlib.closing(open_store(self.source)) as store:
            pour(node.store, store)
            *_, self.expected = copying.contents(store)

    def run(self, *tracing: str) -> int:
        """The command, to its end or its death."""
        source, target = self.source, self.target
        here = ("--db-url", source.url) if source.url else ("--storage-path", source.path)
        there = ("--to-url", target.url) if target.url else ("--to-path", target.path)
        command = [
            *tracing,
            *map(str, (CLI, "storage", "migrate", "--storage-backend", source.backend, *here)),
            *map(str, ("--to", target.backend, *there, "--data-dir", self._folder / "data")),
        ]
        ended = subprocess.run(
            command, capture_output=True, check=False, env=clean_environment(), timeout=ROUND_SECS_MAX
        )
        if ended.returncode not in {0, -signal.SIGKILL}:
            raise AssertionError(ended.stderr.decode(errors="replace"))
        return ended.returncode

    def state(self) -> str:
        """Which of the two a node would open now. At most one; the original as it was, where it is that."""
        here, there = _openable(self.source), _openable(self.target)
        assert not (here and there), "two stores of one identity"
        if there:
            _require(self.target, self.expected)
            return "moved"
        with contextlib.closing(_open(self.source)) as store:
            *_, held = copying.contents(store)
            assert held == self.expected, "the original was changed"
        return "here" if here else "neither"


def _settings(backend: str, path: Path) -> StorageSettings:
    if backend == "postgresql":
        return StorageSettings(backend, url=postgres.cluster().url_of_new_schema())
    return StorageSettings(backend, path.with_suffix("." + backend))


def _open(settings: StorageSettings):
    """When the lease of a killed predecessor has lapsed."""
    for _attempt in range(round(LEASE_SECS_MAX / 0.25)):
        try:
            return open_store(settings)
        except StoreInUse:
            signal.sigtimedwait((), 0.25)
    return open_store(settings)


def _openable(settings: StorageSettings) -> bool:
    """Whether a node would work on it."""
    if settings.path is not None and not settings.path.exists():
        return False
    with contextlib.closing(_open(settings)) as store:
        try:
            return schema.format_of(store) is not None
        except (StoreIncomplete, StoreMoved):
            return False


def _require(settings: StorageSettings, expected: copying.Contents) -> None:
    with contextlib.closing(_open(settings)) as store:
        *_, held = copying.contents(store)
        assert held == expected
        assert verify(store, deep=True).ok
        assert moving.migration_of(store) is None


def kill_many(here: str, there: str, folder: Path, kills: int) -> Seen:
    """So many kills. Raises `AssertionError` when one leaves what must not be."""
    rng = random.Random(f"{here}/{there}/{SEED}")
    seen = Seen()
    while seen.kills < kills:
        move = Move(here, there, folder / str(seen.moves))
        seen.moves += 1
        while seen.kills < kills:
            call = rng.choice(sorted(CALLS))
            number = rng.randrange(1, CALLS[call] + 1)
            inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
            code = move.run("strace", "-f", "-qq", "-o", "/dev/null", *inject)
            state = move.state()
            if code == 0:
                assert state == "moved"
                break
            seen.kills += 1
            seen.states[state] += 1
            if state == "moved":
                break  # the last note was written, and only the telling was cut off
        if move.state() != "moved":
            assert move.run() == 0
            assert move.state() == "moved"
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_a_move_that_is_killed_leaves_one_store_and_goes_on(here: str, there: str, tmp_path: Path) -> None:
    assert kill_many(here, there, tmp_path / "moves", KILLS_SHORT).kills == KILLS_SHORT


@pytest.mark.long
@pytest.mark.parametrize(("here", "there"), PAIRS)
def test_no_kill_of_many_leaves_two_stores(
    here: str, there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = kill_many(here, there, tmp_path / "moves", KILLS_LONG)
    with capsys.disabled():
        print(
            f"\nstorage migrate {here} to {there}, seed {SEED}: {seen.kills} kills in {seen.moves} moves, {seen.states}"
        )
