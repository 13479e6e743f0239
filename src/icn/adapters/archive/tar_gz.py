"""An archive as a `.tar.gz` file, on request encrypted as a whole.

A gzip member per entry: `tar` reads it as one file, and a backup that was interrupted goes on behind the last whole
member. A stream that is encrypted cannot be gone on with, and begins anew.

Reading trusts nothing: lengths are bounded before they are believed, only plain files with the names of an archive are
taken, and no more comes out of the compression than `RATIO_MAX` of what went in.
"""

import contextlib
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from isal import igzip, isal_zlib

from icn.adapters.archive.age import MAGIC_BYTES, NotAsEncrypted, decrypting, encrypting, is_encrypted
from icn.adapters.archive.ahead import ahead
from icn.adapters.archive.settings import PARTIAL_SUFFIX, RATIO_MAX, Encryption, Keys
from icn.adapters.archive.unfinished import Written
from icn.adapters.archive.writing import ArchiveExists, hold
from icn.adapters.files import PRIVATE_FILE, sync_folder
from icn.kernel.errors import Invalid
from icn.kernel.limits import KIB, MIB
from icn.services.archive_check import Hashed, hashing_all
from icn.stores import tar
from icn.stores.archive import MANIFEST, MANIFEST_BYTES_MAX, PART_BYTES_MAX, ArchiveDamaged, Part, size_max
from icn.stores.tar import Read, Room

DAMAGES: tuple[type[Exception], ...] = (igzip.BadGzipFile, isal_zlib.error, zlib.error)  # type: ignore[assignment]  # stub
"""What the compression raises for bytes that are none of its own."""
READ_BYTES = 1 << 20
"""Of the file at a time."""
COMPRESSION_LEVEL = 1
"""Of ISA-L, 0 to 3: content mostly is compressed already."""
GZIP_WINDOW = 31
"""As zlib asks for gzip."""
GZIP_MAGIC = b"\x1f\x8b\x08"
"""How a member begins."""
TAIL_BYTES = (64 * KIB, 4 * MIB, MANIFEST_BYTES_MAX)
"""Of the end of a file, searched for the manifest one after the other. It packs to a few dozen bytes for each part."""

Data = TypeVar("Data", bytes, bytes | memoryview)


class TarGzFile:
    """Satisfies `writing.Files`."""

    def __init__(self, target: Path, *, seconds: int, encryption: Encryption | None, replace: bool) -> None:
        """`seconds`: what the entries are dated, since 1970. Raises `ArchiveExists`."""
        self._target = target
        self._replace = replace
        self._require_free()
        self._seconds = seconds
        self._encryption = encryption
        self._encrypting = contextlib.ExitStack()
        self._file: BinaryIO | None = None
        self._sink: BinaryIO | None = None

    @property
    def partial(self) -> Path:
        """Where it is written."""
        return self._target.with_name(self._target.name + PARTIAL_SUFFIX)

    def begin(self, kept: tuple[Written, ...]) -> None:
        """Open the file and cut it behind what stays. Raises `ArchiveBusy`, `Invalid`."""
        descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        self._file = os.fdopen(descriptor, "r+b")
        hold(descriptor, self.partial)
        end = kept[-1].end if kept else 0
        if os.fstat(descriptor).st_size < end:
            why = f"{self.partial} is shorter than what was noted of it: repeat the command to begin anew"
            raise Invalid("unfinished backup", why)
        self._file.truncate(end)
        self._file.seek(end)
        self._sink = self._file

    def pack(self, name: str, data: bytes) -> list[bytes]:
        """A gzip member."""
        head, padding = tar.entry_head(name, len(data), self._seconds), tar.padding(len(data))
        return _member([head, data, padding])

    def store(self, name: str, pieces: list[bytes]) -> int:
        """Behind what is there."""
        if self._file is None:
            raise Invalid("archive", "it was not begun")
        if self._encryption is not None and self._sink is self._file:
            chosen = self._encryption
            encrypted = encrypting(self._file, chosen.recipients, passphrase=chosen.passphrase)
            self._sink = self._encrypting.enter_context(encrypted)
        for piece in pieces:
            (self._sink or self._file).write(piece)
        return self._file.tell()

    def sync(self) -> None:
        """To the disk."""
        if self._file is not None:
            self._file.flush()
            os.fdatasync(self._file.fileno())

    def finish(self) -> None:
        """The end of the tar; then to the disk, to its name, and the name to the disk.

        Raises `ArchiveExists` for what has come there since.
        """
        self.store("", _member([tar.END]))
        self._encrypting.close()  # it writes its end
        self.sync()
        self._require_free()
        self.partial.replace(self._target)  # still held: nobody else has begun to write it
        sync_folder(self._target.parent)

    def _require_free(self) -> None:
        if self._target.is_dir() or (self._target.exists() and not self._replace):
            raise ArchiveExists(str(self._target))

    def discard(self) -> None:
        """See `writing.Files`. A file that was finished is under another name already."""
        self.partial.unlink(missing_ok=True)

    def close(self) -> None:
        """An encrypted stream that is not whole stays so."""
        if self._file is not None:
            self._file.close()


class TarGzArchive:
    """Satisfies `services.archive_check.Archive`."""

    def __init__(self, path: Path, keys: Keys | None) -> None:
        self._path = path
        self._keys = keys

    @property
    def name(self) -> str:
        """The file."""
        return str(self._path)

    def entries(self, hashed: Hashed = hashing_all) -> Iterator[tuple[Part, bytes]]:
        """Every entry, decompressed and hashed on another thread."""

        def read(unpacked: Read) -> Iterator[tuple[str, bytes]]:
            return tar.read_entries(unpacked, size_max, piece_bytes=PART_BYTES_MAX)

        with contextlib.closing(ahead(self._read(read, hashed))) as reading:
            yield from reading

    def entries_in(self, room: Room, hashed: Hashed) -> Iterator[tuple[Part, bytes | memoryview]]:
        """See `Archive`."""

        def read(unpacked: Read) -> Iterator[tuple[str, bytes | memoryview]]:
            return tar.read_entries_into(room, unpacked, size_max)

        return self._read(read, hashed)

    def manifest(self) -> bytes | None:
        """The last one that a gzip member begins with, as a backup ends; None for an encrypted file, or without one."""
        with self._path.open("rb") as file:
            if is_encrypted(file.read(MAGIC_BYTES)):
                return None
            size = file.seek(0, os.SEEK_END)
            for reach in TAIL_BYTES:
                file.seek(max(0, size - reach))
                found = _last_manifest(file.read(reach))
                if found is not None or reach >= size:
                    return found
        return None

    def _read(self, read: Callable[[Read], Iterator[tuple[str, Data]]], hashed: Hashed) -> Iterator[tuple[Part, Data]]:
        try:
            yield from self._unpacked(read, hashed)
        except NotAsEncrypted as error:
            raise ArchiveDamaged(self.name, f"its encryption: {error.why}") from error

    def _unpacked(
        self, read: Callable[[Read], Iterator[tuple[str, Data]]], hashed: Hashed
    ) -> Iterator[tuple[Part, Data]]:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(self._path.open("rb", buffering=0))
            encrypted = is_encrypted(file.read(MAGIC_BYTES))
            file.seek(0)
            source: BinaryIO = file
            if encrypted:
                if self._keys is None:
                    raise ArchiveDamaged(self.name, "it is encrypted: give --identity FILE or --passphrase-file FILE")
                keys, buffered = self._keys, io.BufferedReader(file, READ_BYTES)
                source = stack.enter_context(decrypting(buffered, keys.identities, passphrase=keys.passphrase))
            unpacked: BinaryIO = stack.enter_context(igzip.open(source, "rb"))  # type: ignore[no-untyped-call]  # untyped
            bounded = _Bounded(unpacked, file.tell)
            try:
                for name, data in read(bounded.read):
                    yield Part(name, len(data), hashlib.sha256(data).hexdigest() if hashed(name) else ""), data
            except Invalid as error:
                raise ArchiveDamaged(self.name, f"{error.what}: {error.why}") from error
            except EOFError as error:
                raise ArchiveDamaged(self.name, "it is cut short") from error
            except DAMAGES as error:
                raise ArchiveDamaged(self.name, f"its compression is damaged: {error}") from error


def _last_manifest(tail: bytes) -> bytes | None:
    """The manifest in the last gzip member of `tail` that begins with one. Whatever looks like one may be none."""
    end = len(tail)
    while (end := tail.rfind(GZIP_MAGIC, 0, end)) >= 0:
        with contextlib.suppress(*DAMAGES, Invalid):
            name, data = next(tar.read_entries(_Member(memoryview(tail)[end:]).read, size_max), ("", b""))
            if name == MANIFEST:
                return data
    return None


class _Member:
    """What is in a gzip member that is in memory."""

    def __init__(self, packed: memoryview) -> None:
        self._unpacking = isal_zlib.decompressobj(wbits=GZIP_WINDOW)
        self._waiting: bytes | memoryview = packed

    def read(self, size: int) -> bytes:
        """Up to so many bytes."""
        data: bytes = self._unpacking.decompress(self._waiting, size)
        self._waiting = self._unpacking.unconsumed_tail
        return data


class _Bounded:
    """What comes out of the compression, compared with what went in."""

    def __init__(self, unpacked: BinaryIO, went_in: Callable[[], int]) -> None:
        self._unpacked = unpacked
        self._went_in = went_in
        self._count = 0

    def read(self, size: int) -> bytes:
        """Up to so many bytes."""
        data = self._unpacked.read(size)
        self._count += len(data)
        if self._count > RATIO_MAX * self._went_in() + PART_BYTES_MAX:
            raise Invalid("archive", f"a byte of it stands for more than {RATIO_MAX}: no backup is written so")
        return data


def _member(pieces: list[bytes]) -> list[bytes]:
    """A gzip member: compressed, or stored where it would compress beyond what a reader takes."""
    compressor = isal_zlib.compressobj(COMPRESSION_LEVEL, wbits=GZIP_WINDOW)
    packed = [*(compressor.compress(piece) for piece in pieces), compressor.flush()]
    if sum(map(len, pieces)) > RATIO_MAX * sum(map(len, packed)):
        stored = zlib.compressobj(0, wbits=GZIP_WINDOW)
        packed = [*(stored.compress(piece) for piece in pieces), stored.flush()]
    return packed
