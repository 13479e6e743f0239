"""PostgreSQL whose data directory lies on a disk that forgets (`support.crash_disk`), under load when the power fails.

The server runs as the account that owns the disk, and everything it has written and not synced may be gone. After a
loss it is started on what survived: it must come up, and have every batch that was answered. Now and then the power
fails again while it recovers. A server with `fsync = off` does not wait for the disk, and is found out by this.
"""

import contextlib
import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from support.crash_postgres import AGAIN, BATCHES_PER_ROUND_MAX, SETTINGS
from support.crash_rounds import KEPT_SHARES, RECOVERIES_SHARE, ROUND_SECS_MAX, Crashing, Ended, Lost, Totals
from support.crash_stores import URL_NOTE
from support.postgres import Cluster, own_cluster
from support.stores import child_environment

CHANGES_UNTIL_LOSS_MAX = 2500
"""Of the disk: a start makes some hundreds, a batch a few."""
CHANGES_OF_RECOVERY_MAX = 400
NEVER = 1 << 60
_LOSS = re.compile(r"^lost (\d+) pages and (\d+) names", re.MULTILINE)


class _Disk:
    """Mounted over the server's data directory until it is taken away, or has lost what it must."""

    def __init__(self, server: Cluster, image: Path, lose_at: int, kept_share: float, seed: int) -> None:
        account = [] if server.account is None else ["--account", server.account]
        self._place = server.data
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "support.crash_disk", str(image), str(server.data), "--lose-at", str(lose_at)),
                *("--kept-share", str(kept_share), "--seed", str(seed), *account),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )
        if self._process.stdout is None or self._process.stdout.readline() != "mounted\n":
            raise AssertionError(f"the disk was not mounted: {self._process.communicate()[1]}")

    @property
    def has_power(self) -> bool:
        """Whether it still serves."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Until the power fails."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ROUND_SECS_MAX)

    def end(self) -> re.Match[str] | None:
        """Take it away. What was lost, if the power failed."""
        subprocess.run(["fusermount3", "-uqz", str(self._place)], check=False, capture_output=True)
        with self._process as process:
            try:
                told, error = process.communicate(timeout=ROUND_SECS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        loss = _LOSS.search(told)
        if error or ("unmounted" not in told and loss is None):
            raise AssertionError(f"the disk failed: {told}{error}")
        return loss


@dataclass(slots=True)
class Powered:
    """A server on such a disk."""

    server: Cluster
    template: Path
    """Its data directory as it was made."""
    image: Path
    """What survives on the disk of the store that is tried now."""
    disk: _Disk | None = None

    def prepare(self, store: Path) -> None:
        """A new disk for a store, with the server running on it."""
        self.put_out()
        shutil.rmtree(self.image, ignore_errors=True)
        shutil.copytree(self.template, self.image)
        (store / URL_NOTE).write_text(self.server.url("postgres"))
        self.put_on(NEVER, 1.0, 0)
        if not self.server.start_while(lambda: True):
            raise Lost(f"the server does not start on a new disk:\n{self.server.said()}")

    def put_on(self, lose_at: int, kept_share: float, seed: int) -> _Disk:
        """The disk, without the server, and without its lock file: half of one an operator removes."""
        (self.image / "postmaster.pid").unlink(missing_ok=True)
        self.disk = disk = _Disk(self.server, self.image, lose_at, kept_share, seed)
        return disk

    def put_out(self) -> re.Match[str] | None:
        """No server, no disk. What was lost."""
        self.server.kill()
        disk, self.disk = self.disk, None
        return None if disk is None else disk.end()


@contextlib.contextmanager
def powered(*, synced: bool = True) -> Iterator[Powered]:
    """A server to be put on disks that forget."""
    with own_cluster() as server:
        server.stop()
        server.configure({**SETTINGS, "recovery_init_sync_method": "fsync", "fsync": "on" if synced else "off"})
        template = server.folder / "template"
        server.data.rename(template)
        server.data.mkdir()  # where it is mounted
        made = Powered(server, template, server.folder / "image")
        try:
            yield made
        finally:
            made.put_out()


def lose_power(machine: Powered, folder: Path, losses: int, seed: int, *, synced: bool = True) -> Totals:
    """So many losses of power. Raises `Lost`. `synced`: as the server was made."""
    flags = () if synced else ("--unsynced-server",)
    crashing = replace(Crashing("postgresql", seed), prepare=machine.prepare, flags=flags)

    def crash(store: Path, number: int, rng: random.Random, totals: Totals) -> tuple[Ended, bool, str]:
        machine.put_out()
        lose_at, kept_share = rng.randrange(1, CHANGES_UNTIL_LOSS_MAX), rng.choice(KEPT_SHARES)
        disk = machine.put_on(lose_at, kept_share, rng.getrandbits(32))
        ended = Ended([], 0, "")
        if machine.server.start_while(lambda: disk.has_power):
            ended = _under_load(crashing.client(store, number, BATCHES_PER_ROUND_MAX), disk)
        told = f"power lost at change {lose_at}, {kept_share} of the unsynced kept"
        loss = _note(totals, machine.put_out(), kept_share)
        if loss and rng.random() < RECOVERIES_SHARE:
            lose_at = rng.randrange(1, CHANGES_OF_RECOVERY_MAX)
            again = machine.put_on(lose_at, kept_share, rng.getrandbits(32))
            machine.server.start_while(lambda: again.has_power)
            if _note(totals, machine.put_out(), kept_share):
                totals.kinds[AGAIN] += 1
                told += f", and at change {lose_at} of the recovery"
        machine.put_on(NEVER, 1.0, 0)
        if not machine.server.start_while(lambda: True):
            raise Lost(f"the server does not start on what is left, after {told}:\n{machine.server.said()}")
        return ended, loss, told

    return crashing.rounds(folder, losses, crash)


def _note(totals: Totals, loss: re.Match[str] | None, kept_share: float) -> bool:
    if loss is None:
        return False
    totals.pages_lost += int(loss[1])
    totals.names_lost += int(loss[2])
    totals.kinds[f"kept {kept_share}"] += 1
    return True


def _under_load(command: list[str], disk: _Disk) -> Ended:
    """Run a client until the power fails, or it has done what it can; what it said by then."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()
    ) as client:

        def end_with_the_power() -> None:
            disk.wait()
            client.kill()  # it waits for a server that waits for a disk

        watch = threading.Thread(target=end_with_the_power, daemon=True)
        watch.start()
        out, error = client.communicate()
        return Ended(out.splitlines(), client.returncode, error)
