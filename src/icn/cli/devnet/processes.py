"""Processes that this program started and may signal: known for good, found again by another run, measured.

A signal goes to a process that is held open (`pidfd_open`) and was then compared with what was started, so that an id
that the system gave to somebody else in between is never hit. What `/proc` says is described in
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from icn.cli.devnet.state import ProcessId

PROC = Path("/proc")
_BETWEEN_LOOKS = 0.02
_GONE = frozenset("ZX")
"""A process that nobody has asked for its end yet is over all the same."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a node takes of the machine, its sandbox workers included."""

    cpu_seconds: float
    resident_bytes: int
    """Pages that several processes share are counted for each."""
    processes: int
    stopped: bool
    """By a signal: it does nothing until it is told to go on."""


def identify(pid: int) -> ProcessId:
    """The process that has this id now. Raises `ProcessLookupError`."""
    fields = _stat(pid)
    if fields is None:
        raise ProcessLookupError(pid)
    return ProcessId(pid, int(fields[_STARTED]), _boot())


def lives(process: ProcessId | None) -> bool:
    """Whether that very process has not ended."""
    if process is None or process.boot != _boot():
        return False
    fields = _stat(process.pid)
    return fields is not None and int(fields[_STARTED]) == process.started and fields[_STATE] not in _GONE


def send(process: ProcessId | None, number: signal.Signals) -> bool:
    """Signal it, and nobody else. False when it has ended."""
    if process is None:
        return False
    with _held(process) as handle:
        if handle is None:
            return False
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        return True


def await_end(processes: Iterable[ProcessId], within: float) -> list[ProcessId]:
    """Wait until all have ended; those that have not in time."""
    left = list(processes)
    until = time.monotonic() + within
    while True:
        left = [process for process in left if lives(process)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(_BETWEEN_LOOKS)


def usage(process: ProcessId | None) -> Usage | None:
    """What it takes, with everything below it; None when it has ended."""
    if process is None or not lives(process):
        return None
    tree = [fields for pid in _below(process.pid) if (fields := _stat(pid)) is not None]
    if not tree:
        return None
    ticks = sum(int(fields[_USER]) + int(fields[_SYSTEM]) for fields in tree)
    ticks += int(tree[0][_CHILDREN_USER]) + int(tree[0][_CHILDREN_SYSTEM])
    return Usage(
        cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
        resident_bytes=sum(int(fields[_RESIDENT]) for fields in tree) * os.sysconf("SC_PAGE_SIZE"),
        processes=len(tree),
        stopped=tree[0][_STATE] == "T",
    )


@contextmanager
def _held(process: ProcessId) -> Iterator[int | None]:
    """A handle on that very process; None when it has ended."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if lives(process) else None
    finally:
        os.close(handle)


def _below(pid: int) -> Iterator[int]:
    """The process itself first, then its descendants."""
    yield pid
    for path in sorted((PROC / str(pid) / "task").glob("*/children")):
        with suppress(OSError):  # it has ended meanwhile
            for child in path.read_text().split():
                yield from _below(int(child))


# Behind the name, which stands in parentheses and may hold anything: field 3 of the man page is number 0 here.
_STATE, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM, _STARTED, _RESIDENT = 0, 11, 12, 13, 14, 19, 21


def _stat(pid: int) -> list[str] | None:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()
