import json

import pytest

from icn.services.archive_check import Archive, Examination, examine
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
    entries = [(data, items) for (_, data), (_, items) in zip(whole.entries(), run.follow(whole), strict=True)]
    looked_at = [(data, block) for data, items in entries for _, block in items.content]
    assert looked_at
    assert all(isinstance(block, memoryview) and block.obj is data for data, block in looked_at)
