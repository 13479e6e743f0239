"""One bit of a backup turned over: a file, or a folder of files.

    refused     verification finds it, and a restore refuses the archive and writes nothing
    harmless    verification finds nothing, and what is restored is what was backed up
    unnoticed   verification finds nothing, and a restore refuses
    served      anything else is restored

A folder's manifest has a checksum of its own; that of a file is within the compression besides. There is nothing to
mend: the store is there, or its peers are, and another backup is made.
"""

import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from random import Random

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.errors import Refusal
from icn.services.ahead import Item
from icn.services.archive_proving import prove
from support.archives import Held, archive_at, back_up, fill_into, held, nothing, proving_here
from support.bit_flip_repairs import history
from support.bit_flips import turn_over
from support.stores import fill

FILE, FOLDER = "one.tar.gz", "one"


def in_turn(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Satisfies `services.ahead.Ahead`, without threads: each is made when it is asked for."""
    yield from items


def count_archives(folder: Path, number: int, seed: int) -> Counter[str]:
    """The classes of so many flips, of a file and of a folder in turns."""
    store = MemoryStore()
    fill(store, history(folder).newest)
    expected: dict[str, Held] = {}
    for name in (FILE, FOLDER):
        back_up(store, folder / name)
        expected[name] = _restored(folder / name)
    rng = Random(seed)
    found: Counter[str] = Counter()
    for turn in range(number):
        name = (FILE, FOLDER)[turn % 2]
        copy = folder / f"copy-{name}"
        if name == FILE:
            shutil.copy(folder / name, copy)
            damaged = copy
        else:
            shutil.copytree(folder / name, copy)
            files = sorted(path for path in copy.rglob("*") if path.is_file())
            (damaged,) = rng.choices(files, [path.stat().st_size for path in files] if turn // 2 % 2 else None)
        turn_over(damaged, rng.randrange(damaged.stat().st_size), rng.randrange(8))
        found[_class_of(copy, expected[name])] += 1
        damaged.unlink() if name == FILE else shutil.rmtree(copy)
    return found


def _class_of(path: Path, expected: Held) -> str:
    try:
        is_found = bool(prove(archive_at(path), nothing, in_turn, proving_here).findings_total)
    except Refusal:
        is_found = True
    target = MemoryStore()
    try:
        fill_into(target, path)
    except Refusal:
        wrote = held(target) != held(MemoryStore())
        return "served" if wrote else "refused" if is_found else "unnoticed"
    if is_found:
        return "served"
    return "harmless" if held(target) == expected else "served"


def _restored(path: Path) -> Held:
    target = MemoryStore()
    fill_into(target, path)
    return held(target)
