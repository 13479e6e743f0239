"""What the signed blocks of an archive prove: signatures, feeds, links and rules, by replay; then heads, root, ledger.

```
 one archive alone   ─> Proving: entry by entry, as `archive_proving` examines them
 a chain of archives ─> Replay.take, one archive after the other, each examined before
```

An incremental archive cannot be replayed without those before it: signatures and the order of its feeds are checked.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

from icn.domain.context import EventRefused
from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services import rows
from icn.services.archive_check import (
    Archive,
    Items,
    known_parts,
)
from icn.services.backup import digest_of
from icn.services.findings import Finding
from icn.services.intake import Choice, Intake
from icn.services.state import State
from icn.stores.archive import MANIFEST, ArchiveKind, Manifest, Part
from icn.stores.archive_parts import read_car
from icn.stores.blocks import clock_of_entries
from icn.stores.kv import Batch

BLOCKS_PER_SAVE = 1000
"""After so many the replay lets go of the rows of what has ended."""

Entries = Iterator[tuple[Part, Items]]


class ReplayRefused(Exception):
    """The replay of an archive met something that can never be accepted."""

    def __init__(self, where: str, what: str) -> None:
        self.where = where
        self.what = what
        super().__init__(f"{where}: {what}")


class Proof(Protocol):
    """What is proved of the blocks of one archive, entry by entry."""

    def take(self, name: str, items: Items) -> None:
        """The next entry, which was examined. Raises `ReplayRefused`."""

    def end(self) -> None:
        """There are no more, and nothing was wrong. Raises `ReplayRefused`."""


class Proving:
    """What the blocks of one archive do not prove, up to the first thing. Satisfies `stage.Stage`."""

    def __init__(self, manifest: Manifest) -> None:
        """`manifest`: what the archive claims to be."""
        is_full = manifest.kind is ArchiveKind.FULL
        self._proof: Proof = _ReplayProof(manifest) if is_full else _FeedsProof(manifest)
        self._wrong: Finding | None = None

    def take(self, entry: tuple[str, Items]) -> None:
        """See `Stage`: the name of an entry, which was examined, and what it holds."""
        if self._wrong is None:
            self._note(partial(self._proof.take, *entry))

    def end(self) -> Finding | None:
        """See `Stage`."""
        if self._wrong is None:
            self._note(self._proof.end)
        return self._wrong

    def abandon(self) -> None:
        """See `Stage`."""

    def _note(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ReplayRefused as refused:
            self._wrong = Finding(refused.where, refused.what)


class Replay:
    """A state that the blocks of a chain of archives lead to."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._count = 0
        self.added = 0
        """Blocks that were not known."""

    def take(self, source: Archive, manifest: Manifest, on_bytes: Callable[[int], None]) -> None:
        """All blocks of the next archive. Raises `ReplayRefused`, `ArchiveDamaged`."""
        number = manifest.since.arrival
        for part, held in known_parts(source, manifest):
            on_bytes(part.size)
            folder = part.name.partition("/")[0]
            if folder == "evidence":
                self.take_evidence(part.name, read_car(held))
            elif folder == "blocks":
                number = self.take_blocks(number, read_car(held))
        require_reached(self._intake.state, manifest, may_be_ahead=self._intake.store is not None)

    def take_blocks(self, number: int, found: Iterable[tuple[Cid, bytes]]) -> int:
        """Signed blocks, the first of which is the journal's `number`; gives the next. Raises `ReplayRefused`."""
        for cid, data in found:
            if not self._intake.knows(cid):
                self._take_one(number, cid, data)
            number += 1
        return number

    def take_evidence(self, name: str, found: Iterable[tuple[Cid, bytes]]) -> None:
        """Blocks beside the feeds. Raises `ReplayRefused`."""
        for cid, data in found:
            try:
                proves = self._intake.proves_fork(parse_block(data))
            except Invalid:
                proves = False
            if not proves:
                raise ReplayRefused(name, f"block {cid} proves no fork of any feed")

    def _take_one(self, number: int, cid: Cid, data: bytes) -> None:
        state = self._intake.state
        try:
            block = parse_block(data)
            clock, _ = self._intake.take(block)
        except (Invalid, PeerViolation, EventRefused, InvariantBroken) as error:
            raise ReplayRefused(f"block {number} ({cid})", f"is against the rules: {error}") from error
        if self._intake.is_side(block):
            state.feeds.put_aside(block, is_branch=self._intake.is_branch(block))
        else:
            state.feeds.advance(block, clock)
        state.last_arrival += 1
        self.added += 1
        self._count += 1
        if self._count % BLOCKS_PER_SAVE == 0:
            rows.save(state, Batch())


class _ReplayProof:
    """A full archive: all of it is replayed. Satisfies `Proof`."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._intake = Intake.begin(manifest)
        self._replay = Replay(self._intake)
        self._number = manifest.since.arrival

    def take(self, name: str, items: Items) -> None:
        """See `Proof`."""
        self._number = self._replay.take_blocks(self._number, items.signed)
        self._replay.take_evidence(name, items.evidence)

    def end(self) -> None:
        """See `Proof`."""
        require_reached(self._intake.state, self._manifest, may_be_ahead=False)
        require_chosen(self._intake)


class _FeedsProof:
    """An incremental archive: what its blocks build on is not here. Satisfies `Proof`."""

    def __init__(self, manifest: Manifest) -> None:
        self._due = clock_of_entries(manifest.clock_to)
        self._choice = Choice.of(manifest)
        self._counts = clock_of_entries(manifest.clock_since)
        self._newest: dict[Did, Cid] = {}
        self._number = manifest.since.arrival

    def take(self, _name: str, items: Items) -> None:
        """See `Proof`."""
        for cid, data in items.signed:
            self._take_one(f"block {self._number} ({cid})", cid, data)
            self._number += 1

    def end(self) -> None:
        """See `Proof`."""
        if self._counts != self._due:
            raise ReplayRefused(MANIFEST, "the blocks do not reach the feeds it names")

    def _take_one(self, where: str, cid: Cid, data: bytes) -> None:
        try:
            block = parse_block(data)
        except Invalid as error:
            raise ReplayRefused(where, str(error)) from error
        header = block.header
        if not block.is_genuine():
            raise ReplayRefused(where, f"is not signed by its author {header.author}")
        cut = self._choice.cuts.get(header.author)
        if cut is not None and header.sequence >= cut.sequence and cid not in self._choice.kept.get(header.author, ()):
            return  # in no feed, because its author forked or was removed
        follows = self._newest.get(header.author)
        if header.sequence != self._counts.get(header.author, 0) or follows not in {None, header.previous}:
            raise ReplayRefused(where, f"is not the next block of {header.author}")
        self._counts[header.author], self._newest[header.author] = header.sequence + 1, cid


def require_reached(state: State, manifest: Manifest, *, may_be_ahead: bool) -> None:
    """Raise `ReplayRefused` unless the blocks taken lead to what the manifest says they do.

    `may_be_ahead`: there were others before them. An archive that knows of fewer forks than the newest one of its chain
    is not asked: what it counted does not count any more.
    """
    if dict(Choice.of(manifest).cuts) != state.cuts:
        return
    clock, due = state.feeds.clock(), clock_of_entries(manifest.clock_to)
    if clock == due:
        _compare(state, manifest)
    elif not (may_be_ahead and all(clock.get(author, 0) >= count for author, count in due.items())):
        raise ReplayRefused(MANIFEST, "the blocks do not reach the feeds it names")


def require_chosen(intake: Intake) -> None:
    """Raise `ReplayRefused` unless all blocks taken show the forks that the newest archive names."""
    try:
        intake.check_choice()
    except PeerViolation as error:
        raise ReplayRefused(MANIFEST, str(error)) from error


def _compare(state: State, manifest: Manifest) -> None:
    heads = {head.author: (head.sequence, head.cid) for head in manifest.heads}
    if heads != {author: (head.sequence, str(head.cid)) for author, head in state.feeds.heads.items()}:
        raise ReplayRefused(MANIFEST, "its heads are not those that the blocks lead to")
    if state.feeds.root() != manifest.root:
        raise ReplayRefused(MANIFEST, f"its root is {manifest.root}, the blocks lead to {state.feeds.root()}")
    federation = state.federation.federation
    named = None if manifest.federation is None else (manifest.federation.id, manifest.federation.name)
    if named != (None if federation is None else (str(federation.id), federation.name)):
        raise ReplayRefused(MANIFEST, "its federation is not that of the blocks")
    if not state.ledger.supply.is_balanced:
        raise ReplayRefused("ledger", "mana was created or lost outside a named record")
    accounts = Batch()
    for (owner, home), account in state.ledger.accounts.items():
        rows.ACCOUNTS.put(accounts, rows.account_key(owner, home), account)
    pairs = ((key, value) for key, value in sorted(accounts.operations.items()) if value is not None)
    if digest_of(state.ledger.supply, pairs) != manifest.ledger:
        raise ReplayRefused(MANIFEST, "its ledger is not the one that the blocks lead to")
