import os
from pathlib import Path

import pytest

from icn.adapters.wasm.cache import ModuleCache
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import RAW, Cid
from support.wasm_pool import cache_in

MODULE = Cid.of(b"a module", RAW)


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    name = cache.name_of(MODULE)
    assert cache.get(name) is None
    cache.put(name, b"native")
    assert cache_in(tmp_path).get(name) == b"native"
    cache.drop(name)
    assert cache.get(name) is None
    cache.drop(name)


def test_a_damaged_file_is_deleted_and_counts_as_absent(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    name = cache.name_of(MODULE)
    for position in (0, 31, 32, 37):
        cache.put(name, b"native")
        data = bytearray((tmp_path / name).read_bytes())
        data[position] ^= 1
        (tmp_path / name).write_bytes(data)
        assert cache.get(name) is None
        assert not (tmp_path / name).exists()
    for length in (0, 31, 32, 37):
        cache.put(name, b"native")
        os.truncate(tmp_path / name, length)
        assert cache.get(name) is None


def test_a_file_of_another_module_or_another_node_is_refused(tmp_path: Path) -> None:
    cache, other = cache_in(tmp_path), Cid.of(b"another", RAW)
    cache.put(cache.name_of(MODULE), b"native")
    (tmp_path / cache.name_of(MODULE)).rename(tmp_path / cache.name_of(other))
    assert cache.get(cache.name_of(other)) is None
    cache.put(cache.name_of(MODULE), b"native")
    assert cache_in(tmp_path, key=b"k" * 32).get(cache.name_of(MODULE)) is None


def test_another_profile_has_other_names(tmp_path: Path) -> None:
    one = ModuleCache(tmp_path, key=bytes(32), bytes_max=100, profile="one")
    two = ModuleCache(tmp_path, key=bytes(32), bytes_max=100, profile="two")
    assert one.name_of(MODULE) != two.name_of(MODULE)
    assert str(MODULE) in one.name_of(MODULE)


def test_the_total_stays_within_its_bound_and_the_oldest_use_goes_first(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, bytes_max=3 * (32 + 10))
    for age, name in enumerate(("a", "b", "c")):
        cache.put(name, bytes(10))
        os.utime(tmp_path / name, (age, age))
    assert cache.get("a") is not None
    cache.put("d", bytes(10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c", "d"]


def test_what_is_larger_than_the_bound_is_not_kept_and_drives_nothing_out(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, bytes_max=100)
    cache.put("small", b"1")
    cache.put("large", bytes(100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]


def test_files_that_a_crash_left_half_written_go_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.part").write_bytes(b"half")
    cache_in(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_without_a_proper_key_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvariantBroken):
        cache_in(tmp_path, key=b"short")
