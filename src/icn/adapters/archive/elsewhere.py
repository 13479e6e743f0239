"""Stages that work in a process of their own, because Python runs in one thread of a process at a time.

```
 here                                          there
 take ─> queue, bounded ─> thread ──items───> the stage
 the store <─ thread <──rows, questions────── what it loads and asks for
```

The process is forked: it knows what was known when it began, and needs no start. It is to be begun before a store is
opened or a thread is started here, so that it has neither a lock of ours nor half of somebody's work; what files it
inherits it closes. It is killed when the context is left, or with the thread that began it, however that ends, and an
interrupt from the terminal is not meant for it. What goes wrong there is raised here, as what it is.

Where there is one processor only, or more than one thread already, the stage works here.
"""

import contextlib
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Generic, NoReturn, TypeVar

from icn.adapters.prctl import PR_SET_PDEATHSIG, prctl
from icn.kernel.errors import Fault, InvariantBroken
from icn.kernel.limits import MIB
from icn.services.beginning import NO_VIEWS, Loading, Views, with_views
from icn.services.stage import Stage
from icn.stores.kv import Batch

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING_BYTES = 32 * MIB
"""Of items that wait for the process; one may always wait."""


THREADS = Path("/proc/self/task")
"""Those of libraries, too, which Python does not count."""


class StageLost(Fault):
    """A process of ours was ended by somebody else: by the system, where memory is short."""

    code: ClassVar[str] = "archive.stage_lost"


@contextlib.contextmanager
def elsewhere(make: Callable[[], Stage[Item, Result]]) -> Iterator[Stage[Item, Result]]:
    """The stage that `make` makes, in a process that is forked at once. What it imports for that, it imports there."""
    with begun_elsewhere(lambda _loading: make()) as begin:
        yield begin(_NoLoading())


@contextlib.contextmanager
def begun_elsewhere(
    make: Callable[[Loading], Stage[Item, Result]],
) -> Iterator[Callable[[Loading], Stage[Item, Result]]]:
    """What begins a stage that loads into a store: as `make` does, in a process that is forked at once."""
    if not is_worth_it():
        yield make
        return
    process = _Process(make)
    try:
        yield process.begin
    finally:
        process.close()


def is_worth_it() -> bool:
    """Whether there is a processor for another process, and no thread here whose half done work it would inherit."""
    return len(os.sched_getaffinity(0)) > 1 and sum(1 for _ in THREADS.iterdir()) == 1


class _NoLoading:
    """For stages that load nothing."""

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> NoReturn:
        raise InvariantBroken(f"a stage without a store loads {len(batch) + len(views)} rows")

    def get(self, key: bytes) -> NoReturn:
        raise InvariantBroken(f"a stage without a store asks for {key.hex()}")


# What goes through the pipes, beside batches that are loaded


@dataclass(frozen=True, slots=True)
class _Take:
    item: Any


@dataclass(frozen=True, slots=True)
class _End:
    is_abandoned: bool


@dataclass(frozen=True, slots=True)
class _Get:
    key: bytes


@dataclass(frozen=True, slots=True)
class _Ended:
    result: Any


@dataclass(frozen=True, slots=True)
class _Raised:
    """An error by its parts: one with a constructor of its own cannot be made of its arguments again."""

    kind: type[Exception]
    arguments: tuple[Any, ...]
    fields: dict[str, Any]
    told: str

    @classmethod
    def of(cls, error: Exception) -> "_Raised":
        import traceback  # only where something went wrong

        return cls(type(error), error.args, dict(vars(error)), "".join(traceback.format_exception(error)))

    def error(self) -> Exception:
        error = self.kind.__new__(self.kind, *self.arguments)
        vars(error).update(self.fields)
        error.__cause__ = _Elsewhere(self.told)
        return error


class _Elsewhere(Exception):
    def __str__(self) -> str:
        return f"in a process of its own:\n{self.args[0]}"


# There


class _Link:
    """The store, as the stage sees it. Satisfies `Loading`."""

    def __init__(self, rows: BinaryIO, answers: BinaryIO) -> None:
        self._rows = rows
        self._answers = answers

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        _send(self._rows, pickle.dumps(with_views(batch, views)))

    def get(self, key: bytes) -> bytes | None:
        _send(self._rows, pickle.dumps(_Get(key)))
        value: bytes | None = pickle.load(self._answers)  # noqa: S301 - our own process wrote it
        return value


def _work(make: Callable[[Loading], Stage[Any, Any]], items: BinaryIO, rows: BinaryIO, answers: BinaryIO) -> None:
    """The life of the process. Nobody being there any more ends it."""
    try:
        stage = make(_Link(rows, answers))
        while isinstance(message := pickle.load(items), _Take):  # noqa: S301 - our own process wrote it
            stage.take(message.item)
        if message.is_abandoned:
            stage.abandon()
            told = pickle.dumps(_Ended(None))
        else:
            told = pickle.dumps(_Ended(stage.end()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - the outermost layer of a process; raised in the other one
        told = _written(error)
    _send(rows, told)


def _written(error: Exception) -> bytes:
    raised = _Raised.of(error)
    try:
        return pickle.dumps(raised)
    except (pickle.PicklingError, TypeError, AttributeError):  # it holds what cannot leave the process
        return pickle.dumps(_Raised.of(InvariantBroken(raised.told)))


def _be_apart(parent: int, kept: tuple[BinaryIO, ...]) -> None:
    """Nothing of the parent's but three pipes and its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it ended before it was said that this ends with it
    first = 3
    for descriptor in sorted(pipe.fileno() for pipe in kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


# Here


class _Process(Generic[Item, Result]):
    """Satisfies `Stage` once it was begun."""

    def __init__(self, make: Callable[[Loading], Stage[Item, Result]]) -> None:
        items, self._items = _pipe()
        self._rows, rows = _pipe()
        answers, self._answers = _pipe()
        there = (items, rows, answers)
        parent = os.getpid()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            self._pid = os.fork()
            if not self._pid:
                try:
                    _be_apart(parent, there)
                    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                    _work(make, *there)
                finally:
                    os._exit(0)
        except OSError:  # the system has none left
            for pipe in (*there, self._items, self._rows, self._answers):
                pipe.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for pipe in there:
            pipe.close()
        self._threads = ThreadPoolExecutor(2)
        self._answering: Future[Result] | None = None
        self._waiting: deque[tuple[int, Future[None]]] = deque()  # bounded: WAITING_BYTES, in _put()
        self._waiting_bytes = 0

    def begin(self, loading: Loading) -> "_Process[Item, Result]":
        """With the store that the stage loads into, which has this process' threads."""
        self._answering = self._threads.submit(self._answer, loading)
        return self

    def take(self, item: Item) -> None:
        """See `Stage`."""
        if self._told.done():
            self._told.result()
        self._put(_Take(item))

    def end(self) -> Result:
        """See `Stage`."""
        self._put(_End(is_abandoned=False))
        return self._told.result()

    def abandon(self) -> None:
        """See `Stage`."""
        self._put(_End(is_abandoned=True))
        self._told.result()

    def close(self) -> None:
        """The process is gone, and so are the threads."""
        os.kill(self._pid, signal.SIGKILL)  # where it has told all there is to tell, it only ends
        self._threads.shutdown()
        os.waitpid(self._pid, 0)  # last: until then the number is its own, and it may be signalled
        for pipe in (self._items, self._rows, self._answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    @property
    def _told(self) -> "Future[Result]":
        if self._answering is None:
            raise InvariantBroken("a stage is begun before it is given anything")
        return self._answering

    def _put(self, message: _Take | _End) -> None:
        data = pickle.dumps(message)
        while self._waiting and self._waiting_bytes + len(data) > WAITING_BYTES:
            size, sending = self._waiting.popleft()
            sending.result()
            self._waiting_bytes -= size
        self._waiting.append((len(data), self._threads.submit(self._send_item, data)))
        self._waiting_bytes += len(data)

    def _send_item(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the other thread knows why
            _send(self._items, data)

    def _answer(self, loading: Loading) -> Result:
        """Do what the stage asks for, until it has told what came of everything."""
        try:
            while not isinstance(message := self._next(), _Ended):
                match message:
                    case Batch():
                        loading.load(message)
                    case _Get(key):
                        _send(self._answers, pickle.dumps(loading.get(key)))
                    case _Raised():
                        raise message.error()
        except BaseException:
            os.kill(self._pid, signal.SIGKILL)  # it waits for an answer, and others wait for it
            raise
        result: Result = message.result
        return result

    def _next(self) -> Any:
        try:
            return pickle.load(self._rows)  # noqa: S301 - our own process wrote it
        except (EOFError, pickle.UnpicklingError) as error:
            raise StageLost("a process of this command was ended from outside: run it again") from error


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    """Where to read, and where to write."""
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), os.fdopen(writing, "wb")


def _send(pipe: BinaryIO, data: bytes) -> None:
    pipe.write(data)
    pipe.flush()
