"""What archives hold, written: one bounded batch after the other.

| | writes |
|---|---|
| `SignedWriting` | signed blocks, evidence, and the rows of the state that the blocks lead to |
| `ContentWriting` | content, and rows that the journal does not tell |
| `Writing` | both, in the order of the archive, into a store that is open (`restore`) |

Where the batches go is the caller's business. The first two put nothing under one key but the same value, so that a
store which nobody sees before it is whole can be filled by both at the same time (`filling`).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from icn.domain.context import EventRefused
from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation, require
from icn.kernel.ids import RAW, Cid, Did
from icn.services import acceptance, rows
from icn.services.archive_check import Items
from icn.services.archive_proof import ReplayRefused
from icn.services.beginning import Views, with_views
from icn.services.intake import Intake
from icn.services.restore_plan import ChainBroken, Link, Plan
from icn.stores import archive_parts, backups, blocks, contents, keyspace, references, restored, schema
from icn.stores.archive import BEGINNING, Position
from icn.stores.archive_parts import ContentLine
from icn.stores.kv import Batch, Reader

Commit = Callable[[Batch, Views], None]
COMMIT_OPERATIONS_MAX = 20_000
"""A batch ends after so many operations, however small."""


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
    mended: int = 0
    """Blocks of both kinds that were there with other bytes than those of their names, or none."""
    local: int = 0
    commits: int = 0

    def with_more(self, other: "Restored") -> "Restored":
        """The two together."""
        return Restored(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


class Commits:
    """The batch under way, which is committed when it is long enough."""

    def __init__(
        self,
        store: Reader,
        commit: Callable[[Batch, Views], None],
        *,
        commit_bytes: int,
        ending: Callable[[Batch], None],
    ) -> None:
        """`store`: as it is after the commits so far. `ending`: adds what a batch must have before it is committed."""
        self.store = store
        self.batch = Batch()
        self.count = 0
        self._commit = commit
        self._commit_bytes = commit_bytes
        self._ending = ending
        self._views: dict[bytes, memoryview] = {}
        self._bytes = 0

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` as it will be after the next commit."""
        if key in self.batch.operations:
            return self.batch.operations[key]
        view = self._views.get(key)
        return self.store.get(key) if view is None else bytes(view)

    def put(self, key: bytes, value: bytes | memoryview) -> None:
        """Set `key` to `value`, which is not copied here."""
        if isinstance(value, memoryview):
            self._views[key] = value
        else:
            self.batch.put(key, value)

    def grew(self, size: int) -> None:
        """The batch has so many bytes more, and may be due."""
        self._bytes += size
        if self._bytes >= self._commit_bytes or len(self.batch) + len(self._views) >= COMMIT_OPERATIONS_MAX:
            self.commit()

    def let_go(self) -> None:
        """Commit what only is looked at, so that the part of the archive in which it stands can be freed."""
        if self._views:
            self.commit()

    def commit(self) -> None:
        """Whatever there is."""
        self._ending(self.batch)
        if len(self.batch) or self._views:
            self._commit(self.batch, self._views)
            self.count += 1
        self.batch, self._views, self._bytes = Batch(), {}, 0


class SignedWriting:
    """Takes the signed blocks of a chain of archives in order."""

    def __init__(self, planned: Plan, intake: Intake, commits: Commits, *, is_checked: bool) -> None:
        """`intake`: the state of the store that is written to. `is_checked`: signatures are known as good.

        Each batch is given to `save` before it is committed.
        """
        self.done = Restored()
        self.intake = intake
        self._plan = planned
        self._commits = commits
        self._is_checked = is_checked
        self._grew = False
        """Whether the batch holds blocks, whose rows are to be saved with it."""
        self._fed: dict[Did, None] = {}
        """Whose feeds have blocks in the batch."""
        self._number = 0
        """Of the next signed block, in the journal that was backed up."""

    def begin_link(self, link: Link) -> None:
        """The next archive."""
        self._number = link.manifest.since.arrival

    def take(self, items: Items) -> None:
        """The signed blocks and evidence of the next entry. Raises `ReplayRefused`."""
        for cid, data in items.signed:
            self._take_block(cid, data)
        for cid, data in items.evidence:
            self._take_evidence(cid, data)

    def save(self, batch: Batch) -> None:
        """Add the rows that the blocks since the last commit have changed: the batch is committed next."""
        if self._grew:
            state = self.intake.state
            require(state.ledger.supply.is_balanced, "mana is neither created nor lost outside a named record")
            rows.save_cuts(state, batch)
            if self.intake.store is not None:
                rows.forget_ended(state, batch, self.intake.store)
            rows.save(state, batch)
            for author in self._fed:
                rows.save_head(state, batch, author)
        self._grew, self._fed = False, {}
        self.intake.forget()

    def _take_block(self, cid: Cid, data: bytes) -> None:
        number, self._number = self._number, self._number + 1
        if self.intake.knows(cid):
            self.done.blocks_known += 1
            return
        try:
            block = parse_block(data)
            clock, records = self.intake.take(block, genuine=self._is_checked)
        except (Invalid, PeerViolation, EventRefused, InvariantBroken) as error:
            raise ReplayRefused(f"block {number} ({cid})", f"is against the rules: {error}") from error
        batch = self._commits.batch
        is_side, is_branch = self.intake.is_side(block), self.intake.is_branch(block)
        acceptance.keep_in_journal(
            self.intake.state, batch, block, clock, records, is_side=is_side, is_branch=is_branch
        )
        if not is_side:
            self._fed[block.header.author] = None
        if block.header.author == self._plan.owner and not (self._plan.fills and self._plan.is_own):
            # The store lacked blocks that its own node had signed, or has them from another node: there may be more.
            restored.mark_restored(batch)
        self._grew = True
        self.done.blocks += 1
        self._commits.grew(len(data))

    def _take_evidence(self, cid: Cid, data: bytes) -> None:
        if self._commits.get(keyspace.evidence(cid)) is not None:
            return
        try:
            block = parse_block(data)
        except Invalid as error:
            raise ReplayRefused(f"block {cid}", f"is against the rules: {error}") from error
        if not self.intake.proves_fork(block):
            raise ReplayRefused(f"block {cid}", "proves no fork of any feed")
        blocks.put_evidence(self._commits.batch, block)
        self.done.evidence += 1
        self._commits.grew(len(data))


class ContentWriting:
    """Takes the content, and the rows that the journal does not tell, of a chain of archives in order."""

    def __init__(self, planned: Plan, commits: Commits) -> None:
        self.done = Restored()
        self.takes_local = False
        """Whether the rows that the journal does not tell are those of the archive under way."""
        self._plan = planned
        self._commits = commits
        self._link = planned.chain[0]

    def begin_link(self, link: Link) -> None:
        """The next archive."""
        self._link = link
        is_last = link is self._plan.chain[-1]
        self.takes_local = is_last and self._plan.fills and self._plan.is_own

    def take(self, items: Items) -> None:
        """Content and local rows of the next entry. Raises `ChainBroken`."""
        for line, content in items.content:
            self._take_content(line, content)
        if self.takes_local:
            for key, value in items.local:
                self._commits.batch.put(key, value)
                self._commits.grew(len(key) + len(value))
                self.done.local += 1

    def drop_local(self, reader: Reader) -> None:
        """Make room for the local rows of the newest archive: what was sent or answered before it is not to return."""
        for prefix in archive_parts.LOCAL_TABLES.values():
            for key, _ in reader.scan(prefix):
                self._commits.batch.delete(key)
                self._commits.grew(0)

    def _take_content(self, line: ContentLine, data: bytes | memoryview | None) -> None:
        known = self._commits.get(keyspace.content_meta(line.cid))
        size = 0
        if known is not None:
            self._take_known(line, contents.read_content_meta(known))
        elif data is None:
            self._require_elsewhere(line)
        else:
            size = len(data)
            contents.put_meta(
                self._commits.get,
                self._commits.batch,
                line.cid,
                size,
                stored_at=line.stored_at,
                pinned=line.pinned,
                expires_at=line.expires_at,
            )
            if line.cid.codec != RAW:  # whose bytes link to nothing
                references.put_links(self._commits.batch, line.cid, bytes(data))
            self._commits.put(keyspace.block(line.cid), data)
            self.done.content += 1
            self.done.content_bytes += size
        self._commits.grew(size)

    def _require_elsewhere(self, line: ContentLine) -> None:
        """A store that was written to since may have removed it; one that is filled must have it from before."""
        if self._plan.fills:
            raise ChainBroken(
                f"{self._link.examined.archive.name} names content {line.cid} without its bytes, and no earlier backup "
                "given has them"
            )

    def _take_known(self, line: ContentLine, meta: contents.ContentMeta) -> None:
        due = (line.stored_at, line.pinned, line.expires_at)
        if not self._plan.fills or (meta.stored_at, meta.pinned, meta.expires_at) == due:
            self.done.content_known += 1
            return
        changed = contents.change_content(
            self._commits.get, self._commits.batch, line.cid, pinned=line.pinned, expires_at=line.expires_at
        )
        # Stored anew since, where it had been removed between two backups.
        contents.write_meta(self._commits.batch, line.cid, replace(changed, stored_at=line.stored_at))
        self.done.content_changed += 1


class Writing:
    """Takes the items of a chain of archives in order, into a store that others may look into between two commits."""

    def __init__(self, planned: Plan, intake: Intake, commit: Callable[[Batch], None], *, commit_bytes: int) -> None:
        """`intake`: the state of the store, and the store to look into. Signatures are known as good."""
        self._plan = planned
        self._commit = commit
        self._commits = Commits(store_of(intake), self._commit_all, commit_bytes=commit_bytes, ending=self._end_batch)
        self._signed = SignedWriting(planned, intake, self._commits, is_checked=True)
        self._content = ContentWriting(planned, self._commits)
        self._mended = 0
        self._ends = False

    @property
    def done(self) -> Restored:
        """What was written."""
        done = self._signed.done.with_more(self._content.done)
        return replace(done, mended=self._mended, commits=self._commits.count)

    def begin(self, store_id: bytes) -> None:
        """Make the store this node's, and say that it is being restored, before anything is in it."""
        first = first_rows(self._plan, self._commits.store, store_id, self._position())
        if len(first):
            self._commit(first)

    def begin_link(self, link: Link) -> None:
        """The next archive."""
        self._signed.begin_link(link)
        self._content.begin_link(link)
        if self._content.takes_local:
            self._content.drop_local(self._commits.store)

    def take(self, items: Items) -> None:
        """What the next entry of the archive holds. Raises `ReplayRefused`, `ChainBroken`."""
        for cid, data in items.signed:
            self._mend(keyspace.block_meta(cid), cid, data)
        for cid, data in items.evidence:
            self._mend(keyspace.evidence(cid), cid, data)
        for line, content in items.content:
            if content is not None:
                self._mend(keyspace.content_meta(line.cid), line.cid, content)
        self._signed.take(items)
        self._content.take(items)

    def end(self, *, no_newer_blocks: bool) -> None:
        """The last commit."""
        self._ends = True
        put_last_rows(self._plan, self._commits, self._position(), no_newer_blocks=no_newer_blocks)
        self._commits.commit()

    def _mend(self, kept_as: bytes, cid: Cid, data: bytes | memoryview) -> None:
        """Write the bytes of a block that is in the store, where the disk has others, or none."""
        if self._commits.get(kept_as) is not None and self._commits.get(keyspace.block(cid)) != data:
            self._commits.batch.put(keyspace.block(cid), bytes(data))
            self._commits.grew(len(data))
            self._mended += 1

    def _commit_all(self, batch: Batch, views: Views) -> None:
        self._commit(with_views(batch, views))

    def _end_batch(self, batch: Batch) -> None:
        if self._plan.fills and not self._ends:
            _put_origin(self._plan, batch, self._commits.store, self._position(), finished=False)
        self._signed.save(batch)

    def _position(self) -> Position:
        last = self._signed.intake.state.last_arrival
        return Position(last + 1, contents.next_change(self._commits.get))


def store_of(intake: Intake) -> Reader:
    """Where what is written is looked up."""
    if intake.store is None:
        raise InvariantBroken("what is written is looked up where it goes")
    return intake.store


def first_rows(planned: Plan, store: Reader, store_id: bytes, own: Position) -> Batch:
    """What makes the store this node's and says that it is being restored: to be committed before anything else.

    `own`: where the store stands.
    """
    first = schema.check_or_claim(store, planned.owner, store_id)
    if planned.fills:
        if planned.is_own:
            restored.mark_restored(first)
        _put_origin(planned, first, store, own, finished=False)
    return first


def put_last_rows(planned: Plan, commits: Commits, own: Position, *, no_newer_blocks: bool) -> None:
    """Say from what the store was restored, with the last commit. `own`: where it stands then."""
    if planned.fills:
        if no_newer_blocks:
            restored.clear_restored(commits.batch)
        _put_origin(planned, commits.batch, commits.store, own, finished=True)


def _put_origin(planned: Plan, batch: Batch, store: Reader, own: Position, *, finished: bool) -> None:
    """Where the store stands after this commit; what it was restored from, once that is whole."""
    newest, sha256 = planned.newest, planned.chain[-1].examined.sha256
    origin = backups.origin_of(store)
    if finished:
        origin = backups.Origin(newest.store, sha256, newest.to, own)
    elif origin is None:
        origin = backups.Origin(newest.store, "", BEGINNING, own)
    backups.put_origin(batch, replace(origin, own=own))
