"""`dag restore`: archives put back, through a node that runs (`restoring`) or into a store that none has open.

```
 an empty store           ─> filled aside, checked as it is filled, read back, put in place
 one that holds something ─> archives examined, replayed, then what it lacks is written
```

Not here: what an archive holds (services.backup), believing one (services.archive_check), the two ways themselves
(services.filling, services.restore).
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from icn.adapters.archive.elsewhere import begun_elsewhere
from icn.adapters.archive.examining import Examining, examined_elsewhere
from icn.adapters.files import create_atomically, make_private_folders
from icn.cli.archives import PATIENCE_SECONDS, archives_given, examined, say_left_out
from icn.cli.arguments import ARCHIVE_KEYS, Action, argument
from icn.cli.byte_progress import byte_progress
from icn.cli.endings import Ended, Exit
from icn.cli.offline import (
    STORE_ARGUMENTS,
    STORE_OPTIONS,
    configured_did,
    holds_nothing,
    load_for_store,
    node_answers,
    open_offline,
    refusing_used,
    require_lasting,
    shown,
)
from icn.cli.session import Session
from icn.kernel.errors import Fault
from icn.services.archive_check import Archive, Examined, claimed, known_parts
from icn.services.beginning import Loading
from icn.services.block_names import Walk, named_blocks
from icn.services.content_writing import Restored
from icn.services.filling import Signed, fill
from icn.services.findings import Report
from icn.services.restore_plan import Plan, plan
from icn.stores.archive import IDENTITY, ArchiveDamaged
from icn.stores.kv import Reader
from icn.stores.restored import is_restored
from icn.stores.schema import STORE_ID_BYTES

if TYPE_CHECKING:
    from icn.config.loaded import LoadedConfig
    from icn.services.filling_signed import SignedFilling


def restore_store(session: Session, given: argparse.Namespace) -> Exit:
    """Fill a store from archives."""
    archives = archives_given(given)
    if getattr(given, "deep", False) and getattr(given, "no_verify", False):
        raise Ended(Exit.USAGE, "--deep and --no-verify are both given", next_step="Leave one out.")
    try:
        return _restore(session, given, archives)
    except ArchiveDamaged:
        if len(archives) > 1 and not getattr(given, "skip_damaged", False):
            session.world.say("--skip-damaged leaves out what is damaged, and restores what the others make up")
        raise


def _restore(session: Session, given: argparse.Namespace, archives: list[Archive]) -> Exit:
    if not getattr(given, "offline", False) and node_answers(session):
        _require_about_node(given)
        from icn.cli.restoring import restore_online  # what the usual way, into an empty store, does without

        return restore_online(session, given, examined(session, archives))
    with _helped() as helpers:
        loaded = load_for_store(session, given)
        is_empty = holds_nothing(loaded)
        if is_empty and not getattr(given, "dry_run", False):
            claims = None if getattr(given, "skip_damaged", False) else _claims(archives)  # which say nothing of damage
            known = claims or examined(session, archives)
            return _fill(session, given, _planned(session, given, known, _nothing(), loaded), loaded, helpers)
    if not is_empty:
        return _add(session, given, archives)
    empty = _nothing()  # nothing is made, not even the place
    return _try(session, _planned(session, given, examined(session, archives), empty, loaded), empty)


@dataclass(frozen=True, slots=True)
class _Helpers:
    """What may work in processes of their own, begun before anything is locked, or any thread begun.

    They are begun before this command has read its configuration, too, and import what each needs while it does.
    """

    examining: Examining
    signed: Callable[..., Signed]
    proving: contextlib.ExitStack
    """Ends what takes the signed blocks."""
    both: contextlib.ExitStack


@contextlib.contextmanager
def _helped() -> Iterator[_Helpers]:
    with contextlib.ExitStack() as both:
        examining = both.enter_context(examined_elsewhere())
        proving = both.enter_context(contextlib.ExitStack())
        signed = proving.enter_context(begun_elsewhere(_signed_filling, _import_rules))
        yield _Helpers(examining, signed, proving, both)


def _import_rules() -> None:
    import icn.services.filling_signed  # noqa: F401  # by who takes the signed blocks, which may be another process


def _signed_filling(loading: Loading, planned: Plan) -> "SignedFilling":
    from icn.services.filling_signed import SignedFilling  # as above

    return SignedFilling(planned, loading)


def _nothing() -> Reader:
    """A store that is empty."""
    from icn.adapters.storage.memory import MemoryStore  # as above

    return MemoryStore()


def _claims(archives: list[Archive]) -> list[Examined] | None:
    """What they say of themselves, where each does: those that are encrypted do not."""
    claims = []
    for source in archives:
        claim = claimed(source)
        if claim is None:
            return None
        claims.append(claim)
    return claims


def _planned(
    session: Session, given: argparse.Namespace, known: list[Examined], target: Reader, loaded: "LoadedConfig"
) -> Plan:
    planned = plan(
        known,
        target,
        configured=configured_did(loaded),
        as_new=getattr(given, "as_new", False),
        skips_damaged=getattr(given, "skip_damaged", False),
    )
    say_left_out(session, planned)
    return planned


def _fill(
    session: Session, given: argparse.Namespace, planned: Plan, loaded: "LoadedConfig", helpers: _Helpers
) -> Exit:
    """Into a store that nobody sees before it is whole."""
    from icn.adapters.storage.opening import open_filling  # as above
    from icn.config.storage import storage

    helpers.examining.begin(planned.chain)
    with refusing_used():
        filling = open_filling(storage(require_lasting(loaded)))
    session.world.say(f"working on the store itself: {shown(loaded)}")
    with contextlib.closing(filling):
        try:
            with byte_progress(session.world, "restoring", sum(one.examined.size for one in planned.chain)) as tell:
                filled = fill(
                    planned,
                    filling,
                    session.world.random(STORE_ID_BYTES),
                    no_newer_blocks=getattr(given, "no_newer_blocks", False),
                    on_bytes=tell,
                    reading=helpers.examining.reading,
                    signed=lambda loading: helpers.signed(loading, planned),
                )
                helpers.proving.close()
            with filling.seal() as reader:
                report = _verified(reader, planned, given, lambda: helpers.examining.walk(filling.aside()))
                is_held = is_restored(reader)
            if report is None or report.ok:
                filling.take_place()
        except BaseException:
            helpers.both.close()  # nobody loads into what is thrown away
            with contextlib.suppress(Fault):  # what cannot be is by the next restore; the cause is told
                filling.discard()
            raise
        if report is not None and not report.ok:
            filling.discard()
            return _thrown_away(session, report)
    identity = filled.identity if getattr(given, "with_identity", False) else None
    return _end(session, given, planned, filled.done, report, loaded, identity, is_held=is_held)


def _thrown_away(session: Session, report: Report) -> Exit:
    _say_findings(session, report)
    session.world.say(
        "what was written did not read back as it should: it was thrown away, and nothing was restored; look at this "
        "machine's disk, then do it again"
    )
    return Exit.NOT_FOUND_OR_UNVERIFIED


def _add(session: Session, given: argparse.Namespace, archives: list[Archive]) -> Exit:
    """Into a store that holds something, or from archives that say too little of themselves."""
    from icn.services import restore  # as above

    known = examined(session, archives)
    with open_offline(session, given, must_exist=False) as offline:
        planned = _planned(session, given, known, offline.store, offline.loaded)
        if getattr(given, "dry_run", False):
            return _try(session, planned, offline.store)
        _checked(session, planned, offline.store)
        with byte_progress(session.world, "restoring", sum(one.size for one in known)) as progress:
            done = restore.apply(
                planned,
                offline.store,
                session.world.random(STORE_ID_BYTES),
                no_newer_blocks=getattr(given, "no_newer_blocks", False),
                on_bytes=progress,
            )
        report = _verified(offline.store, planned, given, lambda: named_blocks)
        is_held = is_restored(offline.store)
    identity = _identity_in(planned) if getattr(given, "with_identity", False) else None
    return _end(session, given, planned, done, report, offline.loaded, identity, is_held=is_held)


def _try(session: Session, planned: Plan, target: Reader) -> Exit:
    """What a restore would do."""
    session.show_own(_planned_facts(planned, _checked(session, planned, target)))
    return Exit.DONE


def _checked(session: Session, planned: Plan, target: Reader) -> int:
    """How many blocks the store would get. Raises `ArchiveDamaged`."""
    from icn.services import restore  # as above

    with byte_progress(session.world, "checking") as progress:
        return restore.check(planned, target, progress)


def _verified(reader: Reader, planned: Plan, given: argparse.Namespace, walking: Callable[[], Walk]) -> Report | None:
    """What reading back finds; None where that was not wanted. `walking`: begins the walk over all blocks."""
    if getattr(given, "no_verify", False):
        return None
    walk = walking()
    from icn.services.verify import verify  # while the walk has begun

    return verify(reader, planned.owner, deep=getattr(given, "deep", False), walk=walk)


def _end(
    session: Session,
    given: argparse.Namespace,
    planned: Plan,
    done: Restored,
    report: Report | None,
    loaded: "LoadedConfig",
    identity: bytes | None,
    *,
    is_held: bool,
) -> Exit:
    key_path = loaded.settings.identity.key_path
    facts: dict[str, object] = {
        "node": str(planned.owner),
        "blocks": done.blocks,
        "blocks_known": done.blocks_known,
        "content": done.content,
        "content_known": done.content_known + done.content_changed,
        "mended": done.mended,
        "local_rows": done.local,
        "root": planned.newest.root,
    }
    if report is None:
        facts["verified"] = "as it was read"
    else:
        facts |= {"verified": "deep" if report.deep else "plain", "findings": report.findings_total}
    is_whole = report is None or report.ok
    if getattr(given, "with_identity", False) and is_whole:
        facts["key"] = _put_identity(identity, key_path)
    session.show_own(facts)
    if report is not None:
        _say_findings(session, report)
    if not is_whole:
        return Exit.NOT_FOUND_OR_UNVERIFIED
    for line in _what_comes_next(key_path, is_held=is_held):
        session.world.say(line)
    return Exit.DONE


def _say_findings(session: Session, report: Report) -> None:
    for finding in report.findings:
        session.world.say(f"{finding.where}: {finding.what}")


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


def _what_comes_next(key_path: Path, *, is_held: bool) -> list[str]:
    lines = []
    if not key_path.exists():
        lines.append(f"next: put the node's key at {key_path}; without it the node cannot start")
    if is_held:
        lines.append(
            "next: start icn-node; it writes nothing until it has heard from the other members that it has its own "
            "newest block"
        )
    return lines


def _identity_in(planned: Plan) -> bytes | None:
    """The key file in the newest archive."""
    link = planned.chain[-1]
    for part, data in known_parts(link.examined.archive, link.manifest):
        if part.name == IDENTITY:
            return data
    return None


def _put_identity(identity: bytes | None, key_path: Path) -> str:
    """Put the archive's key file in place, where there is none."""
    if identity is None:
        return "not restored: the archive holds none"
    if key_path.exists():
        return f"not restored: there is a file at {key_path}"
    make_private_folders(key_path.parent)
    create_atomically(key_path, identity)
    return f"restored to {key_path}"


ACTIONS = {
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
                "--no-verify", action="store_true", help="do not read back in the end: all was checked as it was read"
            ),
            argument(
                "--skip-damaged",
                action="store_true",
                help="leave out damaged archives: restore what the others make up",
            ),
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
        patience=PATIENCE_SECONDS,
    ),
}
