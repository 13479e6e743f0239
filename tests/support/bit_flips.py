"""One bit of a store's files turned over, and what becomes of it.

The store is one that a node had open: its log not yet copied back, its marker files beside. A program of its own
(`python -m support.bit_flips`, for an engine may die of what it reads) takes flips from standard input, one a line, and
answers each with a class:

    refused     the store cannot be opened
    fault       opened, and a read, or the proof, ended in a fault
    found       reads differ from the original, and `verify(deep=True)` says so
    harmless    all reads are those of the original
    earlier     all reads are those of an earlier commit: the end of the log was taken for torn
    local       reads differ in what only this node knows and nothing can prove; named behind the class
    served      content or a block was given out that is not what its name says
    unnoticed   reads differ in anything else, and the proof holds
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from icn.kernel.errors import Fault, Invalid, InvariantBroken
from icn.kernel.ids import RAW, Cid
from icn.services.commands import PutContent
from icn.services.queries import dag
from icn.services.verify import verify
from icn.stores import keyspace
from icn.stores.kv import Reader
from support.crash_stores import STRONG
from support.stores import batch, child_environment
from support.world import federation

LOCAL = (
    *(keyspace.OUTBOX, keyspace.REPLY, keyspace.TIME_MARK, keyspace.CONTENT_META, keyspace.CONTENT_CHANGE),
    *(keyspace.ABOUT, keyspace.REFERENCE, *map(keyspace.projection, keyspace.LOCAL_TABLES)),
)
"""What stands under these keys follows from no journal, or, for references, is an index that is not proved."""
Rows = dict[bytes, bytes]


def history() -> list[dict[bytes, bytes | None]]:
    """What a node of a small federation commits: founding, jobs, content. One dict per commit."""
    world = federation("a", "b", "c")
    store = world["a"].store.inner
    seen: Rows = {}
    commits: list[dict[bytes, bytes | None]] = []

    def note() -> None:
        now = dict(store.scan(b""))
        gone = dict.fromkeys(seen.keys() - now.keys())
        commits.append({**{key: value for key, value in now.items() if seen.get(key) != value}, **gone})
        seen.clear()
        seen.update(now)

    note()
    rng = Random(1)
    for number in range(12):
        world.submit("a", data=rng.randbytes(50 + 30 * number))
        world.done("a", PutContent(rng.randbytes(400 * number), RAW, pinned=number % 2 == 0, lifetime_ms=None))
        world.pass_time(2_000)
        note()
    return commits


def make(backend: str, folder: Path, commits: list[dict[bytes, bytes | None]]) -> None:
    """The files of a store with these commits, as a process that has it open would leave them."""
    original = folder / "original"
    original.mkdir()
    being_written = folder / "open"
    being_written.mkdir()
    store = STRONG[backend](being_written)
    fence = store.claim()
    for operations in commits:
        store.commit(batch(operations), fence)
    shutil.copytree(being_written, original, dirs_exist_ok=True)
    store.close()
    shutil.rmtree(being_written)
    (folder / "commits").write_bytes(pickle.dumps(commits))


def flips(original: Path, count: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """File, byte and bit: half of them anywhere, half in a file that was drawn first, or small ones had no share."""
    rng = Random(seed)
    files = sorted(path for path in original.rglob("*") if path.is_file() and path.stat().st_size)
    sizes = [path.stat().st_size for path in files]
    for number in range(count):
        (path,) = rng.choices(files, sizes if number % 2 else None)
        yield str(path.relative_to(original)), rng.randrange(path.stat().st_size), rng.randrange(8)


def flip(path: Path, offset: int, bit: int) -> None:
    """Turn one bit over."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


@dataclass(slots=True)
class Counted:
    """How many flips were of which class."""

    classes: Counter[str] = field(default_factory=Counter)
    """`died`, too: the process that read the store was ended by the system."""
    examples: dict[str, list[str]] = field(default_factory=dict)

    def take(self, told: str, where: str) -> None:
        """One more."""
        name, _, rest = told.partition(" ")
        self.classes[name] += 1
        self.examples.setdefault(name, []).append(f"{where}: {rest}")


def count(backend: str, folder: Path, number: int, seed: int) -> Counted:
    """So many flips of the store that `make` made in `folder`."""
    counted = Counted()
    waiting = list(flips(folder / "original", number, seed))
    waiting.reverse()
    while waiting:
        command = [sys.executable, "-m", "support.bit_flips", backend, str(folder)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=child_environment(),
        ) as reader:
            if reader.stdin is None or reader.stdout is None:
                raise AssertionError("it has pipes")
            while waiting:
                drawn = waiting.pop()
                where = f"{drawn[0]}, byte {drawn[1]}, bit {drawn[2]}"
                print(json.dumps(drawn), file=reader.stdin, flush=True)
                told = reader.stdout.readline()
                if not told:
                    counted.take(f"died with code {reader.wait()}", where)
                    break
                counted.take(told.strip(), where)
            reader.stdin.close()
    return counted


# In the program


class _Original:
    """What the store held after each commit."""

    def __init__(self, commits: list[dict[bytes, bytes | None]]) -> None:
        self.states: list[Rows] = [{}]
        for operations in commits:
            now = dict(self.states[-1])
            for key, value in operations.items():
                if value is None:
                    now.pop(key, None)
                else:
                    now[key] = value
            self.states.append(now)

    def judge(self, reader: Reader) -> str:
        """The class of a store that could be opened. Raises what reading raises."""
        newest = self.states[-1]
        by_name = {key: value for key in newest if (value := reader.get(key)) is not None}
        scanned = dict(reader.scan(b""))
        downward = dict(reader.scan_down(b""))
        for key in newest.keys() | scanned.keys():
            if key.startswith(keyspace.BLOCK) and self._serves_wrong(reader, key):
                return f"served {key!r}"
        views = (by_name, scanned, downward)
        if all(view == newest for view in views):
            return "harmless"
        if scanned == downward and by_name == {k: v for k, v in scanned.items() if k in newest}:
            earlier = next((n for n, state in enumerate(self.states) if state == scanned), None)
            if earlier is not None:
                return f"earlier by {len(self.states) - 1 - earlier} commits"
        if not verify(reader, deep=True).ok:
            return "found"
        changed = sorted(
            {
                key[:1] if not key.startswith(keyspace.PROJECTION) else key
                for view in views
                for key in view.keys() | newest.keys()
                if view.get(key) != newest.get(key)
            }
        )
        is_local = all(key.startswith(tuple(prefix[: len(key)] for prefix in LOCAL)) for key in changed)
        return f"{'local' if is_local else 'unnoticed'} {changed!r}"

    @staticmethod
    def _serves_wrong(reader: Reader, key: bytes) -> bool:
        try:
            cid = Cid.from_bytes(key[1:])
        except Invalid:
            return False
        content = dag.content(reader, cid)
        return content is not None and not cid.names(content.data)


def main() -> None:
    """Answer one flip after the other."""
    backend, folder = sys.argv[1], Path(sys.argv[2])
    original = _Original(pickle.loads((folder / "commits").read_bytes()))
    for line in sys.stdin:
        print(_one(backend, folder, original, line), flush=True)


def _one(backend: str, folder: Path, original: _Original, line: str) -> str:
    name, offset, bit = json.loads(line)
    copy = folder / f"copy-{os.getpid()}"
    shutil.copytree(folder / "original", copy)
    try:
        flip(copy / name, offset, bit)
        return _opened(backend, copy, original)
    except Fault as fault:
        return f"refused {type(fault).__name__}"
    finally:
        shutil.rmtree(copy)


def _opened(backend: str, copy: Path, original: _Original) -> str:
    store = STRONG[backend](copy)
    try:
        return original.judge(store)
    except (Fault, Invalid, InvariantBroken) as fault:
        return f"fault {type(fault).__name__}"
    finally:
        store.close()


if __name__ == "__main__":
    main()
