"""Links of DAG-PB blocks, the codec of IPFS files and folders: enough to check a block's form and to follow it.

Source: https://ipld.io/specs/codecs/dag-pb/spec/. A block is a protobuf message of links (field 2) and data (field 1),
the links together, the data at most once; a link has a hash (1), then perhaps a name (2), then perhaps a size (3).
Anything else is refused, as the specification asks of readers.

Not here: what the data mean (UnixFS); writing: we only store what others wrote.
"""

from icn.kernel import varint
from icn.kernel.errors import Invalid
from icn.kernel.ids import Cid, ForeignCid

LINKS_MAX = 65_536
"""Links of one block. IPFS tools stop at 174 for files, and split folders of more than 256 KiB."""

_VARINT, _BYTES = 0, 2
_NODE_DATA, _NODE_LINK = 1, 2
_LINK_HASH, _LINK_NAME, _LINK_SIZE = 1, 2, 3


def links(data: bytes) -> tuple[Cid | ForeignCid, ...]:
    """What the block `data` links to, in its order.

    Raises:
        Invalid: not the form of a DAG-PB block, or more than `LINKS_MAX` links.
    """
    found: list[Cid | ForeignCid] = []
    seen_data = False
    links_ended = False
    position = 0
    while position < len(data):
        field, wire_type, position = _tag(data, position)
        if wire_type != _BYTES or field not in {_NODE_DATA, _NODE_LINK}:
            raise Invalid("dag-pb", "a block has links and data, and nothing else")
        value, position = _byte_string(data, position)
        if field == _NODE_DATA:
            if seen_data:
                raise Invalid("dag-pb", "data are there twice")
            seen_data = True
            links_ended = bool(found)
            continue
        if links_ended:
            raise Invalid("dag-pb", "links stand together")
        if len(found) >= LINKS_MAX:
            raise Invalid("dag-pb", f"more than {LINKS_MAX} links")
        found.append(_hash_of(value))
    return tuple(found)


def _hash_of(link: bytes) -> Cid | ForeignCid:
    """The CID of one link; its other fields are checked for their form."""
    cid: Cid | ForeignCid | None = None
    last = 0
    position = 0
    while position < len(link):
        field, wire_type, position = _tag(link, position)
        if field <= last or field > _LINK_SIZE:
            raise Invalid("dag-pb", "a link has a hash, a name and a size, each once and in this order")
        last = field
        if wire_type != (_VARINT if field == _LINK_SIZE else _BYTES):
            raise Invalid("dag-pb", f"field {field} of a link has another wire type")
        if field == _LINK_SIZE:
            position = _skip_size(link, position)
            continue
        value, position = _byte_string(link, position)
        if field == _LINK_HASH:
            cid = _cid(value)
        else:
            _check_text(value)
    if cid is None:
        raise Invalid("dag-pb", "a link has a hash")
    return cid


def _cid(data: bytes) -> Cid | ForeignCid:
    try:
        return Cid.from_bytes(data)
    except Invalid:
        return ForeignCid.from_bytes(data)


def _check_text(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise Invalid("dag-pb", "the name of a link is UTF-8") from error


def _tag(data: bytes, position: int) -> tuple[int, int, int]:
    tag, position = _number(data, position)
    return tag >> 3, tag & 7, position


def _byte_string(data: bytes, position: int) -> tuple[bytes, int]:
    length, position = _number(data, position)
    if length > len(data) - position:
        raise Invalid("dag-pb", "a field ends behind the block")
    return data[position : position + length], position + length


def _number(data: bytes, position: int) -> tuple[int, int]:
    found = varint.decode(data, position)
    if found is None:
        raise Invalid("dag-pb", "ends inside a number")
    return found


def _skip_size(data: bytes, position: int) -> int:
    """Behind a size, which is 64 bits wide and so may be a byte longer than the varints of multiformats."""
    for behind in range(position + 1, min(len(data), position + _UINT64_BYTES_MAX) + 1):
        if data[behind - 1] < 0x80:
            return behind
    raise Invalid("dag-pb", "ends inside a size, or the size exceeds 64 bits")


_UINT64_BYTES_MAX = 10
