"""Backups that the node makes by itself: what there is, one now, and the proof that one can be restored."""

from dataclasses import dataclass

from starlette.responses import Response

from icn.http.operations import Call, Operation, shown
from icn.http.ports import BackupArchive, BackupState, DrillProof
from icn.stores.backup_schedule import MadeBackup


@dataclass(frozen=True, slots=True)
class BackupsView:
    """How backups fare, and what is at the target."""

    state: BackupState
    archives: tuple[BackupArchive, ...]


async def listed(call: Call) -> Response:
    """Asks the target."""
    archives = await call.node.backups.archives()
    return shown(BackupsView(await call.read_aside(call.node.backups.state), archives))


async def run(call: Call) -> Response:
    """Answers when the archive is at the target and recorded. Goes on when the client does not wait."""
    return shown(await call.node.backups.run())


async def drill(call: Call) -> Response:
    """Answers when the drill has ended; whether it succeeded is in the answer."""
    return shown(await call.node.backups.drill())


OPERATIONS = (
    Operation("GET", "/admin/backups", listed, "Scheduled backups, and the archives at their target", BackupsView),
    Operation("POST", "/admin/backups/run", run, "Make a backup now", MadeBackup),
    Operation("POST", "/admin/backups/drill", drill, "Restore the newest backup aside and verify it", DrillProof),
)
