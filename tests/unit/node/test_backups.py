"""The schedule: what it runs when, what it does with failures, and what it tells."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from icn.adapters.backup.local import LocalTarget
from icn.adapters.backup.ports import TargetUnavailable
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Duration
from icn.node import backups
from icn.node.backup_jobs import BackupJobs, BackupTerms
from icn.node.backups import BackupBusy, BackupNotRecorded, Backups, BackupsNotConfigured, Intervals
from icn.services.answers import Answer, refused
from icn.services.backup_plan import RETRY_PAUSE, Retention
from icn.services.closure import StoredBlockDamaged
from icn.services.commands import NodeCommand, PutContent
from icn.services.dispatch import NotTheOperator
from icn.stores import keyspace
from icn.stores.kv import Batch
from support.http_node import HttpNode

HOUR = 3_600_000


class Unreliable(LocalTarget):
    """A folder that fails when it is told to, and can be made to wait."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.failure: Exception | None = None
        self.keeps = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Event()

    def clear_unfinished(self, beginning: str) -> int:
        self.entered.set()
        assert self.go_on.wait(10)
        if self.failure is not None:
            raise self.failure
        return super().clear_unfinished(beginning)

    def delete(self, name: str) -> None:
        if self.keeps:
            raise TargetUnavailable("nothing is deleted")
        super().delete(name)


@dataclass
class Scheduled:
    """A schedule over a real engine and a folder, whose clock the test moves."""

    folder: Path
    every: int | None = HOUR
    drill_every: int | None = None
    keep_last: int = 100
    node: HttpNode = field(default_factory=HttpNode)
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self.node.found()
        self.target = Unreliable(self.folder / "target")
        self.restart()

    def restart(self) -> None:
        jobs = BackupJobs(
            target=self.target,
            terms=BackupTerms(3, Retention(self.keep_last, Duration(0)), None, None),
            snapshot=self.node.snapshot,
            did=self.node.did,
            clock=self.node.clock,
            elapsed_ms=lambda: 0,
            scratch=self.folder / "scratch",
            program="icn/test",
            backend="memory",
        )
        self.backups = Backups(
            jobs=jobs,
            intervals=Intervals(
                None if self.every is None else Duration(self.every),
                None if self.drill_every is None else Duration(self.drill_every),
            ),
            snapshot=self.node.snapshot,
            record=self.record,
            clock=self.node.clock,
            observer=self.node.metrics,
        )

    async def record(self, command: NodeCommand) -> Answer:
        if self.fault is not None:
            raise self.fault
        return await self.node.submit(command, principal=self.node.did, key="", digest=b"", correlation="b")

    async def turn(self) -> float:
        return await self.backups._take_turn()

    def archives(self) -> int:
        return sum(1 for name in (self.folder / "target").iterdir()) if (self.folder / "target").exists() else 0

    def state(self):
        return self.backups.state(self.node.store)

    def metric(self, name: str) -> float:
        lines = self.node.metrics.exposition().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does; `run` bounds it."""
    while not condition():  # noqa: ASYNC110 - the thread knows no event of this loop
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


FAILED = 'icn_backup_failures_total{task="backup"}'


def test_the_first_backup_is_made_at_once_and_the_next_after_the_interval(tmp_path):
    async def test():
        it = Scheduled(tmp_path)
        assert await it.turn() == 0
        assert it.archives() == 1
        assert await it.turn() == backups.LOOK_SECS_MAX
        it.node.clock.moment += HOUR - 5000
        assert await it.turn() == 5
        it.node.clock.moment += 5000
        await it.turn()
        assert it.archives() == 2

    run(test)


def test_a_restart_remembers_and_what_was_missed_is_made_up_for_once(tmp_path):
    async def test():
        it = Scheduled(tmp_path)
        await it.turn()
        it.restart()
        await it.turn()
        assert it.archives() == 1
        it.node.clock.moment += 10 * HOUR
        it.restart()
        for _ in range(3):
            await it.turn()
        assert it.archives() == 2

    run(test)


def test_a_drill_follows_the_first_backup_and_then_its_own_interval(tmp_path):
    async def test():
        it = Scheduled(tmp_path, drill_every=2 * HOUR)
        await it.turn()
        assert it.state().last_verified is None
        await it.turn()
        proven = it.state().last_verified
        assert (proven.archive, proven.proven_at) == (it.state().last_success.archive, it.node.now())
        assert it.state().next_drill_at == it.node.now() + 2 * HOUR

    run(test)


def test_without_a_schedule_nothing_is_done_and_asking_works(tmp_path):
    async def test():
        it = Scheduled(tmp_path, every=None)
        await it.backups.live()
        assert it.archives() == 0
        assert not it.state().scheduled
        made = await it.backups.run()
        assert it.state().last_success == made
        assert (await it.backups.drill()).ok

    run(test)


def test_without_a_target_asking_is_refused_with_what_to_do(tmp_path):
    async def test():
        for ask in (HttpNode().backups.run, HttpNode().backups.drill, HttpNode().backups.archives):
            with pytest.raises(BackupsNotConfigured, match=r"set \[backup\] target"):
                await ask()

    run(test)


def test_a_failure_is_counted_shown_and_tried_again_after_a_pause_that_doubles(tmp_path):
    async def test():
        it = Scheduled(tmp_path, drill_every=HOUR)
        it.target.failure = TargetUnavailable("the line is cut")
        pauses = []
        for number in (1, 2, 3):
            with pytest.raises(TargetUnavailable):
                await it.turn()
            (failure,) = it.state().failures
            assert (failure.task, failure.why, failure.in_a_row) == ("backup", "the line is cut", number)
            assert it.state().next_drill_at is None, "there is nothing to drill yet"
            pauses.append(it.state().next_backup_at - it.node.now())
            it.node.clock.moment = it.state().next_backup_at
        assert pauses == [RETRY_PAUSE, 2 * RETRY_PAUSE, 4 * RETRY_PAUSE]
        assert it.metric(FAILED) == 3
        it.target.failure = None
        await it.turn()
        assert it.state().failures == ()
        assert it.archives() == 1

    run(test)


@pytest.mark.parametrize(
    "failure", [TargetUnavailable("gone"), OSError("input/output error"), InvariantBroken("missing"), KeyError("a bug")]
)
def test_whatever_goes_wrong_the_schedule_goes_on(tmp_path, failure):
    async def test():
        it = Scheduled(tmp_path)
        it.target.failure = failure
        living = asyncio.ensure_future(it.backups.live())
        await until(lambda: it.state().failures)
        it.target.failure = None
        it.node.clock.moment = it.state().next_backup_at
        it.backups._wake.set()
        while it.state().last_success is None:
            it.backups._wake.set()
            await asyncio.sleep(0)
        assert not living.done()
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)

    run(test)


def test_a_failure_while_the_clock_was_ahead_does_not_put_off_backups_until_that_time_comes(tmp_path):
    async def test():
        it = Scheduled(tmp_path)
        it.node.clock.moment += 10_000 * HOUR
        it.target.failure = TargetUnavailable("the network is not up yet")
        with pytest.raises(TargetUnavailable):
            await it.turn()
        it.target.failure = None
        it.node.clock.moment -= 10_000 * HOUR
        await it.turn()
        assert it.archives() == 1

    run(test)


def test_a_backup_that_could_not_be_recorded_is_a_failure(tmp_path):
    async def test():
        it = Scheduled(tmp_path)
        it.fault = TargetUnavailable("the store is away")
        with pytest.raises(TargetUnavailable):
            await it.turn()
        assert it.state().last_success is None
        assert it.metric(FAILED) == 1

    run(test)


def test_a_record_that_the_engine_refuses_is_a_failure_too(tmp_path):
    async def test():
        it = Scheduled(tmp_path)

        async def refusing(_command: NodeCommand) -> Answer:
            return refused(NotTheOperator())

        it.backups._record = refusing
        with pytest.raises(BackupNotRecorded, match="only the node's operator"):
            await it.turn()
        assert it.state().failures[0].task == "backup"

    run(test)


def test_one_job_at_a_time_and_it_outlives_who_asked_for_it(tmp_path):
    async def test():
        it = Scheduled(tmp_path, every=None)
        it.target.go_on.clear()
        asked = asyncio.ensure_future(it.backups.run())
        await until(it.target.entered.is_set)
        assert it.state().running == "backup"
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        it.target.go_on.set()
        await it.backups._ended.wait()
        assert it.state().last_success is not None
        assert it.state().running is None

    run(test)


def test_who_asks_meanwhile_waits_for_a_turn_and_the_queue_is_bounded(tmp_path):
    async def test():
        it = Scheduled(tmp_path, every=None)
        it.target.go_on.clear()
        asked = [asyncio.ensure_future(it.backups.run())]
        await until(it.target.entered.is_set)
        asked.append(asyncio.ensure_future(it.backups.drill()))
        asked += [asyncio.ensure_future(it.backups.run()) for _ in range(backups.JOBS_WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(BackupBusy):
            await it.backups.run()
        it.target.go_on.set()
        made, proof, *_ = await asyncio.gather(*asked)
        assert (proof.ok, proof.archive) == (True, made.archive)

    run(test)


def test_a_stop_ends_the_job_and_it_does_not_count_as_a_failure(tmp_path):
    async def test():
        it = Scheduled(tmp_path, every=None)
        it.target.go_on.clear()
        asked = asyncio.ensure_future(it.backups.run())
        await until(it.target.entered.is_set)
        stopping = asyncio.ensure_future(it.backups.stop())
        await asyncio.sleep(0)
        it.target.go_on.set()
        await stopping
        assert it.archives() == 0
        assert it.metric(FAILED) == 0
        await asyncio.gather(asked, return_exceptions=True)

    run(test)


def test_a_target_that_never_answers_does_not_keep_the_node_from_stopping(tmp_path, monkeypatch):
    async def test():
        monkeypatch.setattr(backups, "STOP_SECS_MAX", 0.01)
        it = Scheduled(tmp_path, every=None)
        it.target.go_on.clear()
        asked = asyncio.ensure_future(it.backups.run())
        await until(it.target.entered.is_set)
        await it.backups.stop()
        assert not asked.done()
        it.target.go_on.set()
        await asyncio.gather(asked, return_exceptions=True)

    run(test)


def test_a_damaged_archive_moves_no_metric_and_is_a_failure(tmp_path):
    async def test():
        it = Scheduled(tmp_path, every=None)
        made = await it.backups.run()
        path = tmp_path / "target" / made.archive
        path.write_bytes(path.read_bytes()[:-100])
        proof = await it.backups.drill()
        assert not proof.ok
        assert proof.finding
        assert it.state().last_verified is None
        assert it.metric('icn_backup_failures_total{task="drill"}') == 1
        assert it.state().failures[0].why == proof.finding

    run(test)


def test_old_backups_that_cannot_be_deleted_do_not_undo_the_backup(tmp_path):
    async def test():
        it = Scheduled(tmp_path, every=None, keep_last=1)
        it.node.clock.moment -= HOUR
        await it.backups.run()
        for _ in range(3):
            it.node.clock.moment += HOUR
            it.target.keeps = True
            made = await it.backups.run()
        assert it.state().last_success == made
        assert it.state().failures[0].task == "retention"
        assert it.metric('icn_backup_failures_total{task="retention"}') == 1
        assert it.metric(FAILED) == 0

    run(test)


def test_damage_in_the_store_makes_no_backup_and_nothing_older_goes_for_it(tmp_path):
    """The bytes are looked for at the peers, and the backup is tried again."""
    scheduled = Scheduled(tmp_path, keep_last=1)
    node = scheduled.node
    node.ask(PutContent(b"bread", RAW, pinned=True, lifetime_ms=None))

    async def story() -> None:
        await scheduled.backups.run()
        await scheduled.backups.run()
        before = scheduled.archives()
        node.ask(PutContent(b"more", RAW, pinned=True, lifetime_ms=None))
        batch = Batch()
        batch.put(keyspace.block(Cid.of(b"more", RAW)), b"less")
        node.store.commit(batch, node.engine.fence)
        for _ in range(2):
            with pytest.raises(StoredBlockDamaged):
                await scheduled.backups.run()
        assert scheduled.archives() == before
        assert [failure.task for failure in scheduled.state().failures] == ["backup"]
        assert list(node.engine.content.damage.found) == [Cid.of(b"more", RAW)]

    asyncio.run(story())


def test_what_a_drill_could_not_restore_is_not_gone_on_from(tmp_path):
    """The chain would grow for days, each backup of it a success that nobody could restore."""
    scheduled = Scheduled(tmp_path)
    node = scheduled.node

    def kinds() -> str:
        names = sorted(path.name for path in (tmp_path / "target").iterdir())
        return "".join("F" if "-full" in name else "i" for name in names)

    async def story() -> None:
        async def back_up(number: int) -> None:
            node.clock.moment += HOUR
            node.ask(PutContent(b"content %d" % number, RAW, pinned=True, lifetime_ms=None))
            await scheduled.backups.run()

        await back_up(1)
        (full,) = (tmp_path / "target").iterdir()
        await back_up(2)
        data = bytearray(full.read_bytes())
        data[len(data) // 2] ^= 1
        full.write_bytes(data)
        assert not (await scheduled.backups.drill()).ok
        scheduled.restart()
        await back_up(3)
        assert kinds() == "FiF"
        assert (await scheduled.backups.drill()).ok
        await back_up(4)
        assert kinds() == "FiFi"

    asyncio.run(story())


def test_a_finding_that_cannot_be_recorded_is_told_all_the_same(tmp_path):
    scheduled = Scheduled(tmp_path)

    async def story() -> None:
        await scheduled.backups.run()
        (full,) = (tmp_path / "target").iterdir()
        full.write_bytes(b"nothing")
        scheduled.fault = TargetUnavailable("the store is away")
        proof = await scheduled.backups.drill()
        assert not proof.ok
        assert [failure.task for failure in scheduled.state().failures] == ["drill"]

    asyncio.run(story())
