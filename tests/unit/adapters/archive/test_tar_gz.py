import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from icn.adapters.archive.settings import PARTS_SUFFIX, RATIO_MAX, Encryption, Keys
from icn.adapters.archive.tar_gz import TarGzArchive, TarGzFile
from icn.adapters.archive.unfinished import PartsFile
from icn.adapters.archive.writing import ArchiveExists, resumable, write_archive
from icn.adapters.storage.memory import MemoryStore
from icn.kernel.ids import RAW
from icn.services.archive_check import hashing_all
from icn.services.backup import draft, entries
from icn.services.commands import PutContent
from icn.stores import tar
from icn.stores.archive import PART_BYTES_MAX, ArchiveDamaged, Entry, Reached, part_name
from support.archives import archive_at, back_up, held, history, nothing, order, restore_into

IDENTITY = pyrage.x25519.Identity.generate()


class DiskFullError(Exception):
    """What ends an attempt."""


def cut_after(parts, count: int):
    for number, part in enumerate(parts):
        if number == count:
            raise DiskFullError
        yield part


def test_other_programs_read_it(tmp_path: Path) -> None:
    finished = back_up(history(1)["a"].store, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        assert archive.getnames()[:-1] == [part.name for part in finished.manifest.parts]
    assert (tmp_path / "a.tar.gz").stat().st_mode & 0o777 == 0o600


def test_what_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    store = history(1)["a"].store
    back_up(store, tmp_path / "a.tar.gz")
    with pytest.raises(ArchiveExists, match="--replace"):
        back_up(store, tmp_path / "a.tar.gz")
    back_up(store, tmp_path / "a.tar.gz", created="2026-05-05T00:00:00Z", replace=True)
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("grows", [False, True], ids=["as it was", "with more come meanwhile"])
def test_wherever_it_is_interrupted_it_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, grows: bool
) -> None:
    monkeypatch.setattr("icn.services.backup.PART_BYTES", 2_000)
    monkeypatch.setattr("icn.adapters.archive.writing.SYNC_BYTES", 1)
    world = history()
    store = world["a"].store
    whole = len(back_up(store, tmp_path / "whole.tar.gz").manifest.parts)
    assert whole > 8
    kept_at_most = 0
    for count in range(0, whole, 2):
        path = tmp_path / f"{count}.tar.gz"
        notes = PartsFile(path.with_name(path.name + PARTS_SUFFIX))
        files = TarGzFile(path, seconds=0, encryption=None, replace=False)
        manifest = draft(store, order())
        parts = entries(store, manifest, Reached(manifest.since))
        with pytest.raises(DiskFullError):
            write_archive(files, notes, manifest, (), cut_after(parts, count), nothing)
        files.close()
        assert not path.exists()
        if grows:
            world.done("a", PutContent(b"meanwhile %d" % count * 99, RAW, pinned=False, lifetime_ms=None))
            world.submit("a")
            world.pass_time(1_000)
        with files.partial.open("ab") as torn:
            torn.write(b"a part that was cut" * 50_000)
        finished = back_up(store, path)
        kept_at_most = max(kept_at_most, finished.kept)
        target = MemoryStore()
        restore_into(target, path)
        assert held(target) == held(store)
        assert not list(tmp_path.glob("*.partial*"))
    assert kept_at_most > 4


def test_an_attempt_of_another_kind_is_not_gone_on_with(tmp_path: Path) -> None:
    store = history(1)["a"].store
    notes = PartsFile(tmp_path / f"a.tar.gz{PARTS_SUFFIX}")
    for text in (b"", b"{}\n", b"{\n", b'{"store": 1}\n', b"\xff\n"):
        notes.path.write_bytes(text)
        assert notes.read() is None
        assert resumable(notes, draft(store, order())) == ()
    back_up(store, tmp_path / "a.tar.gz")


def test_an_encrypted_archive_is_opened_with_its_key_only(tmp_path: Path) -> None:
    store = history(1)["a"].store
    path = tmp_path / "a.tar.gz.age"
    back_up(store, path, encryption=Encryption((str(IDENTITY.to_public()),)))
    plain = pyrage.decrypt(path.read_bytes(), [IDENTITY])
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert archive.getnames()[-1] == "manifest.json"
    target = MemoryStore()
    restore_into(target, path, keys=Keys((str(IDENTITY),)))
    assert held(target) == held(store)
    with pytest.raises(ArchiveDamaged, match="--identity"):
        list(TarGzArchive(path, None).entries())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Exception, match="cut or changed"):
        list(TarGzArchive(path, Keys((str(IDENTITY),))).entries())


def test_what_compresses_very_well_is_stored_so_that_no_reader_takes_it_for_a_bomb(tmp_path: Path) -> None:
    store = MemoryStore()
    world = history(1)
    for number in range(8):
        zeros = bytes(7_000_000) + bytes([number])
        world.done("a", PutContent(zeros, RAW, pinned=False, lifetime_ms=None))
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").stat().st_size * RATIO_MAX > 56_000_000
    restore_into(store, tmp_path / "a.tar.gz")
    assert held(store) == held(world["a"].store)


@pytest.mark.parametrize("name", ["a.tar.gz", "folder"])
def test_entries_are_put_where_there_is_room(tmp_path: Path, name: str) -> None:
    back_up(history(1)["a"].store, tmp_path / name)
    archive, memory = archive_at(tmp_path / name), memoryview(bytearray(PART_BYTES_MAX))

    def room(entry: str, size: int) -> memoryview | None:
        return memory[:size] if entry == "content/000001.car" else None

    put = [(part, bytes(data), data) for part, data in archive.entries_in(room, hashing_all)]
    assert [(part, data) for part, data, _ in put] == list(archive.entries())
    assert [part.name for part, _, data in put if type(data) is memoryview] == ["content/000001.car"]
    bare = [part for part, _ in archive.entries_in(room, lambda entry: entry != "content/000001.car")]
    assert bare == [replace(part, sha256=part.sha256 * (part.name != "content/000001.car")) for part, _, _ in put]
    assert bare == [part for part, _ in archive.entries(lambda entry: entry != "content/000001.car")]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, size = tmp_path / "bomb.tar.gz", 16_000_000
    with gzip.open(path, "wb", 9) as file:
        for number in range(1, 7):
            file.write(tar.entry_head(part_name("local", number, "jsonl"), size, 0) + bytes(size) + tar.padding(size))
        file.write(tar.END)
    read = []

    def read_all() -> None:
        for part, _ in TarGzArchive(path, None).entries():
            read.append(part.size)

    with pytest.raises(ArchiveDamaged, match="stands for more than"):
        read_all()
    assert sum(read) <= 2 * PART_BYTES_MAX


def test_a_small_archive_member_is_written_for_every_entry(tmp_path: Path) -> None:
    files = TarGzFile(tmp_path / "x.tar.gz", seconds=0, encryption=None, replace=False)
    files.begin(())
    entry = Entry("local/000001.jsonl", b"{}\n")
    files.store(entry.name, files.pack(entry.name, entry.data))
    files.finish()
    files.close()
    (part, data) = next(iter(TarGzArchive(tmp_path / "x.tar.gz", None).entries()))
    assert (part.name, data) == (entry.name, entry.data)
