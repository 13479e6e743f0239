"""Stages that work in a process of their own, because Python runs in one thread of a process at a time.

```
 here                                          there
 take ─> queue, bounded ─> thread ──items───> the stage
 the store <─ thread <──rows, questions────── what it loads and asks for
```

The process is forked (`forking`), and killed when the context is left. What goes wrong there is raised here, as what it
is. It may be forked before it is known what it is to work on, and imports what it needs for that meanwhile.

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
from typing import Any, BinaryIO, Generic, NoReturn, TypeVar

from icn.adapters.archive.forking import Raised, StageLost, forked, is_worth_it, pipe, send
from icn.kernel.errors import InvariantBroken
from icn.kernel.limits import MIB
from icn.services.beginning import NO_VIEWS, Loading, Views, with_views
from icn.services.stage import Stage
from icn.stores.kv import Batch

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING_BYTES = 32 * MIB
"""Of items that wait for the process; one may always wait."""


@contextlib.contextmanager
def elsewhere(make: Callable[[], Stage[Item, Result]]) -> Iterator[Stage[Item, Result]]:
    """The stage that `make` makes, in a process that is forked at once. What it imports for that, it imports there."""
    with begun_elsewhere(lambda _loading: make()) as begin:
        yield begin(_NoLoading())


@contextlib.contextmanager
def begun_elsewhere(
    make: Callable[..., Stage[Item, Result]], prepare: Callable[[], None] = lambda: None
) -> Iterator[Callable[..., Stage[Item, Result]]]:
    """What begins a stage that loads into a store, in a process that is forked at once, and does `prepare` at once.

    What is given to it, a `Loading` first, `make` is given there: all but that goes there pickled.
    """
    if not is_worth_it():
        yield make
        return
    process = _Process(make, prepare)
    try:
        yield process.begin
    finally:
        process.close()


class _NoLoading:
    """For stages that load nothing."""

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> NoReturn:
        raise InvariantBroken(f"a stage without a store loads {len(batch) + len(views)} rows")

    def get(self, key: bytes) -> NoReturn:
        raise InvariantBroken(f"a stage without a store asks for {key.hex()}")


# What goes through the pipes, beside batches that are loaded


@dataclass(frozen=True, slots=True)
class _Begin:
    given: tuple[Any, ...]


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


# There


class _Link:
    """The store, as the stage sees it. Satisfies `Loading`."""

    def __init__(self, rows: BinaryIO, answers: BinaryIO) -> None:
        self._rows = rows
        self._answers = answers

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        send(self._rows, pickle.dumps(with_views(batch, views)))

    def get(self, key: bytes) -> bytes | None:
        send(self._rows, pickle.dumps(_Get(key)))
        value: bytes | None = pickle.load(self._answers)  # noqa: S301 - our own process wrote it
        return value


def _work(
    make: Callable[..., Stage[Any, Any]],
    prepare: Callable[[], None],
    items: BinaryIO,
    rows: BinaryIO,
    answers: BinaryIO,
) -> None:
    """The life of the process. Nobody being there any more ends it."""
    try:
        prepare()
        begin: _Begin = pickle.load(items)  # noqa: S301 - our own process wrote it
        stage = make(_Link(rows, answers), *begin.given)
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
        told = Raised.of(error).pickled()
    send(rows, told)


# Here


class _Process(Generic[Item, Result]):
    """Satisfies `Stage` once it was begun."""

    def __init__(self, make: Callable[..., Stage[Item, Result]], prepare: Callable[[], None]) -> None:
        items, self._items = pipe()
        self._rows, rows = pipe()
        answers, self._answers = pipe()
        there = (items, rows, answers)
        try:
            self._pid = forked(lambda: _work(make, prepare, *there), tuple(one.fileno() for one in there))
        except OSError:  # the system has none left
            for one in (*there, self._items, self._rows, self._answers):
                one.close()
            raise
        for one in there:
            one.close()
        self._threads = ThreadPoolExecutor(2)
        self._answering: Future[Result] | None = None
        self._waiting: deque[tuple[int, Future[None]]] = deque()  # bounded: WAITING_BYTES, in _put()
        self._waiting_bytes = 0

    def begin(self, loading: Loading, *given: Any) -> "_Process[Item, Result]":
        """With the store that the stage loads into, which has this process' threads."""
        self._answering = self._threads.submit(self._answer, loading)
        self._put(_Begin(given))
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
        for one in (self._items, self._rows, self._answers):
            with contextlib.suppress(BrokenPipeError):
                one.close()

    @property
    def _told(self) -> "Future[Result]":
        if self._answering is None:
            raise InvariantBroken("a stage is begun before it is given anything")
        return self._answering

    def _put(self, message: _Begin | _Take | _End) -> None:
        data = pickle.dumps(message)
        while self._waiting and self._waiting_bytes + len(data) > WAITING_BYTES:
            size, sending = self._waiting.popleft()
            sending.result()
            self._waiting_bytes -= size
        self._waiting.append((len(data), self._threads.submit(self._send_item, data)))
        self._waiting_bytes += len(data)

    def _send_item(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the other thread knows why
            send(self._items, data)

    def _answer(self, loading: Loading) -> Result:
        """Do what the stage asks for, until it has told what came of everything."""
        try:
            while not isinstance(message := self._next(), _Ended):
                match message:
                    case Batch():
                        loading.load(message)
                    case _Get(key):
                        send(self._answers, pickle.dumps(loading.get(key)))
                    case Raised():
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
            raise StageLost.by_somebody() from error
