"""The write-ahead log of a SQLite store: whether it is whole when a store is opened, and the note of each commit.

SQLite goes by the checksums of the log up to the first frame that is not right and takes that for the end, as it must:
a transaction under way when the power failed may be there in part. So a bit that turned over in the log would undo
acknowledged commits, and nobody would be told. Two things tell damage from a torn end, before anything is changed:

- the witness beside the store (`witness`): which log, by its salts, and how many of its frames were durable;
- what lies behind the break. Only one transaction can have been under way. A frame that ends a transaction, followed by
  a frame whose checksum goes on from it, belongs to one that was over when the next one began: that one was synced.

What remains: damage to the last transaction of a log whose witness is missing, damaged or behind, or to the field that
says where the one before ended, looks as if that had been under way, and it is dropped as such. A log that is missing
or empty is one that was copied back into the database.

The log's layout is that of https://sqlite.org/fileformat2.html#the_write_ahead_log.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import NamedTuple, Self

import apsw

from icn.adapters.storage.witness import Claim, Witness, read
from icn.stores.kv import StoreCorrupt

CHECKPOINT_FRAMES = 4000
"""The log is copied back when it has so many: 64 MiB. A page that changes often is copied once, so commits of 100
scattered updates were a third more per second than at SQLite's 1000, with a shorter tail; at 16,000 slower."""

_HEADER = Struct(">IIII8s8s")
"""Magic, version, page size, number of the checkpoint, salts, checksum."""
_FRAME = Struct(">II8s8s")
"""Page, pages of the database if it ends a transaction, else 0; salts, checksum."""
_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
"""To the byte order of the words that are added up."""
_CHECKED_OF_HEADER = 24
_CHECKED_OF_FRAME = 8
_WORD_BITS = 0xFFFFFFFF


def witness_of(path: Path) -> Path:
    """Where the witness of the store in the file `path` is."""
    return path.with_name(path.name + ".witness")


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def check(connection: apsw.Connection, path: Path) -> None:
    """Refuse a store whose log is damaged. Raises `StoreCorrupt`, `apsw.Error`, `OSError`.

    `connection` is the first to the store in the file `path` and has changed nothing yet.
    """
    connection.pragma("schema_version")  # the first read; it makes SQLite go through the log
    frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
    try:
        descriptor = os.open(_log_of(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        found = _Log.of(descriptor, connection.pragma("page_size"))
        if found is not None and found.is_damaged(max(frames, 0), read(witness_of(path))):
            raise StoreCorrupt(
                f"{_log_of(path)} is damaged in front of commits that were acknowledged; nothing was changed: restore "
                "a backup, or let the federation refill an empty store. If these files were copied while a node was "
                f"writing to them, or come from different copies: remove {witness_of(path)} and start again"
            )
    finally:
        os.close(descriptor)


class _Frame(NamedTuple):
    page: int
    size: int
    """Of the database in pages, if this frame ends a transaction, else 0."""
    salts: bytes
    checksum: bytes


class _Log(NamedTuple):
    """A log file with at least a header."""

    descriptor: int
    order: str
    page_bytes: int
    salts: bytes | None
    """None: the header is damaged."""
    frames: int
    """That the file has room for, whole ones."""

    @classmethod
    def of(cls, descriptor: int, page_bytes: int) -> Self | None:
        """None for a log that is too short to hold anything. `page_bytes` is that of the database."""
        header = os.pread(descriptor, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return None
        magic, _, in_header, _, salts, checksum = _HEADER.unpack(header)
        order = _MAGICS.get(magic)
        is_sound = order is not None and _checksum(order, header[:_CHECKED_OF_HEADER], bytes(8)) == checksum
        if is_sound:
            page_bytes = in_header
        frames = (os.fstat(descriptor).st_size - _HEADER.size) // (_FRAME.size + page_bytes)
        return cls(descriptor, order or "<", page_bytes, salts if is_sound else None, frames)

    def is_damaged(self, sound: int, claim: Claim | None) -> bool:
        """Whether more was durable than the `sound` frames that SQLite has taken from the log."""
        if claim is not None and self._was_of(claim) and sound < claim.reach:
            return True
        return any(self._was_over(number) for number in range(sound + 1, self.frames))

    def _was_of(self, claim: Claim) -> bool:
        """Whether this is the log that the witness saw."""
        if self.salts is not None:
            return self.salts == claim.log
        return claim.reach <= self.frames and self.frame(claim.reach).salts == claim.log

    def _was_over(self, number: int) -> bool:
        """Whether the frame ended a transaction, and another one was begun after it."""
        this, following = self.frame(number), self.frame(number + 1)
        if not this.size or self.salts not in {None, following.salts}:
            return False
        # The damage may be in this very frame: in what is summed up, or in the sum.
        summed_up = self._checksum_of(number, self._checksum_before(number))
        return any(self._goes_on(number + 1, before) for before in (this.checksum, summed_up))

    def _goes_on(self, number: int, before: bytes) -> bool:
        return self._checksum_of(number, before) == self.frame(number).checksum

    def _checksum_before(self, number: int) -> bytes:
        if number > 1:
            return self.frame(number - 1).checksum
        return os.pread(self.descriptor, _HEADER.size - _CHECKED_OF_HEADER, _CHECKED_OF_HEADER)

    def _checksum_of(self, number: int, before: bytes) -> bytes:
        """What a frame's checksum must be."""
        begin = self._place(number)
        checked = os.pread(self.descriptor, _CHECKED_OF_FRAME, begin)
        checked += os.pread(self.descriptor, self.page_bytes, begin + _FRAME.size)
        return _checksum(self.order, checked, before)

    def frame(self, number: int) -> _Frame:
        """The head of a frame; they count from 1."""
        return _Frame(*_FRAME.unpack(os.pread(self.descriptor, _FRAME.size, self._place(number))))

    def _place(self, number: int) -> int:
        return _HEADER.size + (number - 1) * (_FRAME.size + self.page_bytes)


def _checksum(order: str, data: bytes, before: bytes) -> bytes:
    first, second = struct.unpack(">II", before)
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for word in words:
        first = (first + word + second) & _WORD_BITS
        second = (second + next(words) + first) & _WORD_BITS
    return struct.pack(">II", first, second)


class LogKeeper:
    """What follows each commit of the writing connection: the note in the witness, and copying the log back."""

    def __init__(self, writer: apsw.Connection, path: Path) -> None:
        self._writer = writer
        self._path = path
        self._page_bytes: int = writer.pragma("page_size")
        self._frames = 0
        """In the log after the commit that was not noted yet; 0 when there is none, or it wrote nothing."""
        self.checkpoint_frames = CHECKPOINT_FRAMES
        self._is_stuck = False
        """The last attempt to copy the log back failed, which was said."""
        # SQLite takes no locks on the log itself, so opening and closing it here frees none.
        self._log = os.open(_log_of(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._witness = Witness.open(witness_of(path))
        except BaseException:
            os.close(self._log)
            raise
        writer.set_wal_hook(self._commit_seen)  # in place of SQLite's own, which copies back

    def committed(self) -> None:
        """COMMIT returned: what it wrote is on disk."""
        frames, self._frames = self._frames, 0
        if not frames:
            return
        # The salts of the commit's own last frame: a program beside us may have begun the log anew since.
        place = _HEADER.size + (frames - 1) * (_FRAME.size + self._page_bytes)
        with suppress(OSError):  # as in `Witness.claim`
            head = os.pread(self._log, _FRAME.size, place)
            if len(head) == _FRAME.size:
                self._witness.claim(_Frame(*_FRAME.unpack(head)).salts, frames)
        if frames >= self.checkpoint_frames:
            self._copy_back()

    def _copy_back(self) -> None:
        """The commit is in the log. Whatever keeps it from being copied back, the next commit tries again."""
        try:
            self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            if not self._is_stuck:
                import structlog  # half of what opening a store would import, and mostly for nothing

                structlog.get_logger("icn.store").warning(
                    "the log of the store cannot be copied back",
                    path=str(self._path),
                    error=str(error),
                    detail="nothing is lost and the node goes on, but the log grows, and a start has to copy it: "
                    "look at the disk",
                )
            self._is_stuck = True
        else:
            self._is_stuck = False

    def close(self) -> None:
        """Called once, after the connection is closed."""
        self._witness.close()
        os.close(self._log)
        if not _log_of(self._path).exists():
            witness_of(self._path).unlink(missing_ok=True)  # without its log it has nothing to say

    def _commit_seen(self, _connection: apsw.Connection, _database: str, frames: int) -> int:
        self._frames = frames
        return apsw.SQLITE_OK
