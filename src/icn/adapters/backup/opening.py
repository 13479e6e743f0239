"""From the settings of a backup target to the target. The library of S3 is imported when a bucket is asked for."""

from pathlib import Path

from icn.adapters.backup.local import LocalTarget
from icn.adapters.backup.ports import BackupTarget
from icn.adapters.backup.settings import TargetSettings


def open_target(settings: TargetSettings) -> BackupTarget:
    """The target. Nothing is looked at yet: what is wrong with the place shows when it is used."""
    if isinstance(settings, Path):
        return LocalTarget(settings)
    from icn.adapters.backup.s3 import S3Target

    return S3Target(settings)
