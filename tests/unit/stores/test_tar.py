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


def test_files_are_put_where_there_is_room_for_them() -> None:
    memory = {"a/b.txt": bytearray(5), "block": bytearray(512), "empty": bytearray(0)}

    def room(name: str, size: int) -> memoryview | None:
        return None if name == "a/b.txt" else memoryview(memory[name])[:size]

    found = list(tar.read_entries_into(room, io.BytesIO(written(*FILES)).read, lambda _name: 1000))
    assert [(name, bytes(data)) for name, data in found] == list(FILES)
    assert [type(data) for _, data in found] == [bytes, memoryview, memoryview]
    assert memory["block"] == FILES[2][1]
    assert memory["a/b.txt"] == bytes(5)


def test_a_file_that_is_put_somewhere_is_read_as_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "PLACED_BYTES", 2)
    whole = written(("x", b"abc"))

    def read_into(data: bytes) -> list[tuple[str, bytes | memoryview]]:
        room = memoryview(bytearray(1000))
        return list(tar.read_entries_into(lambda _name, size: room[:size], io.BytesIO(data).read, lambda _name: 1000))

    assert read_into(whole) == [("x", b"abc")]
    for cut in range(len(whole)):
        with pytest.raises(Invalid):
            read_into(whole[:cut])
    with pytest.raises(Invalid, match="bytes behind"):
        read_into(whole[:600] + b"?" + whole[601:])
    with pytest.raises(Invalid, match="at most"):
        read_into(tar.entry_head("x", 1001, 0))
