"""The parts of an archive as bytes: CAR files of blocks, and lines of JSON about content and about rows.

Each stands in one way only, so that nothing is said twice or in two ways. What parts there are, their names, their
order and the manifest are `archive`'s.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from icn.kernel import limits, varint
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of
from icn.kernel.ids import CID_BYTES, Cid
from icn.kernel.instant import Instant
from icn.stores import car, dealings, keyspace, replies
from icn.stores.archive import PART_ITEMS_MAX

LOCAL_TABLES: dict[str, bytes] = {
    "outbox": keyspace.OUTBOX,
    "outbox_next": keyspace.about("outbox"),
    **{table: keyspace.projection(table) for table in keyspace.LOCAL_TABLES},
    "reply": keyspace.REPLY,
}
"""Rows that the journal does not tell and a restored node needs: table to the prefix of its keys."""


@dataclass(frozen=True, slots=True)
class ContentLine:
    """What an archive says of a content block beside its bytes."""

    cid: Cid
    size: int
    stored_at: Instant
    pinned: bool
    expires_at: Instant | None
    changed: int
    has_bytes: bool
    """Whether the bytes stand in the CAR of the same number; otherwise an earlier archive of the chain has them."""


# CAR parts


def write_car(blocks: list[tuple[Cid, bytes]]) -> bytes:
    """A part of blocks: a CAR version 1 whose root is its first block."""
    pieces = [car.encode_header([blocks[0][0]])]
    for cid, data in blocks:
        pieces += (varint.encode(CID_BYTES + len(data)), cid.data, data)
    return b"".join(pieces)


def read_car(data: bytes) -> Iterator[tuple[Cid, bytes]]:
    """The blocks of a part. Their bytes are not compared with their names. Raises `Invalid` for another form."""
    for cid, block in view_car(data):
        yield cid, bytes(block)


def view_car(data: bytes | memoryview) -> Iterator[tuple[Cid, memoryview]]:
    """As `read_car`, without a copy of each block: for who looks at all of them and keeps few."""
    view, end = memoryview(data), len(data)
    at = _car_header_end(data)
    count = 0
    while at < end:
        length = data[at]
        if length >= 0x80:
            found = varint.decode(data[at : at + varint.VARINT_BYTES_MAX])
            if found is None:
                raise Invalid("CAR", "a length cannot be read")
            length, width = found
            at += width
        else:
            at += 1
        if not CID_BYTES <= length <= end - at:
            raise Invalid("CAR", "a block ends behind the file, or before its name does")
        count += 1
        if count > PART_ITEMS_MAX:
            raise Invalid("CAR", f"a part has at most {PART_ITEMS_MAX} blocks")
        cid = Cid.from_bytes(bytes(data[at : at + CID_BYTES]))
        if count == 1 and car.encode_header([cid]) != data[: _car_header_end(data)]:
            raise Invalid("CAR", "the root is not the first block")
        yield cid, view[at + CID_BYTES : at + length]
        at += length
    if not count:
        raise Invalid("CAR", "a part without blocks")


def places_in_car(total: int, sizes: Sequence[int]) -> Iterator[int]:
    """Where the bytes of each block stand in a part of so many bytes, of which it is known that `view_car` takes it."""
    heads = [len(varint.encode(CID_BYTES + size)) + CID_BYTES for size in sizes]
    at = total - sum(heads) - sum(sizes)
    for head, size in zip(heads, sizes, strict=True):
        yield at + head
        at += head + size


def _car_header_end(data: bytes | memoryview) -> int:
    found = varint.decode(data[: varint.VARINT_BYTES_MAX])
    if found is None or found[0] > limits.CAR_HEADER_BYTES_MAX or sum(found) > len(data):
        raise Invalid("CAR", "the header cannot be read")
    return sum(found)


# Lines


def write_content_line(line: ContentLine) -> bytes:
    """A line about a content block."""
    expires_at = "null" if line.expires_at is None else line.expires_at
    pinned, has_bytes = _JSON_TRUTH[line.pinned], _JSON_TRUTH[line.has_bytes]
    return (
        f'{{"cid":"{line.cid}","size":{line.size},"stored_at":{line.stored_at},"pinned":{pinned},'
        f'"expires_at":{expires_at},"changed":{line.changed},"has_bytes":{has_bytes}}}\n'
    ).encode()


def read_content_lines(data: bytes) -> Iterator[ContentLine]:
    """The lines of a part, which stand as `write_content_line` writes them and in no other way. Raises `Invalid`."""
    if not data.endswith(b"\n") or data.count(b"\n") > PART_ITEMS_MAX:
        raise Invalid("lines", "a part does not end with a line, or has too many")
    at = 0
    while at < len(data):
        found = _CONTENT_LINE.match(data, at)
        if found is None:
            raise Invalid("line", "it does not tell of content as a backup writes it")
        at = found.end()
        cid, size, stored_at, pinned, expires_at, changed, has_bytes = found.groups()
        line = ContentLine(
            Cid.parse(cid.decode()),
            int(size),
            Instant(int(stored_at)),
            pinned == b"true",
            None if expires_at == b"null" else Instant(int(expires_at)),
            int(changed),
            has_bytes == b"true",
        )
        if line.size > limits.CONTENT_BYTES_MAX or max(line.stored_at, line.expires_at or 0) > limits.INSTANT_MAX:
            raise Invalid("line", f"a size or time of {line.cid} is out of bounds")
        yield line


def write_local_line(table: str, key: bytes, value: bytes) -> bytes:
    """A row that the journal does not tell. `key`: what follows the table's prefix."""
    return _line({"table": table, "key": key.hex(), "value": base64.b64encode(value).decode()})


def read_local_lines(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Whole keys and values of a part. Raises `Invalid`."""
    for fields in _lines(data):
        row = _LOCAL_LINE.from_map(fields)
        prefix = LOCAL_TABLES.get(row.table)
        if prefix is None:
            raise Invalid("line", f"there is no table {row.table[:40]!r}")
        try:
            rest, value = bytes.fromhex(row.key), base64.b64decode(row.value, validate=True)
        except (ValueError, binascii.Error) as error:
            raise Invalid("line", f"a row of {row.table} cannot be read") from error
        _check_row(row.table, rest, value)
        yield prefix + rest, value


def count_lines(data: bytes) -> int:
    """How many lines a part of lines has."""
    return data.count(b"\n")


def _check_row(table: str, rest: bytes, value: bytes) -> None:
    """A row must be one that its own reader takes: a store that cannot be opened is worse than an archive refused."""
    match table:
        case "outbox_next":
            fits = not rest and value.isdigit() and len(value) < 20
        case "outbox":
            fits = len(rest) == 32 + keyspace.U64_BYTES and len(value) <= limits.MESSAGE_BYTES_MAX
        case "reply":
            fits = b"\0" in rest and rest.isascii() and len(rest) < 400 and len(value) <= limits.MESSAGE_BYTES_MAX
            replies.read_stored(value)
        case _:
            dealings.check_row(table, rest, value)
            return
    if not fits:
        raise Invalid("line", f"a row of {table} is not in its form")


_AS_LINE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""One for all lines: `json.dumps` makes one for each, which takes as long as the line."""


def _line(fields: dict[str, Any]) -> bytes:
    return _AS_LINE.encode(fields).encode() + b"\n"


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    """The objects of a part. They stand as `_line` writes them, so nothing is said twice, or in two ways."""
    if not data.endswith(b"\n") or data.count(b"\n") > PART_ITEMS_MAX:
        raise Invalid("lines", "a part does not end with a line, or has too many")
    try:
        found = json.loads(b"[" + data[:-1].replace(b"\n", b",") + b"]")
        written = b"".join(map(_line, found))
    except (ValueError, RecursionError) as error:
        raise Invalid("line", "it is not JSON") from error
    if written != data or not all(type(fields) is dict for fields in found):
        raise Invalid("line", "it is not a JSON object as a backup writes it")
    yield from found


@dataclass(frozen=True, slots=True)
class _LocalLine:
    table: str
    key: str
    value: str


_JSON_TRUTH = {True: "true", False: "false"}
_NUMBER = rb"(0|[1-9][0-9]{0,18})"
_CONTENT_LINE = re.compile(
    rb'\{"cid":"([a-z2-7]+)","size":' + _NUMBER + rb',"stored_at":' + _NUMBER + rb',"pinned":(true|false),'
    rb'"expires_at":(null|0|[1-9][0-9]{0,18}),"changed":' + _NUMBER + rb',"has_bytes":(true|false)\}\n'
)
_LOCAL_LINE = shape_of(_LocalLine)
