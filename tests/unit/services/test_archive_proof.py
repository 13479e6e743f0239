import json
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from icn.adapters.archive import elsewhere as elsewhere_module
from icn.adapters.archive.ahead import ahead
from icn.adapters.archive.elsewhere import elsewhere
from icn.domain.dag.block import parse_block
from icn.services.archive_check import Items, examine
from icn.services.archive_proof import Proving
from icn.services.archive_proving import prove
from icn.services.findings import Finding
from icn.services.stage import Stage
from icn.stores import archive
from icn.stores.archive import MANIFEST, ArchiveKind, Manifest
from icn.stores.archive_parts import read_car, write_car
from support.archives import archive_at, back_up, history, nothing, proving_here
from support.held_archive import HeldArchive

# Who runs tests has threads, of which later releases of Python warn; they hold nothing that is needed here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processors this machine has, and whatever runs tests."""
    monkeypatch.setattr(elsewhere_module, "is_worth_it", lambda: True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> HeldArchive:
    path = tmp_path_factory.mktemp("whole") / "a.tar.gz"
    back_up(history(4)["a"].store, path)
    return HeldArchive.of(archive_at(path))


def proving_elsewhere(manifest: Manifest) -> AbstractContextManager[Stage[tuple[str, Items], Finding | None]]:
    return elsewhere(partial(Proving, manifest))


def proved(source: HeldArchive) -> Finding | None:
    """What is wrong with it; the same whether it says beforehand what it is or not, and wherever it is proved."""
    examined = prove(source, nothing, ahead, proving_here)
    for told in (
        prove(source.telling(), nothing, ahead, proving_here),
        prove(source, nothing, ahead, proving_elsewhere),
    ):
        assert (told.findings, told.sha256, told.size) == (examined.findings, examined.sha256, examined.size)
    assert examined.findings_total == len(examined.findings) <= 1
    return examined.findings[0] if examined.findings else None


def test_a_whole_archive_proves_what_it_claims(whole: HeldArchive) -> None:
    assert proved(whole) is None
    assert prove(whole, nothing, ahead, proving_here).whole().counts.blocks > 0


def test_an_archive_that_is_not_what_it_claimed_beforehand_proves_nothing(whole: HeldArchive) -> None:
    other = whole.claiming(root="ab" * 32)
    examined = prove(replace(whole, claim=dict(other.files)[MANIFEST]), nothing, ahead, proving_here)
    assert [finding.where for finding in examined.findings] == [MANIFEST]
    assert "seemed to be" in examined.findings[0].what


def test_what_is_wrong_with_the_parts_is_told_before_what_they_prove(whole: HeldArchive) -> None:
    name = "content/000001.car"
    data = dict(whole.files)[name]
    broken = whole.but({name: data[:-1] + bytes([data[-1] ^ 1])}).claiming(root="ab" * 32)
    assert prove(broken.telling(), nothing, ahead, proving_here).findings == examine(broken, nothing).findings != ()


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
def test_every_claim_about_the_blocks_is_compared_with_a_replay(
    whole: HeldArchive, claims: dict[str, Any], said: str
) -> None:
    finding = proved(whole.claiming(**claims))
    assert finding is not None
    assert said in finding.what


def test_the_name_of_the_federation_is_compared_too(whole: HeldArchive) -> None:
    named = json.loads(dict(whole.files)[MANIFEST])["federation"]
    wrong = whole.claiming(federation={**named, "name": "another"})
    finding = proved(wrong)
    assert finding is not None
    assert "federation" in finding.what


def test_a_ledger_that_differs_only_in_its_accounts_is_seen(whole: HeldArchive) -> None:
    ledger = json.loads(dict(whole.files)[MANIFEST])["ledger"]
    wrong = whole.claiming(ledger={**ledger, "accounts": "ab" * 32})
    assert proved(wrong) is not None


def test_a_block_with_a_forged_signature_is_seen_by_a_deep_look_only(whole: HeldArchive) -> None:
    blocks = list(read_car(dict(whole.files)["blocks/000001.car"]))
    data = bytearray(blocks[-1][1])
    data[-1] ^= 1
    forged = parse_block(bytes(data))
    part = write_car([*blocks[:-1], (forged.cid, forged.data)])
    source = whole.but({"blocks/000001.car": part}).claiming()
    assert not examine(source, nothing).findings
    finding = proved(source)
    assert finding is not None
    assert "signed" in finding.what


def test_an_incremental_archive_is_checked_as_far_as_it_goes(tmp_path: Path) -> None:
    world = history(1)
    back_up(world["a"].store, tmp_path / "0.tar.gz")
    world.submit("a")
    world.pass_time(1_000)
    back_up(world["a"].store, tmp_path / "1.tar.gz", kind=ArchiveKind.INCREMENTAL)
    source = HeldArchive.of(archive_at(tmp_path / "1.tar.gz"))
    assert proved(source) is None
    clock = json.loads(dict(source.files)[MANIFEST])["clock_from"]
    behind = [{**clock[0], "count": clock[0]["count"] + 1}, *clock[1:]]
    finding = proved(source.claiming(clock_from=behind))
    assert finding is not None
