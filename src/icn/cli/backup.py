"""`dag backup`: a store into an archive, through a node or from the store itself.

Paths, keys of archives, the configured key, what is printed. Not here: what an archive holds (services.backup), its
files (adapters.archive), and the way back (`restore`).
"""

import argparse
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from icn.adapters.archive.directory import FolderFiles
from icn.adapters.archive.settings import PARTS_SUFFIX, Encryption
from icn.adapters.archive.tar_gz import TarGzFile
from icn.adapters.archive.unfinished import PartsFile
from icn.adapters.archive.writing import Files, Finished, resumable, write_archive
from icn.adapters.files import make_private_folders
from icn.adapters.keys.file import PassphraseNeeded, load_key
from icn.cli.archives import PATIENCE_SECONDS, secret_in
from icn.cli.arguments import PASSPHRASE_FILE, Action, argument, instant
from icn.cli.backing import Backing, NodeBacking, StoreBacking, closing
from icn.cli.byte_progress import MEGABYTE, byte_progress
from icn.cli.endings import Ended, Exit
from icn.cli.offline import (
    OFFLINE_ARGUMENTS,
    goes_through_node,
    load_for_store,
    open_offline,
)
from icn.cli.session import Session
from icn.http.moments import instant_of
from icn.kernel.errors import IcnError
from icn.stores.archive import IDENTITY, ArchiveKind, Entry
from icn.stores.backups import FinishedBackup

LAST = "last"


# Backup


def backup(session: Session, given: argparse.Namespace) -> Exit:
    """Write an archive of a store."""
    begun = time.monotonic()
    kind, since = _asked(given)
    files, notes, place = _target(given)
    extra = _identity(session, given, is_encrypted=_encryption(given) is not None)
    with contextlib.closing(files), contextlib.ExitStack() as stack:
        backing = _backing(stack, session, given, kind, since)
        unfinished = None if notes is None else notes.read()
        manifest = backing.begin(None if unfinished is None else unfinished.reached)
        kept = () if notes is None else resumable(notes, manifest)
        if unfinished is not None and unfinished.written and not kept:
            session.world.say(f"the unfinished backup at {place} was of something else, and is begun anew")
            manifest = backing.begin(None)
        if kept:
            session.world.say(f"going on with the unfinished backup at {place}: {len(kept)} parts are there")
        with byte_progress(session.world, "backing up") as progress:
            parts = _followed_by(backing.entries(), extra)
            finished = write_archive(files, notes, manifest, kept, parts, progress)
        done = finished.manifest
        try:
            backing.note(FinishedBackup(finished.sha256, done.created, done.kind, done.to), done.store)
        except IcnError:
            session.world.say(
                f"the archive at {place} is whole; but the store takes no note of it, so the next incremental backup "
                "goes on from an earlier one"
            )
            raise
    _show_backup(session, finished, place, time.monotonic() - begun)
    return Exit.DONE


def _asked(given: argparse.Namespace) -> tuple[ArchiveKind, str | None]:
    since: str | None = getattr(given, "since", None)
    if not getattr(given, "incremental", False):
        if since is not None:
            raise Ended(Exit.USAGE, "--since is about incremental backups", next_step="Give --incremental too.")
        return ArchiveKind.FULL, None
    return ArchiveKind.INCREMENTAL, None if since in {None, LAST} else since


def _backing(
    stack: contextlib.ExitStack, session: Session, given: argparse.Namespace, kind: ArchiveKind, since: str | None
) -> Backing:
    if goes_through_node(session, given):
        return stack.enter_context(closing(NodeBacking(session, kind, since)))
    offline = stack.enter_context(open_offline(session, given, must_exist=True))
    wall = None if since is None else instant_of("--since", since)
    return stack.enter_context(closing(StoreBacking(offline, kind, wall)))


def _target(given: argparse.Namespace) -> tuple[Files, PartsFile | None, Path]:
    """Where the archive goes, and where it is noted how far it came."""
    file: Path | None = getattr(given, "archive", None)
    folder: Path | None = getattr(given, "path", None)
    encryption = _encryption(given)
    replace = getattr(given, "replace", False)
    if (file is None) == (folder is None):
        raise Ended(Exit.USAGE, "give either --output FILE or --path DIR", next_step="See icn-cli dag backup --help.")
    place = (file or folder or Path()).absolute()
    make_private_folders(place.parent)  # the guide's commands name ./backups, and nothing before them makes it
    notes = PartsFile(place.with_name(place.name + PARTS_SUFFIX))
    if folder is not None:
        if encryption is not None:
            raise Ended(Exit.USAGE, "a folder is not encrypted", next_step="Give --output FILE instead of --path.")
        return FolderFiles(place, replace=replace), notes, place
    seconds = int(time.time())
    files = TarGzFile(place, seconds=seconds, encryption=encryption, replace=replace)
    return files, None if encryption is not None else notes, place


def _encryption(given: argparse.Namespace) -> Encryption | None:
    recipients = tuple(getattr(given, "encrypt_to", ()))
    file: str | None = getattr(given, "passphrase_file", None)
    if recipients and file is not None:
        raise Ended(Exit.USAGE, "--encrypt-to and --passphrase-file are both given", next_step="Leave one out.")
    if file is not None:
        return Encryption(passphrase=secret_in(file))
    return Encryption(recipients) if recipients else None


def _identity(session: Session, given: argparse.Namespace, *, is_encrypted: bool) -> list[Entry]:
    """The key file, where it was asked for and nobody who finds the archive could use it."""
    if not getattr(given, "with_identity", False):
        return []
    path = load_for_store(session, given).settings.identity.key_path
    if not is_encrypted:
        try:
            load_key(path, passphrase=None, may_be_exposed=True)
        except PassphraseNeeded:
            pass
        else:
            raise Ended(
                Exit.REFUSED,
                f"the key file at {path} is not encrypted: whoever has the archive would have the node's name",
                code="backup.identity_exposed",
                next_step="Encrypt the archive (--encrypt-to, --passphrase-file) or the key: icn-cli identity encrypt.",
            )
    return [Entry(IDENTITY, path.read_bytes())]


def _followed_by(parts: Iterator[Entry], extra: list[Entry]) -> Iterator[Entry]:
    yield from parts
    yield from extra


def _show_backup(session: Session, finished: Finished, place: Path, seconds: float) -> None:
    manifest = finished.manifest
    session.show_own(
        {
            "archive": str(place),
            "kind": manifest.kind.value,
            "node": str(manifest.node),
            "blocks": manifest.counts.blocks,
            "content": manifest.counts.content,
            "bytes": finished.bytes,
            "parts_kept": finished.kept,
            "root": manifest.root,
            "manifest": finished.sha256,
            "seconds": round(seconds, 1),
            "megabytes_per_second": round(finished.bytes / MEGABYTE / max(seconds, 0.001)),
        }
    )


def _since(text: str) -> str:
    return text if text == LAST else instant(text)


ACTIONS = {
    "backup": Action(
        backup,
        (
            argument("--output", dest="archive", metavar="FILE", type=Path, help="the archive, a .tar.gz"),
            argument("--path", metavar="DIR", type=Path, help="the archive as a folder instead"),
            argument("--incremental", action="store_true", help="only what came or changed since an earlier backup"),
            argument(
                "--since",
                metavar="DATE|last",
                type=_since,
                help="since that date, in UTC, or the last backup (default)",
            ),
            argument("--replace", action="store_true", help="replace what is there, once the new archive is whole"),
            argument(
                "--encrypt-to", metavar="AGE1…", action="append", help="encrypt to this age recipient; may be repeated"
            ),
            PASSPHRASE_FILE,
            argument(
                "--with-identity", action="store_true", help="include the key file, if it or the archive is encrypted"
            ),
            *OFFLINE_ARGUMENTS,
        ),
        patience=PATIENCE_SECONDS,
    ),
}
