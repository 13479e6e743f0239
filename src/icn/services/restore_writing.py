"""What archives hold, written: one bounded batch after the other.

| | writes |
|---|---|
| `SignedWriting` | signed blocks, evidence, and the rows of the state that the blocks lead to |
| `content_writing.ContentWriting` | content, and rows that the journal does not tell |
| `Writing` | both, in the order of the archive, into a store that is open (`restore`) |

Where the batches go is the caller's business. The first two put nothing under one key but the same value, so that a
store which nobody sees before it is whole can be filled by both at the same time (`filling`).
"""

from collections.abc import Callable
from dataclasses import replace

from icn.domain.context import EventRefused
from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation, require
from icn.kernel.ids import Cid, Did
from icn.services import acceptance, rows
from icn.services.archive_check import Items
from icn.services.archive_proof import ReplayRefused
from icn.services.beginning import Views, with_views
from icn.services.content_writing import Commits, ContentWriting, Restored, first_rows, put_last_rows, put_origin
from icn.services.intake import Intake
from icn.services.restore_plan import Link, Plan
from icn.stores import blocks, contents, keyspace, restored
from icn.stores.archive import Position
from icn.stores.kv import Batch, Reader


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
            put_origin(self._plan, batch, self._commits.store, self._position(), finished=False)
        self._signed.save(batch)

    def _position(self) -> Position:
        last = self._signed.intake.state.last_arrival
        return Position(last + 1, contents.next_change(self._commits.get))


def store_of(intake: Intake) -> Reader:
    """Where what is written is looked up."""
    if intake.store is None:
        raise InvariantBroken("what is written is looked up where it goes")
    return intake.store
