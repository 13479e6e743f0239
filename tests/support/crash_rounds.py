"""Rounds of writing that end in a crash, and the judge of what is left.

A round runs `support.crash_client` on a store until something ends it: SIGKILL at a drawn system call (`strace`), or
the loss of power of the disk below it (`support.crash_disk`), or
SIGKILL of the server that has it (`support.crash_postgres`). The next round goes on with the same store, so crashes add
up, also those in the midst of recovery. What the client said before it died is the log of answers.
"""

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from icn.stores.kv import StoreUnavailable
from support.stores import child_environment

ROUND_SECS_MAX = 120.0
ROUNDS_PER_STORE = 25
"""Then a new one is begun."""
BATCHES_CALIBRATING = 60
"""A kill comes, on average, after half as many."""
SYSTEM_CALLS = (
    *("write", "pwrite64", "pwritev", "pwritev2", "writev", "fdatasync", "fsync", "sync_file_range", "msync"),
    *("ftruncate", "fallocate", "rename", "link", "unlink", "mkdir", "fcntl", "flock"),
)
CHANGES_UNTIL_LOSS_MAX = 800
"""Of the disk; a batch makes four to thirty."""
CHANGES_AT_OPENING = 30
RECOVERIES_SHARE = 0.3
"""Of the losses of power that come this early, often while the one before is recovered from."""
KEPT_SHARES = (0.0, 0.1, 0.5, 0.9)


class Lost(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class Totals:
    """What one backend went through."""

    crashes: int = 0
    rounds: int = 0
    stores: int = 0
    answered: int = 0
    claims: int = 0
    whole: int = 0
    """Batches under way at a crash that are there."""
    absent: int = 0
    pages_lost: int = 0
    names_lost: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    begun: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common())
        return (
            f"{self.crashes} crashes in {self.rounds} rounds on {self.stores} stores; {self.answered} batches and "
            f"{self.claims} claims answered, 0 lost; under way: {self.whole} whole, {self.absent} absent; unsynced: "
            f"{self.pages_lost} pages, {self.names_lost} names lost; {time.monotonic() - self.begun:.0f} s ({kinds})"
        )


@dataclass(slots=True)
class Judge:
    """Holds one store to what its clients were told."""

    totals: Totals
    """Of all stores of the backend."""
    refusals_hold: bool = False
    head: int = -1
    """The newest batch that was answered, or seen by a reader."""
    fence: int = 0
    under_way: bool = False
    """Whether the last client died while it wrote."""
    refused: bool = False
    """Whether the last batch was refused by a fault that means that nothing was written."""

    def hear(self, lines: list[str]) -> None:
        """What one client said. Raises `Lost`."""
        is_writing = False
        for line in lines:
            word, _, rest = line.partition(" ")
            match word:
                case "claimed":
                    self._claimed(int(rest))
                case "found":
                    head, _, differences = rest.partition(" ")
                    self._found(int(head), json.loads(differences))
                    is_writing = True
                case "fault":
                    self.refused |= (
                        self.refusals_hold and is_writing and rest.startswith(f"{StoreUnavailable.__name__} ")
                    )
                case "done":
                    self.head = int(rest)
                    self.totals.answered += 1

    def _claimed(self, fence: int) -> None:
        if fence <= self.fence:
            raise Lost(f"fence {fence} was given after {self.fence}")
        self.fence = fence
        self.totals.claims += 1

    def _found(self, head: int, differences: list[str]) -> None:
        if head not in {self.head, self.head + 1}:
            raise Lost(f"batch {self.head} was answered, {head} is the newest there is")
        if self.refused and head != self.head:
            raise Lost(f"batch {head} was refused, and is there")
        if differences:
            raise Lost(f"batch {head} is not what is there: {differences}")
        if self.under_way:
            self.totals.whole += head > self.head
            self.totals.absent += head == self.head
        self.head = head
        self.under_way = True
        self.refused = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a client ended."""

    lines: list[str]
    code: int
    error: str

    @property
    def finished(self) -> bool:
        """By itself, all done."""
        return self.code == 0

    def told(self) -> str:
        """For a person."""
        return "\n".join([f"exit code {self.code}", *self.lines[-5:], self.error[-2000:]])


def _run(command: list[str]) -> Ended:
    """Run a client to its end."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
        start_new_session=True,
    )
    try:
        out, error = process.communicate(timeout=ROUND_SECS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # strace and the client
        out, error = process.communicate()
        raise Lost(f"a round did not end:\n{out[-500:]}\n{error[-2000:]}") from None
    return Ended(out.splitlines(), process.returncode, error)


@dataclass(frozen=True, slots=True)
class Crashing:
    """One backend, from a seed."""

    backend: str
    seed: int
    weak: bool = False
    kept_shares: tuple[float, ...] = KEPT_SHARES
    calls: tuple[str, ...] = SYSTEM_CALLS
    """That a client is killed at."""
    reads_call: bool = False
    """Whether a client also makes them to check what is there, more often the more there is."""
    prepare: Callable[[Path], object] = Path.exists
    """What a store's new folder needs before a client can open it."""
    flags: tuple[str, ...] = ()
    """More of a client's command line."""
    refusals_hold: bool = False
    """Whether a batch refused by `StoreUnavailable` must not be there. Pages of a disk that failed may be."""

    def client(self, folder: Path, store: int, batches_max: int) -> list[str]:
        """The command line of a client."""
        weak = ["--weak"] if self.weak else []
        given = [
            self.backend,
            str(folder),
            f"{self.seed}/{store}",
            "--batches-max",
            str(batches_max),
            *weak,
            *self.flags,
        ]
        return [sys.executable, "-m", "support.crash_client", *given]

    # SIGKILL at a system call

    def system_calls(self, folder: Path) -> dict[str, int]:
        """How often a client that writes `BATCHES_CALIBRATING` batches makes each of `calls`."""
        folder.mkdir()
        report = folder / "calls"
        traced = ["strace", "-f", "-c", "-qq", "-o", str(report), "-e", f"trace={','.join(self.calls)}"]
        (folder / "store").mkdir()
        self.prepare(folder / "store")
        if self.reads_call:
            _run(self.client(folder / "store", 0, BATCHES_CALIBRATING))  # else kills would come before the first write
        ended = _run([*traced, *self.client(folder / "store", 0, BATCHES_CALIBRATING)])
        if not ended.finished:
            raise Lost(ended.told())
        rows = (line.split() for line in report.read_text().splitlines())
        counts = {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[-1] in self.calls}
        shutil.rmtree(folder)
        return counts

    def kill(self, folder: Path, store: int, call: str, number: int) -> tuple[Ended, bool]:
        """A round that ends at the `number`-th system call of that kind of a thread, before it is made."""
        injected = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
        traced = ["strace", "-f", "-qq", "-o", "/dev/null", *injected]
        ended = _run([*traced, *self.client(folder, store, BATCHES_CALIBRATING * 2)])
        killed = ended.code == -signal.SIGKILL
        if not killed and not ended.finished:
            raise Lost(f"the client failed:\n{ended.told()}")
        return ended, killed

    def kill_many(self, folder: Path, crashes: int) -> Totals:
        """So many kills at drawn system calls. Raises `Lost`."""
        calls = self.system_calls(folder / "calibrating")

        def crash(store: Path, number: int, rng: random.Random, totals: Totals) -> tuple[Ended, bool, str]:
            # By the root of how often each is made: those within a commit often, the rare ones not too seldom.
            (call,) = rng.choices(sorted(calls), [math.isqrt(calls[each]) for each in sorted(calls)])
            nth = rng.randrange(1, calls[call] + 1)
            ended, killed = self.kill(store, number, call, nth)
            totals.kinds[call] += killed
            return ended, killed, f"SIGKILL at {call} number {nth}"

        return self.rounds(folder, crashes, crash)

    # Loss of power

    def lose(
        self, folder: Path, store: int, changes: int, kept_share: float, seed: int
    ) -> tuple[Ended, re.Match[str] | None]:
        """A round that ends with the loss of power at a change of the disk; the store is in `folder/image`.

        The match has the pages and the names that were lost; there is none when the client finished before.
        """
        image, mounted = folder / "image", folder / "mounted"
        image.mkdir(exist_ok=True)
        mounted.mkdir(exist_ok=True)
        disk = subprocess.Popen(
            [
                *(sys.executable, "-m", "support.crash_disk", str(image), str(mounted), "--lose-at", str(changes)),
                *("--kept-share", str(kept_share), "--seed", str(seed)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )
        with disk:
            try:
                if disk.stdout is None or disk.stdout.readline() != "mounted\n":
                    raise Lost(f"the disk was not mounted: {disk.communicate()[1]}")
                ended = _run(self.client(mounted, store, CHANGES_UNTIL_LOSS_MAX))  # each is a change at least
            finally:
                subprocess.run(["fusermount3", "-uqz", str(mounted)], check=False, capture_output=True)
                try:
                    told, error = disk.communicate(timeout=ROUND_SECS_MAX)
                except subprocess.TimeoutExpired:
                    disk.kill()
                    raise
        loss = re.search(r"^lost (\d+) pages and (\d+) names", told, re.MULTILINE)
        if error or ("unmounted" not in told and loss is None):
            raise AssertionError(f"the disk failed: {told}{error}")
        if loss is None and not ended.finished:
            raise Lost(f"the client failed though the disk did not:\n{ended.told()}")
        return ended, loss

    def lose_many(self, folder: Path, crashes: int) -> Totals:
        """So many losses of power at drawn changes of the disk. Raises `Lost`."""

        def crash(store: Path, number: int, rng: random.Random, totals: Totals) -> tuple[Ended, bool, str]:
            is_early = rng.random() < RECOVERIES_SHARE
            changes = rng.randrange(1, CHANGES_AT_OPENING if is_early else CHANGES_UNTIL_LOSS_MAX)
            kept_share = rng.choice(self.kept_shares)
            ended, loss = self.lose(store, number, changes, kept_share, rng.getrandbits(32))
            if loss is not None:
                totals.pages_lost += int(loss[1])
                totals.names_lost += int(loss[2])
                totals.kinds[f"kept {kept_share}"] += 1
            return ended, loss is not None, f"power lost at change {changes}, {kept_share} of the unsynced kept"

        return self.rounds(folder, crashes, crash)

    # All

    def rounds(
        self,
        folder: Path,
        crashes: int,
        crash: Callable[[Path, int, random.Random, Totals], tuple[Ended, bool, str]],
    ) -> Totals:
        """So many crashes, `ROUNDS_PER_STORE` to a store, each judged by what the next client finds. Raises `Lost`."""
        totals = Totals()
        rng = random.Random(f"{self.backend}/{self.seed}")
        while totals.crashes < crashes:
            store = folder / f"store-{totals.stores}"
            store.mkdir()
            self.prepare(store)
            judge = Judge(totals, self.refusals_hold)
            number, history = totals.stores, list[str]()
            totals.stores += 1
            try:
                for _ in range(min(ROUNDS_PER_STORE, crashes - totals.crashes)):
                    totals.rounds += 1
                    ended, crashed, told = crash(store, number, rng, totals)
                    history.append(told)
                    totals.crashes += crashed
                    judge.hear(ended.lines)
                    judge.under_way &= not ended.finished
                image = store / "image" if (store / "image").exists() else store
                ended = _run(self.client(image, number, 1))
                if not ended.finished:
                    raise Lost(f"the store cannot be used after the last crash:\n{ended.told()}")
                judge.hear(ended.lines)
            except Lost as lost:
                where = f"{self.backend}, seed {self.seed}, store {number}, kept in {store}"
                raise Lost(f"{where}: {lost}\nafter: {'; '.join(history)}") from lost
            shutil.rmtree(store)
        return totals
