"""Compiled modules of one machine of the cluster: in a folder that is this account's alone, under a key of its own.

A compiled module is native code. So none comes from elsewhere: each machine compiles for itself, and believes only
files that it wrote, by a key that never leaves it.
"""

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from icn.adapters.wasm.cache import KEY_BYTES, ModuleCache
from icn.kernel.errors import Fault

KEY_FILE = "machine.key"


class MachineCacheUnusable(Fault):
    """The folder for compiled modules cannot be trusted, or cannot be had."""

    code = "cluster.cache_unusable"


def open_machine_cache(folder: str, *, owner: str, bytes_max: int, profile: str) -> ModuleCache:
    """The cache of `owner`'s modules in `folder`; empty: `.cache/icn/modules` in the home folder.

    Raises `MachineCacheUnusable`.
    """
    base = Path(folder) if folder else Path.home() / ".cache" / "icn" / "modules"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_ours(base)
        key = _key_in(base)
        apart = base / hashlib.sha256(owner.encode()).hexdigest()[:16]
        return ModuleCache(apart, key=key, bytes_max=bytes_max, profile=profile)
    except OSError as error:
        raise MachineCacheUnusable(f"compiled modules cannot be kept in {base}: {error.strerror}") from error


def _require_ours(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise MachineCacheUnusable(f"{path} is not a folder that only this account writes: remove it, or name another")


def _key_in(base: Path) -> bytes:
    path = base / KEY_FILE
    if not path.exists():
        # Written beside and linked: of two runners that start at once, one makes the key and both have it whole.
        part = base / f"{KEY_FILE}.{secrets.token_hex(8)}"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(part)
        finally:
            part.unlink()
    status = path.lstat()
    key = path.read_bytes()
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise MachineCacheUnusable(f"{path} is not a file of this account alone: remove it, and a new one is made")
    if len(key) != KEY_BYTES:
        raise MachineCacheUnusable(f"{path} is no key: remove it, and a new one is made")
    return key
