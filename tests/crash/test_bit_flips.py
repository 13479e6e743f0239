"""A bit that turned over on the disk is refused, reported or without effect, and never served as what it is not.

`support.bit_flips` has the classes. `make crash-long` turns thousands; `ICN_CRASH_SEED`, `ICN_BIT_FLIPS` choose others.
"""

import os
import sys
import time
from pathlib import Path

import pytest

from support.bit_flips import Counted, count, history, make
from support.stores import BACKENDS

SEED = int(os.environ.get("ICN_CRASH_SEED", "1"))
FLIPS_LONG = int(os.environ.get("ICN_BIT_FLIPS", "2000"))
FLIPS_SHORT = 40
UNPROVABLE = frozenset({"sled"})
"""Engines without checksums: what follows from no journal may be another than was written."""

EMBEDDED = [backend.name for backend in BACKENDS if backend.durable and not backend.shared]
embedded = pytest.mark.parametrize("backend", EMBEDDED)


def turn(backend: str, folder: Path, flips: int) -> Counted:
    """So many flips; none of them may go unnoticed."""
    make(backend, folder, history())
    counted = count(backend, folder, flips, SEED)
    assert counted.classes.total() == flips
    assert not counted.examples.get("served")
    assert not counted.examples.get("unnoticed")
    assert not counted.examples.get("earlier")
    if backend not in UNPROVABLE:
        assert not counted.examples.get("local")
    return counted


@pytest.mark.slow
@embedded
def test_no_flipped_bit_is_served_or_goes_unnoticed(backend: str, tmp_path: Path) -> None:
    turn(backend, tmp_path, FLIPS_SHORT)


@pytest.mark.long
@embedded
def test_no_flipped_bit_of_thousands_is_served_or_goes_unnoticed(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    counted = turn(backend, tmp_path, FLIPS_LONG)
    told = ", ".join(f"{name} {number}" for name, number in counted.classes.most_common())
    with capsys.disabled():
        seconds = time.monotonic() - begun
        print(f"\n{backend}, {FLIPS_LONG} bits, seed {SEED}: {told}; {seconds:.0f} s", file=sys.stderr)  # seen with -n
