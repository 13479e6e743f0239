"""Keeps the ledger's checkpoint at `[storage] mana_ledger_path`: at the start, now and then, and at a clean stop.

Reads snapshots on a thread of its own, so the writer never waits for it. Nothing is decided from the file, except that
one which is ahead of the store is reported and kept beside the new one, for the operator to look at.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from icn.adapters.checkpoint_file import CheckpointFailed, read_checkpoint, set_aside, write_checkpoint
from icn.kernel.ids import Did
from icn.services.checkpoint import Standing, checkpoint, standing
from icn.stores.kv import Snapshot, StoreUnavailable

CHECKPOINT_EVERY_SECS = 300.0

log = structlog.get_logger("icn.node")


class LedgerFile:
    """The checkpoint of one node's ledger."""

    def __init__(self, path: Path, did: Did, snapshot: Callable[[], Snapshot]) -> None:
        self._path = path
        self._did = did
        self._snapshot = snapshot

    def bring_up(self) -> Standing:
        """At the start, on any thread: replace the file unless it is what the store says; what it was.

        Raises:
            CheckpointFailed: it cannot be written, which the operator should know before the node runs.
        """
        current = self._current()
        was = standing(read_checkpoint(self._path), current)
        if was is Standing.CURRENT:
            return was
        if was is Standing.AHEAD:
            aside = set_aside(self._path)
            log.error(
                "the ledger's checkpoint is ahead of the store",
                path=str(self._path),
                kept_as=str(aside),
                detail="the store looks restored from an earlier copy: the node's newer blocks are not in it",
            )
        write_checkpoint(self._path, current)
        log.info("the ledger's checkpoint was written anew", path=str(self._path), was=was.value)
        return was

    def write(self) -> None:
        """Write what the store says now, on any thread. Raises `CheckpointFailed`, `StoreUnavailable`."""
        write_checkpoint(self._path, self._current())

    async def keep(self) -> None:
        """Write it again and again, until cancelled. What fails is said, and tried again the next time."""
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY_SECS)
            await self.try_to_write()

    async def try_to_write(self) -> None:
        """Write it, and say when that fails: the node does not depend on it."""
        try:
            await asyncio.to_thread(self.write)
        except (CheckpointFailed, StoreUnavailable) as fault:
            log.warning("the ledger's checkpoint was not written", path=str(self._path), error=str(fault))

    def _current(self) -> dict[str, object]:
        snapshot = self._snapshot()
        try:
            return checkpoint(snapshot, self._did)
        finally:
            snapshot.close()
