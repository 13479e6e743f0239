"""Stores that earlier releases wrote, kept as they were, and opened by this one.

`keep.py` says how a directory is made; each format that was ever released has one.
"""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from icn.adapters.keys.file import create_key
from icn.adapters.keys.sealing import SEALING_BYTES
from icn.adapters.storage.sqlite import SqliteStore
from icn.kernel.instant import Instant
from icn.services import replay
from icn.services.engine import Engine
from icn.services.opening import open_engine
from icn.services.verify import verify
from icn.stores import format_2, keyspace
from icn.stores.kv import Batch, Fence, KeyValueStore, StoreNewer, StoreUnavailable
from icn.stores.schema import FORMAT_VERSION, store_id, version_of
from support import builders
from support.processes import Nodes
from support.sample_stores import pairs_of
from support.stores import batch
from support.world import CountingEntropy, SetClock, terms
from upgrade.keep import KEEPER, KINDS, truth

HERE = Path(__file__).parent
KEPT = sorted(HERE.glob("format-*"))
OF_THE_FORMAT = {"format", "counts"}
"""What a format may change: how things are stored."""


@pytest.fixture(params=KEPT, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def path(folder: Path, tmp_path: Path) -> Path:
    """The kept store, unpacked."""
    unpacked = tmp_path / "dag.sqlite"
    unpacked.write_bytes(gzip.decompress((folder / "dag.sqlite.gz").read_bytes()))
    return unpacked


@pytest.fixture
def known(folder: Path) -> dict:
    return json.loads((folder / "truth.json").read_text())


class Interrupted:
    """A store that a program has open until it is killed before its so-manieth commit."""

    def __init__(self, inner: KeyValueStore, commits: int) -> None:
        self._inner = inner
        self._left = commits

    def __getattr__(self, name: str) -> Callable:
        return getattr(self._inner, name)

    def commit(self, batch: Batch, fence: Fence) -> None:
        if self._left == 0:
            raise StoreUnavailable("the process was killed here")
        self._left -= 1
        self._inner.commit(batch, fence)


def engine_over(store: KeyValueStore, known: dict) -> Engine:
    return open_engine(
        store=store,
        clock=SetClock(Instant(known["clock"])),
        entropy=CountingEntropy("upgrade"),
        signer=builders.signer(KEEPER),
        terms=terms(),
    )


def require_whole(store: KeyValueStore, known: dict) -> None:
    """What was true when the store was kept is true now, and the store is in order in the present format."""
    found = json.loads(json.dumps(truth(store, Instant(known["clock"]))))
    for name in known.keys() - OF_THE_FORMAT:
        assert found[name] == known[name], name
    for kind in ("blocks", "journal", "content", "outbox", "replies"):
        assert found["counts"][kind] == known["counts"][kind], kind
    assert version_of(store) == FORMAT_VERSION
    assert len(store_id(store) or b"") == 16
    report = verify(store, builders.did(KEEPER), deep=True)
    assert report.ok, report.findings


def test_every_format_that_was_released_is_kept() -> None:
    released = FORMAT_VERSION - 1  # the present one is kept when it is released: until then its rows may change
    kept = [folder.name for folder in KEPT]
    assert kept[:released] == [f"format-{number}" for number in range(1, released + 1)], (
        "python tests/upgrade/keep.py keeps the present one"
    )


def test_a_kept_store_has_some_of_everything(path: Path, known: dict) -> None:
    store = SqliteStore.open(path)
    assert {name: sum(1 for _ in store.scan(prefix)) for name, prefix in KINDS.items()} == known["counts"]
    store.close()
    assert all(known["counts"].values())
    assert {"completed", "assigned", "failed"} <= set(known["jobs"].values())
    assert {tuple(map(bool, kept)) for kept in known["content"].values()} == {(0, 0), (1, 0), (0, 1)}
    assert min(known["supply"][2:]) > 0
    assert path.with_name(path.name).stat().st_size < 5 * 2**20


def test_a_kept_store_is_brought_up_in_place_and_loses_nothing(path: Path, known: dict) -> None:
    store = SqliteStore.open(path)
    engine_over(store, known)
    store.close()
    store = SqliteStore.open(path)
    require_whole(store, known)
    brought_up = pairs_of(store)
    engine_over(store, known)
    assert pairs_of(store) == brought_up, "there is nothing left to bring up"
    store.close()


def test_a_start_that_is_killed_between_any_two_commits_is_made_good_by_the_next(
    path: Path, known: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(format_2, "ROWS_PER_BATCH", 30)
    monkeypatch.setattr(replay, "REPLAYED_BYTES_PER_BATCH", 20_000)
    kept = path.read_bytes()
    interruptions = 0
    while True:
        for left_over in path.parent.glob("dag.sqlite*"):
            left_over.unlink()
        path.write_bytes(kept)
        store = SqliteStore.open(path)
        try:
            engine_over(Interrupted(store, interruptions), known)  # type: ignore[arg-type]  # it is one
        except StoreUnavailable:
            store.close()
            store = SqliteStore.open(path)
            engine_over(store, known)
            require_whole(store, known)
            store.close()
            interruptions += 1
        else:
            store.close()
            break
    assert interruptions >= 2 * (FORMAT_VERSION - known["format"])


def test_a_format_that_is_newer_is_refused_and_nothing_is_written(path: Path, known: dict) -> None:
    store = SqliteStore.open(path)
    store.commit(batch({keyspace.about("format"): str(FORMAT_VERSION + 1).encode()}), store.claim())
    before = pairs_of(store)
    with pytest.raises(StoreNewer, match="run the newer release"):
        engine_over(store, known)
    assert pairs_of(store) == before
    assert store.claim() == 3, "nobody became its author between the two claims of this test and its keeper's"
    store.close()


@pytest.mark.slow
def test_a_store_of_the_present_format_can_be_kept_once(tmp_path: Path) -> None:
    made = tmp_path / "made"
    subprocess.run([sys.executable, HERE / "keep.py", made], check=True, timeout=60)
    known = json.loads((made / "truth.json").read_text())
    assert known["format"] == FORMAT_VERSION
    (tmp_path / "dag.sqlite").write_bytes(gzip.decompress((made / "dag.sqlite.gz").read_bytes()))
    store = SqliteStore.open(tmp_path / "dag.sqlite")
    require_whole(store, known)
    store.close()
    again = subprocess.run([sys.executable, HERE / "keep.py", made], check=False, timeout=60, capture_output=True)
    assert b"is never changed" in again.stderr


@pytest.mark.slow
def test_the_program_says_that_it_brings_a_store_up_and_that_a_copy_is_the_way_back(path: Path, known: dict) -> None:
    create_key(path.parent / "identity.key", bytes.fromhex(known["seed"]) + bytes(SEALING_BYTES), passphrase=None)
    nodes = Nodes(path.parent)
    node = nodes.make("old")
    node.folder = path.parent
    try:
        node.start("--no-p2p")
        node.stop()
    finally:
        nodes.end()
    said = node.last_words()
    assert ("an earlier release cannot open it afterwards" in said) == (known["format"] != FORMAT_VERSION), said
    store = SqliteStore.open(path)
    assert version_of(store) == FORMAT_VERSION
    store.close()
