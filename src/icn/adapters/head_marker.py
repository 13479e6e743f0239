"""The head mark in two small files: one that travels with the data directory, and one outside of it.

A copy of the data directory that is put back brings its own mark along; the one outside still knows better. Each file
has two slots of `SLOT_BYTES`, written in turn and synced in place: a write that is cut short spoils one slot, and the
other is the mark before. A slot is a SHA-256 over the rest, a number that grows with every write, and the mark in
DAG-CBOR, padded with zeros. In place, because a sync of bytes that are already allocated is the cheapest there is.

The place inside must be writable. Where the one outside is not, the node goes on with the other and says so: a copy of
the whole data directory that is put back is then noticed only from what peers say.

Not here: when a mark is due, and what it means (services.authorship).
"""

import contextlib
import hashlib
import os
from pathlib import Path

import structlog

from icn.adapters.files import PRIVATE_FILE, make_private_folders, sync_folder
from icn.kernel.encoding import decode
from icn.kernel.errors import Refusal
from icn.kernel.fields import shape_of
from icn.services.ports import HeadMark, HeadMarkFailed

FILE_NAME = "head-mark"
"""In the data directory."""
SLOT_BYTES = 512
"""A sector of any disk: written whole or not at all, most likely; the checksum tells."""
_DIGEST_BYTES = 32
_NUMBER_BYTES = 8
_LENGTH_BYTES = 2
_HEAD_BYTES = _DIGEST_BYTES + _NUMBER_BYTES + _LENGTH_BYTES
_SHAPE = shape_of(HeadMark)

log = structlog.get_logger("icn.head_mark")


class HeadMarkFile:
    """One place. Raises `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._number = 0

    def read(self) -> HeadMark | None:
        """The newest legible mark; None where there is none."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        found = [_unpacked(content[at : at + SLOT_BYTES]) for at in (0, SLOT_BYTES)]
        number, mark = max((slot for slot in found if slot is not None), key=lambda slot: slot[0], default=(0, None))
        self._number = number
        return mark

    def write(self, mark: HeadMark) -> None:
        """Put `mark` into the slot that is not the newest. Durable when this returns."""
        if self._descriptor is None:
            self.read()  # or a mark of an earlier process, with a higher number, would stay the newest
            self._descriptor = self._opened()
        number = self._number + 1
        data = _packed(number, mark)
        if os.pwrite(self._descriptor, data, number % 2 * SLOT_BYTES) != len(data):
            raise OSError(f"{self.path}: the disk took only part of the mark")
        os.fdatasync(self._descriptor)
        self._number = number

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        make_private_folders(self.path.parent)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        try:
            missing = 2 * SLOT_BYTES - os.fstat(descriptor).st_size
            if missing > 0:
                os.pwrite(descriptor, bytes(missing), 2 * SLOT_BYTES - missing)
                os.fsync(descriptor)
                sync_folder(self.path.parent)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


class HeadMarkFiles:
    """Both places. Satisfies `services.ports.HeadMarker`; used by one thread at a time."""

    def __init__(self, inner: Path, outer: Path | None) -> None:
        """`outer`: none where there is no place outside of the data directory."""
        self._inner = HeadMarkFile(inner)
        self._outer = None if outer is None else HeadMarkFile(outer)

    def read(self) -> tuple[HeadMark, ...]:
        """Every mark that is there. Raises `HeadMarkFailed` when the one inside cannot be looked for."""
        try:
            marks = [self._inner.read()]
        except OSError as error:
            raise _failed(self._inner, error) from error
        if self._outer is not None:
            try:
                marks.append(self._outer.read())
            except OSError as error:
                self._do_without(self._outer, error)
        return tuple(mark for mark in marks if mark is not None)

    def write(self, mark: HeadMark) -> None:
        """Keep `mark` in both places. Raises `HeadMarkFailed` when it cannot be kept inside."""
        if self._outer is not None:
            try:
                self._outer.write(mark)
            except OSError as error:
                self._do_without(self._outer, error)
        try:
            self._inner.write(mark)
        except OSError as error:
            raise _failed(self._inner, error) from error

    def close(self) -> None:
        """Let go of the files."""
        self._inner.close()
        if self._outer is not None:
            self._outer.close()

    def _do_without(self, outer: HeadMarkFile, error: OSError) -> None:
        self._outer = None
        with contextlib.suppress(OSError):
            outer.close()
        log.warning(
            "no head mark outside of the data directory",
            path=str(outer.path),
            error=str(error),
            detail="a copy of the whole data directory that is put back would be noticed only by what peers say: "
            "set [storage] head_marker_path to a place that can be written, on another volume if there is one",
        )


def _packed(number: int, mark: HeadMark) -> bytes:
    body = _SHAPE.encode(mark)
    rest = number.to_bytes(_NUMBER_BYTES, "big") + len(body).to_bytes(_LENGTH_BYTES, "big") + body
    return (hashlib.sha256(rest).digest() + rest).ljust(SLOT_BYTES, b"\0")


def _unpacked(slot: bytes) -> tuple[int, HeadMark] | None:
    length = int.from_bytes(slot[_DIGEST_BYTES + _NUMBER_BYTES : _HEAD_BYTES], "big")
    rest = slot[_DIGEST_BYTES : _HEAD_BYTES + length]
    if hashlib.sha256(rest).digest() != slot[:_DIGEST_BYTES]:
        return None
    try:
        mark = _SHAPE.from_map(decode(rest[_NUMBER_BYTES + _LENGTH_BYTES :]))
    except Refusal:
        return None  # whole, and not a mark of this release
    return int.from_bytes(rest[:_NUMBER_BYTES], "big"), mark


def _failed(place: HeadMarkFile, error: OSError) -> HeadMarkFailed:
    return HeadMarkFailed(f"the head mark {place.path} cannot be kept: {error.strerror or error}")
