import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from icn.domain.dag.block import parse_block
from icn.services.archive_check import Archive, examine, replay_alone
from icn.stores import archive
from icn.stores.archive import MANIFEST, ArchiveDamaged, ArchiveKind, Part, manifest_hash, read_car, write_car
from support.archives import archive_at, back_up, history, nothing


@dataclass(frozen=True)
class Held:
    """An archive in memory."""

    files: tuple[tuple[str, bytes], ...]
    name: str = "held"

    @classmethod
    def of(cls, source: Archive) -> "Held":
        return cls(tuple((part.name, data) for part, data in source.entries()))

    def entries(self):
        for name, data in self.files:
            yield Part(name, len(data), manifest_hash(data)), data

    def but(self, changed: dict[str, bytes]) -> "Held":
        return Held(tuple((name, changed.get(name, data)) for name, data in self.files))

    def without(self, name: str) -> "Held":
        return Held(tuple(file for file in self.files if file[0] != name))

    def claiming(self, **claims: Any) -> "Held":
        """The manifest fits the parts, and these claims are others."""
        parts = [(name, data) for name, data in self.files if name != MANIFEST]
        fields = json.loads(dict(self.files)[MANIFEST])
        fields["parts"] = [{"name": n, "size": len(d), "sha256": manifest_hash(d)} for n, d in parts]
        return Held((*parts, (MANIFEST, json.dumps({**fields, **claims}).encode())))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Held:
    path = tmp_path_factory.mktemp("whole") / "a.tar.gz"
    back_up(history(4)["a"].store, path)
    return Held.of(archive_at(path))


def found(source: Archive) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in examine(source, nothing).findings]


def test_nothing_is_wrong_with_a_whole_archive(whole: Held) -> None:
    assert found(whole) == found(whole.claiming()) == []
    assert replay_alone(examine(whole, nothing), nothing) is None


@pytest.mark.parametrize(
    "name", ["blocks/000001.car", "content/000001.car", "content/000001.jsonl", "local/000001.jsonl"]
)
def test_a_missing_or_changed_part_is_named(whole: Held, name: str) -> None:
    assert any(name in line or "content/000001" in line for line in found(whole.without(name)))
    data = dict(whole.files)[name]
    assert any(name in line for line in found(whole.but({name: data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]})))


def test_all_findings_are_listed(whole: Held) -> None:
    files = dict(whole.files)
    changed = {name: files[name][:-1] + b"?" for name in ("blocks/000001.car", "content/000001.car")}
    lines = found(whole.but(changed))
    assert {line.partition(":")[0] for line in lines} >= set(changed)
    with pytest.raises(ArchiveDamaged, match="and 3 more"):
        examine(whole.but(changed), nothing).whole()


def test_an_archive_without_its_manifest_is_not_whole(whole: Held) -> None:
    assert "not whole" in found(whole.without(MANIFEST))[0]


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"root": "ab" * 32}, "root"),
        ({"ledger": {"minted": 1, "burned": 0, "accounts": "ab" * 32}}, "ledger"),
        ({"heads": []}, "heads"),
        ({"clock_to": []}, "feeds"),
        ({"federation": None}, ""),
        ({"federation": {"id": str(archive.Cid.of(b"x", 0x71)), "name": "x"}}, "federation"),
    ],
)
def test_every_claim_about_the_blocks_is_compared_with_a_replay(whole: Held, claims: dict[str, Any], said: str) -> None:
    finding = replay_alone(examine(whole.claiming(**claims), nothing), nothing)
    assert finding is not None
    assert said in finding.what


def test_the_name_of_the_federation_is_compared_too(whole: Held) -> None:
    named = json.loads(dict(whole.files)[MANIFEST])["federation"]
    wrong = whole.claiming(federation={**named, "name": "another"})
    finding = replay_alone(examine(wrong, nothing), nothing)
    assert finding is not None
    assert "federation" in finding.what


def test_a_ledger_that_differs_only_in_its_accounts_is_seen(whole: Held) -> None:
    ledger = json.loads(dict(whole.files)[MANIFEST])["ledger"]
    wrong = whole.claiming(ledger={**ledger, "accounts": "ab" * 32})
    assert replay_alone(examine(wrong, nothing), nothing) is not None


def test_a_block_with_a_forged_signature_is_seen_by_a_deep_look_only(whole: Held) -> None:
    blocks = list(read_car(dict(whole.files)["blocks/000001.car"]))
    data = bytearray(blocks[-1][1])
    data[-1] ^= 1
    forged = parse_block(bytes(data))
    part = write_car([*blocks[:-1], (forged.cid, forged.data)])
    examined = examine(whole.but({"blocks/000001.car": part}).claiming(), nothing)
    assert not examined.findings
    finding = replay_alone(examined, nothing)
    assert finding is not None
    assert "signed" in finding.what


def test_content_that_is_not_what_its_lines_say_is_seen(whole: Held) -> None:
    name = "content/000001.jsonl"
    first, second, *rest = dict(whole.files)[name].splitlines(keepends=True)
    swapped = whole.but({name: b"".join((second, first, *rest))}).claiming()
    assert any("not the one its lines say" in line for line in found(swapped))
    fewer = whole.but({name: b"".join((second, *rest))}).claiming()
    assert found(fewer)


def test_counts_are_compared(whole: Held) -> None:
    counts = json.loads(dict(whole.files)[MANIFEST])["counts"]
    for name in ("evidence", "content", "local"):
        assert found(whole.claiming(counts={**counts, name: counts[name] + 1})), name


def test_an_incremental_archive_is_checked_as_far_as_it_goes(tmp_path: Path) -> None:
    world = history(1)
    back_up(world["a"].store, tmp_path / "0.tar.gz")
    world.submit("a")
    world.pass_time(1_000)
    back_up(world["a"].store, tmp_path / "1.tar.gz", kind=ArchiveKind.INCREMENTAL)
    source = Held.of(archive_at(tmp_path / "1.tar.gz"))
    assert replay_alone(examine(source, nothing), nothing) is None
    clock = json.loads(dict(source.files)[MANIFEST])["clock_from"]
    behind = [{**clock[0], "count": clock[0]["count"] + 1}, *clock[1:]]
    finding = replay_alone(examine(source.claiming(clock_from=behind), nothing), nothing)
    assert finding is not None
