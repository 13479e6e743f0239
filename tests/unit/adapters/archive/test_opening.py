"""What is taken for an archive at a path, and what is said where there is none."""

from pathlib import PosixPath

import pytest

from icn.adapters.archive import opening
from icn.adapters.archive.directory import FolderFiles
from icn.adapters.archive.opening import NoArchive, archives_at
from icn.stores.archive import MANIFEST


def names_at(path):
    return [archive.name.rpartition("/")[2] for archive in archives_at(path, None)]


def test_a_folder_of_archives_gives_those_that_are_finished(tmp_path):
    for name in ("b.tar.gz", "a.tar.gz.age", "c.tgz", "d.tar.gz.partial", "d.tar.gz.partial.parts", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / MANIFEST).touch()
    (tmp_path / "empty").mkdir()
    assert names_at(tmp_path) == ["a.tar.gz.age", "b.tar.gz", "c.tgz", "e"]
    assert names_at(tmp_path / "e") == ["e"]


def test_where_there_is_none_it_is_said(tmp_path, monkeypatch):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NoArchive, match=r"there is no backup at [^;]*$"):
            archives_at(path, None)
    monkeypatch.setattr(opening, "ARCHIVES_MAX", 1)
    for name in ("a.tgz", "b.tgz"):
        (tmp_path / name).touch()
    with pytest.raises(NoArchive, match="but 2: name those that are meant"):
        archives_at(tmp_path, None)


def test_a_death_between_two_renames_leaves_the_older_archive_where_it_is_found(tmp_path, monkeypatch):
    """A folder cannot take another one's place in one step."""
    path = tmp_path / "archive"
    for _ in range(2):
        files = FolderFiles(path, replace=True)
        files.begin(())
        files.store(MANIFEST, [b"{}"])
        if path.exists():
            monkeypatch.setattr(files, "_target", _DiesNext(path))
            with pytest.raises(KeyboardInterrupt):
                files.finish()
        else:
            files.finish()
        files.close()
    with pytest.raises(NoArchive, match=rf"{path}.replaced is the one that was being replaced"):
        archives_at(path, None)
    assert names_at(tmp_path / "archive.replaced") == ["archive.replaced"]


class _DiesNext(PosixPath):
    """A path after whose renaming nothing more is done."""

    def rename(self, target):
        super().rename(target)
        raise KeyboardInterrupt
