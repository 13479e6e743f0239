"""The ledger's checkpoint in a file: JSON that is there whole or not at all, read back only to be compared."""

import json
from pathlib import Path
from typing import Any, ClassVar

from icn.adapters.files import make_private_folders, write_atomically
from icn.kernel.errors import Fault
from icn.kernel.limits import MIB

READ_BYTES_MAX = 256 * MIB
"""A larger file is none of ours: an account takes some 300 bytes."""
UNREADABLE = object()
"""Stands for what is in a file that holds no JSON."""


class CheckpointFailed(Fault):
    """The ledger's checkpoint cannot be written to its path."""

    code: ClassVar[str] = "ledger.checkpoint_failed"


def read_checkpoint(path: Path) -> object:
    """What the file holds, decoded; None when there is none, `UNREADABLE` when it cannot be read or decoded."""
    try:
        with path.open("rb") as file:
            data = file.read(READ_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    except OSError:
        return UNREADABLE
    if len(data) > READ_BYTES_MAX:
        return UNREADABLE
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        return UNREADABLE
    return UNREADABLE if found is None else found


def write_checkpoint(path: Path, document: dict[str, Any]) -> None:
    """Replace what is at `path`, durably. Raises `CheckpointFailed`; then the old file stands."""
    content = json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"
    try:
        make_private_folders(path.parent)
        write_atomically(path, content)
    except OSError as error:
        raise CheckpointFailed(f"{path}: the ledger's checkpoint could not be written: {error}") from error


def set_aside(path: Path) -> Path:
    """Move the file out of the way, over one that was set aside before; where it is now. Raises `CheckpointFailed`."""
    aside = path.with_name(path.name + ".ahead")
    try:
        path.replace(aside)
    except OSError as error:
        raise CheckpointFailed(f"{path}: could not be set aside: {error}") from error
    return aside
