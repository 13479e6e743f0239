"""A machine believes only the native code that it compiled itself, and keeps it where nobody else writes."""

from pathlib import Path

import pytest

from icn.adapters.cluster.machine_cache import KEY_FILE, MachineCacheUnusable, open_machine_cache
from icn.kernel.ids import RAW, Cid

MODULE = Cid.of(b"a module", RAW)


def opened(folder: Path, owner: str = "one"):
    return open_machine_cache(str(folder), owner=owner, bytes_max=10_000, profile="p")


def test_what_was_compiled_is_found_by_the_next_runner(tmp_path: Path) -> None:
    first = opened(tmp_path / "modules")
    first.put(first.name_of(MODULE), b"native")
    again = opened(tmp_path / "modules")
    assert again.get(again.name_of(MODULE)) == b"native"
    assert (tmp_path / "modules" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "modules").stat().st_mode & 0o777 == 0o700


def test_native_code_of_another_machine_is_not_believed(tmp_path: Path) -> None:
    elsewhere, here = opened(tmp_path / "elsewhere"), opened(tmp_path / "here")
    name = elsewhere.name_of(MODULE)
    elsewhere.put(name, b"native")
    (file,) = (tmp_path / "elsewhere").rglob(name)
    (copied,) = (tmp_path / "here").glob("*/")
    (copied / name).write_bytes(file.read_bytes())
    assert here.get(name) is None


def test_nodes_that_share_a_machine_do_not_share_modules(tmp_path: Path) -> None:
    one, other = opened(tmp_path, "one"), opened(tmp_path, "other")
    one.put(one.name_of(MODULE), b"native")
    assert other.get(other.name_of(MODULE)) is None


def test_a_folder_that_others_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(MachineCacheUnusable, match="only this account writes"):
        opened(folder)


def test_a_folder_that_only_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "modules").symlink_to(tmp_path / "real")
    with pytest.raises(MachineCacheUnusable, match="only this account writes"):
        opened(tmp_path / "modules")


@pytest.mark.parametrize("spoil", ["readable", "short"])
def test_a_key_that_is_not_one_is_refused(tmp_path: Path, spoil: str) -> None:
    opened(tmp_path / "modules")
    key = tmp_path / "modules" / KEY_FILE
    if spoil == "readable":
        key.chmod(0o644)
    else:
        key.write_bytes(b"short")
    with pytest.raises(MachineCacheUnusable, match="remove it, and a new one is made"):
        opened(tmp_path / "modules")


def test_a_folder_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineCacheUnusable, match=r"cannot be kept in .*Not a directory"):
        opened(tmp_path / "file" / "modules")
