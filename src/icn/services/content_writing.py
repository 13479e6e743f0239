"""What archives hold beside signed blocks, written: content, and rows that the journal does not tell.

Batches are bounded (`Commits`); where they go is the caller's business. Not here: signed blocks (`restore_writing`),
which need every rule of the federation: who needs only this need not have those.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from icn.kernel.ids import RAW
from icn.services.archive_check import Items
from icn.services.beginning import Views
from icn.services.restore_plan import ChainBroken, Link, Plan
from icn.stores import archive_parts, backups, contents, keyspace, references, restored, schema
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


def first_rows(planned: Plan, store: Reader, store_id: bytes, own: Position) -> Batch:
    """What makes the store this node's and says that it is being restored: to be committed before anything else.

    `own`: where the store stands.
    """
    first = schema.check_or_claim(store, planned.owner, store_id)
    if planned.fills:
        if planned.is_own:
            restored.mark_restored(first)
        put_origin(planned, first, store, own, finished=False)
    return first


def put_last_rows(planned: Plan, commits: Commits, own: Position, *, no_newer_blocks: bool) -> None:
    """Say from what the store was restored, with the last commit. `own`: where it stands then."""
    if planned.fills:
        if no_newer_blocks:
            restored.clear_restored(commits.batch)
        put_origin(planned, commits.batch, commits.store, own, finished=True)


def put_origin(planned: Plan, batch: Batch, store: Reader, own: Position, *, finished: bool) -> None:
    """Where the store stands after this commit; what it was restored from, once that is whole."""
    newest, sha256 = planned.newest, planned.chain[-1].examined.sha256
    origin = backups.origin_of(store)
    if finished:
        origin = backups.Origin(newest.store, sha256, newest.to, own)
    elif origin is None:
        origin = backups.Origin(newest.store, "", BEGINNING, own)
    backups.put_origin(batch, replace(origin, own=own))
