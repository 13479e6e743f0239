"""The scan as a task: when it is due, how fast, what it tells, and how it goes on after a refusal or a restart."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.errors import Kind
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.node import scanning
from icn.node.scanning import Scanner
from icn.services.answers import Answer, Done, Refused
from icn.services.commands import NodeCommand, NoteScan
from icn.services.scan import SCAN_ROW, START, load_position, write_position
from icn.stores import keyspace
from icn.stores.kv import Batch, StoreUnavailable

DATA = [b"%d" % number * 100 for number in range(8)]
DAY_SECS = 86_400


class Enough(Exception):
    """Ends the task of a test."""


class Scene:
    """A store, a clock that pauses move, and an engine that notes what it is told."""

    def __init__(self, *damaged: int) -> None:
        self.store = MemoryStore()
        self.fence = self.store.claim()
        self.now_ms = 1_000
        self.pauses: list[float] = []
        self.told: list[NoteScan] = []
        self.refusals = 0
        self.unavailable = 0
        self.until: Callable[[], bool] = lambda: load_position(self.store).finished_at is not None
        batch = Batch()
        for number, data in enumerate(DATA):
            batch.put(keyspace.block(Cid.of(data, RAW)), b"x" if number in damaged else data)
        self.store.commit(batch, self.fence)

    def now(self) -> Instant:
        return Instant(self.now_ms)

    def snapshot(self):
        if self.unavailable:
            self.unavailable -= 1
            raise StoreUnavailable("not now")
        return self.store.snapshot()

    async def pause(self, span: float) -> None:
        self.pauses.append(span)
        self.now_ms += int(span * 1000)
        if self.until() or len(self.pauses) > 100:
            raise Enough

    async def record(self, command: NodeCommand) -> Answer:
        assert isinstance(command, NoteScan)
        if self.refusals:
            self.refusals -= 1
            return Refused(Kind.TOO_MANY, "node.overloaded", "not now", {})
        self.told.append(command)
        batch = Batch()
        batch.put(SCAN_ROW, command.position)
        self.store.commit(batch, self.fence)
        return Done({"damaged": len(command.damaged)})

    def run(self, *, every_secs: int = DAY_SECS, rate: int = 1000) -> None:
        scanner = Scanner(
            snapshot=self.snapshot,
            record=self.record,
            clock=self,
            every_secs=every_secs,
            bytes_per_second=rate,
            pause=self.pause,
        )

        async def life() -> None:
            with suppress(Enough):
                await scanner.live()
            await scanner.stop()

        asyncio.run(life())


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "SLICE_BYTES", 200)


def test_a_store_that_was_never_scanned_is_scanned_at_once_at_the_rate_it_was_told() -> None:
    scene = Scene()
    scene.run(rate=1000)
    position = load_position(scene.store)
    assert (position.last_blocks, position.last_size) == (8, 800)
    reading, (idle,) = scene.pauses[:-1], scene.pauses[-1:]
    assert sum(reading) == pytest.approx(0.8)
    assert idle == 60.0


def test_findings_are_told_as_they_come() -> None:
    scene = Scene(2, 5)
    scene.run()
    assert sorted(cid for told in scene.told for cid in told.damaged) == sorted(Cid.of(DATA[n], RAW) for n in (2, 5))


def test_the_next_scan_begins_when_it_is_due() -> None:
    scene = Scene()
    scene.run()
    finished = load_position(scene.store).finished_at
    assert finished is not None
    scene.until = lambda: load_position(scene.store).finished_at != finished
    scene.pauses.clear()
    scene.run(every_secs=120)
    again = load_position(scene.store).finished_at
    assert again is not None
    assert again >= finished + 120_000


def test_a_scan_goes_on_where_the_node_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "TOLD_EVERY_SECS", 0.0)
    scene = Scene()
    scene.until = lambda: len(scene.told) == 2
    scene.run()
    assert load_position(scene.store).blocks == 4
    scene.until = lambda: load_position(scene.store).finished_at is not None
    scene.run()
    assert load_position(scene.store).last_blocks == 8
    assert len(scene.told) == 2 + 3


def test_what_was_found_is_told_until_it_is_taken() -> None:
    scene = Scene(0)
    scene.refusals = 3
    scene.unavailable = 2
    scene.run()
    assert [cid for told in scene.told for cid in told.damaged] == [Cid.of(DATA[0], RAW)]
    assert load_position(scene.store).last_damaged == 1


def test_no_scan_where_none_is_wanted() -> None:
    scene = Scene()
    scene.run(every_secs=0)
    assert scene.told == scene.pauses == []


def test_a_scan_that_ended_in_the_future_is_no_reason_to_wait_for_it():
    """The clock was wrong, and was set back: a scan a day is still one a day."""
    scene = Scene(3)
    batch = Batch()
    ended = replace(START, finished_at=Instant(scene.now_ms + 365 * DAY_SECS * 1000))
    batch.put(SCAN_ROW, write_position(ended))
    scene.store.commit(batch, scene.fence)
    scene.until = lambda: load_position(scene.store).last_blocks == len(DATA)
    scene.run()
    assert [cid for told in scene.told for cid in told.damaged] == [Cid.of(DATA[3], RAW)]
    assert load_position(scene.store).finished_at <= scene.now()
