"""A store backed up, checked and restored by whole commands: `icn-cli dag`, restic, and tar; and what nobody can avoid.

A store of `--contents` pinned blocks of random bytes and `--signed` signed blocks, made once through the engine; each
round starts from a copy of it. Commands of one step take turns within a round, in another order each round. A command
is over when what it wrote is on the disk: what it leaves unsynced is synced within its time. Ratios are of medians.

| step | ours | restic | tar | floor |
|---|---|---|---|---|
| full | `dag backup --output` | `backup`, the first | `czf` | the store read, and as much written and synced |
| incremental, 1 % more content | `dag backup --incremental` | `backup` again | | |
| verify | `dag verify FILE` | `check --read-data` | | SHA-256 of all blocks |
| verify deep | `dag verify FILE --deep` | | | the same, and the signatures of the signed blocks |
| restore, read back | `dag restore` into a new store | `restore --verify` | | |
| restore | the same with `--no-verify` | `restore` | `xzf` | as for full; and `restore_floor.py` |

restic's repository is made before the first step. What they check differs: restic and tar know bytes, ours proves
names, signatures and rules as it restores, and, where it reads back, that the store it filled is whole.
`restore_floor.py` (`bare`) is what cannot be avoided in this language: the archive unpacked, every block hashed and
put into a new SQLite file that is synced once; it knows no rule and no signature.

The targets: a full backup at restic's speed or better, an incremental one in under a third of a full one, verification
at 300 MB/s or half the hash floor, a restore no slower than restic's. Everything, and which of them are met, goes to
`bench/results/backup.json`.

    python bench/bench_backup.py [--rounds 3] [--contents 18000] [--signed 2000] [--folder DIR] [--output FILE]
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from node_history import Author, forget_signatures

from icn.adapters.storage.opening import StorageSettings, open_store
from icn.domain.dag.block import parse_block
from icn.stores import blocks, keyspace

CONTENT_BYTES = 23_800
TRANSFERS_PER_BLOCK = 5
MORE_PERCENT = 1
PASSWORD = "bench"
PIECE_BYTES = 1024 * 1024
MEGABYTE = 1_000_000
WATCH_SECS = 0.02
CLI = Path(sys.executable).with_name("icn-cli")
RESTORE_FLOOR = Path(__file__).with_name("restore_floor.py")
VERIFY_MB_PER_SECOND = 300
HASH_FLOOR_TIMES = 2
INCREMENTAL_SHARE = 1 / 3

OURS, RESTIC, TAR, FLOOR = "icn-cli", "restic", "tar", "floor"
BARE = "bare"
"""`restore_floor.py`."""
FULL, INCREMENTAL, VERIFY, DEEP = "full", "incremental", "verify", "verify deep"
READ_BACK, RESTORE = "restore, read back", "restore"
INSTALL = {RESTIC: "restic (Debian package restic)", TAR: "tar and gzip (Debian packages tar, gzip)"}


@dataclass(slots=True)
class Samples:
    """What one contender took for one step."""

    seconds: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    """Of resident memory, of the whole command."""

    def figures(self) -> dict[str, float | list[float]]:
        found: dict[str, float | list[float]] = {"seconds": statistics.median(self.seconds), "all": self.seconds}
        return found | ({"peak_mb": max(self.peak_mb)} if self.peak_mb else {})


class Commands:
    """Runs whole commands and keeps their memory; they may not fail."""

    def __init__(self, folder: Path) -> None:
        # No configuration of the operator's, no cache of an earlier run. Ours is compiled once for all rounds, as an
        # installed package is, although it runs from its sources here, and where Python may be told to keep nothing.
        ours = ("ICN_", "RESTIC_", "PYTHONDONTWRITEBYTECODE")
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(folder / "restic-cache"),
            "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled"),
        }
        self._folder = folder
        self.peak_mb = 0.0

    def run(self, *command: str | Path) -> None:
        with (self._folder / "said").open("w+b") as said:
            process = subprocess.Popen(list(map(str, command)), stdout=said, stderr=said, env=self._environ)
            watching = threading.Thread(target=self._watch, args=(process.pid,))
            watching.start()
            process.wait()
            watching.join()
            if process.returncode:
                said.seek(0)
                text = said.read().decode(errors="replace")[-2000:]
                raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{text}")

    def _watch(self, pid: int) -> None:
        """Note the high water mark of its memory until it ends, and those of its own processes, shared or not.

        The last one that is seen: before it became the command it was a copy of this process, with that one's memory,
        which is also the least that `wait4` would tell.
        """
        last_mb, others = 0.0, dict[int, float]()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            while own := mark_of(pid):
                for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
                    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                        others[child] = max(others.get(child, 0.0), mark_of(child))
                last_mb = own
                time.sleep(WATCH_SECS)
        self.peak_mb = max(self.peak_mb, last_mb + sum(others.values()))


def mark_of(pid: int) -> float:
    """The most megabytes that a process held so far; 0 of one that has ended."""
    marks = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(marks[0]) / 1024 if marks else 0.0


class Round:
    """One store and what is made of it, in a folder of its own."""

    def __init__(self, original: Path, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store" / "node.sqlite"
        self.store.parent.mkdir(parents=True)
        shutil.copy(original, self.store)
        sync(self.store)
        self._commands = Commands(folder)
        self._archive, self._later = folder / "full.tar.gz", folder / "incremental.tar.gz"
        self._repository, self._tarball = folder / "repository", folder / "store.tar.gz"

    def make_repository(self) -> None:
        self._commands.run("restic", "init", "--quiet", "--repo", self._repository)

    def steps(self) -> dict[str, dict[str, Callable[[], None]]]:
        """By step and contender. They are to be run in this order of steps."""
        run, store = self._commands.run, self.store
        restored = {
            (step, who): self.folder / f"{step}-{who}".replace(", ", "-") / "node.sqlite"
            for step in (READ_BACK, RESTORE)
            for who in (OURS, RESTIC, TAR, BARE)
        }

        def dag(*words: str | Path, path: Path | None = None, offline: bool = True) -> None:
            at = ("--storage-backend", "sqlite", "--storage-path", path) if path is not None else ()
            data = ("--data-dir", self.folder / "data") if path is not None else ()
            run(CLI, "dag", *words, *at, *data, *(("--offline",) if offline else ()))

        def restic_backup() -> None:
            run("restic", "backup", "--quiet", "--repo", self._repository, store)

        def restic_restore(step: str, *options: str) -> None:
            target = restored[step, RESTIC].parent
            run("restic", "restore", "latest", "--quiet", *options, "--repo", self._repository, "--target", target)
            sync(*target.rglob(store.name))

        def tar_full() -> None:
            run("tar", "czf", self._tarball, "-C", store.parent, store.name)
            sync(self._tarball)

        def tar_restore() -> None:
            target = restored[RESTORE, TAR]
            target.parent.mkdir()
            run("tar", "xzf", self._tarball, "-C", target.parent)
            sync(target)

        def ours_restore(step: str, *options: str) -> None:
            dag("restore", *options, "--input", self._archive, "--input", self._later, path=restored[step, OURS])

        def bare_restore() -> None:
            target = restored[RESTORE, BARE]
            target.parent.mkdir()
            run(sys.executable, RESTORE_FLOOR, target, self._archive, self._later)

        return {
            FULL: {
                OURS: lambda: dag("backup", "--output", self._archive, path=store),
                RESTIC: restic_backup,
                TAR: tar_full,
                FLOOR: lambda: copy(store, self.folder / "copy"),
            },
            INCREMENTAL: {
                OURS: lambda: dag("backup", "--incremental", "--output", self._later, path=store),
                RESTIC: restic_backup,
            },
            VERIFY: {
                OURS: lambda: dag("verify", self._archive, offline=False),
                RESTIC: lambda: run("restic", "check", "--quiet", "--read-data", "--repo", self._repository),
            },
            DEEP: {OURS: lambda: dag("verify", self._archive, "--deep", offline=False)},
            READ_BACK: {
                OURS: lambda: ours_restore(READ_BACK),
                RESTIC: lambda: restic_restore(READ_BACK, "--verify"),
            },
            RESTORE: {
                OURS: lambda: ours_restore(RESTORE, "--no-verify"),
                RESTIC: lambda: restic_restore(RESTORE),
                TAR: tar_restore,
                BARE: bare_restore,
                FLOOR: lambda: copy(store, self.folder / "copy"),
            },
        }

    def measure(self, step: str, who: str, work: Callable[[], None], samples: Samples) -> None:
        self._commands.peak_mb = 0.0
        begun = time.perf_counter()
        work()
        samples.seconds.append(time.perf_counter() - begun)
        if self._commands.peak_mb:
            samples.peak_mb.append(self._commands.peak_mb)
        print(f"{step:20}{who:10}{samples.seconds[-1]:8.2f} s", flush=True)

    def sizes(self) -> dict[str, float]:
        """Megabytes of everything on the disk, as far as it was made."""
        made = {
            "store": self.store,
            "icn-cli full": self._archive,
            "icn-cli incremental": self._later,
            "restic repository with both": self._repository,
            "tar": self._tarball,
        }
        return {what: size_of(path) / MEGABYTE for what, path in made.items() if path.exists()}


def sync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def copy(source: Path, target: Path) -> None:
    """Read it all, write as much, synced."""
    target.unlink(missing_ok=True)
    with source.open("rb") as reading, target.open("wb") as writing:
        while piece := reading.read(PIECE_BYTES):
            writing.write(piece)
        writing.flush()
        os.fsync(writing.fileno())


def size_of(path: Path) -> int:
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if path.is_dir() else path.stat().st_size
    )


def write_store(path: Path, contents: int, signed: int) -> None:
    store = open_store(StorageSettings("sqlite", path))
    author = Author(store)
    author.found()
    author.keep(contents, CONTENT_BYTES, seed=1)
    author.pay(signed - 2, TRANSFERS_PER_BLOCK)
    store.close()


def add_content(path: Path, contents: int, seed: int) -> None:
    store = open_store(StorageSettings("sqlite", path))
    Author(store).keep(contents, CONTENT_BYTES, seed)
    store.close()


def warm_up(folder: Path) -> None:
    """Run our commands on a small store, so that they are compiled."""
    small = folder / "small.sqlite"
    write_store(small, contents=20, signed=20)
    this = Round(small, folder / "warm")
    for step, by in this.steps().items():
        if step == INCREMENTAL:
            add_content(this.store, 1, seed=2)
        by[OURS]()
    shutil.rmtree(this.folder)


def floors_of_proof(path: Path) -> tuple[float, float]:
    """Seconds for SHA-256 over all blocks, and for that and all signatures. The bytes are in memory."""
    store = open_store(StorageSettings("sqlite", path))
    every = [data for _, data in store.scan(keyspace.BLOCK)]
    signed = [blocks.get_bytes(store, cid) or b"" for _, cid in blocks.journal(store)]
    store.close()
    begun = time.perf_counter()
    for data in every:
        hashlib.sha256(data).digest()
    hashed = time.perf_counter() - begun
    forget_signatures()
    begun = time.perf_counter()
    if not all(parse_block(data).is_genuine() for data in signed):
        raise SystemExit("a block of ours is not genuine")
    return hashed, hashed + time.perf_counter() - begun


def installed() -> set[str]:
    """Who can take part; says who cannot."""
    if not CLI.exists():
        raise SystemExit(f"there is no {CLI}: run this with the Python that ICN is installed for")
    for who, what in INSTALL.items():
        if shutil.which(who) is None:
            print(f"without {who}: {what} is not installed")
    return {OURS, FLOOR, BARE, *(who for who in INSTALL if shutil.which(who) is not None)}


def ratios(found: dict[str, dict[str, Samples]]) -> dict[str, dict[str, dict[str, object]]]:
    """Figures of each, and how many times as long as each other contender ours took."""
    result: dict[str, dict[str, dict[str, object]]] = {}
    for step, by in found.items():
        result[step] = {who: dict(samples.figures()) for who, samples in by.items()}
        ours = statistics.median(by[OURS].seconds)
        result[step][OURS]["times"] = {
            who: ours / statistics.median(samples.seconds) for who, samples in by.items() if who != OURS
        }
    return result


def targets(found: dict[str, dict[str, Samples]], megabytes: float) -> dict[str, dict[str, object]]:
    """What was to be reached, what was, and whether it is enough."""

    def seconds(step: str, who: str = OURS) -> float:
        return statistics.median(found[step][who].seconds)

    def held(value: float, limit: float, what: str) -> dict[str, object]:
        return {"what": what, "is": value, "at_most": limit, "met": value <= limit}

    made = {
        INCREMENTAL: held(
            seconds(INCREMENTAL) / seconds(FULL), INCREMENTAL_SHARE, "an incremental backup, as a share of a full one"
        ),
        VERIFY: held(
            seconds(VERIFY),
            max(megabytes / VERIFY_MB_PER_SECOND, HASH_FLOOR_TIMES * seconds(VERIFY, FLOOR)),
            f"seconds: {VERIFY_MB_PER_SECOND} MB/s, or twice the time of hashing",
        ),
        DEEP: held(seconds(DEEP) / seconds(DEEP, FLOOR), float(HASH_FLOOR_TIMES), "times hashes and signatures alone"),
    }
    for step in (FULL, READ_BACK, RESTORE):
        if RESTIC in found[step]:
            made[step] = held(seconds(step) / seconds(step, RESTIC), 1.0, "times restic")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contents", type=int, default=18_000, help=f"content blocks of {CONTENT_BYTES} bytes")
    parser.add_argument("--signed", type=int, default=2000, help=f"signed blocks of {TRANSFERS_PER_BLOCK} transfers")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on which disk; the default is the present one")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "backup.json")
    options = parser.parse_args()
    able = installed()
    found: dict[str, dict[str, Samples]] = {}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.folder.resolve(), prefix="bench-backup-") as name:
        folder = Path(name)
        original = folder / "original.sqlite"
        write_store(original, options.contents, options.signed)
        print(f"a store of {size_of(original) / MEGABYTE:,.0f} MB")
        warm_up(folder)
        for number in range(options.rounds):
            this = Round(original, folder / str(number))
            if RESTIC in able:
                this.make_repository()
            more = max(1, options.contents * MORE_PERCENT // 100)
            for step, by in this.steps().items():
                if step == INCREMENTAL:
                    add_content(this.store, more, seed=2)
                turns = [who for who in by if who in able]
                for who in turns[number % len(turns) :] + turns[: number % len(turns)]:
                    samples = found.setdefault(step, {}).setdefault(who, Samples())
                    this.measure(step, who, by[who], samples)
            for step, seconds in zip((VERIFY, DEEP), floors_of_proof(original), strict=True):
                found[step].setdefault(FLOOR, Samples()).seconds.append(seconds)
            sizes = this.sizes()
            shutil.rmtree(this.folder)
    result = ratios(found)
    for step, rows in result.items():
        for who, row in rows.items():
            peak = f"{row['peak_mb']:7.0f} MB" if "peak_mb" in row else " " * 10
            print(f"{step:20}{who:10}{row['seconds']:8.2f} s {peak}", end="")
            against = row.get("times")
            print("  " + ", ".join(f"× {other} {times:.2f}" for other, times in against.items()) if against else "")
    for what, megabytes in sizes.items():
        print(f"{what:30}{megabytes:8,.1f} MB")
    goals = targets(found, sizes["store"])
    for step, goal in goals.items():
        told = "met" if goal["met"] else "missed"
        print(f"{step:20}{goal['what']}: {goal['is']:.2f}, at most {goal['at_most']:.2f}, {told}")
    machine = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "contents": options.contents,
        "content_bytes": CONTENT_BYTES,
        "signed_blocks": options.signed,
        "transfers_per_signed_block": TRANSFERS_PER_BLOCK,
        "load_average_at_the_end": os.getloadavg(),
        "rounds": options.rounds,
        "megabytes": sizes,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(
        json.dumps({"machine": machine, "targets": goals, "results": result}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
