"""The devnet's folder: made and removed without touching anything else, and worked on by one command at a time."""

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from icn.cli.devnet import folder as folders
from icn.cli.devnet.folder import Folder, default_folder
from icn.cli.devnet.state import Devnet, Terms
from icn.cli.endings import Ended, Exit
from support.cli_server import CommandLine

DEVNET = Devnet(Terms("sqlite", "open"), ()).grown_to(2)


def made(path: Path) -> Folder:
    folder = Folder(path)
    folder.make("a-key")
    folder.write(DEVNET)
    return folder


def test_it_is_made_private_and_read_back(tmp_path: Path) -> None:
    folder = made(tmp_path / "deep" / "devnet")
    assert folder.read() == DEVNET
    assert folder.api_key.read_text() == "a-key"
    assert folder.api_key.stat().st_mode & 0o777 == 0o600
    assert folder.root.stat().st_mode & 0o777 == 0o700
    folder.make("another-key")
    assert folder.api_key.read_text() == "a-key"


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(Ended, match=r"letter\.txt"):
        Folder(tmp_path).refuse_foreign()
    assert CommandLine()("devnet", "up", "--dir", tmp_path).status is Exit.REFUSED
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_purging_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    folder = made(tmp_path / "devnet")
    folder.data_of("node-01").mkdir()
    (folder.data_of("node-01") / "identity.key").write_bytes(b"key")
    note = folder.root / "note.txt"
    note.write_text("mine")
    folder.purge()
    assert list(folder.root.iterdir()) == [note]
    note.unlink()
    made(folder.root).purge()
    assert not folder.root.exists()


def test_one_command_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LOCK_SECONDS_MAX", 0.0)
    folder = made(tmp_path / "devnet")
    with folder.locked(), pytest.raises(Ended, match="another icn-cli devnet command"), folder.locked():
        pass
    with folder.locked():
        pass


def test_who_waited_for_a_devnet_that_was_purged_has_the_lock_of_the_next(tmp_path: Path) -> None:
    folder = made(tmp_path / "devnet")
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        waiting = threading.Event()
        got: list[bool] = []

        def wait() -> None:
            waiting.set()
            with folder.locked():
                got.append((folder.root / "devnet.lock").exists())

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        folder.purge()
        stack.close()
        thread.join()
    assert got == [True]


def test_there_is_none(tmp_path: Path) -> None:
    assert Folder(tmp_path).read_or_none() is None
    with pytest.raises(Ended, match="no devnet"):
        Folder(tmp_path).read()


def test_where_it_lies_when_nobody_says() -> None:
    assert default_folder({"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/icn/devnet")
    for unset in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "relative"}):
        assert default_folder(unset) == Path.home() / ".local/state/icn/devnet"
