"""Takes from a worker every system call it does not need to run guests (seccomp(2), classic BPF).

An allow-list: memory, its two threads, clocks, and reading and writing descriptors it has. No file can be opened, no
process or thread started, no socket made, nothing signalled. What is not allowed answers EPERM rather than killing,
so that a Python import or an engine's optional probe fails politely.
"""

import ctypes
import platform
import struct

_ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
"""AUDIT_ARCH_* of linux/audit.h."""

# Number on x86_64 and on aarch64; None where an architecture does not have the call.
_ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "poll": (7, None), "ppoll": (271, 73),
    "lseek": (8, 62), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "mremap": (25, 216), "madvise": (28, 233), "membarrier": (324, 283),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "pselect6": (270, 72), "select": (23, None), "sched_yield": (24, 124), "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "restart_syscall": (219, 128),
    "sendto": (44, 206), "recvfrom": (45, 207), "getpid": (39, 172), "gettid": (186, 178), "getrandom": (318, 278),
    "sched_getaffinity": (204, 123), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip

_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_KILL, _REFUSE, _ALLOW = 0x8000_0000, 0x0005_0001, 0x7FFF_0000
"""Kill the process; answer EPERM; let through (linux/seccomp.h)."""
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE = 0, 4


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict(libc: ctypes.CDLL) -> bool:
    """Install the filter on this thread and the process's others; False where this kernel or machine has none.

    `PR_SET_NO_NEW_PRIVS` must be set. For every thread of the process to be covered, this goes through the seccomp
    system call with its thread synchronisation flag.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    program = _assemble(machine)
    described = _Program(len(program) // 8, program)
    call_number = {"x86_64": 317, "aarch64": 277}[machine]
    set_filter, synchronise_threads = 1, 1
    result = libc.syscall(call_number, set_filter, synchronise_threads, ctypes.byref(described))
    return int(result) == 0


def _assemble(machine: str) -> bytes:
    column = list(_ARCHITECTURES).index(machine)
    numbers = sorted(call[column] or 0 for call in _ALLOWED.values() if call[column] is not None)
    lines = [
        (_LOAD_WORD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),  # another architecture's numbers mean other calls
        (_LOAD_WORD, 0, 0, _OFFSET_NUMBER),
    ]
    # Each comparison jumps over those left and the refusal, to the last line.
    lines += [(_JUMP_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    lines += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
