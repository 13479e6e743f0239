"""Compiled modules on disk, by content, machine and profile (semantics §6).

A compiled module is native code, and the engine takes a damaged one for a good one. So every file carries a MAC made
with a key of this node over its name and content. A file whose MAC does not match is deleted and counts as absent.
Least recently used files go when the total would pass its bound.

Not here: compiling. Several threads may use one cache: files are written beside and renamed.
"""

import hashlib
import hmac
import os
import platform
import tempfile
from pathlib import Path

from icn.kernel.errors import require
from icn.kernel.ids import Cid

_MAC_BYTES = 32
KEY_BYTES = 32


class ModuleCache:
    """A directory of this node's own."""

    def __init__(self, directory: Path, *, key: bytes, bytes_max: int, profile: str) -> None:
        require(len(key) == KEY_BYTES, f"the cache's key has {KEY_BYTES} bytes")
        self._directory = directory
        self._key = key
        self._bytes_max = bytes_max
        self._variant = hashlib.sha256(f"{profile} {platform.machine()}".encode()).hexdigest()[:16]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in sorted(directory.glob("*.part")):
            left_over.unlink(missing_ok=True)

    def name_of(self, module: Cid) -> str:
        """The name its compiled form has here."""
        return f"{module}.{self._variant}"

    def get(self, name: str) -> bytes | None:
        """What was put under `name`, byte for byte, or None."""
        path = self._directory / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        mac, content = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(name, content)):
            path.unlink(missing_ok=True)
            return None
        self._touch(path)
        return content

    def put(self, name: str, content: bytes) -> None:
        """Keep `content`, unless it is larger than the whole bound; make room by dropping what was used longest ago."""
        size = _MAC_BYTES + len(content)
        if size > self._bytes_max:
            return
        self._make_room(size)
        # Not synced: what a crash damages fails its MAC and is compiled again.
        descriptor, part = tempfile.mkstemp(dir=self._directory, suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._mac(name, content) + content)
        Path(part).replace(self._directory / name)

    def drop(self, name: str) -> None:
        """Forget what is kept under `name`, if anything."""
        (self._directory / name).unlink(missing_ok=True)

    def _mac(self, name: str, content: bytes) -> bytes:
        mac = hmac.new(self._key, name.encode() + b"\0", hashlib.sha256)
        mac.update(content)
        return mac.digest()

    def _touch(self, path: Path) -> None:
        try:
            os.utime(path)
        except FileNotFoundError:
            return  # dropped by another thread since; what was read is still good

    def _make_room(self, size: int) -> None:
        files = []
        for path in self._directory.iterdir():
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # dropped or renamed by another thread since
            files.append((stat.st_mtime_ns, path.name, stat.st_size, path))
        total = size + sum(entry[2] for entry in files)
        for _, _, file_size, path in sorted(files):
            if total <= self._bytes_max:
                break
            path.unlink(missing_ok=True)
            total -= file_size
