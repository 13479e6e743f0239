"""The two halves of filling a store: where signed blocks are taken changes neither what is stored nor what is told."""

import json

import pytest

from icn.adapters.archive import elsewhere, examining
from icn.adapters.storage.filling import FillingInPlace
from icn.adapters.storage.memory import MemoryStore
from icn.kernel.errors import Refusal
from icn.kernel.ids import DAG_CBOR, Cid
from icn.services.archive_check import claimed
from icn.services.beginning import NO_VIEWS, Views
from icn.services.restore_plan import ChainBroken, plan
from icn.stores.archive import MANIFEST, ArchiveDamaged, ArchiveKind, manifest_hash
from icn.stores.archive_parts import read_car, write_car
from icn.stores.kv import Batch, StoreFull
from support import builders
from support.archives import Way, all_elsewhere, all_here, archive_at, back_up, fill_planned, history
from support.forker import Forker
from support.held_archive import HeldArchive
from support.world import federation

# Who runs tests has threads, of which later releases of Python warn; they hold nothing that is needed here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

BLOCKS, CONTENT, LINES = "blocks/000001.car", "content/000001.car", "content/000001.jsonl"


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processors this machine has, and whatever runs tests."""
    for module in (elsewhere, examining):
        monkeypatch.setattr(module, "is_worth_it", lambda: True)


@pytest.fixture(params=[all_here, all_elsewhere], ids=["here", "elsewhere"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


Chain = tuple[HeldArchive, HeldArchive]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A full backup, and an incremental one with a job and a content block."""
    folder, world = tmp_path_factory.mktemp("chain"), history(4)
    back_up(world["a"].store, folder / "0.tar.gz")
    world.submit("a")
    world.pass_time(2_000)
    back_up(world["a"].store, folder / "1.tar.gz", kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z")
    full, later = (HeldArchive.of(archive_at(folder / name)) for name in ("0.tar.gz", "1.tar.gz"))
    return full, later


class Kept(FillingInPlace):
    """Its store stays open: it would be gone."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        super().__init__(self.store)


def filled(way: Way, *sources: HeldArchive) -> dict[bytes, bytes]:
    """The rows of a store that was filled from them."""
    planned = plan([claimed(one.telling()) for one in sources], MemoryStore(), configured=None, as_new=False)
    filling = Kept()
    fill_planned(planned, filling, way=way)
    with filling.seal() as reader:
        return dict(reader.scan(b""))


def refused(way: Way, *sources: HeldArchive) -> Refusal:
    with pytest.raises((ArchiveDamaged, ChainBroken)) as raised:
        filled(way, *sources)
    return raised.value


def forged(source: HeldArchive) -> HeldArchive:
    """The signature of its last block is not its author's, and everything else as it should be."""
    *before, (_, last) = read_car(dict(source.files)[BLOCKS])
    data = last[:-1] + bytes([last[-1] ^ 1])
    return source.but({BLOCKS: write_car([*before, (Cid.of(data, DAG_CBOR), data)])}).claiming()


def behind(full: HeldArchive, later: HeldArchive) -> HeldArchive:
    """An incremental backup that says it goes on from that full one."""
    return later.claiming(parent=manifest_hash(dict(full.files)[MANIFEST]))


def flipped(source: HeldArchive, name: str) -> HeldArchive:
    data = dict(source.files)[name]
    return source.but({name: data[:-1] + bytes([data[-1] ^ 1])})


def test_the_same_rows_come_of_it(chain: Chain) -> None:
    here, there = filled(all_here, *chain), filled(all_elsewhere, *chain)
    assert list(here.items()) == list(there.items())
    assert len(here) > 100


def test_what_was_loaded_is_looked_up_where_it_was_loaded(
    chain: Chain, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In batches so small that hardly an ancestor is still in memory when a block names it."""
    whole = filled(all_here, *chain)
    monkeypatch.setattr("icn.services.filling.LOAD_BYTES", 500)
    monkeypatch.setattr("icn.services.filling_signed.LOAD_BYTES", 500)
    monkeypatch.setattr("icn.services.intake.KEPT_MAX", 0)
    assert filled(way, *chain) == whole


def test_what_is_wrong_with_a_block_is_told_before_what_is_wrong_behind_it(chain: Chain, way: Way) -> None:
    full = forged(chain[0])
    later = behind(full, chain[1])
    for sources in ((flipped(full, CONTENT), later), (full, flipped(later, BLOCKS))):
        assert "signed by its author" in str(refused(way, *sources))


def test_what_is_wrong_before_a_block_is_told_alone(chain: Chain, way: Way) -> None:
    """Blocks that do not come any more are not missed: neither heads nor forks are compared."""
    for sources in ((flipped(chain[0], BLOCKS), chain[1]), (chain[0], flipped(chain[1], BLOCKS))):
        assert "have another name" in str(refused(way, *sources))


def test_a_chain_that_breaks_behind_a_wrong_block_is_not_what_is_told(chain: Chain, way: Way) -> None:
    lines = dict(chain[0].files)[LINES].replace(b'"has_bytes":true', b'"has_bytes":false')
    bare = chain[0].but({LINES: lines}).without(CONTENT)
    assert "names content" in str(refused(way, bare.claiming()))
    assert "signed by its author" in str(refused(way, forged(bare)))


def test_each_archive_of_a_chain_is_held_against_its_own_claims(chain: Chain, way: Way) -> None:
    root = "ab" * 32
    first = chain[0].claiming(root=root)
    for place, wrong in enumerate(((first, behind(first, chain[1])), (chain[0], chain[1].claiming(root=root)))):
        named = [HeldArchive(one.files, name=f"archive {number}") for number, one in enumerate(wrong)]
        error = refused(way, *named)
        assert str(error).startswith(f"archive {place}: {MANIFEST}: its root is")


@pytest.fixture(scope="module")
def with_a_fork(tmp_path_factory: pytest.TempPathFactory) -> HeldArchive:
    """A backup of a store in which a member has forked."""
    forker = Forker(federation("a", "b", "c", "d"))
    forker.join()
    before = forker.head
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.say(one, "a")
    forker.world.pass_time(3_000)
    forker.say(other, "b")
    forker.world.pass_time(6_000)
    path = tmp_path_factory.mktemp("fork") / "0.tar.gz"
    back_up(forker.world["a"].store, path)
    return HeldArchive.of(archive_at(path))


def test_forks_are_compared_with_the_blocks_when_all_have_come_and_not_before(
    with_a_fork: HeldArchive, way: Way
) -> None:
    assert filled(way, with_a_fork)
    (fork,) = json.loads(dict(with_a_fork.files)[MANIFEST])["forks"]
    lying = with_a_fork.claiming(forks=[fork, {"author": str(builders.did(9)), "sequence": 7, "kept": []}])
    assert "other forks than its blocks show" in str(refused(way, lying))
    assert "have another name" in str(refused(way, flipped(with_a_fork, BLOCKS)))


def test_a_store_that_takes_no_more_ends_both_halves(chain: Chain, way: Way) -> None:
    class Full(Kept):
        def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
            if any(key[:1] == b"j" for key in batch.operations):
                raise StoreFull("no room for blocks")
            super().load(batch, views)

    planned = plan([claimed(one.telling()) for one in chain], MemoryStore(), configured=None, as_new=False)
    with pytest.raises(StoreFull, match="no room"):
        fill_planned(planned, Full(), way=way)
