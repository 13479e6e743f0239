"""Content that nobody needs any more is removed: by order, and every so often.

Kept is what is pinned; what is not past its time, which is its lifetime or, without one, `CONTENT_GRACE` from when it
was stored; what other content here links to; and what a job names that is open or ended less than `RESULTS_KEPT` ago.
Of a job that was rolled back only what it was opened with counts, its module and input: outputs were provisional.
Signed blocks are never removed: history is not content.

A round walks all content in order of name, a bounded slice per batch, so that the writer never stalls. What a removed
block linked to is looked at again at once, so a folder goes with its files in one round. Time is the batch's, and
everything is decided in the batch that removes, from what that batch will leave behind.
"""

from dataclasses import dataclass, field, replace

from icn.domain.mesh.model import Status
from icn.kernel import limits
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Duration, Instant, later
from icn.services import rows
from icn.services.answers import Done
from icn.services.content import ContentService, kept_until
from icn.services.effects import ContentPruned
from icn.services.inputs import Request
from icn.services.work import UnitOfWork
from icn.stores import contents, keyspace, references
from icn.stores.contents import ContentMeta

RESULTS_KEPT = Duration(30 * 86_400_000)
"""Modules, inputs and outputs of a job stay this long after its end; pin what is to stay longer."""
EXAMINED_PER_BATCH = 500
"""Content blocks looked at in one batch."""
REMOVED_PER_BATCH = 100
READ_PER_BATCH_BYTES = limits.CONTENT_BYTES_MAX
"""Content with links that is read in one batch to remove it: at least one block, of at most this size."""
FREED_REMEMBERED_MAX = 65_536
"""Targets of removed links that wait to be looked at; those beyond wait for the next round."""
DRY_RUN_REMEMBERED_MAX = 100_000
"""Blocks that a dry run counts as gone; beyond it what they link to counts as kept."""
ROUNDS_WAITING_MAX = 16


_ROLLED_BACK = (Status.FAILED, Status.CANCELLED)


class TooManyPrunings(Refusal):
    """Enough callers wait for a round."""

    code = "dag.too_many_prunings"
    kind = Kind.TOO_MANY

    def __init__(self) -> None:
        super().__init__(f"{ROUNDS_WAITING_MAX} rounds of pruning wait already")


@dataclass(frozen=True, slots=True)
class _Round:
    """A round under way, as of the last commit."""

    request: Request | None
    """None: of the node's own accord."""
    dry_run: bool
    after: bytes | None = None
    """The key of the content looked at last."""
    walked: bool = False
    freed: tuple[Cid, ...] = ()
    examined: int = 0
    removed: int = 0
    removed_bytes: int = 0


@dataclass(slots=True)
class PruningService:
    """Owns the round under way, those that wait, and when the next one of the node's own is due."""

    every: Duration | None
    """None: only by order."""
    content: ContentService
    _round: _Round | None = None
    _next: _Round | None = None
    """What `_round` is once the batch is committed."""
    _waiting: list[_Round] = field(default_factory=list)
    _gone: dict[Cid, None] = field(default_factory=dict)
    """Of a dry run."""
    _due_at: Instant | None = None

    def ask(self, request: Request, *, dry_run: bool) -> None:
        """Prune, and answer the request with what was removed. Raises `TooManyPrunings`."""
        if len(self._waiting) >= ROUNDS_WAITING_MAX:
            raise TooManyPrunings
        self._waiting.append(_Round(request, dry_run))

    def tick(self, work: UnitOfWork) -> None:
        """One slice, where there is something to do. Called when all of the batch's own content is written."""
        if self._due_at is None and self.every is not None:
            self._due_at = later(work.wall, self.every)
        if self._round is None:
            self._round = self._begin(work)
        self._next = self._round
        if self._round is not None:
            self._next = _Slice(work, self.content, self._round, self._gone).run()
            if _is_done(self._next):
                self._end(work, self._next)

    def committed(self) -> None:
        """The batch of the last `tick` is on disk. Without this call its slice is done again."""
        self._round = None if self._next is not None and _is_done(self._next) else self._next

    def wake_at(self, wall: Instant) -> Instant | None:
        """When `tick` has something to do."""
        return wall if self._round is not None or self._waiting else self._due_at

    def _begin(self, work: UnitOfWork) -> _Round | None:
        self._gone.clear()
        if self._waiting:
            return self._waiting.pop(0)
        if self._due_at is not None and self.every is not None and work.wall >= self._due_at:
            self._due_at = later(work.wall, self.every)
            return _Round(None, dry_run=False)
        return None

    @staticmethod
    def _end(work: UnitOfWork, done: _Round) -> None:
        if not done.dry_run:
            work.effects.append(ContentPruned(done.removed, done.removed_bytes))
        if done.request is not None:
            body = {
                "dry_run": done.dry_run,
                "examined": done.examined,
                "removed": done.removed,
                "removed_bytes": done.removed_bytes,
            }
            work.answer(done.request, Done(body), recorded=False)


def _is_done(round_: _Round) -> bool:
    return round_.walked and not round_.freed


class _Slice:
    """What one batch does of a round."""

    def __init__(self, work: UnitOfWork, content: ContentService, before: _Round, gone: dict[Cid, None]) -> None:
        self._work = work
        self._content = content
        self._before = before
        self._gone = gone
        self._freed = list(before.freed)
        self._examined = self._removed = self._removed_bytes = self._read_bytes = 0
        self._new_targets = frozenset(
            references.target_of(key)
            for key, value in work.batch.operations.items()
            if value is not None and key.startswith(keyspace.REFERENCE)
        )
        """What this very batch refers to."""

    def run(self) -> _Round:
        """The round as it is after this slice."""
        self._look_at_freed()
        after, walked = self._before.after, self._before.walked
        if not walked:
            after, walked = self._walk(after)
        return replace(
            self._before,
            after=after,
            walked=walked,
            freed=tuple(self._freed),
            examined=self._before.examined + self._examined,
            removed=self._before.removed + self._removed,
            removed_bytes=self._before.removed_bytes + self._removed_bytes,
        )

    def _has_room(self) -> bool:
        return (
            self._examined < EXAMINED_PER_BATCH
            and self._removed < REMOVED_PER_BATCH
            and self._read_bytes < READ_PER_BATCH_BYTES
        )

    def _walk(self, after: bytes | None) -> tuple[bytes | None, bool]:
        """Content in order of name, as committed. Gives where it stopped, and whether that is the end."""
        for key, _ in self._work.store.scan(keyspace.CONTENT_META, after=after):
            if not self._has_room():
                return after, False
            after = key
            self._look_at(Cid(key[len(keyspace.CONTENT_META) :]))
            self._look_at_freed()
        return after, True

    def _look_at_freed(self) -> None:
        while self._freed and self._has_room():
            self._look_at(self._freed.pop())

    def _look_at(self, cid: Cid) -> None:
        self._examined += 1
        data = self._work.get(keyspace.content_meta(cid))
        if data is None or cid in self._gone:
            return
        meta = contents.read_content_meta(data)
        if self._may_go(cid, meta):
            self._remove(cid, meta)

    def _may_go(self, cid: Cid, meta: ContentMeta) -> bool:
        if meta.pinned or self._work.wall < kept_until(meta) or cid in self._new_targets:
            return False
        if any(self._work.get(key) is not None for key in (keyspace.block_meta(cid), keyspace.evidence(cid))):
            return False  # somebody put the bytes of a signed block before it came as one
        for reference in references.references_to(self._work.store, cid):
            if self._work.batch.operations.get(reference.key, b"") is None:
                continue  # removed in this batch
            if reference.content is not None and reference.content not in self._gone:
                return False
            if reference.job is not None and self._job_counts(reference.job.data, cid):
                return False
        return True

    def _job_counts(self, job_id: bytes, cid: Cid) -> bool:
        job = rows.JOBS.get(self._work.store, job_id)
        if job is not None and job.status in _ROLLED_BACK and cid not in {job.spec.module, job.spec.input_cid}:
            return False
        # A receipt may be here before its job is: then the job is under way.
        return job is None or job.ended_at is None or self._work.wall < later(job.ended_at, RESULTS_KEPT)

    def _remove(self, cid: Cid, meta: ContentMeta) -> None:
        if self._before.dry_run:
            targets = self._pretend(cid)
        else:
            targets = contents.remove_content(self._work.get, self._work.batch, cid)
            self._content.forget(cid)
        self._removed += 1
        self._removed_bytes += meta.size
        if cid.codec != RAW:
            self._read_bytes += meta.size
        room = FREED_REMEMBERED_MAX - len(self._freed)
        self._freed += targets[:room]

    def _pretend(self, cid: Cid) -> tuple[Cid, ...]:
        if len(self._gone) < DRY_RUN_REMEMBERED_MAX:
            self._gone[cid] = None
        data = None if cid.codec == RAW else self._work.get(keyspace.block(cid))
        return () if data is None else references.links_of_stored(cid, data)
