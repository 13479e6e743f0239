"""From archives to a store that holds something, or may: checked whole, then written.

```
examine each ─> plan (restore_plan) ─> check: replay in memory ─> apply in bounded commits ─> verify
```

Nothing is written before everything was checked. What is written never takes anything away: an empty store is filled,
a store of the same node gets what it lacks and the right bytes of what is damaged there, nothing is rewound. A store
that this program filled from a backup, and that nobody has written to since, also takes over pins, lifetimes and local
rows of what is put in: so an interrupted restore is done again, and incremental backups may follow later.

A store that is filled is held (`stores.restored`): its node may have authored more than the backup knows.

Every block goes through `services.acceptance`, as from any other source; no key is needed. The archives are read three
times. A store that does not exist yet needs only one reading (`filling`).
"""

from collections.abc import Callable, Iterator

from icn.kernel.errors import InvariantBroken
from icn.services import rows
from icn.services.archive_check import Examination, federation_of, known_parts
from icn.services.archive_proof import Replay, ReplayRefused, require_chosen
from icn.services.content_writing import Restored
from icn.services.intake import Choice, Intake
from icn.services.restore_plan import ChainBroken, Link, Plan
from icn.services.restore_writing import Writing
from icn.stores import archive_parts, blocks, contents
from icn.stores.archive import ArchiveDamaged, ArchiveKind
from icn.stores.archive_parts import ContentLine
from icn.stores.kv import KeyValueStore, Reader

COMMIT_BYTES = 16 * 1024 * 1024
"""After so many a commit is made."""


def check(planned: Plan, target: Reader, on_bytes: Callable[[int], None]) -> int:
    """Replay the chain in memory: by itself where it begins at the beginning, and on top of what is in `target`.

    Gives how many blocks the store would get. Raises `ArchiveDamaged`.
    """
    is_empty = blocks.last_arrival(target) < 0
    begins = planned.begins
    added = 0
    if begins:
        intake = Intake.begin(planned.newest)
        added = _replay(planned, intake, on_bytes)
        try:
            require_chosen(intake)
        except ReplayRefused as refused:
            raise ArchiveDamaged(
                planned.chain[-1].examined.archive.name, f"{refused.where}: {refused.what}"
            ) from refused
    if not begins or not is_empty:
        added = _replay(planned, _onto(planned, target), on_bytes)
    if planned.fills:
        _check_content(planned, target)
    return added


def apply(
    planned: Plan,
    store: KeyValueStore,
    store_id: bytes,
    *,
    no_newer_blocks: bool,
    on_bytes: Callable[[int], None],
) -> Restored:
    """Write what was checked. `store_id`: random, for a store that is empty.

    May be broken off at any time, and done again. Raises `ArchiveDamaged` when an archive changed since, and faults.
    """
    fence = store.claim()
    is_empty = blocks.last_arrival(store) < 0
    intake = Intake.begin(planned.newest, store) if is_empty else _onto(planned, store)
    writing = Writing(planned, intake, lambda batch: store.commit(batch, fence), commit_bytes=COMMIT_BYTES)
    writing.begin(store_id)
    for link in planned.chain:
        writing.begin_link(link)
        examination = Examination()
        for part, data in known_parts(link.examined.archive, link.manifest):
            try:
                writing.take(examination.take(part, data))
            except ReplayRefused as error:
                raise InvariantBroken(f"what was accepted in the replay is not any more: {error}") from error
            on_bytes(part.size)
    writing.end(no_newer_blocks=no_newer_blocks)
    return writing.done


def _onto(planned: Plan, store: Reader) -> Intake:
    """What goes on from what a store holds."""
    return Intake(rows.load(store), federation_of(planned.newest), store, Choice.of(planned.newest))


def _replay(planned: Plan, intake: Intake, on_bytes: Callable[[int], None]) -> int:
    replay = Replay(intake)
    for link in planned.chain:
        try:
            replay.take(link.examined.archive, link.manifest, on_bytes)
        except ReplayRefused as refused:
            raise ArchiveDamaged(link.examined.archive.name, f"{refused.where}: {refused.what}") from refused
    return replay.added


def _check_content(planned: Plan, target: Reader) -> None:
    """Content that is named without bytes is in an earlier archive, or in the store."""
    if all(link.manifest.kind is ArchiveKind.FULL for link in planned.chain):
        return
    here: set[bytes] = set()
    for link in planned.chain:
        for line in _lines_of(link):
            if line.has_bytes:
                here.add(line.cid.data)
            elif line.cid.data not in here and contents.get_content_meta(target, line.cid) is None:
                raise ChainBroken(
                    f"{link.examined.archive.name} names content {line.cid} without its bytes, and no earlier backup "
                    "given has them"
                )


def _lines_of(link: Link) -> Iterator[ContentLine]:
    for part, data in known_parts(link.examined.archive, link.manifest):
        if part.name.startswith("content/") and part.name.endswith(".jsonl"):
            yield from archive_parts.read_content_lines(data)
