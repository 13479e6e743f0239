"""What Linux lets a process ask of itself, and Python has no function for: prctl(2)."""

import os
import signal

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def prctl(option: int, value: int) -> bool:
    """Whether the system did it."""
    import ctypes  # loads a library, which few commands need

    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def end_with(parent: int) -> None:
    """Be killed when the thread that started this process ends. `parent`: the number of its process."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it ended before it was said that this ends with it
