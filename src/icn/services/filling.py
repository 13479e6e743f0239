"""From archives to a store that does not exist yet: every byte read, hashed, checked and written once.

```
                                              ┌─> signed blocks: replayed, written (filling_signed) ─┐
archives claim ─> plan ─> each entry examined ┤                                                      ├─> the last rows
                                              └─> content: written                                  ─┘
```

Nobody sees the store while it is filled: `Loading` is one beside its place, or one that no node opens. It becomes the
store when all of it was checked, or is thrown away. So the checks need not come before the writing, as they do for a
store that holds something (`restore`); they are the same:

- form, order, counts and hashes of every entry, and the name of every block (`archive_check.Examination`); where bytes
  of content stand together, the hash of their file would say once more what their lines and names say;
- signatures, feeds, links and rules of every signed block, and where they lead (`restore_writing`, `archive_proof`);
- that the archive is what it claimed when the plan was made.

What is told is what is wrong first, in the order of the archives, whichever half comes upon it.

Not imported here: the rules of the federation, which only the half with the signed blocks needs.
"""

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from icn.kernel.errors import Invalid, Refusal, require
from icn.kernel.limits import MIB
from icn.services.archive_check import Examination, Items, hashing_but_content
from icn.services.beginning import Beginning, Loading
from icn.services.content_writing import Commits, ContentWriting, Restored, first_rows, put_last_rows
from icn.services.restore_plan import Link, Plan
from icn.services.stage import Stage
from icn.stores import contents
from icn.stores.archive import BEGINNING, ArchiveDamaged, Part, Position
from icn.stores.kv import Batch
from icn.stores.tar import Room

LOAD_BYTES = 16 * MIB
"""After so many a batch is handed on."""


@dataclass(frozen=True, slots=True)
class SignedFilled:
    """What the signed blocks of all archives came to."""

    done: Restored
    last_arrival: int
    """Of the store's journal; -1 where there was no block."""


Signed = Stage[Items | None, SignedFilled]
"""See `filling_signed.SignedFilling`."""
Reading = Callable[[Link], Generator[tuple[Part, Items], None, None]]
"""See `examined`."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What is in the store now."""

    done: Restored
    identity: bytes | None
    """The key file of the newest archive, where it holds one."""


def fill(
    planned: Plan,
    loading: Loading,
    store_id: bytes,
    *,
    no_newer_blocks: bool,
    on_bytes: Callable[[int], None],
    reading: Reading,
    signed: Callable[[Loading], Signed],
) -> Filled:
    """Fill an empty store. `planned`: from what the archives claim. `store_id`: random.

    `reading`: gives the entries of each archive of the chain, in its order: `examined`, here or elsewhere.
    `signed`: begins the half that takes the signed blocks: `filling_signed.SignedFilling`, here or elsewhere.

    Raises:
        ArchiveDamaged, ChainBroken: what was loaded is to be thrown away.
        Fault: of the machine; the same.
    """
    require(planned.begins and planned.fills, "an empty store is filled from the beginning")
    store = Beginning(loading)
    store.load(first_rows(planned, store, store_id, BEGINNING))
    blocks = signed(loading)
    commits = Commits(store, store.load, commit_bytes=LOAD_BYTES, ending=_add_nothing)
    content = ContentWriting(planned, commits)
    identity = None
    try:
        for link in planned.chain:
            content.begin_link(link)
            identity = _take(link, blocks, content, commits, on_bytes, reading)
            blocks.take(None)
    except Refusal:
        blocks.abandon()  # raises what is wrong with the blocks that stand before
        raise
    filled = blocks.end()
    own = Position(filled.last_arrival + 1, contents.next_change(commits.get))
    put_last_rows(planned, commits, own, no_newer_blocks=no_newer_blocks)
    commits.commit()
    done = filled.done.with_more(replace(content.done, commits=commits.count))
    return Filled(done, identity)


def _add_nothing(_batch: Batch) -> None:
    """What content changes is in its own rows."""


def _take(
    link: Link,
    blocks: Signed,
    content: ContentWriting,
    commits: Commits,
    on_bytes: Callable[[int], None],
    reading: Reading,
) -> bytes | None:
    """All of an archive; gives the key file in it."""
    identity = None
    with contextlib.closing(reading(link)) as entries:
        for part, items in entries:
            if items.signed or items.evidence:
                blocks.take(Items(signed=items.signed, evidence=items.evidence))
            content.take(items)
            commits.let_go()
            identity = items.identity or identity
            del items  # what is not looked at while the next is waited for can be used for that
            on_bytes(part.size)
    return identity


def examined(link: Link, room: Room | None = None) -> Generator[tuple[Part, Items], None, None]:
    """Every entry of an archive and what it holds; the first thing that is wrong ends it, as `fill` raises it.

    `room`: where entries are put, by who wants each read when it is asked for, and not before.
    """
    examination = Examination()
    source, hashed = link.examined.archive, hashing_but_content
    entries = source.entries(hashed) if room is None else source.entries_in(room, hashed)
    try:
        for part, items in examination.follow(entries):
            _require_clean(link, examination)
            yield part, items
    except Invalid as error:
        raise _damaged(link, error.what, error.why) from error
    _require_clean(link, examination)
    if examination.sha256 != link.examined.sha256:
        raise _damaged(link, "manifest.json", "is not what the archive seemed to be, or has changed since")


def _require_clean(link: Link, examination: Examination) -> None:
    for finding in examination.findings:
        raise _damaged(link, finding.where, finding.what)


def _damaged(link: Link, where: str, what: str) -> ArchiveDamaged:
    return ArchiveDamaged(link.examined.archive.name, f"{where}: {what}")
