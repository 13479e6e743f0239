"""Files of an archive as they are written: one writer at a time, and an earlier attempt that cannot be gone on with."""

import contextlib
import errno
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from icn.adapters.archive.age_keys import identity_text, recipient_text
from icn.adapters.archive.directory import FolderFiles
from icn.adapters.archive.settings import PARTS_SUFFIX, Encryption, Keys
from icn.adapters.archive.tar_gz import TarGzArchive, TarGzFile
from icn.adapters.archive.unfinished import PartsFile, Subject, Unfinished, Written
from icn.adapters.archive.writing import ArchiveBusy, ArchiveExists, Files, resumable, write_archive
from icn.kernel.errors import Invalid
from icn.services.backup import draft, entries
from icn.stores.archive import Entry, Reached
from support.archives import history, nothing, order

FORMS = ("tar", "encrypted", "folder")
NAME = "blocks/000001.car"
PRIVATE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
IDENTITY = identity_text(PRIVATE.private_bytes_raw())
RECIPIENT = recipient_text(PRIVATE.public_key().public_bytes_raw())


def files_at(path: Path, form: str) -> Files:
    if form == "folder":
        return FolderFiles(path, replace=True)
    encryption = Encryption((RECIPIENT,)) if form == "encrypted" else None
    return TarGzFile(path, seconds=0, encryption=encryption, replace=True)


def names_in(path: Path, form: str) -> list[str]:
    if form == "folder":
        return sorted(inside.relative_to(path).as_posix() for inside in path.rglob("*") if inside.is_file())
    return [part.name for part, _ in TarGzArchive(path, Keys((IDENTITY,)) if form == "encrypted" else None).entries()]


@pytest.mark.parametrize("form", FORMS)
def test_a_second_writer_of_one_archive_is_refused_and_harms_nothing(tmp_path, form):
    path = tmp_path / "archive"
    first, second = files_at(path, form), files_at(path, form)
    first.begin(())
    first.store(NAME, first.pack(NAME, b"of the first"))
    with pytest.raises(ArchiveBusy):
        second.begin(())
    second.close()
    first.finish()
    first.close()
    assert names_in(path, form) == [NAME]


@pytest.mark.parametrize("form", FORMS)
def test_who_ended_without_finishing_is_in_nobodys_way(tmp_path, form):
    path = tmp_path / "archive"
    first = files_at(path, form)
    first.begin(())
    first.store(NAME, first.pack(NAME, b"of the first"))
    first.close()
    second = files_at(path, form)
    second.begin(())
    second.store(NAME, second.pack(NAME, b"of the second"))
    second.finish()
    second.close()
    assert names_in(path, form) == [NAME]


@pytest.mark.parametrize("form", ["tar", "folder"])
def test_notes_without_what_they_speak_of_fail_one_attempt_and_not_every_one(tmp_path, form):
    """As after a kill between the archive's last rename and the removal of its notes, or when somebody made room."""
    path, reader = tmp_path / "archive", history()["a"].store
    notes = PartsFile(path.with_name(path.name + PARTS_SUFFIX))
    manifest = draft(reader, order())
    gone = Written(NAME, 1000, "0" * 64, 900, 0, manifest.to.arrival, 0)
    notes.write(Unfinished(Subject.of(manifest), (gone,)))

    def attempt() -> None:
        unfinished = notes.read()
        reached = Reached(manifest.since) if unfinished is None else unfinished.reached
        kept = resumable(notes, manifest)
        with contextlib.closing(files_at(path, form)) as files:
            write_archive(files, notes, manifest, kept, entries(reader, manifest, reached), nothing)

    with pytest.raises(Invalid, match="repeat the command"):
        attempt()
    attempt()
    assert names_in(path, form)
    assert not notes.path.exists()


@pytest.mark.parametrize(
    ("form", "failure", "stays"),
    [
        ("tar", OSError(errno.EIO, "the disk is odd"), True),
        ("tar", OSError(errno.ENOSPC, "the disk is full"), False),
        ("folder", OSError(errno.EIO, "the disk is odd"), True),
        ("folder", OSError(errno.EDQUOT, "the disk is full"), False),
        ("encrypted", OSError(errno.EIO, "the disk is odd"), False),
        ("encrypted", KeyboardInterrupt(), False),
    ],
)
def test_what_fills_the_disk_or_cannot_be_gone_on_with_is_removed(tmp_path, form, failure, stays):
    path, reader = tmp_path / "archive", history()["a"].store
    notes = None if form == "encrypted" else PartsFile(path.with_name(path.name + PARTS_SUFFIX))
    manifest = draft(reader, order())

    def failing() -> Iterator[Entry]:
        yield from itertools.islice(entries(reader, manifest, Reached(manifest.since)), 1)
        raise failure

    with contextlib.closing(files_at(path, form)) as files, pytest.raises(type(failure)):
        write_archive(files, notes, manifest, (), failing(), nothing)
    assert any(tmp_path.iterdir()) is stays


class Stumbling(TarGzFile):
    """A disk that fails once, at the second part."""

    stored: list[str]

    def store(self, name: str, pieces: list[bytes]) -> int:
        self.stored = [*getattr(self, "stored", []), name]
        if len(self.stored) == 2:
            raise OSError(errno.EIO, "the disk is odd")
        return super().store(name, pieces)


def test_nothing_is_stored_behind_a_part_that_is_missing(tmp_path):
    path, reader = tmp_path / "archive", history()["a"].store
    notes = PartsFile(path.with_name(path.name + PARTS_SUFFIX))
    manifest = draft(reader, order())
    few = list(entries(reader, manifest, Reached(manifest.since)))
    assert len(few) > 3, "or nothing would come behind it"
    files = Stumbling(path, seconds=0, encryption=None, replace=True)
    with contextlib.closing(files), pytest.raises(OSError, match="odd"):
        write_archive(files, notes, manifest, (), few, nothing)
    assert files.stored == [few[0].name, few[1].name]


@pytest.mark.parametrize("form", ["tar", "folder"])
def test_what_came_under_the_name_while_it_was_written_stays(tmp_path, form):
    """A backup may take hours, and nobody said that it may replace anything."""
    path = tmp_path / "archive"
    files = FolderFiles(path, replace=False) if form == "folder" else _tar(path, replace=False)
    files.begin(())
    files.store(NAME, files.pack(NAME, b"of a backup"))
    theirs = path / "theirs" if form == "folder" else path
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_bytes(b"of somebody else")
    with pytest.raises(ArchiveExists):
        files.finish()
    files.close()
    assert theirs.read_bytes() == b"of somebody else"


def test_only_an_archive_is_replaced_whatever_came_while_it_was_written(tmp_path):
    path = tmp_path / "archive"
    files = FolderFiles(path, replace=True)
    files.begin(())
    path.mkdir()
    (path / "theirs").write_bytes(b"of somebody else")
    with pytest.raises(ArchiveExists):
        files.finish()
    files.close()
    assert (path / "theirs").read_bytes() == b"of somebody else"


def _tar(path: Path, *, replace: bool) -> TarGzFile:
    return TarGzFile(path, seconds=0, encryption=None, replace=replace)
