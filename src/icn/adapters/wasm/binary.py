"""Reads and writes the elements of the WebAssembly binary format (core specification, chapter 5).

Only what is needed to see declarations and to append to sections. Whether a module is *valid* is for the engine to
say; here every read is bounded, so that a hostile module gets a refusal and never a crash.
"""

from collections.abc import Iterator

from icn.adapters.wasm import bounds
from icn.adapters.wasm.refusals import ModuleRefused

HEADER = b"\0asm\x01\0\0\0"
"""Magic and version of a core module (5.5.16); a component has another version."""

CUSTOM, TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT = range(13)
SECTION_ORDER = (TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, DATA_COUNT, CODE, DATA)
"""The order the specification demands; data count stands before code (5.5.15)."""

_U32_BYTES_MAX = 5


class Reader:
    """A cursor over bytes that refuses to run past the end."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.end = len(data)

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        return self.position >= self.end

    def byte(self) -> int:
        """One byte."""
        if self.position >= self.end:
            raise ModuleRefused("ends in the middle of a section")
        value = self.data[self.position]
        self.position += 1
        return value

    def u32(self) -> int:
        """An unsigned LEB128 of at most 32 bits (5.2.2)."""
        value = 0
        for shift in range(0, 7 * _U32_BYTES_MAX, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 1 << 32:
                    break
                return value
        raise ModuleRefused("contains a number of more than 32 bits where 32 are allowed")

    def count(self, what: str, most: int) -> int:
        """The length of a vector (5.1.3), refused above `most`."""
        value = self.u32()
        if value > most:
            raise ModuleRefused(f"declares {value} {what}, at most {most} are accepted")
        return value

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > self.end - self.position:
            raise ModuleRefused("ends in the middle of a section")
        start = self.position
        self.position += size
        return self.data[start : self.position]

    def rest(self) -> bytes:
        """What was not read yet."""
        return self.take(self.end - self.position)

    def name(self, bytes_max: int) -> str:
        """A name: a vector of bytes that is UTF-8 (5.2.4)."""
        raw = self.take(self.count("bytes of a name", bytes_max))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ModuleRefused("contains a name that is not UTF-8") from None


def sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    """Every section with its id, in the order of the file (5.5.2)."""
    if module[: len(HEADER)] != HEADER:
        raise ModuleRefused("not a WebAssembly core module")
    reader = Reader(module)
    reader.take(len(HEADER))
    for _ in range(bounds.SECTIONS_MAX):
        if reader.at_end:
            return
        section = reader.byte()
        yield section, reader.take(reader.u32())
    if not reader.at_end:
        raise ModuleRefused(f"has more than {bounds.SECTIONS_MAX} sections")


def u32(value: int) -> bytes:
    """`value` as the shortest unsigned LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(content: bytes) -> bytes:
    """`content` behind its length: a name, a function body, a section's payload."""
    return u32(len(content)) + content


def section(number: int, payload: bytes) -> bytes:
    """A whole section."""
    return bytes((number,)) + sized(payload)


def extended(payload: bytes, entries: list[bytes]) -> bytes:
    """A section that holds a vector, with `entries` appended, so that no existing index shifts."""
    reader = Reader(payload or b"\0")
    count = reader.u32()
    return u32(count + len(entries)) + reader.rest() + b"".join(entries)
