"""Archives that a command is given: what a script reads from its exit status where one is missing, or stays closed."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.archive.settings import Encryption
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.cli.backing import StoreBacking
from icn.cli.endings import Exit
from icn.services import verify
from icn.services.findings import Finding
from icn.stores.archive import ArchiveKind
from icn.stores.kv import StoreFull
from support.archives import back_up, history
from support.sample_stores import busy_node, pour


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A store that no node has open."""
    path = tmp_path / "dag.sqlite"
    with contextlib.closing(open_store(StorageSettings("sqlite", path))) as store:
        pour(busy_node().store, store)
    return path


@pytest.mark.parametrize("line", [("dag", "restore", "--offline", "--input"), ("dag", "verify")], ids=" ".join)
def test_an_archive_that_is_not_there_is_not_found(alone, tmp_path, line):
    ran = alone(*line, tmp_path / "absent.tar.gz")
    assert (ran.status, "archive.none" in ran.err) == (Exit.NOT_FOUND_OR_UNVERIFIED, True)


@pytest.mark.slow
@pytest.mark.usefixtures("cheap_passphrase")
def test_a_wrong_passphrase_is_not_authorised(alone, tmp_path):
    path, wrong = tmp_path / "a.tar.gz", tmp_path / "wrong"
    back_up(history()["a"].store, path, encryption=Encryption(passphrase="right"))
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    ran = alone("dag", "verify", path, "--passphrase-file", wrong)
    assert (ran.status, "archive.not_decrypted" in ran.err) == (Exit.NOT_AUTHORISED, True)


@pytest.mark.slow
def test_a_whole_archive_that_the_store_takes_no_note_of_is_said_to_be_whole(alone, stored, tmp_path, monkeypatch):
    """What fails is not the backup, but that the next incremental one goes on from it."""

    def full(*_arguments: object) -> None:
        raise StoreFull("no room")

    monkeypatch.setattr(StoreBacking, "note", full)
    path = tmp_path / "a.tar.gz"
    ran = alone("dag", "backup", "--offline", "--output", path, "--storage-path", stored)
    assert ran.status is Exit.FAULT
    assert f"the archive at {path} is whole" in ran.err
    assert "store.full" in ran.err
    assert alone("dag", "verify", path, "--deep").status is Exit.DONE


@pytest.mark.slow
def test_trying_a_restore_makes_nothing(alone, tmp_path):
    path, place = tmp_path / "a.tar.gz", tmp_path / "place" / "dag.sqlite"
    back_up(history()["a"].store, path)
    ran = alone("dag", "restore", "--offline", "--dry-run", "--input", path, "--storage-path", place)
    assert (ran.status, b"blocks to add" in ran.out) == (Exit.DONE, True)
    assert not place.parent.exists()


@pytest.mark.slow
def test_what_does_not_read_back_is_thrown_away_and_said_to_be(alone, tmp_path, monkeypatch):
    path, place = tmp_path / "a.tar.gz", tmp_path / "dag.sqlite"
    back_up(history()["a"].store, path)
    read_back = verify.verify
    monkeypatch.setattr(
        verify,
        "verify",
        lambda *given, **more: replace(
            read_back(*given, **more), ok=False, findings=(Finding("block x", "is damaged"),), findings_total=1
        ),
    )
    ran = alone("dag", "restore", "--offline", "--input", path, "--storage-path", place)
    assert (ran.status, ran.out) == (Exit.NOT_FOUND_OR_UNVERIFIED, b"")
    assert "block x: is damaged" in ran.err
    assert "nothing was restored" in ran.err
    with contextlib.closing(open_store(StorageSettings("sqlite", place))) as store:
        assert not list(store.scan(b""))


@pytest.mark.slow
@pytest.mark.usefixtures("cheap_passphrase")
@pytest.mark.parametrize("encryption", [None, Encryption(passphrase="right")], ids=["plain", "encrypted"])
def test_of_a_folder_with_a_damaged_archive_the_rest_is_restored_where_that_is_asked_for(alone, tmp_path, encryption):
    folder, place = tmp_path / "backups", tmp_path / "dag.sqlite"
    suffix = ".tar.gz" if encryption is None else ".tar.gz.age"
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("right")
    passphrase.chmod(0o600)
    keys = () if encryption is None else ("--passphrase-file", passphrase)
    folder.mkdir()
    store = history()["a"].store
    whole, damaged = folder / f"0{suffix}", folder / f"1{suffix}"
    back_up(store, whole, encryption=encryption)
    back_up(store, damaged, kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z", encryption=encryption)
    data = bytearray(damaged.read_bytes())
    data[-100] ^= 1
    damaged.write_bytes(data)
    words = ("dag", "restore", "--offline", "--input", folder, "--storage-path", place, *keys)
    refused = alone(*words)
    assert (refused.status, str(damaged) in refused.err, "--skip-damaged" in refused.err) == (Exit.REFUSED, True, True)
    assert not place.exists() or not place.stat().st_size
    ran = alone(*words, "--skip-damaged")
    assert ran.status is Exit.DONE, ran.err
    assert f"left out, damaged: {damaged}: " in ran.err
    assert "as of 2026-01-01T00:00:00Z" in ran.err
    assert "left out" not in alone(*words[:4], whole, *words[5:], "--dry-run").err
