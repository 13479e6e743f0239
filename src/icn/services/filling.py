"""From archives to a store that does not exist yet: every byte read, hashed, checked and written once.

```
archives claim ─> plan (restore_plan) ─> fill: each entry examined, replayed, written ─> compared with the claims
```

Nobody sees the store while it is filled: `Loading` is one beside its place, or one that no node opens. It becomes the
store when all of it was checked, or is thrown away. So the checks need not come before the writing, as they do for a
store that holds something (`restore`); they are the same:

- form, order, counts and hashes of every entry, and the name of every block (`archive_check.Examination`);
- signatures, feeds, links and rules of every signed block, and where they lead (`restore_writing`, `archive_proof`);
- that the archive is what it claimed when the plan was made.

A store that begins empty is not asked what it holds. A filter of fixed size knows what may have been put into it; for
what it lets pass, which is what was put in twice and a few others, the store is asked.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from icn.kernel.errors import Invalid, InvariantBroken, require
from icn.services.ahead import Ahead
from icn.services.archive_check import Examination
from icn.services.archive_proof import Entries, ReplayRefused, require_chosen, require_reached
from icn.services.intake import Intake
from icn.services.restore_plan import Link, Plan
from icn.services.restore_writing import Restored, Writing
from icn.stores import keyspace
from icn.stores.archive import ArchiveDamaged
from icn.stores.kv import Batch

LOAD_BYTES = 16 * 1024 * 1024
"""After so many a batch is handed on."""
FILTER_BITS = 1 << 26
"""Eight MiB: of a million keys one in a thousand is asked for in vain."""
_HALF = (1 << 32) - 1
_ASKED = frozenset((keyspace.CONTENT_META, keyspace.BLOCK_META, keyspace.FEED, keyspace.EVIDENCE))
"""Prefixes of the keys that are asked for one by one, and mostly in vain."""


class Loading(Protocol):
    """A store being filled, which nobody else sees. What is put into it need not survive a crash."""

    def load(self, batch: Batch) -> None:
        """Take the batch over, to be written in the order of the calls. Raises faults, also of earlier ones."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, with everything loaded so far."""


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
    ahead: Ahead,
) -> Filled:
    """Fill an empty store. `planned`: from what the archives claim. `store_id`: random.

    Raises:
        ArchiveDamaged, ChainBroken: what was loaded is to be thrown away.
        Fault: of the machine; the same.
    """
    require(planned.begins and planned.fills, "an empty store is filled from the beginning")
    beginning = _Beginning(loading)
    intake = Intake.begin(planned.newest, beginning)
    writing = Writing(planned, intake, beginning.load, commit_bytes=LOAD_BYTES, is_checked=False)
    writing.begin(store_id)
    identity = None
    for link in planned.chain:
        identity = _take(link, writing, on_bytes, ahead)
        try:
            require_reached(intake.state, link.manifest, may_be_ahead=False)
        except ReplayRefused as refused:
            raise _damaged(link, refused.where, refused.what) from refused
    try:
        require_chosen(intake)
    except ReplayRefused as refused:
        raise _damaged(planned.chain[-1], refused.where, refused.what) from refused
    writing.end(no_newer_blocks=no_newer_blocks)
    return Filled(writing.done, identity)


def _take(link: Link, writing: Writing, on_bytes: Callable[[int], None], ahead: Ahead) -> bytes | None:
    """All of an archive; gives the key file in it."""
    identity = None
    writing.begin_link(link)
    try:
        with contextlib.closing(ahead(_examined(link))) as examined:
            for part, items in examined:
                writing.take(items)
                identity = items.identity or identity
                on_bytes(part.size)
    except ReplayRefused as refused:
        raise _damaged(link, refused.where, refused.what) from refused
    return identity


def _examined(link: Link) -> Entries:
    """Every entry of an archive and what it holds; the first thing that is wrong ends it."""
    examination = Examination()
    try:
        for part, items in examination.follow(link.examined.archive):
            _require_clean(link, examination)
            yield part, items.apart()
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


class _Beginning:
    """Satisfies `stores.kv.Reader` for a store that began empty."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading
        self._about: dict[bytes, bytes | None] = {}
        """Values about the store itself, of which there are few, and which are asked for again and again."""
        self._seen = bytearray(FILTER_BITS // 8)

    def load(self, batch: Batch) -> None:
        """See `Loading`."""
        for key, value in batch.operations.items():
            prefix = key[:1]
            if prefix == keyspace.ABOUT:
                self._about[key] = value
            elif prefix in _ASKED:
                for number in _places(key):
                    self._seen[number >> 3] |= 1 << (number & 7)
        self._loading.load(batch)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        prefix = key[:1]
        if prefix == keyspace.ABOUT:
            return self._about.get(key)
        if prefix in _ASKED:
            for number in _places(key):
                if not self._seen[number >> 3] >> (number & 7) & 1:
                    return None
        return self._loading.get(key)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`."""
        return [self.get(key) for key in keys]

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Nobody walks through a store that is being filled: it would miss what is still to come."""
        raise InvariantBroken("a store that is being filled is not walked through")

    def scan_down(self, prefix: bytes, *, before: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """As `scan`."""
        raise InvariantBroken("a store that is being filled is not walked through")


def _places(key: bytes) -> tuple[int, int, int]:
    """Three bits of the filter: of a hash, and of it with another one added once and twice."""
    # All but a feed's keys end with a SHA-256 already, and nobody gains by choosing its end.
    tail = hashlib.blake2b(key, digest_size=8).digest() if key[:1] == keyspace.FEED else key[-8:]
    hashed = int.from_bytes(tail, "big")
    first, step = hashed & _HALF, hashed >> 32
    return first % FILTER_BITS, (first + step) % FILTER_BITS, (first + 2 * step) % FILTER_BITS
