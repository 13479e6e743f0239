"""CAR, the file format in which IPFS tools exchange blocks: version 1 is written, versions 1 and 2 are read.

Source: https://ipld.io/specs/transport/car/carv1/ and …/carv2/.

```
v1:  length, header {"roots": […], "version": 1} | length, CID, bytes | length, CID, bytes | …      lengths are varints
v2:  pragma (11 bytes) | characteristics, data offset, data size, index offset (40 bytes) | … | a v1 | an index
```

Reading is strict and streams: one block is in memory at a time, every length is bounded before it is believed, and the
bytes of every block whose hash we know are what their CID names. Zero-length sections, which some tools write as
padding, are refused: nothing says whether what follows them was meant. The index of a version 2 is not read; it only
repeats what stands in the blocks.

A file that was cut between two sections is a shorter file, and nothing in a version 1 tells; who needs to know counts.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from icn.kernel import limits, varint
from icn.kernel.encoding import decode, encode
from icn.kernel.errors import Invalid
from icn.kernel.ids import CID_BYTES, Cid, ForeignCid

Read = Callable[[int], bytes]
"""Up to so many bytes, at least one while there are any, none at the end."""

MEDIA_TYPE = "application/vnd.ipld.car"
PIECE_BYTES = 64 * limits.KIB
"""Memory grows by so much as bytes come, whatever a length says."""

_VERSION_1, _VERSION_2 = 1, 2
_V2_HEADER = struct.Struct("<16sQQQ")
_V2_PRAGMA_BYTES = 11
_IDENTITY = 0x00
_HASH_FUNCTION = 2
"""The third number of a CIDv1."""


@dataclass(frozen=True, slots=True)
class Section:
    """One block as it stands in a CAR. A `Cid` names its bytes, a `ForeignCid` was not checked: we lack its hash."""

    cid: Cid | ForeignCid
    data: bytes


def encode_header(roots: list[Cid]) -> bytes:
    """The beginning of a version 1 file. Raises `Invalid` for more roots than a reader of ours takes."""
    header = encode({"roots": roots, "version": _VERSION_1})
    if len(header) > limits.CAR_HEADER_BYTES_MAX:
        raise Invalid("CAR", f"{len(roots)} roots do not fit a header of {limits.CAR_HEADER_BYTES_MAX} bytes")
    return varint.encode(len(header)) + header


def encode_section(cid: Cid, data: bytes) -> bytes:
    """One block of a version 1 file."""
    return varint.encode(CID_BYTES + len(data)) + cid.data + data


class CarReader:
    """A CAR that is read from its beginning, once."""

    def __init__(self, read: Read) -> None:
        """Read the header. Raises `Invalid` for what does not begin like a CAR."""
        self._source = _Source(read)
        version, header = self._header()
        if version == _VERSION_2:
            self._enter_version_2()
            version, header = self._header()
            if version != _VERSION_1:
                raise Invalid("CAR", "a version 2 holds a version 1")
        self.roots = _roots(header)
        """As the file has them."""

    def sections(self) -> Iterator[Section]:
        """Every block in the file's order, also those that are not ours. Raises `Invalid` where the file is broken."""
        while True:
            length = self._source.length(limits.CAR_SECTION_BYTES_MAX, "a section")
            if length is None:
                return
            yield _section(self._source.exactly(length))

    def blocks(self) -> Iterator[tuple[Cid, bytes]]:
        """Every block, each checked against its name; those that identity CIDs carry are skipped, they are their names.

        Raises:
            Invalid: the file is broken, or holds a block of a codec or hash that is not ours.
        """
        for section in self.sections():
            if isinstance(section.cid, Cid):
                yield section.cid, section.data
            elif identity_content(section.cid) is None:
                raise Invalid("CAR", f"{section.cid} has a codec or hash that is not stored here")

    def _header(self) -> tuple[int, dict[str, object]]:
        length = self._source.length(limits.CAR_HEADER_BYTES_MAX, "the header")
        if length is None:
            raise Invalid("CAR", "the file is empty")
        header = decode(self._source.exactly(length))
        if not isinstance(header, dict) or type(version := header.get("version")) is not int:
            raise Invalid("CAR", "the header is a map with a version")
        if version not in {_VERSION_1, _VERSION_2}:
            raise Invalid("CAR", f"version {version} is not known")
        if header.keys() != ({"version"} if version == _VERSION_2 else {"roots", "version"}):
            raise Invalid("CAR", "the header has roots and a version, and nothing else")
        return version, header

    def _enter_version_2(self) -> None:
        """Go to the version 1 inside, and end where it ends."""
        _, offset, size, _ = _V2_HEADER.unpack(self._source.exactly(_V2_HEADER.size))
        padding = offset - _V2_PRAGMA_BYTES - _V2_HEADER.size
        if not 0 <= padding <= limits.CAR_PADDING_BYTES_MAX:
            raise Invalid("CAR", f"the blocks of a version 2 begin at {offset}")
        self._source.skip(padding)
        self._source.end_after(size)


def identity_content(cid: ForeignCid) -> bytes | None:
    """What an identity CID holds in place of a hash, or None for another CID."""
    if cid.is_version_0:
        return None
    position, hash_function = 0, -1
    for number_of in range(4):  # version, codec, hash function, length
        found = varint.decode(cid.data, position)
        if found is None:
            return None
        number, position = found
        if number_of == _HASH_FUNCTION:
            hash_function = number
    return cid.data[position:] if hash_function == _IDENTITY else None


class _Source:
    """Bytes from `read`, exactly as many as asked for."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._left: int | None = None
        """What may still be read, where that is known."""

    def end_after(self, size: int) -> None:
        """From here on there are so many bytes, whatever stands behind them."""
        self._left = size

    def length(self, most: int, what: str) -> int | None:
        """A length, or None at the end of the file."""
        data = bytearray()
        while not data or data[-1] >= 0x80:
            byte = self._some(1)
            if not byte:
                if data or self._left:
                    raise Invalid("CAR", "ends inside a length, or before the end its header promised")
                return None
            data += byte
            if len(data) > varint.VARINT_BYTES_MAX:
                raise Invalid("CAR", "a length is too long")
        found = varint.decode(data)
        if found is None or not 0 < found[0] <= most:
            number = "unreadable" if found is None else found[0]
            raise Invalid("CAR", f"the length of {what} is {number}; from 1 to {most} bytes are accepted")
        return found[0]

    def exactly(self, length: int) -> bytes:
        """So many bytes. Raises `Invalid` when there are fewer."""
        data = bytearray()
        while len(data) < length:
            piece = self._some(min(length - len(data), PIECE_BYTES))
            if not piece:
                raise Invalid("CAR", f"ends {length - len(data)} bytes too early")
            data += piece
        return bytes(data)

    def skip(self, length: int) -> None:
        """Leave out so many bytes."""
        while length:
            length -= len(self.exactly(min(length, PIECE_BYTES)))

    def _some(self, most: int) -> bytes:
        if self._left is None:
            return self._read(most)
        piece = self._read(min(most, self._left)) if self._left else b""
        self._left -= len(piece)
        return piece


def _section(data: bytes) -> Section:
    end = _cid_end(data)
    name, content = data[:end], data[end:]
    cid: Cid | ForeignCid
    try:
        cid = Cid.from_bytes(name)
    except Invalid:
        cid = ForeignCid.from_bytes(name)
        cid = Cid.named_by(cid) or cid
    if isinstance(cid, Cid):
        if not cid.names(content):
            raise Invalid("CAR", f"the bytes of {cid} are not what it names")
    elif identity_content(cid) not in {None, content}:
        raise Invalid("CAR", f"the bytes of {cid} are not what it holds")
    return Section(cid, content)


def _cid_end(data: bytes) -> int:
    """Where the CID at the beginning of a section ends."""
    if data[:2] == b"\x12\x20":
        return 34
    position = 0
    number = 0
    for _ in range(4):  # version, codec, hash function, digest length
        found = varint.decode(data, position)
        if found is None:
            raise Invalid("CAR", "a section begins with a CID")
        number, position = found
    if position + number > min(len(data), limits.CAR_CID_BYTES_MAX):
        raise Invalid("CAR", "the CID of a section ends behind it, or is too long")
    return position + number


def _roots(header: dict[str, object]) -> tuple[Cid | ForeignCid, ...]:
    roots = header["roots"]
    if not isinstance(roots, list):
        raise Invalid("CAR", "the roots are a list")
    found: list[Cid | ForeignCid] = []
    for root in roots:
        if not isinstance(root, Cid | ForeignCid):
            raise Invalid("CAR", "a root is a link")
        found.append(root if isinstance(root, Cid) else Cid.named_by(root) or root)
    return tuple(found)
