"""A folder is recognised, taken up again, or refused before an engine touches it."""

import stat

import pytest

from icn.adapters.storage.folder_layout import MARKER, FolderLayout
from icn.stores.kv import StoreCorrupt, StoreNewer

LAYOUT = FolderLayout("sled", 2)


def test_a_new_folder_is_private_and_complete_only_when_said_so(tmp_path):
    folder = tmp_path / "data" / "node.sled"
    assert not LAYOUT.prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not LAYOUT.prepare(folder)
    LAYOUT.complete(folder)
    (folder / "data.mdb").touch()
    assert LAYOUT.prepare(folder)
    assert (folder / "data.mdb").exists()


def test_an_empty_folder_of_the_operator_s_becomes_private(tmp_path):
    tmp_path.chmod(0o755)
    assert not LAYOUT.prepare(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_what_a_creation_that_broke_off_left_is_removed(tmp_path):
    LAYOUT.prepare(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"half")
    assert not LAYOUT.prepare(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [MARKER]


def test_a_folder_with_other_things_in_it_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "photo.jpeg").touch()
    with pytest.raises(StoreCorrupt, match="choose an empty or new folder"):
        LAYOUT.prepare(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.jpeg"]


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    (tmp_path / "store").touch()
    with pytest.raises(StoreCorrupt, match="is a file"):
        LAYOUT.prepare(tmp_path / "store")


def test_a_newer_layout_says_what_to_do(tmp_path):
    (tmp_path / MARKER).write_text("icn-store sled 3 complete and more that only it knows\n")
    with pytest.raises(StoreNewer, match=r"start the newer release .* or restore a backup"):
        LAYOUT.prepare(tmp_path)


def test_another_backend_s_store_is_named(tmp_path):
    FolderLayout("rocksdb", 1).prepare(tmp_path)
    with pytest.raises(StoreCorrupt, match="backend = 'rocksdb'"):
        LAYOUT.prepare(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"icn-store sled", b"icn-store sled 2", b"icn-store sled x complete", b"x sled 2 complete"],
)
def test_a_damaged_marker_is_refused(tmp_path, content):
    (tmp_path / MARKER).write_bytes(content)
    with pytest.raises(StoreCorrupt):
        LAYOUT.prepare(tmp_path)
