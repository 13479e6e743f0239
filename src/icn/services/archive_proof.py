"""What the signed blocks of an archive prove: signatures, feeds, links and rules, by replay; then heads, root, ledger.

```
 one archive alone   ─> prove: read once, examined as it is read, and replayed as a stage of its own (`stage`)
 a chain of archives ─> Replay.take, one archive after the other, each examined before
```

An incremental archive cannot be replayed without those before it: signatures and the order of its feeds are checked.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

from icn.domain.context import EventRefused
from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation
from icn.kernel.ids import Cid, Did
from icn.services import rows
from icn.services.ahead import Ahead
from icn.services.archive_check import (
    Archive,
    Examination,
    Examined,
    Items,
    claimed,
    examine,
    known_parts,
)
from icn.services.backup import digest_of
from icn.services.intake import Choice, Intake
from icn.services.stage import Elsewhere
from icn.services.state import State
from icn.services.verify import Finding
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


def prove(source: Archive, on_bytes: Callable[[int], None], ahead: Ahead, elsewhere: Elsewhere) -> Examined:
    """Examine an archive and prove its blocks; what they do not prove is a finding where there is no other.

    Reads once where the archive says beforehand what it claims to be, else twice. `ahead`, `elsewhere`: who reads, and
    who proves. Raises `ArchiveNewer`, and faults of the machine.
    """
    claim = claimed(source) or examine(source, on_bytes)
    if claim.manifest is None or claim.findings_total:
        return claim
    run = Examination()
    with elsewhere(_Proving(_proof_of(claim.manifest))) as proving:
        with run.noting(), contextlib.closing(ahead(run.follow(source))) as entries:
            for part, items in entries:
                if items.signed or items.evidence:
                    proving.take((part.name, Items(signed=items.signed, evidence=items.evidence)))
                on_bytes(part.size)
        if not run.total and run.sha256 != claim.sha256:
            run.note(MANIFEST, "is not what the archive seemed to be, or has changed since")
        wrong = None if run.total else proving.end()
    if wrong is not None:
        run.note(wrong.where, wrong.what)
    return run.examined(source)


class _Proving:
    """A proof, up to the first thing that it does not show. Satisfies `stage.Stage`."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof
        self._wrong: Finding | None = None

    def take(self, entry: tuple[str, Items]) -> None:
        """See `Stage`."""
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


def _proof_of(manifest: Manifest) -> Proof:
    if manifest.kind is ArchiveKind.FULL:
        return _ReplayProof(manifest)
    return _FeedsProof(manifest)


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
                self._take_one(f"block {number} ({cid})", data)
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

    def _take_one(self, where: str, data: bytes) -> None:
        state = self._intake.state
        try:
            block = parse_block(data)
            clock, _ = self._intake.take(block)
        except (Invalid, PeerViolation, EventRefused, InvariantBroken) as error:
            raise ReplayRefused(where, f"is against the rules: {error}") from error
        if self._intake.is_side(block):
            state.feeds.put_aside(block)
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
        if cut is not None and header.sequence >= cut.sequence and cid not in self._choice.kept[header.author]:
            return  # in no feed, because its author forked
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
