"""What the operating system takes from a worker before it sees a guest: the second wall, behind the engine's.

Not here: limits of the guest itself, which the engine enforces (running).
"""

import ctypes
import resource

from icn.adapters.wasm import bounds, seccomp
from icn.kernel.errors import Fault
from icn.kernel.limits import JOB_MEMORY_BYTES_MAX

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9


class HardeningFailed(Fault):
    """The system would not take something from a worker that every Linux can take."""

    code = "sandbox.hardening_failed"


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends. First thing a worker does."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def seal() -> str:
    """Give up everything that running guests does not need; says what was given up, for operators.

    Called when all is loaded and every thread runs. Seccomp is the one part that may be missing: a kernel or a
    container may not offer it. The others exist everywhere, and a worker without them does not start.
    """
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, bounds.WORKER_FILES_MAX)
    _lower(resource.RLIMIT_AS, bounds.MEMORY_RESERVATION_BYTES + bounds.WORKER_ADDRESS_BYTES)
    _lower(resource.RLIMIT_DATA, JOB_MEMORY_BYTES_MAX + bounds.WORKER_OVERHEAD_BYTES)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    filtered = seccomp.restrict(ctypes.CDLL(None))
    return f"rlimits no_new_privs seccomp={'on' if filtered else 'unavailable'}"


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None).prctl(option, value, 0, 0, 0) != 0:
        raise HardeningFailed(f"prctl {option} was refused")
