"""Carries out a change of federation that the store says is under way, before an engine is opened over it.

On the writer's thread, which has the store for itself. The archive of what is given up stays in `former/` of the data
directory; `icn-cli dag verify` reads it, and `icn-cli dag restore` fills another store from it.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import structlog

from icn.adapters.archive.tar_gz import TarGzArchive, TarGzFile
from icn.adapters.archive.writing import write_archive
from icn.adapters.files import make_private_folders
from icn.http.moments import iso_of
from icn.kernel.errors import Fault, Refusal
from icn.kernel.ids import Did
from icn.services import backup
from icn.services.archive_check import examine
from icn.services.ports import HeadMark, HeadMarker
from icn.stores import changeover
from icn.stores.archive import ArchiveKind, Reached
from icn.stores.changeover import Change
from icn.stores.kv import KeyValueStore

FOLDER_NAME = "former"
"""In the data directory."""

log = structlog.get_logger("icn.node")


class ArchiveUnsound(Fault):
    """The archive that was just written does not read as it should: nothing is removed for its sake."""

    code = "federation.archive_unsound"


@dataclass(frozen=True, slots=True)
class Changeover:
    """What carrying it out needs."""

    did: Did
    folder: Path
    program: str
    backend: str
    marker: HeadMarker | None

    def complete(self, store: KeyValueStore) -> None:
        """Go on with a change that is under way, to its end. Nothing where none is.

        An archive that cannot be written ends the change, and the node stays what it was.

        Raises:
            Fault: the store's; the next start goes on.
        """
        change = changeover.change_of(store)
        if change is None:
            return
        fence = store.claim()
        if not change.is_archived:
            try:
                path = self._archive(store, change)
            except (Fault, Refusal, OSError) as error:
                store.commit(changeover.give_up(), fence)
                # The operator needs the reason, not our stack.
                log.error("the federation is not changed", why=f"no archive: {error}")  # noqa: TRY400 - as said above
                return
            log.warning("archived", federation=str(change.former), path=str(path))
            store.commit(changeover.note_archived(change), fence)
        for batch in changeover.emptying(store):
            store.commit(batch, fence)
        if self.marker is not None:
            # Of no federation and no block: the old feed's mark would hold the node for a feed that is closed.
            self.marker.write(HeadMark(self.did, None, 0, None))
        store.commit(changeover.finish(store, change), fence)
        log.warning("federation given up", federation=str(change.former))

    def path_of(self, change: Change) -> Path:
        """Where the archive goes: the same on every attempt of one change."""
        return self.folder / f"{change.former}-{change.began_at}.tar.gz"

    def _archive(self, store: KeyValueStore, change: Change) -> Path:
        make_private_folders(self.folder)
        path = self.path_of(change)
        order = backup.BackupOrder(ArchiveKind.FULL, None, iso_of(change.began_at), self.program, self.backend)
        snapshot = store.snapshot()
        try:
            draft = backup.draft(snapshot, order)
            entries = backup.entries(snapshot, draft, Reached(draft.since))
            files = TarGzFile(path, seconds=change.began_at // 1000, encryption=None, replace=True)
            with contextlib.closing(files):
                write_archive(files, None, draft, (), entries, _ignore)
        finally:
            snapshot.close()
        examined = examine(TarGzArchive(path, None), _ignore)
        if examined.findings or examined.manifest is None or examined.manifest.root != draft.root:
            raise ArchiveUnsound(f"{path}: {[finding.what for finding in examined.findings][:3]}")
        return path


def _ignore(_size: int) -> None:
    """Nobody follows."""
