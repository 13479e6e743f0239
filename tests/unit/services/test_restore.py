from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.domain.dag.block import parse_block, sign_block
from icn.domain.mesh.papers import seal_receipt
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Duration, Instant, later
from icn.services import restore, rows
from icn.services.archive_check import examine
from icn.services.commands import PutContent
from icn.services.restore_plan import ChainBroken, ForeignArchive, plan
from icn.stores import backups, blocks, contents, keyspace, restored, schema
from icn.stores.archive import ArchiveDamaged, ArchiveKind
from icn.stores.backups import FinishedBackup
from icn.stores.dealings import CANCELLED, UNSETTLED, CancelledRow, UnsettledRow, attempt_key
from icn.stores.kv import Batch, StoreUnavailable
from support import builders
from support.archives import (
    NEW_STORE,
    archive_at,
    assert_whole,
    back_up,
    commit_beside,
    fill_into,
    held,
    history,
    nothing,
    restore_into,
)
from support.stores import BACKENDS
from support.world import FaultyStore


@pytest.fixture
def world():
    return history()


@pytest.mark.parametrize("name", ["a.tar.gz", "folder"])
def test_an_empty_store_gets_everything(world, tmp_path: Path, name: str) -> None:
    store = world["a"].store
    back_up(store, tmp_path / name)
    target = MemoryStore()
    done = restore_into(target, tmp_path / name)
    assert held(target) == held(store)
    assert_whole(target, world["a"].did)
    assert done.blocks == len(held(store).journal)
    assert done.content == len(held(store).content)


def test_a_restored_store_is_another_one_and_its_node_is_held(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    target = MemoryStore()
    restore_into(target, tmp_path / "a.tar.gz")
    assert schema.store_id(target) == NEW_STORE
    assert schema.store_id(world["a"].store) != NEW_STORE
    assert restored.is_restored(target)
    told = MemoryStore()
    restore_into(told, tmp_path / "a.tar.gz", no_newer_blocks=True)
    assert not restored.is_restored(told)


def test_what_a_node_is_owed_and_what_was_called_off_comes_back(world, tmp_path: Path) -> None:
    executor, home = world["b"], world["a"]
    job, batch = builders.job_id(home.did), Batch()
    key = attempt_key(home.did, job, 1)
    UNSETTLED.put(batch, key, UnsettledRow(home.did, job, 1, builders.START, later(builders.START, Duration(5))))
    CANCELLED.put(batch, key, CancelledRow(home.did, job, 1, builders.START))
    receipt = replace(builders.receipt(2, 1, job=job), executor=executor.did)
    batch.put(
        rows.pledged_receipt_key(executor.did, job, receipt.attempt), seal_receipt(receipt, executor.engine.signer)
    )
    commit_beside(executor.store, batch)
    back_up(executor.store, tmp_path / "a.tar.gz")
    target, filled = MemoryStore(), MemoryStore()
    restore_into(target, tmp_path / "a.tar.gz")
    fill_into(filled, tmp_path / "a.tar.gz")
    assert held(target) == held(filled) == held(executor.store)
    assert len(batch.operations) <= len(held(target).local)


@pytest.mark.slow
@pytest.mark.parametrize("there", BACKENDS, ids=str)
@pytest.mark.parametrize("here", BACKENDS, ids=str)
def test_a_backup_of_any_backend_is_restored_on_any_other(world, tmp_path: Path, here, there) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    back_up(world["a"].store, tmp_path / "first.tar.gz")
    one = here.open(tmp_path / "here")
    try:
        restore_into(one, tmp_path / "first.tar.gz")
        back_up(one, tmp_path / "second.tar.gz")
        expected = held(one)
    finally:
        one.close()
    other = there.open(tmp_path / "there")
    try:
        restore_into(other, tmp_path / "second.tar.gz")
        assert held(other) == expected == held(world["a"].store)
        assert_whole(other, world["a"].did)
    finally:
        other.close()


def grown(world, step: int) -> None:
    world.done("a", PutContent(b"later %d" % step, RAW, pinned=False, lifetime_ms=None))
    world.submit("a")
    world.pass_time(2_000)
    batch = Batch()
    contents.change_content(
        world["a"].store.get, batch, Cid.of(b"content 1 " * 50, RAW), pinned=step % 2 == 0, expires_at=None
    )
    commit_beside(world["a"].store, batch)


def chain(world, tmp_path: Path, links: int) -> list[Path]:
    """A full backup and so many incremental ones, with something between."""
    paths = [tmp_path / "0-full.tar.gz"]
    back_up(world["a"].store, paths[0])
    for link in range(links):
        grown(world, link)
        paths.append(tmp_path / f"{link + 1}.tar.gz")
        created = f"2026-01-{link + 2:02}T00:00:00Z"
        back_up(world["a"].store, paths[-1], kind=ArchiveKind.INCREMENTAL, created=created)
    return paths


def test_a_chain_is_restored_in_any_order_given(world, tmp_path: Path) -> None:
    paths = chain(world, tmp_path, 3)
    target = MemoryStore()
    restore_into(target, *reversed(paths))
    assert held(target) == held(world["a"].store)
    assert_whole(target, world["a"].did)


def test_incremental_backups_may_follow_later(world, tmp_path: Path) -> None:
    paths = chain(world, tmp_path, 2)
    target = MemoryStore()
    for path in paths:
        restore_into(target, path)
    assert held(target) == held(world["a"].store)
    assert restored.is_restored(target)


def test_a_missing_link_is_named(world, tmp_path: Path) -> None:
    paths = chain(world, tmp_path, 3)
    target = MemoryStore()
    with pytest.raises(ChainBroken, match=r"2026-01-02.*2026-01-04.*blocks \d+ to \d+") as refused:
        restore_into(target, paths[0], paths[1], paths[3])
    assert "changes of content" in str(refused.value)
    with pytest.raises(ChainBroken, match="needs the full one"):
        restore_into(target, paths[2])
    restore_into(target, paths[0])
    before = held(target)
    with pytest.raises(ChainBroken, match="that in the store"):
        restore_into(target, paths[2])
    assert held(target) == before


def test_local_rows_that_are_gone_do_not_return_with_a_later_backup(world, tmp_path: Path) -> None:
    store = world["a"].store
    waiting, batch = keyspace.outbox(world["b"].did) + keyspace.u64(77), Batch()
    batch.put(waiting, b"a message that waits")
    commit_beside(store, batch)
    back_up(store, tmp_path / "0.tar.gz")
    batch = Batch()
    batch.delete(waiting)
    commit_beside(store, batch)
    back_up(store, tmp_path / "1.tar.gz", kind=ArchiveKind.INCREMENTAL)
    target = MemoryStore()
    restore_into(target, tmp_path / "0.tar.gz")
    assert target.get(waiting) is not None
    restore_into(target, tmp_path / "1.tar.gz")
    assert target.get(waiting) is None
    assert held(target) == held(store)


def test_a_backup_that_goes_on_from_another_one_than_is_given_is_refused(world, tmp_path: Path) -> None:
    """Also where nothing came between the two, so that the numbers fit."""
    back_up(world["a"].store, tmp_path / "0.tar.gz")
    back_up(world["a"].store, tmp_path / "other.tar.gz", created="2026-01-02T00:00:00Z")
    back_up(world["a"].store, tmp_path / "1.tar.gz", kind=ArchiveKind.INCREMENTAL, created="2026-01-03T00:00:00Z")
    with pytest.raises(ChainBroken, match="goes on from the backup with manifest"):
        restore_into(MemoryStore(), tmp_path / "0.tar.gz", tmp_path / "1.tar.gz")
    restore_into(MemoryStore(), tmp_path / "other.tar.gz", tmp_path / "1.tar.gz")


def test_what_is_damaged_in_a_store_comes_whole_from_its_backup(world, tmp_path: Path) -> None:
    """Where nobody else has it: the store need not be given up, nor what it has that no backup knows."""
    store = world["a"].store
    back_up(store, tmp_path / "a.tar.gz")
    world.done("a", PutContent(b"newer", RAW, pinned=True, lifetime_ms=None))
    world.submit("a")
    target = MemoryStore()
    commit_beside(target, Batch(dict(store.scan(b""))))
    whole = held(target)
    content = [cid for _, cid in contents.changes(target)][:2]
    signed = [cid for _, cid in blocks.journal(target)][:3]
    batch = Batch()
    for place, cid in enumerate([*content, *signed]):
        data = blocks.get_bytes(target, cid) or b""
        if place % 2:
            batch.delete(keyspace.block(cid))
        else:
            batch.put(keyspace.block(cid), bytes((data[0] ^ 1,)) + data[1:])
    commit_beside(target, batch)
    done = restore_into(target, tmp_path / "a.tar.gz")
    assert (done.mended, done.blocks, done.content) == (5, 0, 0)
    assert held(target) == whole
    assert_whole(target, world["a"].did)
    assert not restored.is_restored(target)
    assert restore_into(target, tmp_path / "a.tar.gz").mended == 0


def test_a_full_backup_stands_for_what_it_was_made_after(world, tmp_path: Path) -> None:
    """One that was made by hand between two links, and that the store took no note of."""
    store = world["a"].store
    paths = [tmp_path / f"{name}.tar.gz" for name in ("full", "first", "by-hand", "second")]
    back_up(store, paths[0])
    world.done("a", PutContent(b"of the first", RAW, pinned=False, lifetime_ms=None))
    first = back_up(store, paths[1], kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z")
    back_up(store, paths[2], created="2026-01-03T00:00:00Z")
    batch, done = Batch(), first.manifest
    noted = FinishedBackup(first.sha256, done.created, done.kind, done.to)
    backups.note_finished(batch, backups.finished_backups(store), noted)
    commit_beside(store, batch)
    world.done("a", PutContent(b"of the second", RAW, pinned=False, lifetime_ms=None))
    back_up(store, paths[3], kind=ArchiveKind.INCREMENTAL, created="2026-01-04T00:00:00Z")
    for given in (paths, [*paths[:2], paths[3]]):
        target = MemoryStore()
        restore_into(target, *given)
        assert held(target) == held(store)


def test_of_backups_of_two_stores_those_of_the_last_one_are_taken(world, tmp_path: Path) -> None:
    """As a folder holds them after a restore."""
    back_up(world["a"].store, tmp_path / "one.tar.gz")
    other = MemoryStore()
    restore_into(other, tmp_path / "one.tar.gz")
    extra = Batch()
    contents.put_content(
        other.get, extra, Cid.of(b"since", RAW), b"since", stored_at=Instant(5), pinned=True, expires_at=None
    )
    commit_beside(other, extra)
    back_up(other, tmp_path / "other.tar.gz", created="2026-01-09T00:00:00Z")
    for given in (("one", "other"), ("other", "one")):
        target = MemoryStore()
        restore_into(target, *(tmp_path / f"{name}.tar.gz" for name in given))
        assert held(target) == held(other)


def test_a_store_gets_what_it_lacks_from_its_own_backups_whatever_else_is_given(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "one.tar.gz")
    target, other = MemoryStore(), MemoryStore()
    restore_into(target, tmp_path / "one.tar.gz")
    restore_into(other, tmp_path / "one.tar.gz")
    commit_beside(other, Batch({keyspace.about("store_id"): b"another of these"}))
    back_up(other, tmp_path / "other.tar.gz", created="2026-01-09T00:00:00Z")
    grown(world, 1)
    back_up(world["a"].store, tmp_path / "1.tar.gz", kind=ArchiveKind.INCREMENTAL, created="2026-01-02T00:00:00Z")
    restore_into(target, *(tmp_path / f"{name}.tar.gz" for name in ("other", "one", "1")))
    assert held(target) == held(world["a"].store)


def test_backups_of_two_stores_of_which_the_later_knows_less_are_refused(world, tmp_path: Path) -> None:
    """A clock was set back, or forth."""
    back_up(world["a"].store, tmp_path / "one.tar.gz")
    other = MemoryStore()
    restore_into(other, tmp_path / "one.tar.gz")
    back_up(other, tmp_path / "other.tar.gz", created="2026-01-09T00:00:00Z")
    grown(world, 1)
    back_up(world["a"].store, tmp_path / "two.tar.gz", created="2026-01-08T00:00:00Z")
    with pytest.raises(ChainBroken, match="different stores"):
        restore_into(MemoryStore(), *(tmp_path / f"{name}.tar.gz" for name in ("one", "two", "other")))


def test_damaged_archives_are_left_out_only_where_that_is_asked_for(world, tmp_path: Path) -> None:
    paths = chain(world, tmp_path, 3)
    before = MemoryStore()
    restore_into(before, *paths[:3])
    data = bytearray(paths[3].read_bytes())
    data[len(data) // 2] ^= 1
    paths[3].write_bytes(data)
    with pytest.raises(ArchiveDamaged, match=str(paths[3])):
        restore_into(MemoryStore(), *paths)
    target = MemoryStore()
    restore_into(target, *paths, skips_damaged=True)
    assert held(target) == held(before)
    assert restored.is_restored(target)
    paths[1].write_bytes(b"nothing")
    with pytest.raises(ChainBroken):
        restore_into(MemoryStore(), *paths, skips_damaged=True)
    for path in paths:
        path.write_bytes(b"nothing")
    with pytest.raises(ArchiveDamaged, match="3 more are damaged"):
        restore_into(MemoryStore(), *paths, skips_damaged=True)


def test_a_foreign_node_is_refused_but_as_new(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    stranger = builders.did(9)
    with pytest.raises(ForeignArchive, match="--as-new"):
        restore_into(MemoryStore(), tmp_path / "a.tar.gz", configured=stranger)
    target = MemoryStore()
    restore_into(target, tmp_path / "a.tar.gz", configured=stranger, as_new=True)
    assert schema.owner_of(target) == stranger.text
    assert not restored.is_restored(target)
    assert not held(target).local
    assert held(target).journal == held(world["a"].store).journal
    with pytest.raises(ForeignArchive):
        restore_into(MemoryStore(), tmp_path / "a.tar.gz", as_new=True)


def test_a_node_that_has_its_own_blocks_from_another_one_s_backup_is_held(world, tmp_path: Path) -> None:
    """That one may not have had the newest of them: going on from there would fork."""
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    other = world["b"].did
    target, told = MemoryStore(), MemoryStore()
    restore_into(target, tmp_path / "a.tar.gz", configured=other, as_new=True)
    assert blocks.cid_at(target, other, 0) is not None
    assert restored.is_by_tool(target)
    restore_into(told, tmp_path / "a.tar.gz", configured=other, as_new=True, no_newer_blocks=True)
    assert not restored.is_restored(told)


def test_a_store_of_another_node_or_federation_is_left_alone(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    other = history(1)
    other_store = other["b"].store.inner
    before = held(other_store)
    with pytest.raises(ForeignArchive, match="belongs to"):
        restore_into(other_store, tmp_path / "a.tar.gz")
    assert held(other_store) == before


def test_a_store_of_the_same_node_gets_what_it_lacks_and_loses_nothing(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "old.tar.gz")
    older = MemoryStore()
    restore_into(older, tmp_path / "old.tar.gz", no_newer_blocks=True)
    grown(world, 0)
    back_up(world["a"].store, tmp_path / "new.tar.gz")
    batch = Batch()
    contents.put_content(
        older.get, batch, Cid.of(b"own", RAW), b"own", stored_at=builders.START, pinned=True, expires_at=None
    )
    commit_beside(older, batch)  # it was written to since: pins and local rows stay its own
    done = restore_into(older, tmp_path / "new.tar.gz")
    assert done.blocks
    assert not done.local
    assert blocks.get_bytes(older, Cid.of(b"own", RAW)) == b"own"
    assert held(older).journal == held(world["a"].store).journal
    assert restored.is_restored(older)
    assert_whole(older, world["a"].did)
    newer = held(older)
    assert not restore_into(older, tmp_path / "old.tar.gz").blocks
    assert held(older).journal == newer.journal


def test_a_restore_that_was_broken_off_is_done_again(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn.services.restore.COMMIT_BYTES", 1_000)
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    commits = restore_into(MemoryStore(), tmp_path / "a.tar.gz").commits
    assert commits > 5
    for allowed in range(commits):
        target = FaultyStore(MemoryStore())
        examined = [examine(archive_at(tmp_path / "a.tar.gz"), nothing)]
        planned = plan(examined, target, configured=None, as_new=False)
        breaking = _Breaking(target, allowed)
        with pytest.raises(StoreUnavailable):
            restore.apply(planned, breaking, NEW_STORE, no_newer_blocks=True, on_bytes=nothing)
        if schema.owner_of(target) is not None:
            assert restored.is_restored(target)
            assert_whole(target, world["a"].did)
        restore_into(target, tmp_path / "a.tar.gz")
        assert held(target) == held(world["a"].store)


class _Breaking(FaultyStore):
    """Fails at the commit with this number."""

    def __init__(self, inner: FaultyStore, allowed: int) -> None:
        super().__init__(inner.inner)
        self.allowed = allowed

    def commit(self, batch, fence) -> None:
        if not self.allowed:
            raise StoreUnavailable("the disk is on strike")
        self.allowed -= 1
        super().commit(batch, fence)


def test_evidence_of_a_fork_is_kept(world, tmp_path: Path) -> None:
    store = world["a"].store
    author = world["b"].did
    cid = blocks.cid_at(store, author, 0)
    assert cid is not None
    original = blocks.get_bytes(store, cid)
    block = parse_block(original)
    twin = sign_block(replace(block.header, time=block.header.time + 1), block.records, builders.signer(2))
    batch = Batch()
    blocks.put_evidence(batch, twin)
    commit_beside(store, batch)
    finished = back_up(store, tmp_path / "a.tar.gz")
    assert finished.manifest.counts.evidence == 1
    target = MemoryStore()
    restore_into(target, tmp_path / "a.tar.gz")
    assert held(target) == held(store)
    assert target.get(keyspace.evidence(twin.cid)) is not None


def test_an_archive_that_changes_between_check_and_restore_is_noticed(world, tmp_path: Path) -> None:
    path = tmp_path / "folder"
    back_up(world["a"].store, path)
    examined = [examine(archive_at(path), nothing)]
    target = MemoryStore()
    planned = plan(examined, target, configured=None, as_new=False)
    part = path / "content/000001.car"
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(ArchiveDamaged, match="changed"):
        restore.apply(planned, target, NEW_STORE, no_newer_blocks=False, on_bytes=nothing)


def test_finished_backups_are_remembered_and_bounded() -> None:
    store = MemoryStore()
    fence = store.claim()
    for number in range(40):
        batch = Batch()
        finished = backups.FinishedBackup(f"{number:064x}", "then", ArchiveKind.FULL, backups.Position(number, 0))
        for _ in range(2):
            backups.note_finished(batch, backups.finished_backups(store), finished)
            store.commit(batch, fence)
    known = backups.finished_backups(store)
    assert [item.to.arrival for item in known] == list(range(8, 40))
