"""What processes are there and what they hold, as the kernel says."""

import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path


def resident_bytes() -> int:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children_of(pid: int) -> set[int]:
    """The processes that `pid` has started and that have not been waited for."""
    everybody = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {one for one in everybody if _parent_of(one) == pid}


def descendants_of(pid: int) -> set[int]:
    """Those, and what they have started."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = children_of(waiting.pop()) - found
        found |= children
        waiting += children
    return found


def processor_ticks(pid: int) -> int:
    """What a process has computed, in hundredths of a second on every Linux; nothing when it is gone."""
    try:
        return sum(map(int, _fields(pid)[11:13]))
    except OSError:
        return 0


@contextlib.contextmanager
def handle(pid: int) -> Iterator[int]:
    """A descriptor that stays this process's, whoever gets its number afterwards."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def has_ended(descriptor: int, within_s: float = 10.0) -> bool:
    """Whether the process behind a `handle` ends in this time."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(within_s * 1000))


def command_of(pid: int) -> str:
    """Its command line, with spaces between; nothing when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _parent_of(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return int(_fields(pid)[1])
    return None


def _fields(pid: int) -> list[str]:
    """Those behind the name, the first being the state (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
