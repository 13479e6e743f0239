"""Archives that a command is given: where they are, what opens them, and whether they are what they claim."""

import argparse
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from icn.adapters.archive.age import identities_in
from icn.adapters.archive.ahead import ahead
from icn.adapters.archive.elsewhere import elsewhere
from icn.adapters.archive.opening import archives_at
from icn.adapters.archive.settings import Keys
from icn.cli.byte_progress import byte_progress
from icn.cli.endings import Ended, Exit
from icn.cli.session import Session
from icn.config.secrets import read_secret_file
from icn.config.sources import Unusable
from icn.services import archive_check
from icn.services.archive_check import Archive, Examined, Items
from icn.services.archive_proving import prove
from icn.services.findings import FINDINGS_MAX, Checked, Finding, Report
from icn.services.stage import Stage
from icn.stores.archive import Manifest

if TYPE_CHECKING:
    from icn.services.restore_plan import Plan

PATIENCE_SECONDS = 3600.0
"""Between two pieces of a node's backup, and until a node has taken a part of one or verified itself."""


def verify_archive(session: Session, place: Path, given: argparse.Namespace, *, deep: bool) -> Report:
    """What verification of an archive finds; of a folder of archives, of each."""
    findings: list[Finding] = []
    total = blocks = content = 0
    for source in archives_at(place, keys_given(given)):
        examined = _prove(session, source) if deep else _examine(session, source)
        findings += examined.findings[: FINDINGS_MAX - len(findings)]
        total += examined.findings_total
        if examined.manifest is not None:
            blocks += examined.manifest.counts.blocks
            content += examined.manifest.counts.content
    return Report(not total, deep, Checked(blocks, content), tuple(findings), total)


def _prove(session: Session, source: Archive) -> Examined:
    with byte_progress(session.world, f"proving {Path(source.name).name}") as progress:
        return prove(source, progress, ahead, _proving)


def _proving(manifest: Manifest) -> AbstractContextManager[Stage[tuple[str, Items], Finding | None]]:
    def begin() -> Stage[tuple[str, Items], Finding | None]:
        from icn.services.archive_proof import Proving  # by who proves, which may be another process

        return Proving(manifest)

    return elsewhere(begin)


def examined(session: Session, archives: list[Archive]) -> list[Examined]:
    """Each read once, with progress. Raises as `archive_check.examine` does."""
    return [_examine(session, source) for source in archives]


def _examine(session: Session, source: Archive) -> Examined:
    with byte_progress(session.world, f"reading {Path(source.name).name}") as progress:
        return archive_check.examine(source, progress)


def archives_given(given: argparse.Namespace) -> list[Archive]:
    """What `--input` and `--path` name. Raises `Ended`, `NoArchive`."""
    places: list[Path] = [*getattr(given, "input", ()), *([given.path] if hasattr(given, "path") else [])]
    if not places:
        raise Ended(Exit.USAGE, "give --input FILE or --path DIR", next_step="See icn-cli dag restore --help.")
    keys = keys_given(given)
    return [source for place in places for source in archives_at(place, keys)]


def keys_given(given: argparse.Namespace) -> Keys | None:
    """What opens encrypted archives. Raises `Ended`, `Invalid`."""
    identity: str | None = getattr(given, "identity", None)
    file: str | None = getattr(given, "passphrase_file", None)
    if identity is not None and file is not None:
        raise Ended(Exit.USAGE, "--identity and --passphrase-file are both given", next_step="Leave one out.")
    if identity is not None:
        return Keys(tuple(identities_in(secret_in(identity))))
    return None if file is None else Keys(passphrase=secret_in(file))


def secret_in(path: str) -> str:
    """What a file named on the command line holds. Raises `Ended`."""
    try:
        return read_secret_file(path).text
    except Unusable as error:
        raise Ended(Exit.CONFIGURATION, ", ".join(error.causes) + f": {error.what}") from error


def say_left_out(session: Session, planned: "Plan") -> None:
    """Which of the archives that were given are not restored, and to when those lead that are."""
    for name in planned.unused:
        session.world.say(f"{name} is not needed")
    for why in planned.damaged:
        session.world.say(f"left out, damaged: {why}")
    if planned.damaged:
        session.world.say(f"what the others make up is as of {planned.newest.created}")
