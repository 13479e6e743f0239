"""The head mark on disk: what is read is what was last written whole, and the place outside may be missing."""

import os
from pathlib import Path

import pytest

from icn.adapters.head_marker import SLOT_BYTES, HeadMarkFile, HeadMarkFiles
from icn.kernel.ids import RAW, Cid
from icn.kernel.signing import SeedSigner
from icn.services.ports import HeadMark, HeadMarkFailed

DID = SeedSigner(b"1" * 32).did
CID = Cid.of(b"block", RAW)


def mark(count: int) -> HeadMark:
    return HeadMark(DID, CID, count, CID if count else None)


def both(folder: Path) -> HeadMarkFiles:
    return HeadMarkFiles(folder / "data" / "head-mark", folder / "data.head")


def test_what_was_written_last_is_read_by_the_next_process(tmp_path: Path) -> None:
    assert both(tmp_path).read() == ()
    marker = both(tmp_path)
    for count in range(5):
        marker.write(mark(count))
        assert both(tmp_path).read() == (mark(count), mark(count))
    marker.close()
    again = both(tmp_path)
    assert again.read() == (mark(4), mark(4))
    again.write(mark(3))  # an operator's word may go back
    assert both(tmp_path).read() == (mark(3), mark(3))


def test_a_process_that_writes_without_having_read_leaves_no_older_mark_in_force(tmp_path: Path) -> None:
    marker = both(tmp_path)
    for count in range(5):
        marker.write(mark(count))
    marker.close()
    both(tmp_path).write(mark(0))
    assert both(tmp_path).read() == (mark(0), mark(0))


def test_the_files_are_the_owners_and_do_not_grow(tmp_path: Path) -> None:
    marker = both(tmp_path)
    for count in range(9):
        marker.write(mark(count))
    for path in (tmp_path / "data.head", tmp_path / "data" / "head-mark"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.stat().st_size == 2 * SLOT_BYTES


@pytest.mark.parametrize("at", [0, 31, 40, 60, SLOT_BYTES, SLOT_BYTES + 31, SLOT_BYTES + 60])
def test_a_write_that_was_cut_short_leaves_the_mark_before(tmp_path: Path, at: int) -> None:
    path = tmp_path / "mark"
    file = HeadMarkFile(path)
    for count in range(6):
        file.write(mark(count))
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert HeadMarkFile(path).read() in {mark(4), mark(5)}
    again = HeadMarkFile(path)
    again.read()
    again.write(mark(7))
    assert HeadMarkFile(path).read() == mark(7)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * SLOT_BYTES * 2, os.urandom(SLOT_BYTES * 2), b"\0" * 9_000])
def test_what_is_no_mark_is_no_mark(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mark"
    path.write_bytes(content)
    file = HeadMarkFile(path)
    assert file.read() is None
    file.write(mark(1))
    assert HeadMarkFile(path).read() == mark(1)


def test_without_a_place_outside_the_node_goes_on_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    marker = HeadMarkFiles(tmp_path / "head-mark", tmp_path / "file" / "head")
    assert marker.read() == ()
    marker.write(mark(1))
    marker.write(mark(2))
    assert marker.read() == (mark(2),)
    told = "".join(capsys.readouterr())
    assert told.count("no head mark outside of the data directory") == 1
    assert "head_marker_path" in told


def test_without_a_place_inside_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    marker = HeadMarkFiles(tmp_path / "file" / "head-mark", None)
    with pytest.raises(HeadMarkFailed, match="head-mark"):
        marker.write(mark(1))


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "head-mark").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HeadMarkFailed):
        HeadMarkFiles(tmp_path / "head-mark", None).write(mark(1))
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
