"""From archives to a store: planned, checked whole, then written.

```
examine each ─> plan: one chain, of this node ─> check: replay in memory ─> apply in bounded commits ─> verify
```

Nothing is written before everything was checked. What is written never takes anything away: an empty store is filled,
a store of the same node gets what it lacks, nothing is rewound. A store that this program filled from a backup, and
that nobody has written to since, also takes over pins, lifetimes and local rows of what is put in: so an interrupted
restore is done again, and incremental backups may follow later.

A store that is filled is held (`stores.restored`): its node may have authored more than the backup knows.

Every block goes through `services.acceptance`, as from any other source; no key is needed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from icn.domain.context import EventRefused
from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, InvariantBroken, Kind, PeerViolation, Refusal, require
from icn.kernel.ids import Cid, Did
from icn.services import acceptance, rows
from icn.services.archive_check import Examined, Replay, ReplayRefused, federation_of, known_parts
from icn.services.intake import Intake
from icn.services.state import State
from icn.stores import archive, backups, blocks, contents, keyspace, restored, schema
from icn.stores.archive import (
    BEGINNING,
    ArchiveDamaged,
    ArchiveKind,
    ContentLine,
    Manifest,
    Position,
    read_car,
)
from icn.stores.kv import Batch, Fence, KeyValueStore, Reader

COMMIT_BYTES = 16 * 1024 * 1024
"""After so many a commit is made."""
COMMIT_OPERATIONS_MAX = 20_000
"""And after so many operations, however small."""


class ForeignArchive(Refusal):
    """The archive is another node's, or of another federation than the store."""

    code: ClassVar[str] = "archive.foreign"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class ChainBroken(Refusal):
    """The archives do not make up a whole: something between them is in none."""

    code: ClassVar[str] = "archive.chain_broken"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Link:
    """An archive of a chain, examined."""

    examined: Examined
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be put where."""

    chain: tuple[Link, ...]
    unused: tuple[str, ...]
    """Archives that were given, and that the chain does not need."""
    owner: Did
    """Whose store it is, or will be."""
    is_own: bool
    """Whether that is the node of the archives."""
    fills: bool
    """The store is empty, or holds a backup and nothing else: then pins, lifetimes and local rows are taken over."""

    @property
    def newest(self) -> Manifest:
        """What the chain leads to."""
        return self.chain[-1].manifest


@dataclass(slots=True)
class Restored:
    """What was written, counted as it was."""

    blocks: int = 0
    blocks_known: int = 0
    evidence: int = 0
    content: int = 0
    content_changed: int = 0
    content_known: int = 0
    content_bytes: int = 0
    local: int = 0
    commits: int = 0


def plan(examined: Sequence[Examined], target: Reader, *, configured: Did | None, as_new: bool) -> Plan:
    """Choose and order the archives for the store `target`.

    `configured`: the node's own DID, where its key or the configuration tells. `as_new`: the store becomes that node's,
    and holds the archive's node as another one.

    Raises:
        ArchiveDamaged: one of them has findings.
        ForeignArchive, ChainBroken: they do not belong to the store, or not together.
        StoreNewer, StoreOlder: the store has another format.
    """
    schema.require_current(target)
    links = {one.sha256: Link(one, one.whole()) for one in examined}
    origin, store_id = backups.origin_of(target), schema.store_id(target)
    first = next(iter(links.values())).manifest
    _check_alike(list(links.values()))
    owner = _owner(first, target, configured, as_new=as_new)
    _check_federation(first, target)
    here = _next(target)
    covered, of_manifest = None, None
    if origin is not None and origin.store == first.store:
        covered, of_manifest = origin.to, origin.manifest
    elif store_id is not None and store_id.hex() == first.store:
        covered = here
    chain = _chain(list(links.values()), covered, of_manifest)
    fills = schema.owner_of(target) is None or (origin is not None and origin.own == here)
    used = {link.examined.sha256 for link in chain}
    unused = tuple(one.archive.name for one in examined if one.sha256 not in used)
    return Plan(tuple(chain), unused, owner, owner == first.node, fills)


def check(planned: Plan, target: Reader, on_bytes: Callable[[int], None]) -> int:
    """Replay the chain in memory: by itself where it begins at the beginning, and on top of what is in `target`.

    Gives how many blocks the store would get. Raises `ArchiveDamaged`.
    """
    federation = federation_of(planned.newest)
    is_empty = blocks.last_arrival(target) < 0
    begins = planned.chain[0].manifest.kind is ArchiveKind.FULL
    added = 0
    if begins:
        added = _replay(planned, Intake(State(), federation), on_bytes)
    if not begins or not is_empty:
        added = _replay(planned, Intake(rows.load(target), federation, target), on_bytes)
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
    writing = _Writing(planned, store, store.claim())
    writing.begin(store_id)
    for link in planned.chain:
        is_last = link is planned.chain[-1]
        if is_last and planned.fills and planned.is_own:
            writing.drop_local()
        for name, data in known_parts(link.examined.archive, link.manifest):
            writing.take(name, data, with_local=is_last and planned.fills and planned.is_own)
            on_bytes(len(data))
    writing.end(no_newer_blocks=no_newer_blocks)
    return writing.done


# Planning


def _next(reader: Reader) -> Position:
    return Position(blocks.last_arrival(reader) + 1, contents.next_change(reader.get))


def _check_alike(links: list[Link]) -> None:
    first = links[0]
    for link in links[1:]:
        if link.manifest.store != first.manifest.store:
            raise ChainBroken(
                f"{link.examined.archive.name} and {first.examined.archive.name} are backups of different stores: "
                "give those of one"
            )
        if link.manifest.node != first.manifest.node:
            raise ForeignArchive(
                f"{link.examined.archive.name} is a backup of {link.manifest.node}, {first.examined.archive.name} of "
                f"{first.manifest.node}"
            )


def _owner(manifest: Manifest, target: Reader, configured: Did | None, *, as_new: bool) -> Did:
    stored = schema.owner_of(target)
    if as_new and configured is None:
        raise ForeignArchive("--as-new needs the key of the node that the store is to be: make it, or put it in place")
    owner = configured if as_new and configured is not None else manifest.node
    if not as_new and configured is not None and configured != manifest.node:
        raise ForeignArchive(
            f"the backup is of {manifest.node}, this node's key is {configured}: put that node's key in place, or give "
            "--as-new to keep this key and take the backup as another node's history"
        )
    if stored is not None and stored != owner.text:
        raise ForeignArchive(f"the store belongs to {stored}, the backup would make it one of {owner}: use another one")
    return owner


def _check_federation(manifest: Manifest, target: Reader) -> None:
    federation = rows.load_federation(target)
    if federation is None:
        return
    named = None if manifest.federation is None else manifest.federation.id
    if named is not None and str(federation.id) != named:
        raise ForeignArchive(
            f"the backup is of the federation {named}, the store of {federation.id}: restore into an empty store"
        )


def _chain(links: list[Link], covered: Position | None, of_manifest: str | None) -> list[Link]:
    """The links that are needed, in order. Raises `ChainBroken`, which names what is missing."""
    links = sorted(links, key=_order)
    starts = [place for place, link in enumerate(links) if link.manifest.kind is ArchiveKind.FULL]
    known = {of_manifest: None}
    if starts:
        chain, rest = [links[starts[-1]]], links[starts[-1] + 1 :]
    elif covered is not None:
        chain, rest = [], [link for link in links if not covered.covers(link.manifest.to)] or links[-1:]
    else:
        named = ", ".join(link.examined.archive.name for link in links)
        raise ChainBroken(f"{named}: an incremental backup needs the full one that it goes on from: give that too")
    reached = chain[0].manifest.to if chain else covered or BEGINNING
    when = chain[0].manifest.created if chain else "that in the store"
    known.update((link.examined.sha256, None) for link in chain)
    for link in rest:
        manifest = link.manifest
        if not reached.covers(manifest.since):
            raise ChainBroken(
                f"a backup is missing between that of {when} and {link.examined.archive.name} of {manifest.created}: "
                f"{_gap(reached, manifest.since)} are in none"
            )
        if manifest.parent is not None and manifest.parent not in known and starts:
            raise ChainBroken(
                f"{link.examined.archive.name} goes on from the backup with manifest {manifest.parent}, which is not "
                f"given; the one before it here is that of {when}"
            )
        chain.append(link)
        known[link.examined.sha256] = None
        reached = Position(max(reached.arrival, manifest.to.arrival), max(reached.change, manifest.to.change))
        when = manifest.created
    return chain


def _order(link: Link) -> tuple[int, int, str]:
    return link.manifest.to.arrival, link.manifest.to.change, link.manifest.created


def _gap(reached: Position, since: Position) -> str:
    gaps = []
    if reached.arrival < since.arrival:
        gaps.append(f"blocks {reached.arrival} to {since.arrival - 1}")
    if reached.change < since.change:
        gaps.append(f"changes of content {reached.change} to {since.change - 1}")
    return " and ".join(gaps)


# Checking


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
    for name, data in known_parts(link.examined.archive, link.manifest):
        if name.startswith("content/") and name.endswith(".jsonl"):
            yield from archive.read_content_lines(data)


# Writing


class _Writing:
    """Commits what it is given, in order, in bounded batches."""

    def __init__(self, planned: Plan, store: KeyValueStore, fence: Fence) -> None:
        self.done = Restored()
        self._plan = planned
        self._store = store
        self._fence = fence
        self._batch = Batch()
        self._bytes = 0
        self._intake = Intake(State(), federation_of(planned.newest), store)
        self._grew = False
        """Whether the batch holds blocks, whose rows are to be saved with it."""
        self._lines: dict[Cid, ContentLine] = {}

    def begin(self, store_id: bytes) -> None:
        """Make the store this node's, and say that it is being restored, before anything is in it."""
        first = schema.check_or_claim(self._store, self._plan.owner, store_id)
        if self._plan.fills:
            if self._plan.is_own:
                restored.mark_restored(first)
            self._note_origin(first, finished=False)
        if len(first):
            self._store.commit(first, self._fence)
        self._intake.state = rows.load(self._store)

    def take(self, name: str, data: bytes, *, with_local: bool) -> None:
        """A part of an archive."""
        folder, _, _ = name.partition("/")
        if folder == "blocks":
            for cid, block in read_car(data):
                self._take_block(cid, block)
        elif folder == "evidence":
            for cid, block in read_car(data):
                self._take_evidence(cid, block)
        elif folder == "content" and name.endswith(".jsonl"):
            self._take_lines(data)
        elif folder == "content":
            for cid, content in read_car(data):
                self._take_content(self._lines.pop(cid), content)
        elif folder == "local" and with_local:
            for key, value in archive.read_local_lines(data):
                self._put(key, value)
                self.done.local += 1

    def drop_local(self) -> None:
        """Make room for the local rows of the newest archive: what was sent or answered before it is not to return."""
        for prefix in archive.LOCAL_TABLES.values():
            for key, _ in self._store.scan(prefix):
                self._batch.delete(key)
                self._commit_if_due()

    def end(self, *, no_newer_blocks: bool) -> None:
        """The last commit."""
        if self._plan.fills:
            if no_newer_blocks:
                restored.clear_restored(self._batch)
            self._note_origin(self._batch, finished=True)
        self._commit()

    def _take_block(self, cid: Cid, data: bytes) -> None:
        if self._intake.knows(cid):
            self.done.blocks_known += 1
            return
        try:
            block = parse_block(data)
            clock, records = self._intake.take(block, genuine=True)  # checked in the replay, and unchanged since
        except (Invalid, PeerViolation, EventRefused) as error:
            raise InvariantBroken(f"a block that was accepted in the replay is not any more: {error}") from error
        acceptance.keep(self._intake.state, self._batch, block, clock, records)
        if block.header.author == self._plan.owner and not self._plan.fills:
            restored.mark_restored(self._batch)  # the store lacked blocks that its own node had signed
        self._grew = True
        self._bytes += len(data)
        self.done.blocks += 1
        self._commit_if_due()

    def _take_evidence(self, cid: Cid, data: bytes) -> None:
        if self._store.get(keyspace.evidence(cid)) is None:
            block = parse_block(data)
            if self._intake.proves_fork(block):
                blocks.put_evidence(self._batch, block)
                self._bytes += len(data)
                self.done.evidence += 1
                self._commit_if_due()

    def _take_lines(self, data: bytes) -> None:
        self._lines = {}
        for line in archive.read_content_lines(data):
            if line.has_bytes:
                self._lines[line.cid] = line
            else:
                self._take_content(line, None)

    def _take_content(self, line: ContentLine, data: bytes | None) -> None:
        known = self._get(keyspace.content_meta(line.cid))
        if known is None:
            if data is not None:
                contents.put_content(
                    self._get,
                    self._batch,
                    line.cid,
                    data,
                    stored_at=line.stored_at,
                    pinned=line.pinned,
                    expires_at=line.expires_at,
                )
                self.done.content += 1
                self.done.content_bytes += len(data)
                self._bytes += len(data)
        else:
            meta = contents.read_content_meta(known)
            due = (line.stored_at, line.pinned, line.expires_at)
            if self._plan.fills and (meta.stored_at, meta.pinned, meta.expires_at) != due:
                changed = contents.change_content(
                    self._get, self._batch, line.cid, pinned=line.pinned, expires_at=line.expires_at
                )
                # Stored anew since, where it had been removed between two backups.
                contents.write_meta(self._batch, line.cid, replace(changed, stored_at=line.stored_at))
                self.done.content_changed += 1
            else:
                self.done.content_known += 1
        self._commit_if_due()

    def _get(self, key: bytes) -> bytes | None:
        if key in self._batch.operations:
            return self._batch.operations[key]
        return self._store.get(key)

    def _put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)
        self._bytes += len(key) + len(value)
        self._commit_if_due()

    def _commit_if_due(self) -> None:
        if self._bytes >= COMMIT_BYTES or len(self._batch) >= COMMIT_OPERATIONS_MAX:
            if self._plan.fills:
                self._note_origin(self._batch, finished=False)
            self._commit()

    def _commit(self) -> None:
        state = self._intake.state
        if self._grew:
            require(state.ledger.supply.is_balanced, "mana is neither created nor lost outside a named record")
            rows.save(state, self._batch)
        if len(self._batch):
            self._store.commit(self._batch, self._fence)
            self.done.commits += 1
        self._intake.forget()
        self._batch, self._bytes, self._grew = Batch(), 0, False

    def _note_origin(self, batch: Batch, *, finished: bool) -> None:
        """Where the store stands after this commit; what it was restored from, once that is whole."""
        own = Position(self._intake.state.last_arrival + 1, contents.next_change(self._get))
        if batch is not self._batch:  # the first commit: nothing was taken yet
            own = _next(self._store)
        newest, sha256 = self._plan.newest, self._plan.chain[-1].examined.sha256
        origin = backups.origin_of(self._store)
        if finished:
            origin = backups.Origin(newest.store, sha256, newest.to, own)
        elif origin is None:
            origin = backups.Origin(newest.store, "", BEGINNING, own)
        backups.put_origin(batch, replace(origin, own=own))
