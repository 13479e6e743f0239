"""A bit that turned over on the disk is refused, reported or without effect, and never served as what it is not.

And the node gets over it: damaged blocks come whole again from a peer, and where more is wrong a backup, or an empty
store and the peers, make a node that goes on. `support.bit_flips` has the classes, `support.bit_flip_repairs` the ways.
`make crash-long` turns thousands; `ICN_CRASH_SEED`, `ICN_BIT_FLIPS` choose others.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from support.archive_flips import count_archives
from support.bit_flips import RAISED, WHOLE, Counted, count, make
from support.stores import BACKENDS

SEED = int(os.environ.get("ICN_CRASH_SEED", "1"))
FLIPS_LONG = int(os.environ.get("ICN_BIT_FLIPS", "2000"))
FLIPS_SHORT, ARCHIVE_FLIPS_SHORT = 20, 60
WAYS_OUT_LONG, WAYS_OUT_SHORT = 100, 2
UNPROVABLE = frozenset({"sled", "sqlite"})
"""Engines without checksums on their pages: what follows from no journal may be another than was written."""

EMBEDDED = [backend.name for backend in BACKENDS if backend.durable and not backend.shared]
embedded = pytest.mark.parametrize("backend", EMBEDDED)


def turn(backend: str, folder: Path, flips: int, ways_out: int) -> Counted:
    """So many flips; none of them may go unnoticed, and none may be the end of the node."""
    make(backend, folder)
    counted = count(backend, folder, flips, SEED, ways_out)
    assert counted.classes.total() == flips
    assert not counted.examples.get("served")
    assert not counted.examples.get("unnoticed")
    assert not counted.examples.get("earlier")
    assert not counted.examples.get(RAISED)
    assert not counted.failures
    assert counted.repairs.total() == flips - sum(counted.classes[name] for name in WHOLE)
    if backend not in UNPROVABLE:
        assert not counted.examples.get("local")
    return counted


@pytest.mark.slow
@embedded
def test_no_flipped_bit_is_served_or_goes_unnoticed_or_is_the_end_of_the_node(backend: str, tmp_path: Path) -> None:
    turn(backend, tmp_path, FLIPS_SHORT, WAYS_OUT_SHORT)


@pytest.mark.long
@embedded
def test_of_thousands_of_flipped_bits_none_is_served_or_goes_unnoticed_or_is_the_end_of_the_node(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    counted = turn(backend, tmp_path, FLIPS_LONG, WAYS_OUT_LONG)
    with capsys.disabled():
        seconds = time.monotonic() - begun
        print(f"\n{backend}, {FLIPS_LONG} bits, seed {SEED}: {counted.told()}; {seconds:.0f} s", file=sys.stderr)


def turn_archives(folder: Path, flips: int) -> Counter[str]:
    """So many flips of backups; each must be found, or without effect."""
    found = count_archives(folder, flips, SEED)
    assert found["refused"] + found["harmless"] == flips, found
    assert found["refused"] > flips // 2
    return found


@pytest.mark.slow
def test_no_flipped_bit_of_a_backup_is_restored(tmp_path: Path) -> None:
    turn_archives(tmp_path, ARCHIVE_FLIPS_SHORT)


@pytest.mark.long
def test_of_thousands_of_flipped_bits_of_backups_none_is_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = turn_archives(tmp_path, FLIPS_LONG)
    with capsys.disabled():
        print(f"\narchives, {FLIPS_LONG} bits, seed {SEED}: {dict(found)}", file=sys.stderr)
