"""The schedule of backups: waits until one is due, runs it on a thread, records it, and goes on whatever happens.

One job at a time, scheduled or asked for; a few may wait for their turn. A failure is logged, counted, shown in
`/status` and tried again after a pause that doubles; it never stops the node. Success and proof are rows of the store,
written by the engine, so that they and what is due survive a restart.

Not here: what a job does (node.backup_jobs), when one is due (services.backup_plan).
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeVar

import structlog

from icn.adapters.backup.ports import BackupTarget
from icn.http.ports import BackupArchive, BackupFailure, BackupState, DrillProof
from icn.kernel.errors import Fault, IcnError, Kind, Refusal
from icn.kernel.instant import Duration, Instant, later
from icn.node.backup_jobs import BackupJobs, Interrupted, Made, Proof
from icn.services.answers import Answer, Refused
from icn.services.backup_plan import due_at, retry_pause
from icn.services.closure import StoredBlockDamaged
from icn.services.commands import FetchContent, NodeCommand, NoteBackup, NoteDrill, NoteFinding
from icn.services.ports import Clock
from icn.stores.backup_schedule import MadeBackup, Schedule, schedule_in
from icn.stores.kv import Reader, Snapshot

log = structlog.get_logger("icn.node")

LOOK_SECS_MAX = 30.0
"""How long the schedule sleeps at most: the wall clock may be set meanwhile."""
TURN_SECS_AFTER_FAILURE = 1.0
"""Before it looks again; when it tries again is `retry_pause`."""
JOBS_WAITING_MAX = 4
"""Asked for while another is under way; more are refused."""
STOP_SECS_MAX = 2.0
"""From the node's stop to giving up on a target that is being waited for."""

Task = Literal["backup", "retention", "drill"]
Result = TypeVar("Result")
_FAILED: dict[Task, str] = {
    "backup": "backup failed",
    "retention": "deleting old backups failed",
    "drill": "restore drill failed",
}


class BackupsNotConfigured(Refusal):
    """There is nowhere to put backups."""

    code: ClassVar[str] = "backup.not_configured"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("this node has no target for backups: set [backup] target, and restart it")


class BackupBusy(Refusal):
    """Other jobs are under way or wait already."""

    code: ClassVar[str] = "backup.busy"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, running: str) -> None:
        self.running = running
        super().__init__(
            f"a {running} is under way and others wait: try again when they have ended; backup status shows when"
        )


class BackupNotRecorded(Fault):
    """The backup or drill was done, and the store did not take the record of it."""

    code: ClassVar[str] = "backup.not_recorded"
    retryable: ClassVar[bool] = True


class Observer(Protocol):
    """Counts what goes wrong, for metrics."""

    def observe_backup_failure(self, task: str) -> None:
        """A backup, a retention or a drill failed."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """What the schedule does by itself."""

    backup: Duration | None
    """None: nothing."""
    drill: Duration | None


class Backups:
    """Satisfies `http.ports.BackupsApi`. On the event loop's thread."""

    def __init__(
        self,
        *,
        jobs: BackupJobs | None,
        intervals: Intervals,
        snapshot: Callable[[], Snapshot],
        record: Callable[[NodeCommand], Awaitable[Answer]],
        clock: Clock,
        observer: Observer,
    ) -> None:
        """`jobs`: None where no target is configured. `record` has the engine write a row."""
        self._jobs = jobs
        self._intervals = intervals
        self._snapshot = snapshot
        self._record = record
        self._clock = clock
        self._observer = observer
        self._stopping = threading.Event()
        self._running: Task | None = None
        self._turns = asyncio.Lock()
        self._waiting = 0
        """Jobs that were asked for and have not begun."""
        self._ended = asyncio.Event()
        self._ended.set()
        self._failures: dict[Task, BackupFailure] = {}  # bounded: one per Task
        self._wake = asyncio.Event()

    @property
    def target(self) -> BackupTarget | None:
        """Where backups go; None where no target is configured."""
        return None if self._jobs is None else self._jobs.target

    # The schedule

    async def live(self) -> None:
        """Until cancelled. Nothing that goes wrong ends it, for a node without backups is better than no node."""
        while self._intervals.backup is not None:
            try:
                pause = await self._take_turn()
            except Exception as error:  # an outermost loop: what is no fault of the world is said, too
                if not isinstance(error, IcnError):
                    log.exception("backup schedule failed")
                pause = TURN_SECS_AFTER_FAILURE
            await self._sleep(pause)

    async def stop(self) -> None:
        """Give up what is under way. A target that does not answer is not waited for longer than `STOP_SECS_MAX`."""
        self._stopping.set()
        try:
            async with asyncio.timeout(STOP_SECS_MAX):
                await self._ended.wait()
        except TimeoutError:
            log.warning("backup abandoned", running=self._running)

    async def _take_turn(self) -> float:
        """Do what is due. Seconds until it is worth looking again."""
        now = self._clock.now()
        schedule = await asyncio.to_thread(self._schedule)
        backup_at, drill_at = self._next_backup(schedule, now), self._next_drill(schedule, now)
        if self._running is not None:
            await self._ended.wait()
        elif backup_at is not None and backup_at <= now:
            await self.run()
        elif drill_at is not None and drill_at <= now:
            await self.drill()
        else:
            due = min(at for at in (backup_at, drill_at) if at is not None)
            return min(LOOK_SECS_MAX, (due - now) / 1000)
        return 0

    async def _sleep(self, seconds: float) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _next_backup(self, schedule: Schedule, now: Instant) -> Instant | None:
        interval = self._intervals.backup
        if interval is None:
            return None
        last = None if schedule.made is None else schedule.made.made_at
        return self._not_before(due_at(last, interval, now), "backup", interval)

    def _next_drill(self, schedule: Schedule, now: Instant) -> Instant | None:
        """A drill needs a backup; the first comes after the first backup."""
        interval = self._intervals.drill
        if interval is None or schedule.made is None:
            return None
        last = None if schedule.proven is None else schedule.proven.proven_at
        return self._not_before(due_at(last, interval, now), "drill", interval)

    def _not_before(self, due: Instant, task: Task, interval: Duration) -> Instant:
        failure = self._failures.get(task)
        if failure is None or failure.at > self._clock.now():  # the clock was set back meanwhile
            return due
        return max(due, later(failure.at, retry_pause(failure.in_a_row, interval)))

    # Jobs

    async def run(self) -> MadeBackup:
        """Make a backup now, record it, and delete what may go."""
        return await self._one_job("backup", self._back_up)

    async def drill(self) -> DrillProof:
        """Prove the newest backup now. What it finds is in the proof; a fault means that nothing was found out."""
        return await self._one_job("drill", self._drill)

    async def _back_up(self, jobs: BackupJobs) -> MadeBackup:
        made: Made = await _on_thread(lambda: jobs.back_up(self._stopping))
        await self._note(NoteBackup(made.finished, made.made, made.store, jobs.target.place))
        log.info(
            "backup made",
            archive=made.made.archive,
            target=jobs.target.place,
            bytes=made.made.size,
            ms=made.made.took_ms,
        )
        self._succeeded("backup")
        try:
            gone = await _on_thread(lambda: jobs.retain(made.name, self._stopping))
        except Fault as error:  # the backup is there all the same
            self._failed("retention", error)
        else:
            self._succeeded("retention")
            for archive in gone:
                log.info("backup deleted", archive=archive.text, target=jobs.target.place)
        return made.made

    async def _drill(self, jobs: BackupJobs) -> DrillProof:
        proof: Proof = await _on_thread(lambda: jobs.drill(self._stopping))
        if proof.finding is None:
            await self._note(NoteDrill(proof.proven))
            log.info("backup verified", archive=proof.archive, blocks=proof.blocks, ms=proof.proven.took_ms)
            self._succeeded("drill")
        else:
            self._note_failure("drill", proof.finding)
            log.error("backup not restorable", archive=proof.archive, finding=proof.finding, target=jobs.target.place)
            try:
                await self._note(NoteFinding())
            except IcnError as error:  # the finding is worth more than what follows from it
                log.warning("finding not recorded, the next backup may go on from it", error=str(error))
        return DrillProof(
            ok=proof.finding is None,
            archive=proof.archive,
            archives=proof.archives,
            blocks=proof.blocks,
            content=proof.content,
            finding=proof.finding,
            took_ms=proof.proven.took_ms,
        )

    async def _one_job(self, task: Task, job: Callable[[BackupJobs], Awaitable[Result]]) -> Result:
        if self._jobs is None:
            raise BackupsNotConfigured
        if self._waiting > JOBS_WAITING_MAX:
            raise BackupBusy(self._running or task)
        self._waiting += 1
        return await asyncio.shield(asyncio.ensure_future(self._guarded(task, job, self._jobs)))

    async def _guarded(self, task: Task, job: Callable[[BackupJobs], Awaitable[Result]], jobs: BackupJobs) -> Result:
        """A task of its own: whoever asked may go away, the job does not end with them."""
        async with self._turns:
            self._waiting -= 1
            self._running = task
            self._ended.clear()
            try:
                if self._stopping.is_set():
                    raise Interrupted("the node is stopping")
                return await job(jobs)
            except Interrupted:
                raise
            except StoredBlockDamaged as damaged:
                self._failed(task, damaged)
                with contextlib.suppress(IcnError):
                    await self._record(FetchContent(damaged.cid))  # from a peer: the next attempt may get over it
                raise
            except Exception as error:
                self._failed(task, error)
                raise
            finally:
                self._running = None
                self._ended.set()
                self._wake.set()

    async def _note(self, command: NodeCommand) -> None:
        answer = await self._record(command)
        if isinstance(answer, Refused):
            raise BackupNotRecorded(f"the store did not take the record of it: {answer.message}")

    def _failed(self, task: Task, error: Exception) -> None:
        self._note_failure(task, str(error) or type(error).__name__)
        log.error(_FAILED[task], error=str(error) or type(error).__name__, code=getattr(error, "code", None))

    def _note_failure(self, task: Task, why: str) -> None:
        before = self._failures.get(task)
        in_a_row = 1 if before is None else before.in_a_row + 1
        self._failures[task] = BackupFailure(task, why, self._clock.now(), in_a_row)
        self._observer.observe_backup_failure(task)

    def _succeeded(self, task: Task) -> None:
        self._failures.pop(task, None)

    # Views

    def state(self, reader: Reader) -> BackupState:
        """How backups fare, without asking the target."""
        schedule, now = schedule_in(reader.get), self._clock.now()
        return BackupState(
            scheduled=self._intervals.backup is not None,
            target=None if self._jobs is None else self._jobs.target.place,
            running=self._running,
            last_success=schedule.made,
            last_verified=schedule.proven,
            next_backup_at=self._next_backup(schedule, now),
            next_drill_at=None if self._intervals.backup is None else self._next_drill(schedule, now),
            failures=tuple(self._failures[task] for task in sorted(self._failures)),
        )

    async def archives(self) -> tuple[BackupArchive, ...]:
        """What is at the target, oldest first."""
        if self._jobs is None:
            raise BackupsNotConfigured
        return tuple(
            BackupArchive(
                name=archive.text,
                kind="full" if archive.parent is None else "incremental",
                made_at=archive.made,
                size=size,
                encrypted=archive.encrypted,
                restorable=restorable,
            )
            for archive, size, restorable in await _on_thread(self._jobs.listed)
        )

    def _schedule(self) -> Schedule:
        snapshot = self._snapshot()
        try:
            return schedule_in(snapshot.get)
        finally:
            snapshot.close()


def _on_thread(work: Callable[[], Result]) -> "asyncio.Future[Result]":
    """What `work` gives, from a thread that does not keep the process from ending: a target may not answer for long."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def end(result: Result | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only where the result's type has it

    def target() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - the outermost layer of a thread; raised where it is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
            loop.call_soon_threadsafe(end, result, failure)

    threading.Thread(target=target, name="icn-backup", daemon=True).start()
    return future
