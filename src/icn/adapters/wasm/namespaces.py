"""Moves a worker into a world of its own: an empty root, no network, no rights (namespaces(7), pivot_root(2)).

Not every kernel or container lets a process do that, and none of it is needed where system calls are filtered: a
filtered worker opens nothing. It is the wall behind that wall. What could be had is said, never assumed.

Called while the process has one thread, after all it will ever import: a user namespace is entered by no other, and
afterwards there is no file left.
"""

import ctypes
import os
import platform
from contextlib import suppress
from pathlib import Path

EMPTY_ROOT, NO_NETWORK, UNPRIVILEGED = "empty_root", "no_network", "unprivileged"

_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_NET = 0x2_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x4000_0000
"""CLONE_* of linux/sched.h."""
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXEC, _RECURSIVE, _PRIVATE = 1, 2, 4, 8, 1 << 14, 1 << 18
"""MS_* of linux/mount.h."""
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_NOBODY = 65534
_MOUNT_POINT = b"/tmp"  # a folder that every Linux has; nothing is read or written there
_CAPABILITIES_VERSION_3 = 0x2008_0522


def enter() -> list[str]:
    """Take away what can be taken, and say what was."""
    libc = ctypes.CDLL(None, use_errno=True)
    is_root = os.geteuid() == 0
    apart = _NEW_MOUNTS | _NEW_UTS | _NEW_IPC | _NEW_NET
    found = []
    # Root does without a user namespace where it can, to become nobody afterwards for everything outside of it too.
    if (is_root and _can(libc.unshare, apart)) or _can(libc.unshare, apart | _NEW_USER):
        found.append(NO_NETWORK)
        if _leave_the_root(libc):
            found.append(EMPTY_ROOT)
    if _give_up_rights(libc):
        found.append(UNPRIVILEGED)
    return found


def _leave_the_root(libc: ctypes.CDLL) -> bool:
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        return False
    flags = _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_EXEC
    if not (
        _can(libc.mount, b"none", b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None)
        and _can(libc.mount, b"none", _MOUNT_POINT, b"tmpfs", ctypes.c_ulong(flags), b"size=4k,nr_inodes=2,mode=0555")
        and _can(libc.chdir, _MOUNT_POINT)
        # The old root is put upon the new one and taken off again, so that no place for it is needed (pivot_root(2)).
        and _can(libc.syscall, number, b".", b".")
        and _can(libc.umount2, b".", _DETACH)
    ):
        return False
    os.chdir("/")
    return not any(Path("/").iterdir())


def _give_up_rights(libc: ctypes.CDLL) -> bool:
    """Nobody's identity where it may be changed, and no capability in any case."""
    with suppress(OSError):  # who is not root keeps its identity, and loses what a user namespace gave
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    # Root that may not become somebody else is still root to every file, whatever else it has given up.
    return _can(libc.capset, header, none) and os.geteuid() != 0


def _can(call: "ctypes._NamedFuncPointer", *arguments: object) -> bool:
    return int(call(*arguments)) == 0
