import pytest

from icn.adapters.checkpoint_file import UNREADABLE, CheckpointFailed, read_checkpoint, set_aside, write_checkpoint


def test_what_was_written_is_read_back_and_can_be_read_by_people(tmp_path):
    path = tmp_path / "new" / "mana.sled"
    assert read_checkpoint(path) is None
    write_checkpoint(path, {"a": 1, "name": "Bäcker"})
    assert read_checkpoint(path) == {"a": 1, "name": "Bäcker"}
    assert path.read_text() == '{\n "a": 1,\n "name": "Bäcker"\n}\n'
    assert path.stat().st_mode & 0o077 == 0
    write_checkpoint(path, {})
    assert [entry.name for entry in path.parent.iterdir()] == ["mana.sled"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_json_is_unreadable(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read_checkpoint(path) is UNREADABLE
    assert read_checkpoint(tmp_path) is UNREADABLE


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointFailed, match="file/below"):
        write_checkpoint(tmp_path / "file" / "below", {})
    with pytest.raises(CheckpointFailed, match="set aside"):
        set_aside(tmp_path / "none")


def test_a_file_set_aside_keeps_its_content_beside_its_place(tmp_path):
    write_checkpoint(tmp_path / "x", {"a": 1})
    assert set_aside(tmp_path / "x") == tmp_path / "x.ahead"
    assert read_checkpoint(tmp_path / "x") is None
    assert read_checkpoint(tmp_path / "x.ahead") == {"a": 1}
