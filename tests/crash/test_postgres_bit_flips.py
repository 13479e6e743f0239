"""A bit that turned over in the files of a PostgreSQL server is found by it or by us, and never served.

With checksums of pages (`initdb --data-checksums`), as docs/operating/postgresql.md has it. What the server refuses to
read counts as found. `support.postgres_flips` has the files of a store, `support.postgres_server_flips` those of the
server itself, each flip with a start of it; `support.bit_flips` says what the classes mean. `ICN_CRASH_SEED` and
`ICN_BIT_FLIPS` choose others.
"""

import os
import sys
import time
from pathlib import Path

import pytest

from support import postgres_server_flips
from support.postgres_flips import count

SEED = int(os.environ.get("ICN_CRASH_SEED", "1"))
FLIPS_LONG = int(os.environ.get("ICN_BIT_FLIPS", "2000"))
FLIPS_SHORT = 12
SERVER_FLIPS_LONG = int(os.environ.get("ICN_BIT_FLIPS", "200"))
GOOD = {"refused", "fault", "found", "harmless"}
GOOD_OF_THE_SERVER = {f"catalogues: {name}" for name in GOOD | {"no server"}} | {
    f"log: {name}" for name in GOOD | {"no server", "held", "behind"}
}


def turn(folder: Path, flips: int) -> str:
    """So many; for a person."""
    classes, examples = count(folder, flips, SEED)
    assert classes.total() == flips
    assert set(classes) <= GOOD, {name: told for name, told in examples.items() if name not in GOOD}
    assert classes["refused"] + classes["fault"] >= flips // 4, classes  # the maps are mended without a word
    return ", ".join(f"{name} {number}" for name, number in classes.most_common())


@pytest.mark.slow
def test_no_flipped_bit_of_a_database_is_served_or_goes_unnoticed(tmp_path: Path) -> None:
    turn(tmp_path, FLIPS_SHORT)


@pytest.mark.long
def test_of_thousands_of_flipped_bits_of_a_database_none_is_served_or_goes_unnoticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    told = turn(tmp_path, FLIPS_LONG)
    with capsys.disabled():
        seconds = time.monotonic() - begun
        print(f"\npostgresql, {FLIPS_LONG} bits, seed {SEED}: {told}; {seconds:.0f} s", file=sys.stderr)


@pytest.mark.long
def test_of_flipped_bits_of_catalogues_and_of_the_log_none_is_served_or_goes_unnoticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    classes, examples = postgres_server_flips.count(tmp_path, SERVER_FLIPS_LONG, SEED)
    assert classes.total() == SERVER_FLIPS_LONG
    bad = {name: told for name, told in examples.items() if name not in GOOD_OF_THE_SERVER}
    with capsys.disabled():
        seconds = time.monotonic() - begun
        told = ", ".join(f"{name} {number}" for name, number in sorted(classes.items()))
        print(f"\npostgresql itself, {SERVER_FLIPS_LONG} bits, seed {SEED}: {told}; {seconds:.0f} s", file=sys.stderr)
    assert not bad, bad
