"""Files that are whole or absent, for their owner only."""

import os
import stat
import threading

import pytest

from icn.adapters.files import create_atomically, make_private_folders, temporaries_of, write_atomically


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_writing_replaces_and_leaves_nothing_else_behind(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert names_in(tmp_path) == ["file"]


def test_the_mode_is_exactly_the_one_asked_for(tmp_path):
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "private", b"")
        write_atomically(tmp_path / "public", b"", mode=0o644)
        create_atomically(tmp_path / "created", b"", mode=0o640)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("private", "public", "created")]
    assert modes == [0o600, 0o644, 0o640]


def test_creating_refuses_what_exists_even_a_dangling_link(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    for taken in (path, link):
        with pytest.raises(FileExistsError):
            create_atomically(taken, b"theirs")
    assert path.read_bytes() == b"mine"
    assert names_in(tmp_path) == ["file", "link"]


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    folder = tmp_path / "folder"
    (folder / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_atomically(folder, b"a file cannot replace a folder that has content")
    assert names_in(tmp_path) == ["folder"]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "absent" / "file", b"")


def test_readers_see_the_old_file_or_the_new_one_never_a_mixture(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"a" * 100_000)
    done = threading.Event()
    seen = set()

    def read():
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for letter in b"bcbcbcbcbc":
        write_atomically(path, bytes((letter,)) * 100_000)
    done.set()
    reader.join()
    assert seen <= {bytes((letter,)) * 100_000 for letter in b"abc"}


def test_folders_are_made_private_all_the_way_and_existing_ones_left_alone(tmp_path):
    before = os.umask(0)
    try:
        make_private_folders(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]
    (tmp_path / "a").chmod(0o755)
    make_private_folders(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


def test_what_a_killed_write_left_is_found_and_nothing_else(tmp_path):
    left = tmp_path / ".note.abc123.tmp"
    for name in (left.name, "note", ".notes.abc123.tmp", ".note.abc123", "note.abc123.tmp"):
        (tmp_path / name).touch()
    assert list(temporaries_of(tmp_path / "note")) == [left]
