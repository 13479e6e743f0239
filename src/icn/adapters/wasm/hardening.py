"""What the operating system takes from a worker before it sees a guest: the second wall, behind the engine's.

In two steps. `set_apart` while the process has one thread, `seal` when every thread runs. What each kernel can take is
taken or the worker does not start; what only some can is reported by name, and the operator's minimum decides
(`settings.Isolation`).

Not here: limits of the guest itself, which the engine enforces (running).
"""

import ctypes
import resource

from icn.adapters.prctl import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl
from icn.adapters.wasm import bounds, namespaces, seccomp
from icn.kernel.errors import Fault
from icn.kernel.limits import JOB_MEMORY_BYTES_MAX

LIMITS, NO_NEW_PRIVILEGES, SECCOMP = "rlimits", "no_new_privs", "seccomp"
ALL_PARTS = (
    *(LIMITS, NO_NEW_PRIVILEGES, SECCOMP),
    *(namespaces.NO_NETWORK, namespaces.EMPTY_ROOT, namespaces.UNPRIVILEGED),
)
"""What a worker can be sealed with, in the order in which `settings.Isolation` asks for more."""

_SIGKILL = 9


class HardeningFailed(Fault):
    """The system would not take something from a worker that every Linux can take."""

    code = "sandbox.hardening_failed"


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends. First thing a worker does."""
    _prctl(PR_SET_PDEATHSIG, _SIGKILL)


def set_apart() -> list[str]:
    """Enter a world of its own, as far as the kernel lets; says which parts. Before any other thread starts."""
    parts = namespaces.enter()
    # Whoever changes identity is no longer tied to its parent's life, says the kernel (prctl(2)).
    die_with_parent()
    return parts


def seal() -> list[str]:
    """Give up everything else that running guests does not need; says which parts. When every thread runs."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NPROC, 0)
    _lower(resource.RLIMIT_NOFILE, bounds.WORKER_FILES_MAX)
    _lower(resource.RLIMIT_CPU, bounds.WORKER_CPU_S_MAX)
    _lower(resource.RLIMIT_AS, bounds.MEMORY_RESERVATION_BYTES + bounds.WORKER_ADDRESS_BYTES)
    _lower(resource.RLIMIT_DATA, JOB_MEMORY_BYTES_MAX + bounds.WORKER_OVERHEAD_BYTES)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    filtered = seccomp.restrict(ctypes.CDLL(None))
    return [LIMITS, NO_NEW_PRIVILEGES, *([SECCOMP] if filtered else [])]


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _prctl(option: int, value: int) -> None:
    if not prctl(option, value):
        raise HardeningFailed(f"prctl {option} was refused")
