"""A PostgreSQL server of a benchmark's own, started as the tests start theirs; with a message where there is none."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # for the tests' server

from support.postgres import ABSENT, Cluster, programs

__all__ = ["Cluster", "postgres_in"]


@contextlib.contextmanager
def postgres_in(folder: Path) -> Iterator[Cluster | None]:
    """A server whose data is in `folder`, on the disk of the other contenders; None, said so, without PostgreSQL."""
    if programs() is None:
        print(f"without postgresql: {ABSENT}")
        yield None
        return
    before, tempfile.tempdir = tempfile.tempdir, str(folder)  # where a cluster makes its own folder
    try:
        cluster = Cluster()
    finally:
        tempfile.tempdir = before
    try:
        yield cluster
    finally:
        cluster.end()
