"""`dag backup` and `dag restore`: a store into an archive and back, through a node or on the store itself.

Paths, keys of archives, the configured key, what is printed. Not here: what an archive holds (services.backup),
believing one (services.archive_check, services.restore), its files (adapters.archive).
"""

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from icn.adapters.archive.age import identities_in
from icn.adapters.archive.directory import FolderFiles
from icn.adapters.archive.opening import archives_at
from icn.adapters.archive.settings import PARTS_SUFFIX, Encryption, Keys
from icn.adapters.archive.tar_gz import TarGzFile
from icn.adapters.archive.unfinished import PartsFile
from icn.adapters.archive.writing import Files, Finished, resumable, write_archive
from icn.adapters.files import create_atomically, make_private_folders
from icn.adapters.keys.file import PassphraseNeeded, load_key
from icn.cli.arguments import ARCHIVE_KEYS, PASSPHRASE_FILE, Action, argument, instant
from icn.cli.backing import Backing, NodeBacking, StoreBacking, closing
from icn.cli.byte_progress import MEGABYTE, byte_progress
from icn.cli.endings import Ended, Exit
from icn.cli.offline import (
    OFFLINE_ARGUMENTS,
    STORE_ARGUMENTS,
    STORE_OPTIONS,
    goes_through_node,
    load_for_store,
    node_answers,
    open_offline,
)
from icn.cli.restoring import restore_online
from icn.cli.session import Session
from icn.config.secrets import read_secret_file
from icn.config.sources import Unusable
from icn.http.moments import instant_of
from icn.services import archive_check, restore
from icn.services.archive_check import Archive, Examined, known_parts
from icn.services.restore import Plan
from icn.services.verify import FINDINGS_MAX, Checked, Finding, Report, verify
from icn.stores.archive import IDENTITY, ArchiveDamaged, ArchiveKind, Entry
from icn.stores.backups import FinishedBackup
from icn.stores.schema import STORE_ID_BYTES

BACKUP_SECONDS = 3600.0
"""Between two pieces of a node's backup, and until a node has taken a part of one or verified itself."""
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
        backing.note(FinishedBackup(finished.sha256, done.created, done.kind, done.to))
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
        return Encryption(passphrase=_secret(file))
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


# Restore


def restore_store(session: Session, given: argparse.Namespace) -> Exit:
    """Fill a store from archives."""
    archives = _archives(given)
    if not getattr(given, "offline", False) and node_answers(session):
        _require_about_node(given)
        return restore_online(session, given, _examined(session, archives))
    dry_run = getattr(given, "dry_run", False)
    examined = _examined(session, archives)
    with open_offline(session, given, must_exist=False) as offline:
        planned = restore.plan(
            examined, offline.store, configured=offline.configured_did(), as_new=getattr(given, "as_new", False)
        )
        for name in planned.unused:
            session.world.say(f"{name} is not needed")
        with byte_progress(session.world, "checking") as progress:
            added = restore.check(planned, offline.store, progress)
        if dry_run:
            session.show_own(_planned_facts(planned, added))
            return Exit.DONE
        with byte_progress(session.world, "restoring", sum(one.size for one in examined)) as progress:
            done = restore.apply(
                planned,
                offline.store,
                session.world.random(STORE_ID_BYTES),
                no_newer_blocks=getattr(given, "no_newer_blocks", False),
                on_bytes=progress,
            )
        report = verify(offline.store, planned.owner, deep=getattr(given, "deep", False))
        key_path = offline.loaded.settings.identity.key_path
        key = _restore_identity(planned, key_path) if getattr(given, "with_identity", False) else None
    facts = {
        "node": str(planned.owner),
        "blocks": done.blocks,
        "blocks_known": done.blocks_known,
        "content": done.content,
        "content_known": done.content_known + done.content_changed,
        "local_rows": done.local,
        "root": planned.newest.root,
        "verified": "deep" if report.deep else "plain",
        "findings": report.findings_total,
    }
    session.show_own(facts if key is None else {**facts, "key": key})
    for finding in report.findings:
        session.world.say(f"{finding.where}: {finding.what}")
    if not report.ok:
        return Exit.NOT_FOUND_OR_UNVERIFIED
    for line in _what_comes_next(planned, key_path, given):
        session.world.say(line)
    return Exit.DONE


def _require_about_node(given: argparse.Namespace) -> None:
    """What only a store without its node can be given is not given. Raises `Ended`."""
    if any(hasattr(given, name) for name in STORE_OPTIONS):
        raise Ended(
            Exit.REFUSED,
            "a node answers here, and a store is named beside it",
            code="restore.node_runs",
            next_step="Give --offline to restore that store, or no store to restore into the node.",
        )
    if getattr(given, "with_identity", False):
        raise Ended(
            Exit.USAGE,
            "--with-identity puts the key of a node in place that does not run, and a node answers here",
            next_step="Stop it first, or leave --with-identity out.",
        )


def _planned_facts(planned: Plan, added: int) -> dict[str, object]:
    return {
        "dry_run": True,
        "node": str(planned.owner),
        "archives": [link.examined.archive.name for link in planned.chain],
        "blocks_to_add": added,
        "content_lines": sum(link.manifest.counts.content for link in planned.chain),
        "root": planned.newest.root,
        "fills_the_store": planned.fills,
    }


def _what_comes_next(planned: Plan, key_path: Path, given: argparse.Namespace) -> list[str]:
    lines = []
    if not key_path.exists():
        lines.append(f"next: put the node's key at {key_path}; without it the node cannot start")
    if planned.is_own and planned.fills and not getattr(given, "no_newer_blocks", False):
        lines.append(
            "next: start icn-node; it writes nothing until it has heard from the other members that it has its own "
            "newest block"
        )
    return lines


def _restore_identity(planned: Plan, key_path: Path) -> str:
    """Put the archive's key file in place, where there is none."""
    link = planned.chain[-1]
    for name, data in known_parts(link.examined.archive, link.manifest):
        if name == IDENTITY:
            if key_path.exists():
                return f"not restored: there is a file at {key_path}"
            make_private_folders(key_path.parent)
            create_atomically(key_path, data)
            return f"restored to {key_path}"
    return "not restored: the archive holds none"


# Archives


def verify_archive(session: Session, place: Path, given: argparse.Namespace, *, deep: bool) -> Report:
    """What verification of an archive finds; of a folder of archives, of each."""
    findings: list[Finding] = []
    total = blocks = content = 0
    for source in archives_at(place, _keys(given)):
        examined = _examine(session, source)
        found, count = list(examined.findings), examined.findings_total
        if deep and not count:
            with byte_progress(session.world, "replaying") as progress:
                wrong = _replayed(examined, progress)
            found, count = ([wrong], 1) if wrong is not None else ([], 0)
        findings += found[: FINDINGS_MAX - len(findings)]
        total += count
        if examined.manifest is not None:
            blocks += examined.manifest.counts.blocks
            content += examined.manifest.counts.content
    return Report(not total, deep, Checked(blocks, content), tuple(findings), total)


def _replayed(examined: Examined, progress: Callable[[int], None]) -> Finding | None:
    try:
        return archive_check.replay_alone(examined, progress)
    except ArchiveDamaged as damage:
        return Finding("archive", damage.why)


def _examined(session: Session, archives: list[Archive]) -> list[Examined]:
    return [_examine(session, source) for source in archives]


def _examine(session: Session, source: Archive) -> Examined:
    with byte_progress(session.world, f"reading {Path(source.name).name}") as progress:
        return archive_check.examine(source, progress)


def _archives(given: argparse.Namespace) -> list[Archive]:
    places: list[Path] = [*getattr(given, "input", ()), *([given.path] if hasattr(given, "path") else [])]
    if not places:
        raise Ended(Exit.USAGE, "give --input FILE or --path DIR", next_step="See icn-cli dag restore --help.")
    keys = _keys(given)
    return [source for place in places for source in archives_at(place, keys)]


def _keys(given: argparse.Namespace) -> Keys | None:
    identity: str | None = getattr(given, "identity", None)
    file: str | None = getattr(given, "passphrase_file", None)
    if identity is not None and file is not None:
        raise Ended(Exit.USAGE, "--identity and --passphrase-file are both given", next_step="Leave one out.")
    if identity is not None:
        return Keys(tuple(identities_in(_secret(identity))))
    return None if file is None else Keys(passphrase=_secret(file))


def _secret(path: str) -> str:
    try:
        return read_secret_file(path).text
    except Unusable as error:
        raise Ended(Exit.CONFIGURATION, ", ".join(error.causes) + f": {error.what}") from error


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
        patience=BACKUP_SECONDS,
    ),
    "restore": Action(
        restore_store,
        (
            argument(
                "--input",
                metavar="FILE|DIR",
                type=Path,
                action="append",
                help="an archive, or a folder of archives; repeat it for incremental ones, in any order",
            ),
            argument("--path", metavar="DIR", type=Path, help="the same, of an archive that is a folder"),
            argument("--dry-run", action="store_true", help="check everything, write nothing"),
            argument("--deep", action="store_true", help="verify the restored store deeply in the end"),
            argument(
                "--as-new", action="store_true", help="into a store of this node's own key, as another node's history"
            ),
            argument(
                "--no-newer-blocks",
                action="store_true",
                help="your word that the node signed nothing after this backup: it may write at once",
            ),
            argument("--with-identity", action="store_true", help="also put the archive's key file in place"),
            *ARCHIVE_KEYS,
            *STORE_ARGUMENTS,
            argument("--offline", action="store_true", help="into a store itself; do not look whether a node answers"),
        ),
        patience=BACKUP_SECONDS,
    ),
}
