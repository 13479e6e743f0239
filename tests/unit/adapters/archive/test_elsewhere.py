"""A stage in a process of its own tells what it would have told here, and is gone however it ends."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from icn.adapters.archive import elsewhere as module
from icn.adapters.archive import forking
from icn.adapters.archive.elsewhere import begun_elsewhere, elsewhere
from icn.adapters.archive.forking import StageLost
from icn.kernel.errors import InvariantBroken
from icn.services.beginning import NO_VIEWS, Loading, Views, with_views
from icn.services.stage import Stage
from icn.stores.archive import ArchiveDamaged
from icn.stores.kv import Batch, StoreFull

# Who runs tests has threads, of which later releases of Python warn; they hold nothing that is needed here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processors this machine has, and whatever runs tests."""
    monkeypatch.setattr(module, "is_worth_it", lambda: True)


class Held:
    """A store in memory."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.has_more = threading.Event()

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        self.rows.update(with_views(batch, views).operations)
        self.has_more.set()

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)


class Sums:
    """Adds up what it is given, keeps each sum in the store, and looks the last one up there."""

    def __init__(self, loading: Loading) -> None:
        self._loading = loading

    def take(self, item: bytes) -> None:
        match item:
            case b"damage":
                raise ArchiveDamaged("a.tar.gz", "it was asked for")
            case b"mistake":
                raise _Unusual(threading.Lock())
            case b"end":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"interrupt":
                os.kill(os.getpid(), signal.SIGINT)
        batch = Batch()
        batch.put(b"sum", str(int(self._loading.get(b"sum") or b"0") + len(item)).encode())
        self._loading.load(batch)

    def end(self) -> tuple[int, bytes | None]:
        return os.getpid(), self._loading.get(b"sum")

    def abandon(self) -> None:
        self._loading.load(Batch({b"abandoned": b""}))


class _Unusual(Exception):
    """Cannot be sent anywhere."""


def test_it_works_in_another_process_and_loads_into_the_store_here() -> None:
    held = Held()
    with begun_elsewhere(Sums) as begin:
        stage = begin(held)
        for item in (b"one", b"three", b"interrupt"):  # which is for the command, and the command alone
            stage.take(item)
        pid, told = stage.end()
    assert pid != os.getpid()
    assert told == held.rows[b"sum"] == b"17"


class Counting:
    """A stage without a store."""

    def __init__(self) -> None:
        self._count = 0

    def take(self, item: bytes) -> None:
        self._count += len(item)

    def end(self) -> int:
        return self._count

    def abandon(self) -> None:
        """Nobody asks."""


def test_it_may_be_told_later_what_it_works_on_and_prepares_for_that_meanwhile() -> None:
    prepared: list[int] = []
    held = Held()
    with begun_elsewhere(Times, lambda: prepared.append(2)) as begin:
        stage = begin(held, prepared, 3)  # a list that is sent, and is empty here
        stage.take(b"one")
        assert stage.end() == 0
        assert prepared == []
    assert held.rows == {b"times": b"3"}
    with begun_elsewhere(partial(Prepared, prepared), lambda: prepared.append(2)) as begin:
        assert begin(held).end() == [2]
    assert prepared == []


class Prepared(Counting):
    """Tells what was prepared where it works."""

    def __init__(self, prepared: list[int], _loading: Loading) -> None:
        super().__init__()
        self._prepared = prepared

    def end(self) -> list[int]:
        return self._prepared


class Times(Counting):
    """Counts so many times as much as it is given numbers, and says in the store how many times."""

    def __init__(self, loading: Loading, numbers: list[int], times: int) -> None:
        super().__init__()
        loading.load(Batch({b"times": str(times).encode()}))
        self._times = times * len(numbers)

    def end(self) -> int:
        return super().end() * self._times


def test_it_is_worth_it_with_another_processor_and_no_other_thread(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    told = []
    for processors, threads in (({0, 1}, 1), ({0}, 1), ({0, 1}, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, found=processors: found)
        folder = tmp_path / str(len(told))
        for number in range(threads):
            (folder / str(number)).mkdir(parents=True)
        monkeypatch.setattr(forking, "THREADS", folder)
        told.append(forking.is_worth_it())
    assert told == [True, False, False]


def test_where_it_is_not_it_works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_worth_it", lambda: False)
    held = Held()
    with begun_elsewhere(Sums) as begin:
        stage = begin(held)
        stage.take(b"one")
        assert stage.end() == (os.getpid(), b"3")
    with elsewhere(Counting) as given:
        assert type(given) is Counting


def test_more_than_may_wait_is_taken_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 1000)
    with elsewhere(Counting) as stage:
        for size in range(200):
            stage.take(bytes(size * 10))
            assert stage._waiting_bytes < 3000
        assert stage.end() == sum(range(200)) * 10


MUCH = (bytes(100_000),) * 64
"""More than a pipe holds, so that whoever gives it notices that nobody takes it."""


def whole_life(begin: Callable[[Loading], Stage[bytes, object]], held: Held, *items: bytes) -> None:
    stage = begin(held)
    for item in items:
        stage.take(item)
    stage.end()


@pytest.mark.parametrize("more", [(), MUCH])
def test_what_goes_wrong_there_is_raised_here_as_what_it_is(more: tuple[bytes, ...]) -> None:
    with begun_elsewhere(Sums) as begin, pytest.raises(ArchiveDamaged, match="it was asked for") as raised:
        whole_life(begin, Held(), b"damage", *more)
    assert (raised.value.archive, raised.value.why) == ("a.tar.gz", "it was asked for")
    assert "in take" in str(raised.value.__cause__)


def test_what_went_wrong_is_raised_when_the_rest_is_abandoned() -> None:
    with begun_elsewhere(Sums) as begin:
        stage = begin(Held())
        stage.take(b"damage")
        with pytest.raises(ArchiveDamaged, match="it was asked for"):
            stage.abandon()


def test_what_cannot_leave_the_process_is_a_bug_with_its_text() -> None:
    with begun_elsewhere(Sums) as begin, pytest.raises(InvariantBroken, match="_Unusual"):
        whole_life(begin, Held(), b"mistake")


@pytest.mark.parametrize("more", [(), MUCH])
def test_what_goes_wrong_with_the_store_ends_it(more: tuple[bytes, ...]) -> None:
    class Full(Held):
        def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
            raise StoreFull(f"no room for {len(batch)} rows")

    with begun_elsewhere(Sums) as begin, pytest.raises(StoreFull):
        whole_life(begin, Full(), b"one", *more)


@pytest.mark.parametrize("more", [(), MUCH])
def test_a_process_that_was_ended_from_outside_is_a_fault_of_the_machine(more: tuple[bytes, ...]) -> None:
    with begun_elsewhere(Sums) as begin, pytest.raises(StageLost):
        whole_life(begin, Held(), b"end", *more)


def test_what_was_taken_is_done_when_the_rest_is_abandoned() -> None:
    held = Held()
    with begun_elsewhere(Sums) as begin:
        stage = begin(held)
        stage.take(b"one")
        stage.abandon()
    assert held.rows == {b"sum": b"3", b"abandoned": b""}


def test_nobody_waits_for_it_where_it_is_not_needed_any_more() -> None:
    class Slow(Counting):
        def take(self, item: bytes) -> None:
            signal.pause()

    with elsewhere(Slow) as stage:
        for item in MUCH:
            stage.take(item)
    with begun_elsewhere(Sums):
        pass  # nor where it was never begun


def test_no_signal_is_sent_to_who_may_have_its_number_next(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    kill, waitpid = os.kill, os.waitpid
    monkeypatch.setattr(os, "kill", lambda pid, number: (done.append("kill"), kill(pid, number)))
    monkeypatch.setattr(os, "waitpid", lambda pid, options: (done.append("wait"), waitpid(pid, options))[1])
    with begun_elsewhere(Sums) as begin:
        begin(Held()).take(b"one")
    assert done.index("wait") == len(done) - 1


def test_a_process_that_cannot_be_begun_leaves_signals_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", none_left)
    with pytest.raises(BlockingIOError), elsewhere(Counting):
        pass
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint({signal.SIGINT, signal.SIGTERM})


def test_a_store_without_a_stage_that_loads_is_not_asked() -> None:
    class Asking(Counting):
        def end(self) -> int:
            return 1 if module._NoLoading().get(b"x") else 0

    with elsewhere(Asking) as stage, pytest.raises(InvariantBroken, match="78"):
        stage.end()


@pytest.mark.parametrize("from_descriptor", [3, 500])
def test_no_lock_of_ours_is_held_by_it(tmp_path: Path, from_descriptor: int) -> None:
    """A lock belongs to the open file, which the copy of a process has, too."""
    path, held = tmp_path / "lock", Held()
    with path.open("w") as opened:
        locked = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, from_descriptor)
    fcntl.flock(locked, fcntl.LOCK_EX)
    with begun_elsewhere(Sums) as begin:
        stage = begin(held)
        stage.take(b"one")
        assert held.has_more.wait(30)
        os.close(locked)  # without a word: the lock is free when nobody has the file open
        with path.open("r") as next_one:
            fcntl.flock(next_one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert stage.end()[1] == b"3"


_PARENT = """
import os, signal, sys
from icn.adapters.archive.elsewhere import elsewhere
os.sched_getaffinity = lambda _pid: {0, 1}

class Busy:
    def take(self, item):
        os.write(1, str(os.getpid()).encode() + b"\\n")
        while True:
            pass
    def end(self): ...
    def abandon(self): ...

with elsewhere(Busy) as stage:
    stage.take(b"")
    sys.stdin.read(1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_the_process_that_began_it_in_the_middle_of_its_work() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        watched = os.pidfd_open(pid)
        parent.stdin.write(b"x")
        parent.stdin.flush()
        assert parent.wait(timeout=30) == -signal.SIGKILL
        try:
            assert select.select([watched], [], [], 30)[0]  # to be read when the process has ended
        finally:
            os.close(watched)
