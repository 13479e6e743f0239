"""What this machine, or the container this process is in, has left."""

from pathlib import Path

from icn.kernel.limits import KIB

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def memory_available_bytes(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """Memory that can be had without swapping; None where the system does not say.

    In a container with a limit, what is left of it; files that the kernel keeps in memory and could drop count as left.
    """
    found = [amount for amount in (_of_machine(meminfo), _of_container(cgroup)) if amount is not None]
    return min(found, default=None)


def _of_machine(meminfo: Path) -> int | None:
    """https://docs.kernel.org/filesystems/proc.html#meminfo."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * KIB if found else None


def _of_container(cgroup: Path) -> int | None:
    """https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        stat = (cgroup / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    if limit == "max":
        return None
    droppable = sum(int(line.split()[1]) for line in stat if line.startswith("inactive_file "))
    return max(0, int(limit) - used + droppable)
