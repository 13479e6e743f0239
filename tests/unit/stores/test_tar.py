import io
import tarfile

import pytest

from icn.kernel.errors import Invalid
from icn.stores import tar


def written(*files: tuple[str, bytes]) -> bytes:
    return b"".join(tar.entry_head(n, len(d), 5) + d + tar.padding(len(d)) for n, d in files) + tar.END


def read(data: bytes, most: int = 1000) -> list[tuple[str, bytes]]:
    return list(tar.read_entries(io.BytesIO(data).read, lambda _name: most))


FILES = (("a/b.txt", b"hello"), ("empty", b""), ("block", bytes(range(256)) * 2))


def test_what_is_written_is_read_and_other_programs_read_it() -> None:
    assert read(written(*FILES)) == list(FILES)
    with tarfile.open(fileobj=io.BytesIO(written(*FILES))) as opened:
        assert [(m.name, opened.extractfile(m).read()) for m in opened.getmembers()] == list(FILES)
        assert {m.mode for m in opened.getmembers()} == {0o600}


@pytest.mark.parametrize("kind", sorted(tar.TYPES))
def test_nothing_but_files_is_taken(kind: bytes) -> None:
    head = bytearray(written(("x", b"")))
    head[156:157] = kind
    with pytest.raises(Invalid, match=tar.TYPES[kind]):
        read(bytes(head))


def test_every_changed_byte_of_a_head_and_every_cut_is_refused() -> None:
    whole = written(("x", b"abc"))
    for place in range(tar.BLOCK_BYTES):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        with pytest.raises(Invalid):
            read(bytes(changed))
    for cut in range(len(whole)):
        with pytest.raises(Invalid):
            read(whole[:cut])
    with pytest.raises(Invalid, match="behind its end"):
        read(whole + b"\0")


def test_a_length_is_bounded_before_it_is_believed() -> None:
    huge = tar.entry_head("x", 8**11 - 1, 0)
    with pytest.raises(Invalid, match="at most 1000"):
        read(huge)


def test_names_are_bounded() -> None:
    with pytest.raises(Invalid):
        tar.entry_head("x" * 101, 0, 0)
