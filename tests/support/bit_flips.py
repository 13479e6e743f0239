"""One bit of a store's files turned over, what becomes of it, and what puts it right again.

The store is one that a node has open, its log not yet copied back, its marker files beside; or one that a node closed.
A program of its own (`python -m support.bit_flips`, for an engine may die of what it reads) takes flips from standard
input, one a line, and answers each with a class:

    refused     the store cannot be opened
    fault       opened, and a read, or the proof, ended in a fault
    found       reads differ from the original, and `verify(deep=True)` says so; followed by `blocks` where they differ
                in bytes of blocks and content alone
    harmless    all reads are those of the original
    earlier     all reads are those of an earlier commit: the end of the log was taken for torn
    local       reads differ in what only this node knows and nothing can prove; named behind the class
    served      content or a block was given out that is not what its name says
    unnoticed   reads differ in anything else, and the proof holds

What was damaged is then put right (`bit_flip_repairs`): where it can be opened the node is tried on it as it is, with
its peers; where that leaves anything wrong the store is given up, in turns for a backup and for an empty one. That
takes nothing from the damaged files, so it is the same every time, and is done so many times and no more.
"""

import contextlib
import itertools
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from icn.kernel.errors import Fault, Invalid, InvariantBroken
from icn.kernel.ids import Cid
from icn.services.queries import dag
from icn.services.verify import verify
from icn.stores import keyspace
from icn.stores.kv import KeyValueStore, Reader
from support.bit_flip_repairs import WAYS_OUT, History, Rows, history, mended
from support.crash_stores import STRONG
from support.stores import batch, child_environment

LOCAL = (
    *(keyspace.OUTBOX, keyspace.REPLY, keyspace.TIME_MARK, keyspace.CONTENT_META, keyspace.CONTENT_CHANGE),
    *(keyspace.ABOUT, keyspace.REFERENCE, *map(keyspace.projection, keyspace.LOCAL_TABLES)),
)
"""What stands under these keys follows from no journal, or, for references, is an index that is not proved."""
ORIGINAL, RUNNING, ENDED, HISTORY = "original", "running", "ended", "history"
JUDGE, MEND, DONE = "judge", "mend", "done"
IN_BLOCKS = "found blocks"
RAISED = "raised"
WHOLE = frozenset({"harmless", "local"})
"""Classes of which nothing can, or need, be put right."""
OPENED = frozenset({"found", "fault"})
"""Classes of stores on which the node is tried as they are."""


class Flip(NamedTuple):
    """One bit."""

    state: str
    """Which of the two stores."""
    file: str
    offset: int
    bit: int


def make(backend: str, folder: Path) -> None:
    """The files of a store with a history, as a process that has it open has them, and as one that ended left them."""
    made = history(folder)
    (folder / HISTORY).write_bytes(pickle.dumps(made))
    being_written = folder / "open"
    being_written.mkdir()
    store = STRONG[backend](being_written)
    fence = store.claim()
    for operations in made.commits:
        store.commit(batch(operations), fence)
    shutil.copytree(being_written, folder / ORIGINAL / RUNNING)
    store.close()
    STRONG[backend](being_written).close()  # some copy their log back at the next start
    shutil.copytree(being_written, folder / ORIGINAL / ENDED)
    shutil.rmtree(being_written)


def flips(original: Path, count: int, seed: int) -> Iterator[Flip]:
    """Of both stores in turns; half anywhere, half in a file that was drawn first, or small ones had no share."""
    rng = Random(seed)
    files = {
        state: sorted(path for path in (original / state).rglob("*") if path.is_file() and path.stat().st_size)
        for state in (RUNNING, ENDED)
    }
    for number in range(count):
        state = (RUNNING, ENDED)[number % 2]
        sizes = [path.stat().st_size for path in files[state]]
        (path,) = rng.choices(files[state], sizes if number // 2 % 2 else None)
        yield Flip(state, str(path.relative_to(original / state)), rng.randrange(path.stat().st_size), rng.randrange(8))


def turn_over(path: Path, offset: int, bit: int) -> None:
    """Turn one bit over."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


@dataclass(slots=True)
class Counted:
    """How many flips were of which class, and what put them right."""

    classes: Counter[str] = field(default_factory=Counter)
    """`died`, too: the process that read the store was ended by the system; `raised`: by an error of ours."""
    repairs: Counter[str] = field(default_factory=Counter)
    """Of all but `harmless` and `local`: by which way; `given up` where a way out was not gone once more."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why a store that could be opened was not mended by its peers."""
    failures: list[str] = field(default_factory=list)
    """Ways out that led nowhere, and damaged blocks that no peer mended."""
    examples: dict[str, list[str]] = field(default_factory=dict)

    def take(self, told: str, where: Flip) -> str:
        """One more; gives its class."""
        name, _, rest = told.partition(" ")
        self.classes[name] += 1
        self.examples.setdefault(name, []).append(f"{where}: {rest}")
        return name

    def told(self) -> str:
        """All of it, for a person."""
        return "; ".join(
            f"{what}: " + (", ".join(f"{name} {number}" for name, number in of.most_common()) or "none")
            for what, of in (("classes", self.classes), ("repairs", self.repairs), ("not mended", self.reasons))
        )


class _Program:
    """The program below, begun again when it dies."""

    def __init__(self, backend: str, folder: Path) -> None:
        self._command = [sys.executable, "-m", "support.bit_flips", backend, str(folder)]
        self._process: subprocess.Popen[str] | None = None

    def ask(self, what: str, where: Flip) -> str:
        """The answer, or that it died."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=child_environment(),
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise AssertionError("it has pipes")
        print(json.dumps([what, *where]), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if answer:
            return answer.strip()
        code = self.end()
        return f"died of signal {-code}" if code < 0 else f"{RAISED} what is no fault"

    def end(self) -> int:
        """Close its pipes and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:
            if process.stdin is not None:
                process.stdin.close()
        return process.returncode


def count(backend: str, folder: Path, number: int, seed: int, ways_out: int) -> Counted:
    """So many flips of the store that `make` made in `folder`; a way out is gone so many times."""
    counted = Counted()
    program = _Program(backend, folder)
    ways = itertools.islice(itertools.cycle(WAYS_OUT), ways_out)
    try:
        for where in flips(folder / ORIGINAL, number, seed):
            told = program.ask(JUDGE, where)
            name = counted.take(told, where)
            if name in WHOLE or (name in OPENED and _is_mended(program, counted, where, told)):
                continue
            way = next(ways, None)
            failure = DONE if way is None else program.ask(way, where)
            counted.repairs[way or "given up"] += 1
            if failure != DONE:
                counted.failures.append(f"{where}: {way}: {failure}")
    finally:
        program.end()
    return counted


def _is_mended(program: _Program, counted: Counted, where: Flip, judged: str) -> bool:
    told = program.ask(MEND, where)
    if told == DONE:
        counted.repairs["mended"] += 1
        return True
    counted.reasons[_kind_of(told)] += 1
    if judged == IN_BLOCKS or told.startswith(RAISED):
        counted.failures.append(f"{where}: {told}")
    return False


def _kind_of(told: str) -> str:
    """What is wrong, without which one of them it is."""
    return " ".join(word for word in told.split() if word.isalpha())[:60]


# In the program


class Original:
    """What the store held after each commit, and what another one is beside it."""

    def __init__(self, made: History) -> None:
        self.commits = made.commits
        self.states: list[Rows] = [{}, *made.states()]

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
            return IN_BLOCKS if all(map(self._differs_in_blocks, views)) else "found"
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

    def _differs_in_blocks(self, view: Rows) -> bool:
        """In bytes of blocks at the most: all are there under their names."""
        newest = self.states[-1]
        return view.keys() == newest.keys() and all(
            view[key] == value for key, value in newest.items() if not key.startswith(keyspace.BLOCK)
        )

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
    made: History = pickle.loads((folder / HISTORY).read_bytes())
    original = Original(made)
    for line in sys.stdin:
        what, *where = json.loads(line)
        print(_answer(backend, folder, made, original, what, Flip(*where)), flush=True)


def _answer(backend: str, folder: Path, made: History, original: Original, what: str, where: Flip) -> str:
    # A folder for each: an engine that failed may hold the lock of its own until its iterators are freed.
    aside = Path(tempfile.mkdtemp(dir=folder))
    try:
        if what in WAYS_OUT:
            return WAYS_OUT[what](made, backend, folder, aside) or DONE
        copy = aside / "store"
        shutil.copytree(folder / ORIGINAL / where.state, copy)
        turn_over(copy / where.file, where.offset, where.bit)
        with contextlib.closing(STRONG[backend](copy)) as store:
            return _with_open(store, made, original, what)
    except Fault as fault:
        return f"refused {type(fault).__name__}"
    finally:
        shutil.rmtree(aside)


def _with_open(store: KeyValueStore, made: History, original: Original, what: str) -> str:
    try:
        return original.judge(store) if what == JUDGE else mended(made, store) or DONE
    except (Fault, Invalid, InvariantBroken) as fault:
        return f"fault {type(fault).__name__}"


if __name__ == "__main__":
    main()
