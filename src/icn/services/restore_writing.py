"""What archives hold, written: one bounded batch after the other.

Where the batches go is the caller's business: into a store that is open (`restore`), or into one that does not exist
yet (`filling`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from icn.domain.context import EventRefused
from icn.domain.dag.block import parse_block
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation, require
from icn.kernel.ids import Cid
from icn.services import acceptance, rows
from icn.services.archive_check import Items
from icn.services.archive_proof import ReplayRefused
from icn.services.intake import Intake
from icn.services.restore_plan import ChainBroken, Link, Plan
from icn.stores import archive_parts, backups, blocks, contents, keyspace, restored, schema
from icn.stores.archive import BEGINNING, Position
from icn.stores.archive_parts import ContentLine
from icn.stores.kv import Batch, Reader

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
    local: int = 0
    commits: int = 0


class Writing:
    """Takes the items of a chain of archives in order."""

    def __init__(
        self, planned: Plan, intake: Intake, commit: Callable[[Batch], None], *, commit_bytes: int, is_checked: bool
    ) -> None:
        """`intake`: the state of the store, and the store to look into. `is_checked`: signatures are known as good."""
        require(intake.store is not None, "what is written is looked up where it goes")
        self.done = Restored()
        self.intake = intake
        self.takes_local = False
        """Whether the rows that the journal does not tell are those of the archive under way."""
        self._plan = planned
        self._commit_batch = commit
        self._commit_bytes = commit_bytes
        self._is_checked = is_checked
        self._batch = Batch()
        self._bytes = 0
        self._grew = False
        """Whether the batch holds blocks, whose rows are to be saved with it."""
        self._link = planned.chain[0]
        self._number = 0
        """Of the next signed block, in the journal that was backed up."""

    def begin(self, store_id: bytes) -> None:
        """Make the store this node's, and say that it is being restored, before anything is in it."""
        first = schema.check_or_claim(self._store, self._plan.owner, store_id)
        if self._plan.fills:
            if self._plan.is_own:
                restored.mark_restored(first)
            self._note_origin(first, finished=False)
        if len(first):
            self._commit_batch(first)

    def begin_link(self, link: Link) -> None:
        """The next archive."""
        self._link, self._number = link, link.manifest.since.arrival
        is_last = link is self._plan.chain[-1]
        self.takes_local = is_last and self._plan.fills and self._plan.is_own

    def take(self, items: Items) -> None:
        """What the next entry of the archive holds. Raises `ReplayRefused`, `ChainBroken`."""
        for cid, data in items.signed:
            self._take_block(cid, data)
        for cid, data in items.evidence:
            self._take_evidence(cid, data)
        for line, content in items.content:
            self._take_content(line, content)
        if self.takes_local:
            for key, value in items.local:
                self._put(key, value)
                self.done.local += 1

    def drop_local(self, reader: Reader) -> None:
        """Make room for the local rows of the newest archive: what was sent or answered before it is not to return."""
        for prefix in archive_parts.LOCAL_TABLES.values():
            for key, _ in reader.scan(prefix):
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
        where, self._number = f"block {self._number} ({cid})", self._number + 1
        if self.intake.knows(cid):
            self.done.blocks_known += 1
            return
        try:
            block = parse_block(data)
            clock, records = self.intake.take(block, genuine=self._is_checked)
        except (Invalid, PeerViolation, EventRefused, InvariantBroken) as error:
            raise ReplayRefused(where, f"is against the rules: {error}") from error
        is_side = self.intake.is_side(block)
        acceptance.keep(self.intake.state, self._batch, block, clock, records, is_side=is_side)
        if block.header.author == self._plan.owner and not (self._plan.fills and self._plan.is_own):
            # The store lacked blocks that its own node had signed, or has them from another node: there may be more.
            restored.mark_restored(self._batch)
        self._grew = True
        self._bytes += len(data)
        self.done.blocks += 1
        self._commit_if_due()

    def _take_evidence(self, cid: Cid, data: bytes) -> None:
        if self._get(keyspace.evidence(cid)) is not None:
            return
        try:
            block = parse_block(data)
        except Invalid as error:
            raise ReplayRefused(f"block {cid}", f"is against the rules: {error}") from error
        if not self.intake.proves_fork(block):
            raise ReplayRefused(f"block {cid}", "proves no fork of any feed")
        blocks.put_evidence(self._batch, block)
        self._bytes += len(data)
        self.done.evidence += 1
        self._commit_if_due()

    def _take_content(self, line: ContentLine, data: bytes | memoryview | None) -> None:
        known = self._get(keyspace.content_meta(line.cid))
        if known is not None:
            self._take_known(line, contents.read_content_meta(known))
        elif data is None:
            self._require_elsewhere(line)
        else:
            contents.put_content(
                self._get,
                self._batch,
                line.cid,
                bytes(data),  # no copy where they are
                stored_at=line.stored_at,
                pinned=line.pinned,
                expires_at=line.expires_at,
            )
            self.done.content += 1
            self.done.content_bytes += len(data)
            self._bytes += len(data)
        self._commit_if_due()

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
            self._get, self._batch, line.cid, pinned=line.pinned, expires_at=line.expires_at
        )
        # Stored anew since, where it had been removed between two backups.
        contents.write_meta(self._batch, line.cid, replace(changed, stored_at=line.stored_at))
        self.done.content_changed += 1

    @property
    def _store(self) -> Reader:
        reader = self.intake.store
        if reader is None:
            raise InvariantBroken("what is written is looked up where it goes")
        return reader

    def _get(self, key: bytes) -> bytes | None:
        if key in self._batch.operations:
            return self._batch.operations[key]
        return self._store.get(key)

    def _put(self, key: bytes, value: bytes) -> None:
        self._batch.put(key, value)
        self._bytes += len(key) + len(value)
        self._commit_if_due()

    def _commit_if_due(self) -> None:
        if self._bytes >= self._commit_bytes or len(self._batch) >= COMMIT_OPERATIONS_MAX:
            if self._plan.fills:
                self._note_origin(self._batch, finished=False)
            self._commit()

    def _commit(self) -> None:
        state = self.intake.state
        if self._grew:
            require(state.ledger.supply.is_balanced, "mana is neither created nor lost outside a named record")
            rows.save_cuts(state, self._batch)
            rows.save(state, self._batch)
        if len(self._batch):
            self._commit_batch(self._batch)
            self.done.commits += 1
        self.intake.forget()
        self._batch, self._bytes, self._grew = Batch(), 0, False

    def _note_origin(self, batch: Batch, *, finished: bool) -> None:
        """Where the store stands after this commit; what it was restored from, once that is whole."""
        own = Position(self.intake.state.last_arrival + 1, contents.next_change(self._get))
        newest, sha256 = self._plan.newest, self._plan.chain[-1].examined.sha256
        origin = backups.origin_of(self._store)
        if finished:
            origin = backups.Origin(newest.store, sha256, newest.to, own)
        elif origin is None:
            origin = backups.Origin(newest.store, "", BEGINNING, own)
        backups.put_origin(batch, replace(origin, own=own))
