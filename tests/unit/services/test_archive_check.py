import json
from dataclasses import replace

import pytest

from icn.kernel.errors import Invalid, InvariantBroken
from icn.services.archive_check import Archive, Examination, examine, hashing_all, hashing_but_content
from icn.stores.archive import MANIFEST, ArchiveDamaged
from support.archives import archive_at, back_up, history, nothing
from support.held_archive import HeldArchive


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> HeldArchive:
    path = tmp_path_factory.mktemp("whole") / "a.tar.gz"
    back_up(history(4)["a"].store, path)
    return HeldArchive.of(archive_at(path))


def found(source: Archive) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in examine(source, nothing).findings]


def test_nothing_is_wrong_with_a_whole_archive(whole: HeldArchive) -> None:
    assert found(whole) == found(whole.claiming()) == []


@pytest.mark.parametrize(
    "name", ["blocks/000001.car", "content/000001.car", "content/000001.jsonl", "local/000001.jsonl"]
)
def test_a_missing_or_changed_part_is_named(whole: HeldArchive, name: str) -> None:
    assert any(name in line or "content/000001" in line for line in found(whole.without(name)))
    data = dict(whole.files)[name]
    assert any(name in line for line in found(whole.but({name: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]})))


def test_all_findings_are_listed(whole: HeldArchive) -> None:
    files = dict(whole.files)
    changed = {name: files[name][:-1] + b"?" for name in ("blocks/000001.car", "content/000001.car")}
    lines = found(whole.but(changed))
    assert {line.partition(":")[0] for line in lines} >= set(changed)
    with pytest.raises(ArchiveDamaged, match="and 3 more"):
        examine(whole.but(changed), nothing).whole()


def test_an_archive_without_its_manifest_is_not_whole(whole: HeldArchive) -> None:
    assert "not whole" in found(whole.without(MANIFEST))[0]


def test_content_that_is_not_what_its_lines_say_is_seen(whole: HeldArchive) -> None:
    name = "content/000001.jsonl"
    first, second, *rest = dict(whole.files)[name].splitlines(keepends=True)
    swapped = whole.but({name: b"".join((second, first, *rest))}).claiming()
    assert any("not the one its lines say" in line for line in found(swapped))
    fewer = whole.but({name: b"".join((second, *rest))}).claiming()
    assert found(fewer)


def test_counts_are_compared(whole: HeldArchive) -> None:
    counts = json.loads(dict(whole.files)[MANIFEST])["counts"]
    for name in ("evidence", "content", "local"):
        assert found(whole.claiming(counts={**counts, name: counts[name] + 1})), name


def test_content_is_looked_at_where_it_stands(whole: HeldArchive) -> None:
    run = Examination()
    entries = [
        (data, items) for (_, data), (_, items) in zip(whole.entries(), run.follow(whole.entries()), strict=True)
    ]
    looked_at = [(data, block) for data, items in entries for _, block in items.content]
    assert looked_at
    assert all(isinstance(block, memoryview) and block.obj is data for data, block in looked_at)


def without_hashes(source: HeldArchive) -> list[str]:
    """What is found where the bytes of content are not hashed as a file."""
    run = Examination()
    with run.noting():
        list(run.follow(source.entries(hashing_but_content)))
    return [finding.where for finding in run.findings]


def test_content_needs_no_hash_of_its_file_since_its_lines_leave_no_other_one(whole: HeldArchive) -> None:
    """Whichever bit of it is turned over, of a length, a name or a block, and wherever it ends."""
    assert without_hashes(whole) == []
    name = "content/000001.car"
    data = dict(whole.files)[name]
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        assert without_hashes(whole.but({name: bytes(changed)})), place
    for bit in range(8 * 200):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert without_hashes(whole.but({name: bytes(changed)})), bit
    for other in (data[:-1], data + b"\0", data + data[-50:], data[:1] + data, b""):
        assert without_hashes(whole.but({name: other}))


def test_its_size_is_still_compared_with_the_manifest(whole: HeldArchive) -> None:
    parts = json.loads(dict(whole.files)[MANIFEST])["parts"]
    for part in parts:
        part["size"] += part["name"] == "content/000001.car"
    assert without_hashes(whole.claiming(parts=parts)) == ["content/000001.car"]


def test_every_other_part_is_hashed(whole: HeldArchive) -> None:
    for part, data in whole.entries():
        if part.name == MANIFEST or not part.name.startswith("content") or part.name.endswith(".jsonl"):
            assert hashing_but_content(part.name)
            with pytest.raises((InvariantBroken, Invalid), match="is hashed"):
                list(Examination().follow(iter([(replace(part, sha256=""), data)])))
    assert all(map(hashing_all, dict(whole.files)))
