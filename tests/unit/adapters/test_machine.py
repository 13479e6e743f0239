"""Memory that is left, of the machine or of the container, whichever is less."""

from pathlib import Path

from icn.adapters.machine import memory_available_bytes
from icn.kernel.limits import KIB

MEMINFO = "MemTotal:       4000 kB\nMemFree:        100 kB\nMemAvailable:   1000 kB\n"


def container(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(limit)
    (folder / "memory.current").write_text("500000\n")
    (folder / "memory.stat").write_text("anon 400000\nfile 90000\ninactive_file 50000\n")
    return folder


def meminfo(folder: Path) -> Path:
    file = folder / "meminfo"
    file.write_text(MEMINFO)
    return file


def test_it_is_what_the_machine_has_available(tmp_path: Path) -> None:
    assert memory_available_bytes(meminfo(tmp_path), tmp_path / "none") == 1000 * KIB
    assert memory_available_bytes(meminfo(tmp_path), container(tmp_path, "max\n")) == 1000 * KIB


def test_in_a_container_it_is_what_is_left_of_its_limit(tmp_path: Path) -> None:
    assert memory_available_bytes(meminfo(tmp_path), container(tmp_path, "600000\n")) == 150_000
    assert memory_available_bytes(meminfo(tmp_path), container(tmp_path, "400000\n")) == 0


def test_where_nobody_says_it_is_not_known(tmp_path: Path) -> None:
    assert memory_available_bytes(tmp_path / "none", tmp_path / "none") is None


def test_this_machine_says() -> None:
    assert memory_available_bytes() != 0
