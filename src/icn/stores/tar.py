"""The tar format (POSIX ustar) as far as archives of ours use it: plain files with short names, one after the other.

Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, "ustar Interchange Format".

Writing is deterministic. Reading is strict: it takes what `entry_head` writes and nothing else, so that an archive
cannot hold links, devices, folders, long names or anything else that a reader would have to interpret.
"""

from collections.abc import Callable, Iterator

from icn.kernel.errors import Invalid

BLOCK_BYTES = 512
NAME_BYTES_MAX = 100
END = bytes(2 * BLOCK_BYTES)
"""How a tar ends."""
MEDIA_TYPE = "application/x-tar"
PLACED_BYTES = 256 * 1024
"""What is asked for at a time of a file that is put somewhere."""
PIECE_BYTES = 1 << 20
"""Memory grows by so much as bytes come, whatever a length says."""
TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a named pipe",
    b"x": "an extended header",
    b"g": "a global header",
    b"L": "a long name",
    b"K": "a long link",
    b"S": "a sparse file",
}
"""What other programs' archives hold besides files, for the message that refuses it."""

Read = Callable[[int], bytes]
"""Up to so many bytes, at least one while there are any, none at the end."""
Room = Callable[[str, int], memoryview | None]
"""Where the file of that name and size is to be put, as long as it is; None: wherever there is room."""

_MODE = b"0000600\0"
_OWNER = b"0000000\0"
_CHECKSUM = slice(148, 156)


def entry_head(name: str, size: int, seconds: int) -> bytes:
    """What stands before a file's bytes. `seconds`: when it was made, since 1970."""
    encoded = name.encode("ascii")
    if not 0 < len(encoded) <= NAME_BYTES_MAX:
        raise Invalid("tar entry", f"a name has 1 to {NAME_BYTES_MAX} bytes")
    head = bytearray(BLOCK_BYTES)
    head[: len(encoded)] = encoded
    head[100:124] = _MODE + _OWNER + _OWNER
    head[124:136] = b"%011o\0" % size
    head[136:148] = b"%011o\0" % seconds
    head[_CHECKSUM] = b" " * 8
    head[156:157] = b"0"
    head[257:265] = b"ustar\x0000"
    head[265:329] = bytes(64)
    head[329:345] = _OWNER + _OWNER
    head[_CHECKSUM] = b"%06o\0 " % sum(head)
    return bytes(head)


def padding(size: int) -> bytes:
    """What stands behind a file's bytes."""
    return bytes(-size % BLOCK_BYTES)


def read_entries(
    read: Read, size_of: Callable[[str], int], *, piece_bytes: int = PIECE_BYTES
) -> Iterator[tuple[str, bytes]]:
    """Every file, in order, to the end of the tar. `size_of` says how large a file of that name may be, or refuses it.

    `piece_bytes`: how much is asked for at a time.

    Raises:
        Invalid: not a tar as `entry_head` begins one, cut short, or with something behind its end.
    """
    while (head := _next(read, size_of)) is not None:
        name, size = head
        data = _exactly(read, size, piece_bytes)
        _end(read, name, size)
        yield name, data


def read_entries_into(
    room: Room, read: Read, size_of: Callable[[str], int]
) -> Iterator[tuple[str, bytes | memoryview]]:
    """As `read_entries`, but each is put where `room` says."""
    while (head := _next(read, size_of)) is not None:
        name, size = head
        place = room(name, size)
        data = _exactly(read, size) if place is None else _into(place, read)
        _end(read, name, size)
        yield name, data


def _next(read: Read, size_of: Callable[[str], int]) -> tuple[str, int] | None:
    """Name and size of the file that comes next; None at the end of the tar."""
    head = _exactly(read, BLOCK_BYTES)
    if head == bytes(BLOCK_BYTES):
        if _exactly(read, BLOCK_BYTES) != bytes(BLOCK_BYTES) or read(1):
            raise Invalid("tar", "there is something behind its end")
        return None
    name, size, seconds = _parsed(head)
    most = size_of(name)
    if size > most:
        raise Invalid("tar entry", f"{name} has {size} bytes; at most {most} are accepted")
    if head != entry_head(name, size, seconds):
        raise Invalid("tar entry", f"the head of {name} is not as it is written here")
    return name, size


def _end(read: Read, name: str, size: int) -> None:
    """What stands behind a file."""
    if _exactly(read, -size % BLOCK_BYTES).strip(b"\0"):
        raise Invalid("tar entry", f"there are bytes behind {name}")


def _parsed(head: bytes) -> tuple[str, int, int]:
    """Name, size and time."""
    kind = head[156:157]
    raw = head[:NAME_BYTES_MAX].rstrip(b"\0")
    if head[345:500].strip(b"\0"):
        raw = head[345:500].rstrip(b"\0") + b"/" + raw
    name = raw.decode("utf-8", "backslashreplace")
    if head[257:262] != b"ustar":
        raise Invalid("tar", "not a tar file, or its bytes have changed")
    if kind != b"0":
        raise Invalid("tar entry", f"{name!r} is {TYPES.get(kind, 'of a kind that is not known')}; only files are read")
    try:
        size, seconds = (int(head[at : at + 11], 8) for at in (124, 136))
        checksum = int(head[148:154], 8)
    except ValueError as error:
        raise Invalid("tar entry", f"the head of {name!r} is damaged") from error
    if checksum != sum(head) - sum(head[_CHECKSUM]) + 8 * 0x20 or size < 0 or seconds < 0:
        raise Invalid("tar entry", f"the head of {name!r} is damaged")
    if not name.isascii() or len(raw) > NAME_BYTES_MAX or not raw:
        raise Invalid("tar entry", f"{name!r} is no name of an entry")
    return name, size, seconds


def _into(place: memoryview, read: Read) -> memoryview:
    """All of `place` filled, in pieces that are still at hand for the processor when they are put there."""
    at = 0
    while at < len(place):
        piece = read(min(len(place) - at, PLACED_BYTES))
        if not piece:
            raise Invalid("tar", "it is cut short")
        place[at : at + len(piece)] = piece
        at += len(piece)
    return place


def _exactly(read: Read, size: int, piece_bytes: int = PIECE_BYTES) -> bytes:
    pieces: list[bytes] = []
    left = size
    while left:
        piece = read(min(left, piece_bytes))
        if not piece:
            raise Invalid("tar", "it is cut short")
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
