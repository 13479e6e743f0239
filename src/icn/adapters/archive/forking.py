"""Processes forked for a part of the work of this one: what all of them have in common.

A process that is forked knows what was known when it began, and needs no start. It is to be begun before a store is
opened or a thread is started here, so that it has neither a lock of ours nor half of somebody's work; what files it
inherits it closes. It ends with the thread that began it, however that ends, and an interrupt from the terminal is not
meant for it. What goes wrong there is sent here by its parts, and raised as what it is.

Not here: what they do (`elsewhere`, `examining`).
"""

import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from icn.adapters.prctl import end_with
from icn.kernel.errors import Fault, InvariantBroken

THREADS = Path("/proc/self/task")
"""Those of libraries, too, which Python does not count."""


class StageLost(Fault):
    """A process of ours was ended by somebody else: by the system, where memory is short."""

    code: ClassVar[str] = "archive.stage_lost"

    @classmethod
    def by_somebody(cls) -> "StageLost":
        """It says nothing any more, and has not said why."""
        return cls("a process of this command was ended from outside: run it again")


def is_worth_it() -> bool:
    """Whether there is a processor for another process, and no thread here whose half done work it would inherit."""
    return len(os.sched_getaffinity(0)) > 1 and sum(1 for _ in THREADS.iterdir()) == 1


def forked(work: Callable[[], None], kept: tuple[int, ...]) -> int:
    """The number of a process that does `work` and ends. Of files it has those `kept`, by descriptor, and no others.

    Raises `OSError` where the system has no process left.
    """
    parent = os.getpid()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        pid = os.fork()
        if not pid:
            try:
                _be_apart(parent, kept)
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                work()
            finally:
                os._exit(0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def _be_apart(parent: int, kept: tuple[int, ...]) -> None:
    """Nothing of the parent's but some files and its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with(parent)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def pipe() -> tuple[BinaryIO, BinaryIO]:
    """Where to read, and where to write."""
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), os.fdopen(writing, "wb")


def send(target: BinaryIO, data: bytes) -> None:
    """At once. Raises `BrokenPipeError` where nobody reads any more."""
    target.write(data)
    target.flush()


@dataclass(frozen=True, slots=True)
class Raised:
    """An error by its parts: one with a constructor of its own cannot be made of its arguments again."""

    kind: type[Exception]
    arguments: tuple[Any, ...]
    fields: dict[str, Any]
    told: str

    @classmethod
    def of(cls, error: Exception) -> "Raised":
        """What is known of it there."""
        import traceback  # only where something went wrong

        return cls(type(error), error.args, dict(vars(error)), "".join(traceback.format_exception(error)))

    def error(self) -> Exception:
        """The same, here; its cause says where it was raised."""
        error = self.kind.__new__(self.kind, *self.arguments)
        vars(error).update(self.fields)
        error.__cause__ = _Elsewhere(self.told)
        return error

    def pickled(self) -> bytes:
        """As it goes through a pipe; what cannot leave its process is a bug of ours with its text."""
        try:
            return pickle.dumps(self)
        except (pickle.PicklingError, TypeError, AttributeError):
            return pickle.dumps(Raised.of(InvariantBroken(self.told)))


class _Elsewhere(Exception):
    def __str__(self) -> str:
        return f"in a process of its own:\n{self.args[0]}"
