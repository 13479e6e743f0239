from dataclasses import replace

import pytest

from icn.kernel.encoding import encode
from icn.kernel.errors import Invalid
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.stores import archive_parts
from icn.stores.archive import PART_ITEMS_MAX
from icn.stores.archive_parts import ContentLine

CONTENT = Cid.of(b"abc", RAW)
REPLY = encode({"request": b"digest", "answered_at": 5, "kind": "", "body": b"\xa0"})
LINE = ContentLine(CONTENT, 3, Instant(5), pinned=True, expires_at=Instant(9), changed=7, has_bytes=True)


def test_blocks_are_read_as_written() -> None:
    blocks = [(Cid.of(data, RAW), data) for data in (b"", b"x", b"y" * 100, b"z" * 300_000)]
    data = archive_parts.write_car(blocks)
    assert list(archive_parts.read_car(data)) == blocks
    for cut in (*range(60), len(data) - 1, len(data) - 299_000):  # a cut between two blocks is a shorter file
        with pytest.raises(Invalid):
            list(archive_parts.read_car(data[:cut]))
    with pytest.raises(Invalid):
        list(archive_parts.read_car(data + b"\x05"))
    with pytest.raises(Invalid, match="root"):
        list(archive_parts.read_car(data.replace(blocks[0][0].data, blocks[1][0].data, 1)))


def test_blocks_may_be_looked_at_without_a_copy_of_each() -> None:
    blocks = [(Cid.of(data, RAW), data) for data in (b"x", b"y" * 100)]
    data = archive_parts.write_car(blocks)
    seen = list(archive_parts.view_car(data))
    assert [(cid, bytes(block)) for cid, block in seen] == blocks
    assert all(block.obj is data for _, block in seen)
    assert all(type(block) is bytes for _, block in archive_parts.read_car(data))


def test_lines_are_read_as_written() -> None:
    other = replace(LINE, expires_at=None, pinned=False, has_bytes=False)
    data = archive_parts.write_content_line(LINE) + archive_parts.write_content_line(other)
    assert list(archive_parts.read_content_lines(data)) == [LINE, other]
    for bad in (
        data[:-1],
        data + b"\n",
        b"",
        data.replace(b'"size":3', b'"size":-3'),
        data.replace(b'"size":3', b'"size":3.0'),
        data.replace(b'"pinned":true', b'"pinned":1'),
        data.replace(b'"size":3', b'"size":99999999'),
        data.replace(b'"size":3', b'"size":03'),
        data.replace(b'"size":3', b'"size": 3'),
        data.replace(b'"size":3', b'"size":3,"size":3'),
        b"\n" + data,
        data.replace(b"}", b"}{"),
        data * PART_ITEMS_MAX,
    ):
        with pytest.raises(Invalid):
            list(archive_parts.read_content_lines(bad))


def test_local_rows_are_those_of_named_tables_in_their_form() -> None:
    key = bytes(32) + (1).to_bytes(8, "big")
    answered = archive_parts.write_local_line("reply", b"did:key:z6Mk\0key", REPLY)
    assert list(archive_parts.read_local_lines(answered)) == [(b"rdid:key:z6Mk\0key", REPLY)]
    line = archive_parts.write_local_line("outbox", key, b"message")
    assert list(archive_parts.read_local_lines(line)) == [(b"o" + key, b"message")]
    for table, rest, value in (
        ("owner", b"", b"x"),
        ("outbox", b"short", b"m"),
        ("outbox_next", b"", b"-1"),
        ("outbox_next", b"_other", b"1"),
        ("reply", b"no separator", REPLY),
        ("reply", b"did:key:z6Mk\0key", b"no answer"),
        ("unsettled", b"short", b""),
    ):
        with pytest.raises(Invalid):
            list(archive_parts.read_local_lines(archive_parts.write_local_line(table, rest, value)))


@pytest.mark.parametrize("sizes", [(0,), (91, 92), (3, 0, 300_000, 91), (16_347, 16_348, 1)])
def test_where_blocks_stand_follows_from_their_sizes(sizes: tuple[int, ...]) -> None:
    blocks = [(Cid.of(data, RAW), data) for data in map(bytes, sizes)]
    data = archive_parts.write_car(blocks)
    found = [
        data[at : at + size] for at, size in zip(archive_parts.places_in_car(len(data), sizes), sizes, strict=True)
    ]
    assert found == [block for _, block in blocks]
