"""CAR: what we write we read again, what others wrote is checked, and no file does worse than being refused."""

import contextlib
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import limits, varint
from icn.kernel.encoding import encode
from icn.kernel.errors import Invalid
from icn.kernel.ids import CODECS, DAG_PB, RAW, Cid, ForeignCid
from icn.stores.car import CarReader, encode_header, encode_section, identity_content

LEAF = b"leaf"
ROOT = Cid.of(LEAF, RAW)
FILE = encode_header([ROOT]) + encode_section(ROOT, LEAF)
IDENTITY = b"\x01\x55\x00\x04" + LEAF
PRAGMA = bytes.fromhex("0aa16776657273696f6e02")

BLOCKS = st.lists(st.tuples(st.sampled_from(CODECS), st.binary(max_size=300)), max_size=8)


def read(data: bytes, step: int = 1 << 20) -> CarReader:
    source = io.BytesIO(data)
    return CarReader(lambda most: source.read(min(most, step)))


def section(cid: bytes, data: bytes) -> bytes:
    return varint.encode(len(cid) + len(data)) + cid + data


def version_2(inner: bytes, *, padding: int = 0, size: int | None = None, index: bytes = b"index") -> bytes:
    head = struct.pack("<16sQQQ", b"", 51 + padding, len(inner) if size is None else size, 51 + padding + len(inner))
    return PRAGMA + head + b"\0" * padding + inner + index


@given(BLOCKS, st.integers(1, 50))
def test_what_is_written_is_read_again_however_the_bytes_come(blocks: list[tuple[int, bytes]], step: int) -> None:
    named = [(Cid.of(data, codec), data) for codec, data in blocks]
    roots = [cid for cid, _ in named]
    file = encode_header(roots) + b"".join(encode_section(cid, data) for cid, data in named)
    for data in (file, version_2(file), version_2(file, padding=1000, index=b"")):
        reader = read(data, step)
        assert list(reader.roots) == roots
        assert list(reader.blocks()) == named


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_being_refused(data: bytes) -> None:
    for begins in (b"", PRAGMA, encode_header([ROOT]), version_2(b"")):
        with contextlib.suppress(Invalid):
            list(read(begins + data).blocks())


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(place: int, change: int) -> None:
    changed = bytearray(FILE)
    changed[place] ^= change
    try:
        reader = read(bytes(changed))
        found = list(reader.blocks())
    except Invalid:
        return
    # A changed root is a root of another name; a changed codec is another name for the same bytes.
    assert all(cid.names(data) and data == LEAF for cid, data in found)
    assert reader.roots != (ROOT,) or found[0][0] != ROOT


@pytest.mark.parametrize("end", range(1, len(FILE)))
def test_a_file_cut_inside_its_header_or_a_block_is_refused(end: int) -> None:
    if end == len(encode_header([ROOT])):
        assert list(read(FILE[:end]).blocks()) == []  # a cut between blocks: a shorter file
        return
    with pytest.raises(Invalid):
        list(read(FILE[:end]).blocks())


def test_a_version_2_that_ends_before_its_data_do_is_refused() -> None:
    with pytest.raises(Invalid, match="promised"):
        list(read(version_2(FILE, size=len(FILE) + 9, index=b"")).blocks())


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "empty"),
        (FILE + b"\0", "the length of a section is 0"),
        (FILE + varint.encode(limits.CAR_SECTION_BYTES_MAX + 1), "from 1 to"),
        (varint.encode(limits.CAR_HEADER_BYTES_MAX + 1), "from 1 to"),
        (FILE + b"\x80\x00", "minimal"),
        (FILE + b"\x80" * 12, "too long"),
        (FILE + section(ROOT.data, b"loaf"), "not what it names"),
        (FILE + section(IDENTITY, b"eaf"), "not what it holds"),
        (FILE + section(b"\x01", b""), "begins with a CID"),
        (FILE + section(b"\x01\x55\x12\x40", b""), "ends behind it"),
        (FILE + section(b"\x01\x55\x00" + varint.encode(600) + bytes(600), b""), "too long"),
        (FILE + section(b"\x01\x55\x13\x40" + bytes(64), b"data"), "not stored here"),
        (section(b"", encode({"version": 1})), "roots and a version"),
        (section(b"", encode({"roots": [], "version": 3})), "not known"),
        (section(b"", encode({"roots": [], "version": True})), "map with a version"),
        (section(b"", encode({"roots": [], "version": 1, "more": 1})), "roots and a version"),
        (section(b"", encode({"roots": 1, "version": 1})), "list"),
        (section(b"", encode({"roots": [1], "version": 1})), "link"),
        (section(b"", encode([])), "map with a version"),
        (version_2(version_2(FILE)), "holds a version 1"),
        (PRAGMA + struct.pack("<16sQQQ", b"", 50, 10, 0), "begin at 50"),
        (PRAGMA + struct.pack("<16sQQQ", b"", 2**63, 10, 0), "begin at"),
        (version_2(b"", index=b""), "empty"),
    ],
)
def test_what_is_no_car_of_blocks_we_know_is_refused(file: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        list(read(file).blocks())


def test_a_block_of_version_0_has_the_name_it_stands_for() -> None:
    cid = Cid.of(b"", DAG_PB)
    file = section(b"", encode({"roots": [ForeignCid(cid.data[2:])], "version": 1})) + section(cid.data[2:], b"")
    assert read(file).roots == (cid,)
    assert list(read(file).blocks()) == [(cid, b"")]


def test_a_block_carried_by_its_own_name_is_passed_over() -> None:
    assert list(read(FILE + section(IDENTITY, LEAF) + section(ROOT.data, LEAF)).blocks()) == [(ROOT, LEAF)] * 2
    assert identity_content(ForeignCid.from_bytes(IDENTITY)) == LEAF
    assert identity_content(ForeignCid.from_bytes(b"\x12\x20" + bytes(32))) is None


def test_blocks_that_are_not_ours_can_be_told_from_the_rest() -> None:
    sections = list(
        read(FILE + section(b"\x01\x55\x13\x40" + bytes(64), b"data") + section(ROOT.data, LEAF)).sections()
    )
    assert [isinstance(section.cid, Cid) for section in sections] == [True, False, True]


def test_more_roots_than_a_reader_takes_are_not_written() -> None:
    with pytest.raises(Invalid, match="roots"):
        encode_header([ROOT] * 10_000)


def test_memory_is_asked_for_as_bytes_come() -> None:
    asked: list[int] = []

    def slow(most: int) -> bytes:
        asked.append(most)
        return data.read(min(most, 7))

    data = io.BytesIO(FILE + varint.encode(limits.CAR_SECTION_BYTES_MAX) + b"few")
    with pytest.raises(Invalid, match="too early"):
        list(CarReader(slow).blocks())
    assert max(asked) <= 64 * limits.KIB
