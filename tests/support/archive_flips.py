"""One bit of a backup turned over: a file, or a folder of files.

    refused     verification finds it, and a restore refuses the archive and writes nothing
    harmless    verification finds nothing, and what is restored is what was backed up
    foreign     as harmless, but for the name of the node, which stands in the manifest alone; a restore beside the
                node's key refuses it, as does a start with that key
    unnoticed   verification finds nothing, and a restore refuses
    served      anything else is restored

A folder's manifest has no sum of its own; that of a file is within the compression, which has one. There is nothing to
mend: the store is there, or its peers are, and another backup is made.
"""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.errors import Refusal
from icn.services.ahead import in_turn
from icn.services.archive_proving import prove
from icn.services.restore_plan import ForeignArchive
from support import builders
from support.archives import Held, archive_at, back_up, fill_into, held, nothing, proving_here
from support.bit_flip_repairs import history
from support.bit_flips import turn_over
from support.stores import fill

FILE, FOLDER = "one.tar.gz", "one"


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
    if held(target) == expected:
        return "harmless"
    return "foreign" if replace(held(target), owner=expected.owner) == expected and _is_foreign(path) else "served"


def _is_foreign(path: Path) -> bool:
    try:
        fill_into(MemoryStore(), path, configured=builders.did(1))
    except ForeignArchive:
        return True
    return False


def _restored(path: Path) -> Held:
    target = MemoryStore()
    fill_into(target, path)
    return held(target)
