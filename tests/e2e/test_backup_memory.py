"""Memory does not grow with a backup: 200 MB are written, verified and restored within a fixed bound."""

import os
import subprocess
from pathlib import Path

import pytest

from icn.adapters.storage.sqlite import SqliteStore
from icn.kernel.ids import RAW, Cid
from icn.stores import contents
from icn.stores.kv import Batch
from support import builders
from support.archives import history
from support.processes import CLI, clean_environment

pytestmark = pytest.mark.long

BLOCKS, BLOCK_BYTES = 10_000, 21_500
PEAK_BYTES_MAX = 300_000_000
"""Of 160, 90 and 190 MB that were measured for backup, verify and restore, whatever the size of the store."""


def fill(path: Path) -> None:
    store = SqliteStore.open(path)
    fence = store.claim()
    batch = Batch()
    source = history()["a"].store
    for prefix in range(256):
        for key, value in source.scan(bytes([prefix])):
            batch.put(key, value)

    def get(key: bytes) -> bytes | None:
        return batch.operations[key] if key in batch.operations else store.get(key)

    for _ in range(BLOCKS):
        data = os.urandom(BLOCK_BYTES)
        contents.put_content(
            get, batch, Cid.of(data, RAW), data, stored_at=builders.START, pinned=False, expires_at=None
        )
        if len(batch) > 3_000:
            store.commit(batch, fence)
            batch = Batch()
    store.commit(batch, fence)
    store.close()


def peak_of(*words: str) -> int:
    """The most memory that a command held, in bytes."""
    process = subprocess.Popen([str(CLI), *words], env=clean_environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_memory_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    fill(tmp_path / "s.sqlite")
    archive = str(tmp_path / "a.tar.gz")
    engine = ("--offline", "--storage-backend", "sqlite", "--storage-path")
    peaks = {
        "backup": peak_of("dag", "backup", "--output", archive, *engine, str(tmp_path / "s.sqlite")),
        "verify": peak_of("dag", "verify", archive, "--deep"),
        "restore": peak_of("dag", "restore", "--input", archive, *engine, str(tmp_path / "r.sqlite")),
    }
    assert all(peak < PEAK_BYTES_MAX for peak in peaks.values()), peaks
