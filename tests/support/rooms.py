"""A machine of a test's own, as far as a page can tell: `/backups` and `/secrets` in memory, and all ports free.

It is a mount namespace and a network namespace of Linux, entered by one command line and gone with the last process in
it. What is on this machine is seen from inside; what is mounted or listened to there is not seen from outside. So the
commands of a page run with the absolute paths, the names of hosts and the ports that they name, while other tests run.
"""

import functools
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

FOLDERS = ("backups", "secrets")
"""At the root, empty at first; what this machine has there is not seen."""
HOSTS = ("db.internal", "postgres.internal")
"""The guide's names of a database server. Inside they are the loopback."""
ABSENT = "namespaces are not permitted to this process, so there is no room for absolute paths (needs root, unshare)"
DOOR = Path(__file__).with_name("room_door.py")
_NAMESPACES = ("unshare", "--mount", "--net")
_UP = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 0x41))"
"""SIOCSIFFLAGS with IFF_UP and IFF_RUNNING: a new loopback is down."""
_FURNISH = """
set -eu
PATH=$PATH:/usr/sbin:/sbin  # chroot stands there, and not everybody's path does
root=$1 folder=$2
shift 2
"$PYTHON" -c "$UP"
# What other tests mounted must be able to end while this room is there.
while read -r _ place _; do case $place in "$TEMPORARY"/*) umount --lazy "$place" ;; esac; done < /proc/self/mounts
mount -t tmpfs -o mode=755 room "$root"
for entry in /*; do
  case " $FOLDERS " in *" ${entry#/} "*) continue ;; esac
  if [ -L "$entry" ]; then
    cp --no-dereference "$entry" "$root$entry"
  elif [ -d "$entry" ]; then
    mkdir "$root$entry"
    mount --rbind "$entry" "$root$entry"
  fi
done
for name in $FOLDERS; do mkdir "$root/$name"; done
mount --bind "$root.hosts" "$root/etc/hosts"
exec chroot "$root" bash -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


@functools.cache
def _entrance() -> tuple[str, ...] | None:
    """The command that makes the namespaces; as root, or as root of a user namespace; None: it may not."""
    if shutil.which(_NAMESPACES[0]) is None:
        return None
    for more in ((), ("--user", "--map-root-user")):
        command = (*_NAMESPACES, *more)
        tried = [*command, "sh", "-c", 'mount -t tmpfs room "$0"', "/mnt"]
        if subprocess.run(tried, check=False, capture_output=True).returncode == 0:
            return command
    return None


def room(folder: Path) -> tuple[str, ...]:
    """The words before a command that put it into a new room, in the folder `folder`. Skips where there is none.

    The room's root is beside the folder.
    """
    entrance = _entrance()
    if entrance is None:
        pytest.skip(ABSENT)
    root = folder.with_name(folder.name + ".room")
    root.mkdir()
    names = " ".join(("localhost", *HOSTS))
    root.with_name(root.name + ".hosts").write_text(f"127.0.0.1 {names}\n")
    made = {"PYTHON": sys.executable, "UP": _UP, "FOLDERS": " ".join(FOLDERS)}
    made |= {"TEMPORARY": tempfile.gettempdir()}
    variables = [f"{name}={value}" for name, value in made.items()]
    return (*entrance, "env", *variables, "bash", "-c", _FURNISH, "room", str(root), str(folder))


def door(port: int, socket_outside: Path) -> str:
    """A line of a script in a room: from now on `port` inside leads to a Unix socket that exists outside."""
    return (
        f'"{sys.executable}" "{DOOR}" {port} "{socket_outside}" &\nAT[door]=$!\n'
        f"until (: < /dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.02; done"
    )
