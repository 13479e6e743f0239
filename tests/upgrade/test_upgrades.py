"""Stores that earlier releases wrote, kept as they were, and opened by this one.

`keep.py` says how a directory is made; each format that was ever released has one, and so has the present one.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from icn.adapters.keys.file import create_key
from icn.adapters.keys.sealing import SEALING_BYTES
from icn.adapters.storage.opening import StorageSettings, open_store
from icn.kernel.instant import Instant
from icn.services import replay
from icn.services.engine import Engine
from icn.services.opening import open_engine
from icn.services.verify import verify
from icn.stores import format_2, keyspace
from icn.stores.kv import Batch, Fence, KeyValueStore, StoreNewer, StoreUnavailable
from icn.stores.schema import FORMAT_VERSION, store_id, version_of
from support import builders
from support.full_history import KEEPER
from support.processes import Nodes
from support.sample_stores import pairs_of
from support.stores import batch
from support.world import CountingEntropy, SetClock, terms
from upgrade.keep import ENGINES, KINDS, RELEASED, truth, unpack

HERE = Path(__file__).parent
KEPT = sorted(HERE.glob("format-*"))
STORES = [
    (folder, engine)
    for folder in KEPT
    for engine, name in ENGINES.items()
    if any(folder.glob(f"{name}.*"))  # SQLite alone, in formats 1 and 2
]
OF_THE_FORMAT = {"format", "counts"}
"""What a format may change: how things are stored."""
KNOWS_CUTS = 3
"""The first format that knows of members that forked or were removed."""


class Kept:
    """One kept store, unpacked."""

    def __init__(self, folder: Path, engine: str, place: Path) -> None:
        self.engine = engine
        self.place = place / ENGINES[engine]
        self.known: dict = json.loads((folder / "truth.json").read_text())
        (self._file,) = folder.glob(f"{ENGINES[engine]}.*")
        unpack(self._file, self.place)

    def open(self) -> KeyValueStore:
        return open_store(StorageSettings(self.engine, self.place))

    def unpack_again(self) -> None:
        """As it was kept."""
        for left_over in self.place.parent.glob(f"{self.place.name}*"):
            shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
        unpack(self._file, self.place)


@pytest.fixture(params=STORES, ids=lambda store: f"{store[0].name}-{store[1]}")
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return Kept(*request.param, tmp_path)


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
    assert report.ok, (report.findings, "did rows of the present format change? keep.py says what to do")


def test_every_format_is_kept_and_none_is_taken_for_released_that_is_not_there() -> None:
    assert [folder.name for folder in KEPT] == [f"format-{number}" for number in range(1, FORMAT_VERSION + 1)], (
        "python tests/upgrade/keep.py keeps the present one"
    )
    assert RELEASED <= FORMAT_VERSION
    assert {engine for folder, engine in STORES if folder == KEPT[-1]} == set(ENGINES)


def test_a_kept_store_has_some_of_everything(kept: Kept) -> None:
    store, known = kept.open(), kept.known
    counts = {name: sum(1 for _ in store.scan(prefix)) for name, prefix in KINDS.items()}
    assert {name: counts[name] for name in known["counts"]} == known["counts"]
    store.close()
    assert all(known["counts"].values())
    assert {"completed", "assigned", "failed"} <= set(known["jobs"].values())
    assert {tuple(map(bool, how)) for how in known["content"].values()} == {(0, 0), (1, 0), (0, 1)}
    assert min(known["supply"][2:]) > 0
    if known["format"] >= KNOWS_CUTS:
        forked, removed = (sum(cut[place] is not None for cut in known["cut"].values()) for place in (0, 1))
        assert (forked, removed) == (1, 1)
        assert [True, True] in known["members"].values()
        assert known["counts"]["evidence"]
    assert sum(file.stat().st_size for file in KEPT[-1].iterdir()) < 2**20


def test_a_kept_store_is_brought_up_in_place_and_loses_nothing(kept: Kept) -> None:
    store = kept.open()
    engine_over(store, kept.known)
    store.close()
    store = kept.open()
    require_whole(store, kept.known)
    brought_up = pairs_of(store)
    engine_over(store, kept.known)
    assert pairs_of(store) == brought_up, "there is nothing left to bring up"
    store.close()


def test_a_start_that_is_killed_between_any_two_commits_is_made_good_by_the_next(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(format_2, "ROWS_PER_BATCH", 30)
    monkeypatch.setattr(replay, "REPLAYED_BYTES_PER_BATCH", 20_000)
    interruptions = 0
    while True:
        kept.unpack_again()
        store = kept.open()
        try:
            engine_over(Interrupted(store, interruptions), kept.known)  # type: ignore[arg-type]  # it is one
        except StoreUnavailable:
            store.close()
            store = kept.open()
            engine_over(store, kept.known)
            require_whole(store, kept.known)
            store.close()
            interruptions += 1
        else:
            store.close()
            break
    assert interruptions >= 2 * (FORMAT_VERSION - kept.known["format"])


def test_a_format_that_is_newer_is_refused_and_nothing_is_written(kept: Kept) -> None:
    store = kept.open()
    store.commit(batch({keyspace.about("format"): str(FORMAT_VERSION + 1).encode()}), store.claim())
    before = pairs_of(store)
    with pytest.raises(StoreNewer, match="run the newer release"):
        engine_over(store, kept.known)
    assert pairs_of(store) == before
    assert store.claim() == 3, "nobody became its author between the two claims of this test and its keeper's"
    store.close()


@pytest.mark.slow
def test_a_store_of_the_present_format_can_be_kept_and_is_never_changed_once_it_is_released(tmp_path: Path) -> None:
    made = tmp_path / "made"
    make = [sys.executable, HERE / "keep.py", made]
    subprocess.run(make, check=True, timeout=60)
    assert (made / "truth.json").read_text() == (KEPT[-1] / "truth.json").read_text(), (
        "rows of a format that is not released changed: python tests/upgrade/keep.py --again"
    )
    for engine in ENGINES:
        (tmp_path / engine).mkdir()
        kept = Kept(made, engine, tmp_path / engine)
        store = kept.open()
        require_whole(store, kept.known)
        store.close()
    again = subprocess.run(make, check=False, timeout=60, capture_output=True)
    assert b"is never changed" in again.stderr
    anew = subprocess.run([*make, "--again"], check=False, timeout=60, capture_output=True)
    assert (anew.returncode == 0) == (FORMAT_VERSION > RELEASED), anew.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "kept", [one for one in STORES if one[1] == "sqlite"], ids=lambda one: one[0].name, indirect=True
)
def test_the_program_says_that_it_brings_a_store_up_and_that_a_copy_is_the_way_back(kept: Kept) -> None:
    folder = kept.place.parent
    create_key(folder / "identity.key", bytes.fromhex(kept.known["seed"]) + bytes(SEALING_BYTES), passphrase=None)
    nodes = Nodes(folder)
    node = nodes.make("old")
    node.folder = folder
    try:
        node.start("--no-p2p", "--storage-backend", kept.engine, "--storage-path", str(kept.place))
        node.stop()
    finally:
        nodes.end()
    said = node.last_words()
    assert ("an earlier release cannot open it afterwards" in said) == (kept.known["format"] != FORMAT_VERSION), said
    store = kept.open()
    assert version_of(store) == FORMAT_VERSION
    store.close()
